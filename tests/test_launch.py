"""How trials run: whatever a worker does, its trial is a row, no process is left behind, and the rest goes on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bench
from bench.analysis.outlook import Hopeless
from bench.config import RunConfig
from bench.errors import StoreError
from bench.launch import local
from bench.launch.local import LocalRun
from bench.launch.resume import resume_point
from bench.launch.schedule import StoppedError, pending, run_trials
from bench.launch.tail import Tail
from bench.records import Attempt, Done, Epoch, Event, PhaseDone, Result, Run, Sample, Spent, Status, Trial, TrialData
from bench.store import Journal, RunFolder, TrialFolder, checkpoint_file, read_run
from records_for_tests import run_data
from records_for_tests import trial as make_trial
from silent import Silent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from bench.launch.observer import Judges

T = TypeVar("T")

FAKE_WORKER = Path(__file__).with_name("fake_worker.py")
PATIENCE_S = 60.0  # for what must happen soon; only a failing test waits so long

# A launcher in a process of its own, for signals.
LAUNCHER = """
import signal, sys
from pathlib import Path
from silent import Silent
from bench.launch.schedule import StoppedError, run_trials
from bench.store import RunFolder

for number in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
folder = RunFolder.open(Path(sys.argv[1]))
with folder.lock():
    try:
        run_trials(folder, folder.read_run(), observer=Silent(), command=sys.argv[2:])
    except StoppedError:
        sys.exit(130)
"""


@pytest.fixture(autouse=True)
def _default_signals() -> Iterator[None]:
    """Stop requests are heard, also where tests were started with signals ignored."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def worker(*modes: str) -> tuple[str, ...]:
    """The command of a worker whose mode is chosen by the trial's seed."""
    return sys.executable, str(FAKE_WORKER), ",".join(modes)


def make_run(path: Path, *, trials: int = 1, epochs: int = 2, **config: Any) -> tuple[RunFolder, Run]:
    """A run folder of small trials that differ by their seed."""
    asked = [TrialData(trial=make_trial(seed=seed, epochs=epochs)) for seed in range(trials)]
    run = msgspec.structs.replace(run_data(*asked).run, config=RunConfig(sample_interval=0.05, **config))
    return RunFolder.create(path, run), run


def make_folder(path: Path) -> TrialFolder:
    """A trial's folder."""
    folder = TrialFolder(path)
    folder.create(make_trial())
    return folder


def run_one(path: Path, mode: str, **options: Any) -> tuple[TrialFolder, Result]:
    """Run one trial, in a folder of its own if it has none yet."""
    folder = TrialFolder(path) if path.exists() else make_folder(path)
    observer = options.pop("observer", Silent())
    run = LocalRun(
        make_trial(), folder, observer=observer, sample_interval_s=0.05, **{"command": worker(mode)} | options
    )
    return folder, run.run()


def eventually(holds: Callable[[], bool]) -> bool:
    """Whether something comes to hold within patience."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not (held := holds()) and time.monotonic() < deadline_s:
        time.sleep(0.01)
    return held


def pids(folder: TrialFolder) -> list[int]:
    """The processes that worked in a folder; they say so before anything else."""
    return [int(line) for line in (folder.path / "pids").read_text().splitlines()]


def is_running(pid: int) -> bool:
    """Whether a process is there and has not ended; one that nobody waited for has."""
    try:
        return psutil.Process(pid).status() not in {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}
    except psutil.NoSuchProcess:
        return False


def nobody_left(folder: TrialFolder, *, of: int = 1) -> bool:
    """Whether at least `of` processes worked in a folder, and all are gone."""
    return len(pids(folder)) >= of and eventually(lambda: not any(map(is_running, pids(folder))))


def events_of(kind: type[T], folder: TrialFolder) -> list[T]:
    """The events of one kind, in order."""
    return [event for event in folder.read_events()[0] if isinstance(event, kind)]


# What a worker does, how its trial's row reads, and its exit code.
ROWS = {
    "crash": ("failed", "exit code 7; last in worker.log: Traceback (most recent call last): | KaboomError: boom", 7),
    "segfault": ("failed", "crashed with SIGSEGV", -signal.SIGSEGV),
    "garbage": ("failed", "ended without a result, with exit code 0", 0),
    "mute": ("failed", "it said nothing", 8),
    "done_but_nonzero": ("failed", "exit code 9", 9),
    "diverged": ("diverged", "the training loss became nan in epoch 1", 1),
    "killed": ("killed", "killed from outside", -signal.SIGKILL),
    "ok": ("ok", "", 0),
}


def test_whatever_a_worker_does_is_a_row_and_the_rest_goes_on(tmp_path: Path) -> None:
    """Each trial has a result with its status, reason and exit code on disk, those after a bad one included."""
    folder, run = make_run(tmp_path / "run", trials=len(ROWS))
    observer = Silent()
    run_trials(folder, run, observer=observer, command=worker(*ROWS))
    data = read_run(folder.path)
    for (mode, (status, reason, exit_code)), row in zip(ROWS.items(), data.trials, strict=True):
        result = row.result
        assert result is not None, mode
        assert (result.status, result.exit_code, result.attempts) == (status, exit_code, 1), mode
        assert reason in result.reason, mode
        assert bool(result.reason) == (status != "ok"), mode
        assert result.wall_s > 0, mode
        assert nobody_left(folder.trial(row.trial.key)), mode
    assert observer.results == [row.result for row in data.trials]
    assert observer.attempts == [1] * len(ROWS)


def test_a_signal_without_a_name_is_a_row(tmp_path: Path) -> None:
    """A worker that dies of a real-time signal costs its own row, not the run."""
    if not hasattr(signal, "SIGRTMIN"):
        pytest.skip("this system has no real-time signals")
    _, result = run_one(tmp_path / "trial", "real_time_signal")
    assert (result.status, result.exit_code) == ("failed", -(signal.SIGRTMIN + 3))
    assert f"signal {signal.SIGRTMIN + 3}" in result.reason


def test_a_worker_that_cannot_be_started_is_a_row(tmp_path: Path) -> None:
    """A command that is not there fails each trial with the system's reason; the run ends by itself."""
    folder, run = make_run(tmp_path / "run", trials=2)
    run_trials(folder, run, observer=Silent(), command=[str(tmp_path / "no-such-python")])
    for row in read_run(folder.path).trials:
        assert row.result is not None
        assert (row.result.status, row.result.exit_code, row.result.attempts) == ("failed", None, 1)
        assert "could not be started" in row.result.reason
        assert "no-such-python" in row.result.reason


def test_a_training_is_told_and_kept_as_it_was_written(tmp_path: Path) -> None:
    """The observer hears every event of the worker in order, and samples are on disk as it got them."""
    observer = Silent()
    folder, result = run_one(tmp_path / "trial", "nap", observer=observer)
    assert (result.status, result.reason) == ("ok", "")
    events, damaged = folder.read_events()
    assert damaged == 0
    assert isinstance(events[0], Attempt)
    assert list(events[1:]) == observer.events
    assert isinstance(events[-1], Done)
    samples, damaged = folder.read_samples()
    assert damaged == 0
    assert list(samples) == observer.samples
    times_s = [sample.t_s for sample in samples]
    assert len(times_s) > 2
    assert times_s == sorted(times_s)
    assert result.wall_s >= max(times_s)
    assert 0 < result.sampler_cpu_s <= result.sampled_s <= result.wall_s


@pytest.mark.parametrize(("rose", "status"), [(True, "oom_host"), (False, "killed"), (None, "killed")])
def test_a_kill_is_called_out_of_memory_only_if_the_kernel_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rose: bool | None, status: str
) -> None:
    """SIGKILL is `oom_host` when the kernel counted a kill for want of memory, and `killed` when not or unknown."""

    class Counter:
        def rose(self) -> bool | None:
            return rose

    monkeypatch.setattr(local, "OomCounter", Counter)
    _, result = run_one(tmp_path / "trial", "killed")
    assert result.status == status
    assert ("ran out of memory" in result.reason) == bool(rose)


def test_other_ends_are_never_called_out_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A count that rises, for whatever process, does not turn another end of the worker into `oom_host`."""

    class Counter:
        def rose(self) -> bool:
            return True

    monkeypatch.setattr(local, "OomCounter", Counter)
    assert run_one(tmp_path / "segfault", "segfault")[1].status == "failed"
    assert run_one(tmp_path / "ok", "ok")[1].status == "ok"


def test_a_worker_that_gives_no_sign_of_life_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    """One that neither writes nor computes is `timeout` with that reason, and its own children end too."""
    folder, result = run_one(tmp_path / "trial", "hang", silence_s=0.5)
    assert result.status == "timeout"
    assert "no sign of life" in result.reason
    assert "worker.log" in result.reason
    assert nobody_left(folder, of=2)


def test_a_worker_that_computes_without_end_is_ended_by_the_timeout(tmp_path: Path) -> None:
    """Computing is a sign of life; only `timeout` ends it."""
    folder, result = run_one(tmp_path / "trial", "spin", silence_s=0.5, timeout_s=1.5)
    assert result.status == "timeout"
    assert "--timeout 1.5 s" in result.reason
    assert result.wall_s > 1.5
    assert nobody_left(folder)


def test_time_is_up_between_two_samples_too(tmp_path: Path) -> None:
    """However seldom a trial is sampled, it is ended when its time is."""
    folder = make_folder(tmp_path / "trial")
    run = LocalRun(
        make_trial(), folder, observer=Silent(), sample_interval_s=60.0, timeout_s=1.5, command=worker("spin")
    )
    began_s = time.monotonic()
    assert run.run().status == "timeout"
    assert time.monotonic() - began_s < 20


def test_a_calibration_knows_its_time_and_leaves_no_checkpoint(tmp_path: Path) -> None:
    """Nobody takes it up: what it saved is removed however it ended, and its reason names no `--resume`."""
    folder, run = make_run(tmp_path / "run", trials=2, epochs=2)
    calibrations = tuple(msgspec.structs.replace(trial, mode="calibrate") for trial in run.trials)
    for trial in calibrations:
        folder.trial(trial.key).create(trial)
    run = msgspec.structs.replace(run, trials=calibrations)
    run_trials(folder, run, observer=Silent(), command=worker("hang"), share_s=lambda left: 1.5 if left == 2 else 0.0)
    place = folder.trial(calibrations[0].key)
    result = place.read_result()
    assert result is not None
    assert (result.status, result.reason) == ("timeout", "not finished within its share of --calibrate, 1.5 s")
    assert not place.checkpoint.exists()
    assert folder.trial(calibrations[1].key).read_result() is None  # no time was left for it


def test_a_worker_that_fills_the_disk_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that never stops talking is `failed` with that reason before the disk is full."""
    monkeypatch.setattr("bench.launch.local.LONGEST_LOG_BYTES", 1_000_000)
    folder, result = run_one(tmp_path / "trial", "flood")
    assert result.status == "failed"
    assert "more than 1,000,000 bytes" in result.reason
    assert nobody_left(folder)


def test_the_rest_goes_on_after_a_timeout(tmp_path: Path) -> None:
    """A trial that is taken up has used what its finished epochs took; the next trial has all its time."""
    folder, run = make_run(tmp_path / "run", trials=2, timeout=3600.5)
    write(folder.trial(run.trials[0].key), START + ended(1, 3500.0, saved_s=3600.0), checkpoints=[1])
    run_trials(folder, run, observer=Silent(), command=worker("hang", "ok"))
    results = [row.result for row in read_run(folder.path).trials]
    assert [(result.status, result.attempts) for result in results if result] == [("timeout", 2), ("ok", 1)]


def test_a_child_that_outlives_the_worker_does_not_keep_the_launcher_waiting(tmp_path: Path) -> None:
    """The launcher notices that the worker is dead although its child holds the channel open, and ends the child."""
    folder, result = run_one(tmp_path / "trial", "killed_with_heir", timeout_s=PATIENCE_S)
    assert result.status == "killed"
    assert nobody_left(folder, of=2)


@pytest.mark.parametrize("told", ["trial_started", "event", "sampled"])
def test_an_observer_that_fails_leaves_no_process(tmp_path: Path, told: Any) -> None:
    """What the observer raises comes out, after the worker and its child were ended."""
    folder = TrialFolder(tmp_path / "trial")

    def fail(*_: object) -> None:
        assert eventually(lambda: (folder.path / "pids").exists() and len(pids(folder)) == 2)
        raise LookupError(told)

    observer = Silent()
    setattr(observer, told, fail)
    with pytest.raises(LookupError, match=told):
        run_one(folder.path, "hang", observer=observer)
    assert nobody_left(folder, of=2)


def test_junk_that_a_worker_writes_stays_in_its_files(tmp_path: Path) -> None:
    """Damaged lines are counted and the next attempt's event stands apart; the reason can be shown in a table."""
    folder, result = run_one(tmp_path / "trial", "garbage")
    assert result.reason.isprintable()
    assert len(result.reason) < 10_000
    assert folder.read_events()[1] == 5
    _, again = run_one(folder.path, "ok")
    assert (again.status, again.attempts) == ("ok", 2)
    assert len(events_of(Attempt, folder)) == 2
    assert b"\x1b" in folder.log.read_bytes()


def test_a_reason_quotes_only_what_this_attempt_said(tmp_path: Path) -> None:
    """The log grows from attempt to attempt; what an earlier one said is no reason for the last one's end."""
    folder, first = run_one(tmp_path / "trial", "crash")
    assert "boom" in first.reason
    _, second = run_one(folder.path, "mute")
    assert second.attempts == 2
    assert "boom" not in second.reason
    assert "it said nothing" in second.reason
    assert "boom" in folder.log.read_text()


def test_the_parent_sleeps_while_a_worker_works(tmp_path: Path) -> None:
    """The launching thread uses a small share of a core while it waits, sampling included."""
    began_s, cpu_began_s = time.monotonic(), time.thread_time()
    _, result = run_one(tmp_path / "trial", "nap")
    cpu_s, passed_s = time.thread_time() - cpu_began_s, time.monotonic() - began_s
    assert result.status == "ok"
    assert cpu_s < 0.2 * passed_s


# Stopping and going on.


def start_launcher(folder: RunFolder, *modes: str) -> subprocess.Popen[bytes]:
    """Start a run in another process; return once its first trial has finished an epoch."""
    path = os.pathsep.join(str(place) for place in (Path(bench.__file__).parent.parent, FAKE_WORKER.parent))
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, str(folder.path), *worker(*modes)], env=os.environ | {"PYTHONPATH": path}
    )
    first = folder.trial(folder.read_run().trials[0].key)
    assert eventually(lambda: launcher.poll() is not None or resume_point(first).epochs_done == 1)
    return launcher


def finish(folder: RunFolder, run: Run) -> None:
    """Take a run up whose first trial was cut off after one epoch, and see that all went on as it should."""
    first = folder.trial(run.trials[0].key)
    point = resume_point(first)
    assert (point.attempt, point.epochs_done) == (2, 1)
    assert point.offset_s >= events_of(Epoch, first)[0].end_s > 0
    with folder.lock():
        run_trials(folder, run, observer=Silent(), command=worker("cut", "ok"))
    results = [row.result for row in read_run(folder.path).trials]
    assert [(result.status, result.attempts) for result in results if result] == [("ok", 2), ("ok", 1)]
    second_attempt = events_of(Attempt, first)[1]
    assert (second_attempt.number, second_attempt.offset_s, second_attempt.epochs_done) == (2, point.offset_s, 1)
    assert [event.epoch for event in events_of(Epoch, first)] == [1, 2]
    assert events_of(Done, first)[0].end_s > point.offset_s


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_stopped_run_is_recorded_and_can_be_finished(tmp_path: Path, number: Any) -> None:
    """A signal ends the worker, leaves an `interrupted` row and what was learnt; the next run finishes the trials."""
    folder, run = make_run(tmp_path / "run", trials=2)
    launcher = start_launcher(folder, "cut", "ok")
    launcher.send_signal(number)
    assert launcher.wait(PATIENCE_S) == 130
    first, second = (folder.trial(trial.key) for trial in run.trials)
    result = first.read_result()
    assert result is not None
    assert (result.status, result.attempts) == ("interrupted", 1)
    assert "--resume" in result.reason
    assert nobody_left(first)
    assert second.read_result() is None
    finish(folder, run)


def test_a_launcher_that_is_killed_takes_its_worker_along(tmp_path: Path) -> None:
    """After kill -9 the worker ends by itself, the folder can be read and locked, and the run can be finished."""
    folder, run = make_run(tmp_path / "run", trials=2)
    launcher = start_launcher(folder, "cut", "ok")
    first = folder.trial(run.trials[0].key)
    assert all(map(is_running, pids(first)))
    with pytest.raises(StoreError, match="in use"), folder.lock():
        pass
    launcher.kill()
    launcher.wait(PATIENCE_S)
    assert nobody_left(first)
    data = read_run(folder.path)
    assert [row.result for row in data.trials] == [None, None]
    assert data.trials[0].samples
    finish(folder, run)


class Stopper(Silent):
    """Asks to stop, as Ctrl-C does, when it is told of a trial's start or end."""

    def __init__(self, told: str) -> None:
        super().__init__()
        self.told = told

    def trial_started(self, trial: Trial, attempt: int, spent: Spent | None, epochs: Sequence[Epoch]) -> None:
        """Ask at the start."""
        super().trial_started(trial, attempt, spent, epochs)
        if self.told == "started":
            os.kill(os.getpid(), signal.SIGINT)

    def trial_ended(self, trial: Trial, result: Result) -> None:
        """Ask at the end."""
        super().trial_ended(trial, result)
        if self.told == "ended":
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)  # an impatient user


@pytest.mark.parametrize(("told", "statuses"), [("started", ["interrupted", None]), ("ended", ["ok", None])])
def test_a_request_to_stop_is_not_lost_and_loses_nothing(tmp_path: Path, told: Any, statuses: Any) -> None:
    """It may come when a worker was just started, or after its trial ended: rows are written, nothing more begins."""
    folder, run = make_run(tmp_path / "run", trials=2)
    with pytest.raises(StoppedError):
        run_trials(folder, run, observer=Stopper(told), command=worker("nap" if told == "started" else "ok"))
    results = [row.result for row in read_run(folder.path).trials]
    assert [result and result.status for result in results] == statuses
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_closed_terminal_does_not_stop_what_was_started_with_nohup(tmp_path: Path) -> None:
    """A signal that is ignored when the run begins stays ignored."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    folder, run = make_run(tmp_path / "run")
    run_trials(folder, run, observer=Silent(), command=worker("hang_up"))
    result = folder.trial(run.trials[0].key).read_result()
    assert result is not None
    assert result.status == "ok"


# Trials that are not worth their time.


def give_up_below(target: float) -> Judges:
    """What ends trials that will not reach a target."""
    return lambda trial, epochs, spent: Hopeless(trial.cell, target, epochs=epochs, spent=spent)


def test_a_hopeless_trial_is_ended_for_good_and_the_rest_goes_on(tmp_path: Path) -> None:
    """It is a row with its forecast, leaves neither process nor checkpoint, and is not tried again."""
    folder, run = make_run(tmp_path / "run", trials=2, epochs=9)
    observer = Silent()
    run_trials(folder, run, observer=observer, command=worker("stagnate", "ok"), judges=give_up_below(0.9))
    first, second = (row.result for row in read_run(folder.path).trials)
    assert first is not None
    assert second is not None
    assert (first.status, second.status) == ("hopeless", "ok")
    assert "after 9 epochs, below the target of 90 %; stopped after epoch 6" in first.reason
    place = folder.trial(run.trials[0].key)
    assert nobody_left(place)
    assert not place.checkpoint.exists()
    assert pending(folder, run) == ()


def test_epochs_of_an_earlier_attempt_count_for_a_hopeless_trial(tmp_path: Path) -> None:
    """One that is taken up after its fourth epoch is given up after its sixth; the observer is told of the four."""
    folder, run = make_run(tmp_path / "run", epochs=9)
    place = folder.trial(run.trials[0].key)
    before = [
        msgspec.structs.replace(event, val_accuracy=0.1) if isinstance(event, Epoch) else event
        for number in range(1, 5)
        for event in ended(number, 10.0 * number, saved_s=10.0 * number + 1)
    ]
    write(place, [*START, *before], checkpoints=[3, 4])
    observer = Silent()
    run_trials(folder, run, observer=observer, command=worker("stagnate"), judges=give_up_below(0.9))
    (result,) = observer.results
    assert (result.status, result.attempts) == ("hopeless", 2)
    assert result.reason.endswith("stopped after epoch 6")
    assert [event.epoch for event in observer.earlier] == [1, 2, 3, 4]
    assert next(event.epoch for event in observer.events if isinstance(event, Epoch)) == 5


def test_a_trial_that_may_reach_its_target_is_left_alone(tmp_path: Path) -> None:
    """With a target that is within reach, the trial goes on until its time is up."""
    folder, run = make_run(tmp_path / "run", epochs=9, timeout=1.5)
    run_trials(folder, run, observer=Silent(), command=worker("stagnate"), judges=give_up_below(0.1))
    result = folder.trial(run.trials[0].key).read_result()
    assert result is not None
    assert result.status == "timeout"


KEPT: tuple[Status, ...] = ("ok", "diverged", "hopeless", "skipped")
TRIED_AGAIN: tuple[Status, ...] = ("failed", "killed", "timeout", "interrupted", "oom_host", "oom_gpu")


def test_resume_keeps_results_and_tries_failures_again(tmp_path: Path) -> None:
    """`ok`, `diverged`, `hopeless` and `skipped` stand; other ends are tried again, in order, and so is none at all."""
    folder, run = make_run(tmp_path / "run", trials=len(KEPT + TRIED_AGAIN) + 1)
    for trial, status in zip(run.trials, KEPT + TRIED_AGAIN, strict=False):
        folder.trial(trial.key).write_result(Result(key=trial.key, status=status, reason="before", attempts=1))
    assert pending(folder, run) == run.trials[len(KEPT) :]
    run_trials(folder, run, observer=Silent(), command=worker("ok"))
    results = [row.result for row in read_run(folder.path).trials]
    assert [result.status for result in results if result] == [*KEPT, *(["ok"] * (len(TRIED_AGAIN) + 1))]
    assert [result.reason for result in results[: len(KEPT)] if result] == ["before"] * len(KEPT)
    assert pending(folder, run) == ()


def test_a_trial_that_is_tried_again_has_no_result_until_it_has_ended(tmp_path: Path) -> None:
    """While a second attempt runs, the first one's failure does not pass for its result; a removed folder is remade."""
    folder, run = make_run(tmp_path / "run")
    (asked,) = run.trials
    place = folder.trial(asked.key)
    place.write_result(Result(key=asked.key, status="failed", reason="the first attempt", attempts=1))
    found: list[Result | None] = []

    class Looker(Silent):
        def trial_started(self, trial: Trial, attempt: int, spent: Spent | None, epochs: Sequence[Epoch]) -> None:
            found.append(place.read_result())

    run_trials(folder, run, observer=Looker(), command=worker("ok"))
    assert found == [None]
    shutil.rmtree(place.path)
    run_trials(folder, run, observer=Silent(), command=worker("ok"))
    assert place.read_trial() == asked
    assert place.read_result() is not None


def test_what_was_refused_when_the_run_was_planned_starts_no_process(tmp_path: Path) -> None:
    """A trial whose row was written without a process, such as one of a broken model file, is not tried."""
    folder, run = make_run(tmp_path / "run", trials=2)
    refused = folder.trial(run.trials[0].key)
    refused.write_result(Result(key=run.trials[0].key, status="failed", reason="mine.py is not Python"))
    run_trials(folder, run, observer=Silent(), command=worker("ok"))
    results = [row.result for row in read_run(folder.path).trials]
    assert [result.status for result in results if result] == ["failed", "ok"]
    assert not refused.log.exists()


def write(folder: TrialFolder, events: list[Event], *, checkpoints: Iterable[int]) -> None:
    """Fill a trial's folder with events and checkpoints of some epochs."""
    journal = Journal(folder.events)
    for event in events:
        journal.append(event)
    journal.close()
    folder.checkpoint.mkdir(exist_ok=True)
    for number in checkpoints:
        checkpoint_file(folder.checkpoint, number).write_bytes(b"weights")


def ended(number: int, end_s: float, *, saved_s: float | None = None) -> list[Event]:
    """An epoch, and its checkpoint unless it was cut off before that."""
    epoch = Epoch(epoch=number, end_s=end_s, images=1, loss=1.0, accuracy=0.5)
    if saved_s is None:
        return [epoch]
    return [epoch, PhaseDone(phase="checkpoint", start_s=end_s, end_s=saved_s, epoch=number)]


def attempt(number: int, *, offset_s: float = 0.0, epochs_done: int = 0) -> list[Event]:
    """What the launcher writes first."""
    return [Attempt(number=number, unix_s=1.8e9, offset_s=offset_s, epochs_done=epochs_done)]


ONE, TWO = ended(1, 10.0, saved_s=11.0), ended(2, 20.0, saved_s=21.0)
START = attempt(1)


@pytest.mark.parametrize(
    ("events", "checkpoints", "expected"),
    [
        ([], [], (1, 0, 0.0)),
        (START, [], (2, 0, 0.0)),
        (START, [0], (2, 0, 0.0)),
        (START + ONE, [], (2, 0, 0.0)),
        (START + ONE, [1], (2, 1, 11.0)),
        (START + ended(1, 10.0), [1], (2, 1, 10.0)),
        (START + ONE + TWO, [1, 2], (2, 2, 21.0)),
        (START + ONE + ended(2, 20.0), [1], (2, 1, 11.0)),
        (START + ONE, [1, 2], (2, 1, 11.0)),
        (START + ONE + TWO + attempt(2, offset_s=11.0, epochs_done=1), [2], (3, 0, 0.0)),
        (START + ONE + TWO + attempt(2) + ended(1, 8.0, saved_s=9.0), [1], (3, 1, 9.0)),
        (START + ONE + attempt(2, offset_s=11.0, epochs_done=1) + TWO, [2], (3, 2, 21.0)),
    ],
    ids=[
        "nothing",
        "cut before the first epoch",
        "only the state before training",
        "the checkpoint is gone",
        "one epoch",
        "cut between checkpoint and its event",
        "two epochs",
        "cut between event and checkpoint",
        "a checkpoint without an event",
        "lost work does not count",
        "the clock of the attempt that wrote the checkpoint",
        "across attempts",
    ],
)
def test_a_trial_is_taken_up_after_the_last_epoch_that_is_whole(
    tmp_path: Path, events: Any, checkpoints: Any, expected: Any
) -> None:
    """That is the last one with both its event and its checkpoint; the clock is set to its end."""
    folder = make_folder(tmp_path / "trial")
    write(folder, events, checkpoints=checkpoints)
    (folder.checkpoint / "epoch-00003.part").write_bytes(b"half")
    (folder.checkpoint / "epoch-best.npz").write_bytes(b"somebody else's")
    point = resume_point(folder)
    assert (point.attempt, point.epochs_done, point.offset_s) == expected


# The journal, read while it grows.


@given(data=st.data(), count=st.integers(0, 5))
def test_a_journal_that_grows_in_pieces_gives_every_record_once(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, count: Any
) -> None:
    """However the bytes arrive, and damaged lines between them, the records come whole and in order."""
    records = [Sample(t_s=float(number)) for number in range(count)]
    content = b"".join(b'{"t_s": half\n\xff\xfe\n' + msgspec.json.encode(record) + b"\n" for record in records)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=6)))
    path = tmp_path_factory.mktemp("tail") / "samples.jsonl"
    tail = Tail(path, Sample)
    assert tail.read() == []
    received = []
    for begin, end in zip([0, *cuts], [*cuts, len(content)], strict=True):
        with path.open("ab") as file:
            file.write(content[begin:end])
        received += tail.read()
    assert received == records


def test_a_tail_begins_at_the_journals_end(tmp_path: Path) -> None:
    """What earlier attempts wrote is not told again."""
    journal = Journal(tmp_path / "samples.jsonl")
    journal.append(Sample(t_s=1.0))
    tail = Tail(journal.path, Sample)
    assert tail.read() == []
    journal.append(Sample(t_s=2.0))
    assert tail.read() == [Sample(t_s=2.0)]
    journal.close()
