"""Runs one trial in a process of its own on this machine, and watches it without disturbing it."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import msgspec

from bench.hardware import cuda_libraries
from bench.hardware.environment import child_environment
from bench.hardware.peak import cache_folder
from bench.launch.resume import resume_point
from bench.launch.tail import Tail
from bench.meter.oom import OomCounter
from bench.meter.sampler import Sampler
from bench.records import Assignment, Attempt, Done, Event, Failure, Result, Status
from bench.store import Journal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.launch.observer import Judges, Observer
    from bench.records import Sample, Trial
    from bench.store import TrialFolder

WORKER = (sys.executable, "-P", "-m", "bench.worker")
# Without an event and without CPU time for so long, a worker is taken to hang.
SILENCE_S = 300.0
STOP_S = 5.0
LOG_LINES = 3
LOG_BYTES = 4096
LONGEST_LOG_BYTES = 256_000_000  # TensorFlow repeats what a driver's fault makes it say: 7 GB in minutes were seen


class Overdue(Exception):  # noqa: N818 -- a reason to stop waiting, not an error of the program
    """The trial has used up its time, or gives no sign of life; says which."""


class Hopeless(Exception):  # noqa: N818 -- likewise
    """The trial is not worth its time; says why."""


class Flood(Exception):  # noqa: N818 -- likewise
    """The worker says more than a disk should hold; says how much."""


class LocalRun:
    """One attempt at one trial.

    Args:
        trial: What to run.
        folder: Its folder, already made.
        observer: Is told what happens.
        enough_s: Handed to a calibration.
        timeout_s: The trial's time on its own clock; None for no limit. A calibration knows it and makes do with it.
        silence_s: How long a worker may neither write nor compute.
        sample_interval_s: Between two samples.
        data_dir: Handed to the worker.
        machine: Digest of this machine, for the record.
        command: The worker; tests put another in its place.
        stop: Can be read from when the run is to stop. None for a run that nothing stops.
        judges: Makes who says whether the trial is to be ended before its time; None ends none.
    """

    def __init__(
        self,
        trial: Trial,
        folder: TrialFolder,
        *,
        observer: Observer,
        timeout_s: float | None = None,
        enough_s: float | None = None,
        silence_s: float = SILENCE_S,
        sample_interval_s: float = 0.2,
        data_dir: str | None = None,
        machine: str = "",
        command: Sequence[str] = WORKER,
        stop: socket.socket | None = None,
        judges: Judges | None = None,
    ) -> None:
        self._trial = trial
        self._folder = folder
        self._observer = observer
        self._timeout_s = timeout_s
        self._enough_s = enough_s
        self._silence_s = silence_s
        self._sample_interval_s = sample_interval_s
        self._data_dir = data_dir
        self._machine = machine
        self._command = tuple(command)
        self._stop_requests = stop
        self._point = resume_point(folder)
        self._judge = judges(trial, self._point.epochs, self._point.spent) if judges else None
        self._started_s = 0.0
        self._alive_s = 0.0
        self._log_start = 0
        self._events: list[Event] = []

    def run(self) -> Result:
        """Run the trial to its end, whatever that is; leaves no process behind.

        Returns:
            How it ended. It is not yet written to the folder.

        Raises:
            StoreError: The folder cannot be written.
        """
        if not self._folder.request.exists():  # the user removed the folder, to start the trial anew
            self._folder.create(self._trial)
        self._folder.forget_result()
        journal = Journal(self._folder.events)
        journal.append(
            Attempt(
                number=self._point.attempt,
                unix_s=round(time.time(), 3),
                offset_s=self._point.offset_s,
                epochs_done=self._point.epochs_done,
                machine=self._machine,
            )
        )
        journal.close()
        tail: Tail[Event] = Tail(self._folder.events, Event)  # type: ignore[arg-type]  # a union is a type to msgspec
        oom = OomCounter()
        samples = Journal(self._folder.samples)
        began_cpu_s = time.process_time()
        ours, theirs = socket.socketpair()
        with closing(samples), ours:
            self._started_s = time.monotonic()
            try:
                with theirs:
                    process = self._start(theirs)
            except OSError as error:
                reason = f"the worker could not be started: {error}"
                return Result(key=self._trial.key, status="failed", reason=reason, attempts=self._point.attempt)
            ended: tuple[Status, str] | None = None
            by_itself = False
            try:
                sampler = Sampler(
                    pid=process.pid,
                    gpu_uuids=self._trial.cell.device.gpu_uuids,
                    cpus=self._trial.cell.device.cpus,
                    interval_s=self._sample_interval_s,
                    clock=self._clock,
                )
                with closing(sampler):
                    point = self._point
                    self._observer.trial_started(self._trial, point.attempt, point.spent, point.epochs)
                    by_itself = self._watch(process, ours, sampler, samples, tail)
                if not by_itself:
                    ended = "interrupted", "stopped by the user" + self._next_step
            except Overdue as overdue:
                ended = "timeout", str(overdue)
            except Hopeless as hopeless:
                ended = "hopeless", str(hopeless)
            except Flood as flood:
                ended = "failed", str(flood)
            finally:
                self._stop(process, by_itself=by_itself)
        wall_s = round(self._clock(), 6)
        self._tell(tail.read())
        if ended and any(isinstance(event, Done) for event in self._events):
            ended = "ok", ""  # it had finished when it was told to stop
        status, reason = ended or self._explain(process.returncode, oom)
        return Result(
            key=self._trial.key,
            status=status,
            reason=reason,
            wall_s=wall_s,
            attempts=self._point.attempt,
            exit_code=process.returncode,
            sampler_cpu_s=round(sampler.cpu_s, 6),
            parent_cpu_s=round(time.process_time() - began_cpu_s, 6),
            sampled_s=round(sampler.sampled_s, 6),
            missing=dict(sampler.missing),
        )

    def _start(self, channel: socket.socket) -> subprocess.Popen[bytes]:
        libraries = cuda_libraries.installed() if self._trial.cell.device.kind == "gpu" else ()
        assignment = Assignment(
            folder=str(self._folder.path.resolve()),
            started_s=self._started_s,
            offset_s=self._point.offset_s,
            epochs_done=self._point.epochs_done,
            spent=self._point.spent,
            limit_s=self._timeout_s if self._trial.mode == "calibrate" else None,
            enough_s=self._enough_s,
            data_dir=self._data_dir,
            # Their times are this machine's: a cache folder may be shared by several.
            features_dir=str((cache_folder() / "features" / (self._machine or "unknown")).absolute()),
            libraries=tuple(map(str, libraries)),
        )
        with self._folder.log.open("ab") as log:
            self._log_start = log.tell()
            # A session of its own: Ctrl-C in the terminal reaches the launcher alone, which then decides.
            return subprocess.Popen(
                [*self._command, msgspec.json.encode(assignment).decode()],
                stdin=channel.fileno(),
                stdout=log,
                stderr=subprocess.STDOUT,
                env=child_environment(self._trial.cell.device, onednn=self._trial.cell.onednn),
                start_new_session=True,
            )

    def _watch(
        self,
        process: subprocess.Popen[bytes],
        channel: socket.socket,
        sampler: Sampler,
        samples: Journal,
        tail: Tail[Event],
    ) -> bool:
        """Sleep until the next sample is due or the worker is gone, which closes its end of the channel.

        Returns:
            Whether the worker ends by itself; False if the run is to stop.
        """
        self._alive_s = self._clock()
        awaited = [channel] if self._stop_requests is None else [channel, self._stop_requests]
        # What the worker started may outlive it and hold its end of the channel: then only `poll` tells.
        while process.poll() is None:
            ready, _, _ = select.select(awaited, [], [], self._patience_s(sampler.due_in()))
            if ready:
                return channel in ready
            sample = sampler.poll()
            if sample is None:
                self._check_time(self._clock())
                continue
            samples.append(sample)
            self._observer.sampled(self._trial, sample)
            events = tail.read()
            self._tell(events)
            self._weigh(events)
            self._check(sample)
        return True

    def _check(self, sample: Sample) -> None:
        if sample.cpu_percent is None or sample.cpu_percent > 0:
            self._alive_s = sample.t_s
        self._check_time(sample.t_s)
        if sample.t_s - self._alive_s > self._silence_s:
            raise Overdue(
                f"no sign of life for {self._silence_s:g} s: it wrote no event and used no CPU time; "
                f"{self._folder.log} has what it said"
            )

        said_bytes = self._folder.log.stat().st_size - self._log_start
        if said_bytes > LONGEST_LOG_BYTES:
            raise Flood(
                f"it said more than {LONGEST_LOG_BYTES:,} bytes and was ended, for the disk's sake; the beginning of "
                f"{self._folder.log} has why"
            )

    @property
    def _next_step(self) -> str:
        return "" if self._trial.mode == "calibrate" else "; `--resume` takes it up"

    def _patience_s(self, due_s: float) -> float:
        """Time until something is due: a sample, or the end of the trial's time."""
        left_s = due_s if self._timeout_s is None else self._timeout_s - self._clock()
        return max(0.0, min(due_s, left_s))

    def _check_time(self, now_s: float) -> None:
        if self._timeout_s is not None and now_s > self._timeout_s:
            flag = "its share of --calibrate," if self._trial.mode == "calibrate" else "--timeout"
            raise Overdue(f"not finished within {flag} {self._timeout_s:.3g} s")

    def _tell(self, events: list[Event]) -> None:
        for event in events:
            self._events.append(event)
            self._alive_s = self._clock()
            self._observer.event(self._trial, event)

    def _weigh(self, events: list[Event]) -> None:
        """End a trial whose finished epochs say that it is not worth its time; one that is done is left alone."""
        if self._judge is None:
            return
        why = self._judge(events)
        if why is not None:
            raise Hopeless(why)

    def _stop(self, process: subprocess.Popen[bytes], *, by_itself: bool) -> None:
        """Wait for a worker that is ending by itself; kill one that is not, and all that it started."""
        if by_itself:
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_S)
        with suppress(ProcessLookupError, PermissionError):  # macOS says EPERM for a group of zombies
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def _explain(self, exit_code: int, oom: OomCounter) -> tuple[Status, str]:
        failure = next((event for event in reversed(self._events) if isinstance(event, Failure)), None)
        if failure is not None:
            return failure.status, failure.reason
        if exit_code == 0 and any(isinstance(event, Done) for event in self._events):
            return "ok", ""
        if exit_code == -signal.SIGKILL:
            if oom.rose():
                return "oom_host", "killed by the kernel: the machine or its control group ran out of memory"
            return "killed", "killed from outside (SIGKILL), not for lack of memory as far as the kernel says"
        if exit_code < 0:
            return "failed", f"crashed with {_signal_name(-exit_code)}; {self._log_end()}"
        return "failed", f"the worker ended without a result, with exit code {exit_code}; {self._log_end()}"

    def _log_end(self) -> str:
        with self._folder.log.open("rb") as log:
            log.seek(max(self._log_start, log.seek(0, os.SEEK_END) - LOG_BYTES))
            text = log.read().decode("utf-8", "replace")
        # What was said may hold anything; the reason is shown in terminals and tables.
        lines = ["".join(c if c.isprintable() else " " for c in line).strip() for line in text.splitlines()]
        said = " | ".join([line for line in lines if line][-LOG_LINES:]) or "it said nothing"
        return f"last in {self._folder.log.name}: {said}"

    def _clock(self) -> float:
        return self._point.offset_s + time.monotonic() - self._started_s


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal has no name of its own
        return f"signal {number}"
