"""The worker: `python -P -m bench.worker ASSIGNMENT`, one trial in one process.

Its standard input is a socket whose other end the launcher holds: when that end is gone, so is the launcher, and the
worker ends at once instead of training on as an orphan.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

import msgspec

from bench.errors import BenchError
from bench.records import Assignment, Device, Failure, Status
from bench.store import Journal, TrialFolder
from bench.worker import launcher_watch, preload
from bench.worker.clock import Clock
from bench.worker.pinning import pin

EXIT_FAILURE_WRITTEN = 1
PREAMBLE = ("Graph execution error", "Detected at node", "File ", "<stack traces", "The above exception")


def main() -> int:
    """Carry out the assignment given on the command line; return the exit code."""
    launcher_watch.watch()
    assignment = msgspec.json.decode(sys.argv[1], type=Assignment)
    folder = TrialFolder(Path(assignment.folder))
    journal = Journal(folder.events)
    clock = Clock(assignment)
    trial = folder.read_trial()
    try:
        pin(trial.cell.device)
        preload.load(assignment.libraries)
        # TensorFlow starts its threads inside the mask.
        if trial.mode == "calibrate":
            from bench.worker.calibrating import calibrate as carry_out  # noqa: PLC0415
        else:
            from bench.worker.training import train as carry_out  # noqa: PLC0415

        carry_out(assignment, trial, journal, clock)
    except Exception as error:  # noqa: BLE001 -- whatever it is, the trial's row must say it
        traceback.print_exc()
        status, reason = _explain(error, trial.cell.device)
        journal.append(Failure(status=status, reason=reason))
        return EXIT_FAILURE_WRITTEN
    return 0


def _explain(error: Exception, device: Device) -> tuple[Status, str]:
    kind = type(error).__name__
    if kind == "ResourceExhaustedError":
        return ("oom_gpu" if device.kind == "gpu" else "oom_host"), _first_line(error)
    if isinstance(error, MemoryError):
        return "oom_host", _first_line(error) or "Python could not allocate memory"
    if kind == "DivergedError":
        return "diverged", str(error)
    if isinstance(error, BenchError):
        return "failed", str(error)
    return "failed", f"{kind}: {_first_line(error)}"


def _first_line(error: Exception) -> str:
    """Return the first line that says something; TensorFlow puts where before what."""
    lines = (line.strip() for line in str(error).splitlines())
    return next((line for line in lines if line and not line.startswith(PREAMBLE)), "")


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # TensorFlow's own shutdown can hang or crash after all is written; nothing is left to do.
    os._exit(code)
