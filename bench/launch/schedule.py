"""Runs the trials of a run folder, one after the other, and writes how each ended."""

from __future__ import annotations

import select
import shutil
import signal
import socket
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from bench.launch.local import WORKER, LocalRun
from bench.launch.resume import SETTLED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType

    from bench.launch.observer import Judges, Observer
    from bench.records import Result, Run, Trial
    from bench.store import RunFolder


class StoppedError(Exception):
    """The user stopped the run; what was finished is kept."""


def pending(folder: RunFolder, run: Run) -> tuple[Trial, ...]:
    """Return the trials that have no result yet, in order; a failure counts as none.

    A trial that no process was ever started for was refused when the run was planned, and that stands.
    """

    def settled(trial: Trial) -> bool:
        result = folder.trial(trial.key).read_result()
        return result is not None and (result.status in SETTLED or result.attempts == 0)

    return tuple(trial for trial in run.trials if not settled(trial))


def run_trials(
    folder: RunFolder,
    run: Run,
    *,
    observer: Observer,
    machine: str = "",
    command: Sequence[str] = WORKER,
    share_s: Callable[[int], float] | None = None,
    judges: Judges | None = None,
    enough_s: float | None = None,
) -> None:
    """Run what is pending, each trial in a process of its own. A trial that fails is a row; the rest goes on.

    The caller holds the folder's lock.

    Args:
        folder: The run's.
        run: The run.
        observer: Is told what happens.
        machine: A digest of this machine, which each attempt records.
        command: The worker; tests put another in its place.
        share_s: Tells, of so many trials that are left, how long the next one may take, in seconds; 0 ends the run
            before it. None leaves it to the run's time-out.
        enough_s: Seconds of steps after which a calibration ends; None leaves it to the worker.
        judges: Make who says whether a trial is to be ended before its time, as `hopeless`.

    Raises:
        StoppedError: Ctrl-C, SIGTERM or SIGHUP; the running trial is recorded as interrupted.
        StoreError: The folder cannot be written any more.
    """
    with _stop_requests() as stop:
        trials = pending(folder, run)
        for left, trial in zip(range(len(trials), 0, -1), trials, strict=True):
            if select.select([stop], [], [], 0)[0]:
                raise StoppedError
            timeout_s = share_s(left) if share_s else run.config.timeout
            if share_s and not timeout_s:
                return
            result = LocalRun(
                trial,
                folder.trial(trial.key),
                observer=observer,
                timeout_s=timeout_s,
                enough_s=enough_s,
                sample_interval_s=run.config.sample_interval,
                data_dir=run.config.data_dir,
                machine=machine,
                command=command,
                stop=stop,
                judges=judges,
            ).run()
            record(folder, trial, result, observer)
            if result.status == "interrupted":
                raise StoppedError


def record(folder: RunFolder, trial: Trial, result: Result, observer: Observer) -> None:
    """Write how a trial ended, then tell."""
    place = folder.trial(trial.key)
    place.write_result(result)
    if result.status in SETTLED or trial.mode == "calibrate":  # which nobody takes up
        shutil.rmtree(place.checkpoint, ignore_errors=True)
    observer.trial_ended(trial, result)


@contextmanager
def _stop_requests() -> Iterator[socket.socket]:
    """Yield what can be read from once somebody asks to stop.

    Nothing is raised where a signal happens to arrive: a worker that was just started, or a result that is being
    written, would be lost. Signals that are ignored, as `nohup` does with SIGHUP, stay so.
    """
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)

    def ask(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 -- the signature of a signal handler
        with suppress(BlockingIOError):  # asked often enough
            theirs.send(b"!")

    signals = [signal.SIGINT, signal.SIGTERM]
    if sys.platform != "win32":
        signals.append(signal.SIGHUP)
    heard = [number for number in signals if signal.getsignal(number) is not signal.SIG_IGN]
    previous = {number: signal.signal(number, ask) for number in heard}
    try:
        yield ours
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        ours.close()
        theirs.close()
