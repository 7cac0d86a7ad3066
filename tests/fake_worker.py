"""A worker that trains nothing and fails in every way: `python fake_worker.py MODE[,MODE…] ASSIGNMENT`.

With more than one mode, the trial's seed picks one. It writes its process id, and those of processes that it starts,
to the file `pids` in the trial's folder.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from bench.records import Assignment, Built, Done, Epoch, Failure, Memory, PhaseDone, Steps, Tested
from bench.store import Journal, TrialFolder, checkpoint_file
from bench.worker import launcher_watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.records import Trial

LONG_S = 600.0
BUDGETED_EPOCHS = 3


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a mode works on."""

    assignment: Assignment
    trial: Trial
    folder: TrialFolder
    journal: Journal

    def now_s(self) -> float:
        """The trial's clock."""
        return self.assignment.offset_s + time.monotonic() - self.assignment.started_s

    def train(self, first: int, last: int, *, val_accuracy: float | None = None) -> None:
        """Write epochs with their checkpoints, as the recorder of the real worker does."""
        self.folder.checkpoint.mkdir(exist_ok=True)
        for number in range(first, last + 1):
            start_s, end_s = self.now_s(), self.now_s()
            images = self.trial.cell.dataset.num_train
            self.journal.append(Steps(epoch=number, start_s=start_s, counts=(10,), ends_s=(end_s,), images=images))
            self.journal.append(PhaseDone(phase="train", start_s=start_s, end_s=end_s, epoch=number))
            self.journal.append(
                Epoch(
                    epoch=number,
                    end_s=end_s,
                    images=images,
                    loss=3.0 / number,
                    accuracy=0.3,
                    val_accuracy=val_accuracy,
                )
            )
            self.journal.sync()
            checkpoint_file(self.folder.checkpoint, number).write_bytes(b"weights")
            self.journal.append(PhaseDone(phase="checkpoint", start_s=end_s, end_s=self.now_s(), epoch=number))

    def finish(self) -> None:
        """Write what comes after the last epoch."""
        self.journal.append(Tested(images=self.trial.cell.dataset.num_test, loss=2.5, accuracy=0.38))
        self.journal.append(Memory(peak_rss_bytes=1_000_000))
        self.journal.append(Done(end_s=self.now_s()))
        shutil.rmtree(self.folder.checkpoint)


def ok(work: Work) -> int:
    """Write the events of a small training, from the epoch on that was asked for."""
    work.journal.append(Built(parameters=10, trainable_parameters=10, output="softmax"))
    work.train(work.assignment.epochs_done + 1, work.trial.cell.epochs or BUDGETED_EPOCHS)
    work.finish()
    return 0


def cut(work: Work) -> int:
    """Stop after the first epoch; finish when taken up there."""
    if work.assignment.epochs_done == 0:
        work.train(1, 1)
        time.sleep(LONG_S)
    return ok(work)


def stagnate(work: Work) -> int:
    """Train two thirds of the epochs without learning anything more, then wait for what never comes."""
    assert work.trial.cell.epochs is not None
    work.train(work.assignment.epochs_done + 1, 2 * work.trial.cell.epochs // 3, val_accuracy=0.1)
    time.sleep(LONG_S)
    return 0


def nap(work: Work) -> int:
    """Sleep for a while, then train."""
    time.sleep(1.5)
    return ok(work)


def done_but_nonzero(work: Work) -> int:
    """Reach the end, then fail."""
    ok(work)
    return 9


def crash(work: Work) -> int:
    """Say something and end with an exit code of its own."""
    print("Traceback (most recent call last):\nKaboomError: boom", file=sys.stderr, flush=True)
    return 7


def mute(work: Work) -> int:
    """End with an exit code and say nothing."""
    return 8


def segfault(work: Work) -> int:
    """Crash like native code."""
    os.kill(os.getpid(), signal.SIGSEGV)
    return 0


def real_time_signal(work: Work) -> int:
    """Die of a signal that has no name."""
    os.kill(os.getpid(), signal.SIGRTMIN + 3)
    return 0


def killed(work: Work) -> int:
    """Die as the kernel's out-of-memory killer would have it."""
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def devour(work: Work) -> int:
    """Take a gigabyte, which a limited control group does not grant, then crash."""
    taken = [bytearray(os.urandom(1000) * 10_000) for _ in range(100)]
    return crash(work) if taken else 0


def killed_with_heir(work: Work) -> int:
    """Die, and leave a process behind that holds the channel to the launcher open."""
    _start_child(work)
    return killed(work)


def hang(work: Work) -> int:
    """Give one sign of life, start a process, then wait for what never comes."""
    _start_child(work)
    work.train(1, 1)
    time.sleep(LONG_S)
    return 0


def spin(work: Work) -> int:
    """Compute without an end."""
    while True:
        pass


def flood(work: Work) -> int:
    """Say the same thing for ever."""
    while True:
        sys.stdout.write("failed to allocate\n" * 1000)


def garbage(work: Work) -> int:
    """Write binary junk, half lines and unfinished nesting wherever something is read, then end as if all were well."""
    os.write(work.journal._fd, b'{"event":"epoch","epo\n\xff\xfe\x00\n\n[[[[[[\n"half a line')
    sys.stdout.buffer.write(b"\x1b[31mred\x07\x00\xff\xfe" + b"x" * 100_000 + b"\n\n\r\x1b]0;title\x07 and no end")
    sys.stdout.flush()
    return 0


def diverged(work: Work) -> int:
    """See the trial fail and say why."""
    work.journal.append(Failure(status="diverged", reason="the training loss became nan in epoch 1"))
    return 1


def pace(work: Work) -> int:
    """Calibrate at once: 1,000 images a second, 1,500 if XLA compiles, half as many on one thread; fail in bfloat16."""
    cell = work.trial.cell
    if cell.precision == "mixed_bfloat16":
        return crash(work)
    step_s = cell.batch_size / 1000 / (1.5 if cell.jit == "on" else 1.0) * (2 if cell.device.threads == 1 else 1)
    start_s = work.now_s()
    ends_s = tuple(start_s + step_s * number for number in range(1, 11))
    images = 10 * cell.batch_size
    work.journal.append(Steps(epoch=1, start_s=start_s, counts=(1,) * 10, ends_s=ends_s, images=images))
    work.journal.append(Memory(peak_rss_bytes=1_000_000))
    work.journal.append(Done(end_s=ends_s[-1]))
    return 0


def slow_pace(work: Work) -> int:
    """Take a while for it, so that a pause of the machine is small against what a process takes."""
    time.sleep(0.5)
    return pace(work)


def as_asked(work: Work) -> int:
    """Calibrate where that is asked for, else train, to a budget for three epochs."""
    if work.trial.mode == "calibrate":
        return pace(work)
    return ok(work)


def hang_up(work: Work) -> int:
    """Send the launcher what a terminal sends that is closed, then train."""
    os.kill(os.getppid(), signal.SIGHUP)
    return ok(work)


MODES: dict[str, Callable[[Work], int]] = {
    mode.__name__: mode
    for mode in (
        ok,
        cut,
        stagnate,
        nap,
        done_but_nonzero,
        crash,
        mute,
        segfault,
        real_time_signal,
        killed,
        devour,
        killed_with_heir,
        hang,
        spin,
        flood,
        garbage,
        diverged,
        pace,
        slow_pace,
        as_asked,
        hang_up,
    )
}


def _start_child(work: Work) -> None:
    child = subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({LONG_S})"])  # with our standard input
    _note(work.folder, child.pid)


def _note(folder: TrialFolder, pid: int) -> None:
    with (folder.path / "pids").open("a", encoding="ascii") as file:
        file.write(f"{pid}\n")


def main() -> int:
    """Do what the mode says; return the exit code."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    modes, argument = sys.argv[1].split(","), sys.argv[2]
    assignment = msgspec.json.decode(argument, type=Assignment)
    folder = TrialFolder(Path(assignment.folder))
    _note(folder, os.getpid())
    launcher_watch.watch()
    trial = folder.read_trial()
    work = Work(assignment=assignment, trial=trial, folder=folder, journal=Journal(folder.events))
    return MODES[modes[trial.seed % len(modes)]](work)


if __name__ == "__main__":
    sys.exit(main())
