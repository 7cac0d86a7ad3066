"""The best setting of a training: what is tried, who goes on, what counts as faster, and what is written for `run`."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace
from rich.console import Console
from typer.testing import CliRunner

from bench.analysis import tuning as search_module
from bench.analysis.forecast import Range
from bench.analysis.frame import frames
from bench.analysis.tuned import conclude, tuned_frame
from bench.analysis.tuning import Measured, Timing, is_better, read_timings, search, times_as_fast
from bench.cli.app import app
from bench.cli.tune import climb
from bench.config import RunConfig, merge
from bench.errors import UsageError
from bench.launch import tuning as launch_tuning
from bench.launch.planning import Prepared
from bench.launch.preflight import Preflight
from bench.launch.tuning import Ascent, Tunable
from bench.matrix import Plan
from bench.records import (
    Cell,
    Device,
    Evaluated,
    Flops,
    Memory,
    Result,
    RunData,
    Runtime,
    Steps,
    Trial,
    TrialData,
    Tuning,
)
from bench.report.bench_toml import bench_toml
from bench.report.terminal import summary_view
from bench.report.tuning import setting_words, summarize_tuning
from bench.store import RunFolder, read_run
from bench.tuning import combined, find_options, keeps_arithmetic, single_changes
from records_for_tests import CPU, DATASET, GPU, HOST, run_data, start_up
from records_for_tests import trial as make_trial
from test_cli import hourglass
from test_training import TINY_MODEL

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FAKE_WORKER = Path(__file__).with_name("fake_worker.py")
ONE = Device(kind="cpu", threads=1, cpus=(0,))
DEFAULT = make_trial(batch_size=32, dataset=replace(DATASET, num_train=20_000)).cell
CANDIDATES = single_changes(DEFAULT, find_options(DEFAULT, RunConfig(), (ONE, CPU)))
START_UP_S = 8.0


def words(cells: Sequence[Cell], default: Cell = DEFAULT) -> list[str]:
    """What settings change."""
    return [setting_words(cell, default) for cell in cells]


# What can be tried.


def test_single_changes_are_tried_one_of_each_kind_first() -> None:
    """Steps a call, batch, precision, XLA, threads and oneDNN; then a second value of each that has one."""
    assert words(CANDIDATES) == [
        "10 steps a call",
        "batch 64",
        "mixed_bfloat16",
        "jit",
        "cpu:1",
        "no oneDNN",
        "50 steps a call",
        "batch 128",
        "batch 16",
    ]


def test_a_gpu_has_no_threads_and_its_own_precision() -> None:
    """On a GPU neither thread counts nor oneDNN are tried, and the mixed precision is float16."""
    default = replace(DEFAULT, device=GPU)
    tried = words(single_changes(default, find_options(default, RunConfig(), (CPU,))), default)
    assert tried == ["10 steps a call", "batch 64", "mixed_float16", "jit", "50 steps a call", "batch 128", "batch 16"]


def test_several_values_are_all_that_is_tried() -> None:
    """A list of batch sizes or precisions replaces what would be tried without it."""
    config = RunConfig(batch_size=(32, 256, 512), precision=("float32", "mixed_float16"))
    tried = words(single_changes(DEFAULT, find_options(DEFAULT, config, ())))
    assert [word for word in tried if word.startswith(("batch", "mixed"))] == [
        "batch 256",
        "mixed_float16",
        "batch 512",
    ]


def test_siblings_are_tried_after_cores() -> None:
    """Many threads come first, those that share cores last."""
    siblings = Device(kind="cpu", threads=4, cpus=(0, 1, 2, 3), siblings=True)
    cores = [Device(kind="cpu", threads=number) for number in (1, 2, 4)]
    default = replace(DEFAULT, device=cores[-1])
    options = find_options(default, RunConfig(), (*cores, siblings))
    assert [device.label for device in options.device] == ["cpu:4", "cpu:2", "cpu:1", "cpu:4smt"]


def test_what_an_epoch_cannot_hold_is_not_tried() -> None:
    """Calls of which an epoch holds less than two, and batches of more images than there are."""
    default = make_trial(batch_size=32, dataset=replace(DATASET, num_train=60)).cell
    tried = words(single_changes(default, find_options(default, RunConfig(), (CPU,))), default)
    assert tried == ["mixed_bfloat16", "jit", "no oneDNN", "batch 16"]
    assert words(
        [combined(DEFAULT, [replace(DEFAULT, steps_per_execution=50), replace(DEFAULT, batch_size=8192)])]
    ) == ["batch 8192"]


def test_changes_are_taken_together_the_faster_one_first() -> None:
    """Where two settings change the same thing, the earlier one has its way."""
    both = combined(DEFAULT, [replace(DEFAULT, jit="on"), replace(DEFAULT, batch_size=128), CANDIDATES[1]])
    assert words([both]) == ["jit, batch 128"]
    assert not keeps_arithmetic(both, DEFAULT)
    assert keeps_arithmetic(replace(DEFAULT, jit="on", device=ONE, onednn="off", steps_per_execution=10), DEFAULT)


# What is measured next, with invented speeds.


def told(trial: Trial, rate: float | None, *, cost_s: float, onednn: bool = True) -> TrialData:
    """What a process of so many images a second leaves behind; None for one that crashed before its first step."""
    if rate is None:
        result = Result(key=trial.key, status="failed", reason="boom", wall_s=cost_s, attempts=1)
        return TrialData(trial=trial, result=result)
    step_s = trial.cell.batch_size / rate
    ends_s = tuple(START_UP_S + step_s * number for number in range(1, 101))
    runtime = Runtime(versions={}, intra_threads=2, inter_threads=2, cpus=(), threads_used=2, devices=(), onednn=onednn)
    steps = Steps(epoch=1, start_s=START_UP_S, counts=(1,) * 100, ends_s=ends_s, images=100 * trial.cell.batch_size)
    events = (*start_up(trial)[:-1], runtime, steps, Memory(peak_rss_bytes=1_420_000_000))
    return TrialData(trial=trial, events=events, result=Result(key=trial.key, status="ok", wall_s=cost_s, attempts=1))


class Invented:
    """A machine on which each setting has a speed; a process takes its start-up and its steps.

    Args:
        speed: Images a second of a setting; None for one that fails.
        drift: By so much the machine is faster with each process.
    """

    def __init__(self, speed: Callable[[Cell], float | None], *, drift: float = 1.0, onednn: bool = True) -> None:
        self._speed, self._drift, self._onednn = speed, drift, onednn
        self.spent_s = 0.0
        self.trials: list[TrialData] = []
        self.rungs: list[list[Cell]] = []
        self._in_turns = 0

    def tune(self, budget_s: float, candidates: Sequence[Cell] = CANDIDATES) -> RunData:
        """Search within a time, and return the run."""
        steps = search(DEFAULT, candidates, budget_s=budget_s)
        rung = next(steps)
        while True:
            ran: list[TrialData] = []
            counts: Counter[Cell] = Counter()
            for cell in rung.cells:
                if rung.until_s - self.spent_s < max(rung.each_s, 1.0):
                    break
                seed = 10 * len(self.rungs) * bool(len(self.rungs) > 1) + counts[cell]
                counts[cell] += 1
                rate = self._speed(cell)
                step_s = 0.0 if rate is None else cell.batch_size / rate
                cost_s = START_UP_S + max(rung.enough_s, 2 * cell.steps_per_execution * step_s)
                drifted = None if rate is None else rate * self._drift ** len([*self.trials, *ran])
                ran.append(
                    told(Trial(cell=cell, seed=seed, mode="calibrate"), drifted, cost_s=cost_s, onednn=self._onednn)
                )
                self.spent_s += cost_s
            self.trials += ran
            self.rungs += [[data.trial.cell for data in ran]] if ran else []
            self._in_turns = len(ran) if rung.in_turns else 0
            try:
                rung = steps.send(
                    Measured(timings=read_timings(self.trials)[len(self.trials) - len(ran) :], spent_s=self.spent_s)
                )
            except StopIteration:
                return self._run(budget_s, candidates)

    def _run(self, budget_s: float, candidates: Sequence[Cell]) -> RunData:
        data = run_data(*self.trials, name="tune")
        tried = {trial.trial.cell for trial in self.trials}
        tuning = Tuning(
            budget_s=budget_s,
            rungs=tuple(map(len, self.rungs)),
            in_turns=self._in_turns,
            left_out=tuple(cell for cell in candidates if cell not in tried),
        )
        config = RunConfig(model=("small",), dataset="cifar100")
        return replace(data, run=replace(data.run, tuning=tuning, config=config, name="tune"))


def speeds(**factors: float) -> Callable[[Cell], float]:
    """A machine of 1,000 images a second; a factor for each thing that a setting has."""

    def speed(cell: Cell) -> float:
        has = {
            "jit": cell.jit == "on",
            "calls": cell.steps_per_execution > 1,
            "batch": cell.batch_size == 64,
            "larger_batch": cell.batch_size == 128,
            "half": cell.precision != "float32",
            "one": cell.device.threads == 1,
            "plain": cell.onednn == "off",
        }
        return 1000.0 * math.prod(factor for name, factor in factors.items() if has[name])

    return speed


SLOWER = {"one": 0.55, "plain": 0.6, "half": 0.3}


def test_the_search_finds_what_helps_together() -> None:
    """Two changes that help are faster still together, and are told apart from those that change the arithmetic."""
    machine = Invented(speeds(jit=1.3, calls=1.2, larger_batch=1.25, **SLOWER))
    tuned = conclude(machine.tune(300.0))
    assert words([tuned.same.cell]) == ["10 steps a call, jit"]
    assert tuned.same.times.estimate == pytest.approx(1.56, rel=1e-3)
    assert words([tuned.other.cell]) == ["10 steps a call, jit, batch 128"]
    assert tuned.other.times.estimate == pytest.approx(1.95, rel=0.01)  # the last batch of an epoch is smaller
    assert tuned.same.times.low < 1.56 < tuned.same.times.high


def test_the_last_rung_goes_there_and_back() -> None:
    """Default and best are measured in turns, A B C C B A, twice each at least, so that a drift favours none."""
    machine = Invented(speeds(jit=1.3, larger_batch=1.25, **SLOWER), drift=1.01)
    tuned = conclude(machine.tune(300.0))
    last = machine.rungs[-1]
    turn = last[: len(last) // (last.count(DEFAULT))]
    assert last[: 2 * len(turn)] == [*turn, *turn[::-1]]
    assert min(Counter(last).values()) >= 2
    # Two rounds there and back cancel what is linear.
    assert tuned.same.times.estimate == pytest.approx(1.3, rel=0.012)


def test_a_tie_stays_with_the_default() -> None:
    """What is 2 % faster is within the noise, whatever was measured: nothing is changed for it."""
    for factor in (1.0, 1.02):
        machine = Invented(speeds(calls=factor, batch=factor, **SLOWER))
        tuned = conclude(machine.tune(300.0))
        assert tuned.same is tuned.default
        assert tuned.other is None
        assert tuned.hopes == ()


def test_a_failure_is_a_row_with_its_reason() -> None:
    """Settings that fail cost their own row; the others are compared."""
    fast = speeds(calls=1.3, **SLOWER)
    machine = Invented(lambda cell: None if cell.jit == "on" else fast(cell))
    data = machine.tune(300.0)
    tuned = conclude(data)
    assert words([tuned.same.cell]) == ["10 steps a call"]
    [failed] = [setting for setting in tuned.settings if setting.rate is None]
    assert (words([failed.cell]), failed.reason) == (["jit"], "failed: boom")
    assert tuned.settings[-1] is failed
    assert summarize_tuning(frames(data), tuned).failures == ("jit: failed: boom",)


def test_a_default_that_fails_ends_the_search() -> None:
    """There is nothing to compare with: one process, one reason."""
    machine = Invented(lambda _: None)
    data = machine.tune(300.0)
    tuned = conclude(data)
    assert machine.rungs == [[DEFAULT]]
    [answer] = summarize_tuning(frames(data), tuned).answers
    assert answer == "the default setting could not be measured, so nothing can be compared with it: failed: boom"


def test_without_onednn_in_tensorflow_nothing_is_said_of_it() -> None:
    """Where TensorFlow computes with its own kernels anyway, switching oneDNN off is no change."""
    machine = Invented(speeds(plain=1.5), onednn=False)
    tuned = conclude(machine.tune(300.0))
    assert tuned.same is tuned.default
    reasons = {setting_words(one.cell, DEFAULT): one.reason for one in tuned.settings if one.rate is None}
    assert reasons == {"no oneDNN": "TensorFlow has no oneDNN here: it changes nothing"}


@pytest.mark.parametrize("budget_s", [20.0, 45.0, 70.0, 90.0, 150.0, 300.0, 1800.0])
@pytest.mark.parametrize("base", [1000.0, 10.0, 2.0])
def test_a_budget_is_kept(budget_s: float, base: float) -> None:
    """No process begins that would end late by what the ones before took, and what there was no time for is named."""
    fast = speeds(jit=1.3, calls=1.1, larger_batch=1.2, **SLOWER)
    machine = Invented(lambda cell: fast(cell) * base / 1000)
    data = machine.tune(budget_s)
    longest_s = max(trial.result.wall_s for trial in machine.trials)
    assert machine.spent_s <= budget_s or len(machine.trials) == 1 or machine.spent_s - budget_s < longest_s / 2
    tried = {trial.trial.cell for trial in machine.trials}
    assert set(CANDIDATES) <= tried | set(data.run.tuning.left_out)
    order = [cell for cell in CANDIDATES if cell in tried]
    if base == 1000.0:
        assert order == list(CANDIDATES[: len(order)])
        assert len(order) == len(CANDIDATES) or budget_s < 300.0
    if budget_s >= 300.0 and base >= 10.0:
        assert conclude(data).same.cell.jit == "on"


def test_long_steps_are_not_put_into_calls() -> None:
    """Where a step takes seconds, a call of many would take the budget and save nothing: it is not tried."""
    machine = Invented(lambda cell: 10.0 * cell.batch_size / 32 if cell.jit == "on" else 10.0)
    data = machine.tune(600.0)
    assert all(trial.trial.cell.steps_per_execution == 1 for trial in machine.trials)
    assert words([cell for cell in data.run.tuning.left_out if cell.steps_per_execution > 1]) == [
        "10 steps a call",
        "50 steps a call",
    ]


def test_what_was_not_compared_in_turns_is_a_hope() -> None:
    """A run that was cut off before its last rung recommends nothing, and says what seemed faster."""
    data = Invented(speeds(jit=1.3, **SLOWER)).tune(300.0)
    tuning = data.run.tuning
    kept = len(data.trials) - tuning.in_turns
    cut = replace(data, trials=data.trials[:kept])
    cut = replace(cut, run=replace(cut.run, tuning=replace(tuning, in_turns=0, rungs=tuning.rungs[:-1])))
    tuned = conclude(cut)
    assert tuned.same is tuned.default
    assert words([tuned.hopes[0].cell]) == ["jit"]
    assert "seemed faster, and was not confirmed in turns: jit, 1.30 times the default" in " ".join(
        summarize_tuning(frames(cut), tuned).answers
    )
    assert conclude(replace(data, trials=())) is None


# Ratios.


def timing(rate: float, *, seed: int = 0, spread: float = 0.03) -> Timing:
    """A process of so many images a second."""
    off = math.exp(1.645 * spread)
    return Timing(cell=DEFAULT, seed=seed, rate=Range(estimate=rate, low=rate / off, high=rate * off))


def test_a_drift_cancels_in_processes_that_ran_side_by_side() -> None:
    """The ratio is of pairs, and where these lie apart its interval is as wide as that."""
    base = [timing(100.0), timing(200.0, seed=1)]
    drifted = times_as_fast([timing(110.0), timing(220.0, seed=1)], base)
    assert drifted.estimate == pytest.approx(1.1)
    assert (drifted.low, drifted.high) == pytest.approx((1.1 * math.exp(-1.645 * 0.03), 1.1 * math.exp(1.645 * 0.03)))
    apart = times_as_fast([timing(110.0), timing(300.0, seed=1)], base)
    assert apart.low < 1 < apart.high
    others = times_as_fast([timing(165.0, seed=7)], base)
    assert others.estimate == pytest.approx(165 / math.sqrt(100 * 200))
    assert times_as_fast([], base) is None


@pytest.mark.parametrize(
    ("times", "better"), [((1.06, 1.03, 1.09), True), ((1.02, 1.01, 1.03), False), ((1.2, 0.99, 1.4), False)]
)
def test_faster_is_by_three_percent_and_beyond_doubt(times: tuple[float, float, float], better: bool) -> None:
    """The estimate reaches 3 %, and the interval excludes 1."""
    estimate, low, high = times
    assert is_better(Range(estimate=estimate, low=low, high=high)) is better
    assert not is_better(None)


# What is said and written.


def test_a_tuning_reads_like_this() -> None:
    """The answers come first, the table fits 80 columns, and what was left out is named."""
    data = Invented(speeds(jit=1.3, calls=1.2, larger_batch=1.25, **SLOWER)).tune(200.0)
    tuned = conclude(data)
    console = Console(width=80, no_color=True)
    with console.capture() as capture:
        console.print(summary_view(summarize_tuning(frames(data), tuned)))
    text = capture.get()
    lines = text.splitlines()
    assert lines[1].startswith("fastest with the same arithmetic: 10 steps a call, jit:")
    assert "besides: 1.94 times the default" in text.replace("\n", " ")
    assert "but it is another training" in text.replace("\n", " ")
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("default") and "same" in line for line in lines)
    assert tuned.left_out
    assert f"{words(tuned.left_out)[0]}" in text[text.index("Not tried") :]


def test_what_a_busy_machine_told_is_doubted() -> None:
    """Where other processes took much of the cores' time, that is said beside the answer; a little is a note alone."""
    data = Invented(speeds(jit=1.3, **SLOWER)).tune(200.0)
    report, tuned = frames(data), conclude(data)
    for share, doubted in ((5.0, False), (66.0, True)):
        busy = dataclasses.replace(report, trials=report.trials.assign(others_cpu_percent=share))
        said = [line for line in summarize_tuning(busy, tuned).answers if "other processes took up to" in line]
        assert bool(said) is doubted


def test_one_round_confirms_nothing() -> None:
    """A last rung that was cut off after A B leaves a hope: what drifted between the two may be all of it."""
    data = Invented(speeds(jit=1.3, **SLOWER)).tune(300.0)
    tuning = data.run.tuning
    kept = len(data.trials) - tuning.in_turns + 2
    rungs = (*tuning.rungs[:-1], 2)
    run = replace(data.run, tuning=replace(tuning, in_turns=2, rungs=rungs))
    tuned = conclude(replace(data, trials=data.trials[:kept], run=run))
    assert tuned.same is tuned.default
    assert words([tuned.hopes[0].cell]) == ["jit"]


def test_the_frame_has_a_row_for_each_setting() -> None:
    """Figures by their columns, the default among them with no ratio to itself."""
    tuned = conclude(Invented(speeds(jit=1.3, **SLOWER)).tune(300.0))
    frame = tuned_frame(tuned)
    assert len(frame) == len(tuned.settings)
    [default] = frame[frame["is_default"]].to_dict("records")
    assert (default["images_per_s"], default["peak_rss_bytes"]) == (pytest.approx(1000.0), 1_420_000_000)
    assert frame["times"].isna().sum() == 1


@pytest.mark.parametrize("limit_train", [5000, 2000, None])  # 2,000 are the preset's, of its own data set
def test_run_takes_what_was_written(tmp_path: Path, limit_train: int | None) -> None:
    """The file gives the run that was tuned, with the best setting of the same arithmetic; comments say the rest."""
    data = Invented(speeds(jit=1.3, calls=1.2, larger_batch=1.25, **SLOWER)).tune(300.0)
    asked: dict[str, Any] = {
        "model": ["mnist_cnn"],
        "dataset": "cifar100",
        "limit-train": limit_train,
        "epochs": 7,
        "recipe-set": ["label_smoothing=0.1", "stages=[[20,0.25]]"],
        "data-dir": 'some/"odd"\\place',
        "batch-size": ["32"],
    }
    config = merge(asked)
    data = replace(data, run=replace(data.run, config=config))
    path = tmp_path / "bench.toml"
    path.write_text(bench_toml(data.run, conclude(data)))
    read = merge({}, toml=path)
    assert read == replace(
        config, device=("cpu:2",), precision=("float32",), steps_per_execution=10, jit=("on",), onednn=("on",)
    )
    text = path.read_text()
    assert "# Faster, but it is another training, of another accuracy: 1.94 times the default" in text
    assert "# batch-size = [128]" in text
    assert "#   10 steps a call, jit: 1,560 (" in text
    assert "2027-01-15 08:00 UTC on Example CPU, 2 of 4 cores usable" in text
    uncommented = text.replace("# batch-size", "batch-size").replace("batch-size = [32]\n", "")
    path.write_text(uncommented)
    assert merge({}, toml=path).batch_size == (128,)


def test_siblings_are_asked_for_as_device_takes_them(tmp_path: Path) -> None:
    """`cpu:8smt` is a label; `--device` has cpu:smt for it."""
    siblings = Device(kind="cpu", threads=4, cpus=(0, 1, 2, 3), siblings=True)
    candidates = (replace(DEFAULT, device=siblings),)
    data = Invented(lambda cell: 1300.0 if cell.device.siblings else 1000.0).tune(300.0, candidates)
    path = tmp_path / "bench.toml"
    path.write_text(bench_toml(data.run, conclude(data)))
    assert merge({}, toml=path).device == ("cpu:smt",)


# How it runs.


def tunable(out: Path, **config: Any) -> Tunable:
    """A search whose settings the stand-in for the worker knows; one of them does not fit into memory."""
    candidates = single_changes(DEFAULT, find_options(DEFAULT, RunConfig(), (ONE, CPU)))
    prepared = Prepared(
        config=RunConfig(model=("small",), out=str(out), sample_interval=0.05, **config),
        host=HOST,
        dataset=DEFAULT.dataset,
        plan=Plan(trials=(), refusals={}),
        preflight=Preflight(available_bytes=0, descriptions={}, estimates={}, shortages={}),
        warnings=(),
    )
    large = next(cell for cell in candidates if cell.batch_size == 128)
    return Tunable(
        prepared=prepared,
        default=DEFAULT,
        candidates=candidates,
        refusals={large: ("skipped", "it needs more memory than there is")},
        estimates={},
    )


def ascend(out: Path, *, budget_s: float, mode: str = "slow_pace") -> RunFolder:
    """Search with the stand-in for the worker."""
    search_for = tunable(out)
    ascent = Ascent(
        search_for, budget_s=budget_s, command=("bench", "tune"), worker=(sys.executable, str(FAKE_WORKER), mode)
    )
    with ascent.folder.lock():
        climb(ascent, search_for, Console(quiet=True), budget_s=budget_s)
    return ascent.folder


def test_each_process_is_a_trial_of_one_run(tmp_path: Path) -> None:
    """Real processes, invented speeds: the folder alone tells what was tried, what failed, and what is best."""
    folder = ascend(tmp_path / "out", budget_s=60.0)
    assert folder.path.name.endswith("-tune")
    data = read_run(folder.path)
    assert {trial.trial.mode for trial in data.trials} == {"calibrate"}
    assert len({trial.trial.key for trial in data.trials}) == len(data.trials) == sum(data.run.tuning.rungs)
    tuned = conclude(data)
    assert words([tuned.same.cell]) == ["jit"]
    assert tuned.same.times.estimate == pytest.approx(1.5, rel=0.01)
    assert tuned.same.in_turns
    assert words(tuned.left_out) == ["50 steps a call"]  # 1.6 s, longer than all steps of a process
    reasons = {setting_words(one.cell, DEFAULT): one.reason for one in tuned.settings if one.rate is None}
    assert reasons["batch 128"] == "skipped: it needs more memory than there is"
    assert reasons["mixed_bfloat16"].startswith("failed: the worker ended without a result, with exit code 7")


def test_what_there_is_no_time_for_leaves_no_trace_but_its_name(tmp_path: Path) -> None:
    """With four seconds the default and a few more run; the rest is named as left out."""
    folder = ascend(tmp_path / "out", budget_s=4.0)
    data = read_run(folder.path)
    assert data.trials[0].trial.cell == DEFAULT
    tried = {trial.trial.cell for trial in data.trials}
    assert set(data.run.tuning.left_out) == set(CANDIDATES) - tried
    assert len(data.run.tuning.left_out) > 1  # one of them is always left out
    assert {path.name for path in (folder.path / "trials").iterdir()} == {trial.trial.key for trial in data.trials}


def test_a_trial_of_an_old_run_is_no_tuning() -> None:
    """A run without the field reads as before."""
    assert run_data().run.tuning is None
    assert conclude(run_data(TrialData(trial=make_trial()))) is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--repeats", "3"), "received --repeats"),
        (("--model", "mbn"), "received --model"),
        (("--device", "cpu,gpu"), "tune takes one device, or several of the CPU; received --device cpu,gpu"),
        (("--budget", "1m,2m", "--device", "cpu:1"), "one training on one device; received 2 of them"),
    ],
)
def test_more_than_one_training_is_refused(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    """One model on one device, as often as the search needs it."""
    done = hourglass("tune", "mnist_cnn", *arguments, "--limit-train", "100", "--out", tmp_path / "out")
    assert done.returncode == UsageError.exit_code
    assert said in " ".join(done.stderr.split())
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    """It is refused before anything is measured."""
    path = tmp_path / "mine.toml"
    path.write_text("mine")
    done = hourglass("tune", "mnist_cnn", "--write", path)
    assert done.returncode == UsageError.exit_code
    assert "is there already and is not overwritten" in " ".join(done.stderr.split())
    assert path.read_text() == "mine"


@pytest.mark.tf
def test_a_calibration_that_compares_ends_soon() -> None:
    """After its time, but not before two calls were seen; and a forecast's goes on."""
    from bench.worker.calibrating import CalibrationCourse

    def is_over(at_s: float, *, enough_s: float | None, step_s: float = 0.1, calls: int = 1) -> bool:
        course = CalibrationCourse(100.0, runs_through=False, enough_s=enough_s, steps_per_execution=calls)
        course.begin_epoch(10.0)
        course.end_steps(step_s)
        return course.is_over(10.0 + at_s)

    assert not is_over(1.9, enough_s=2.0)
    assert is_over(2.1, enough_s=2.0)
    assert not is_over(2.1, enough_s=None)
    assert not is_over(5.0, enough_s=2.0, calls=50)
    assert is_over(10.0, enough_s=2.0, calls=50)
    assert not is_over(6.0, enough_s=2.0, step_s=6.0)


@pytest.mark.tf
@pytest.mark.timeout(240)
def test_a_tuning_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny model on synthetic images: the table, the file that run takes, and the same again from the folder."""
    monkeypatch.setattr(launch_tuning, "single_changes", lambda *asked: single_changes(*asked)[:1])
    monkeypatch.setattr(search_module, "MOST_ROUNDS", 1)
    model, out, path = tmp_path / "tiny.py", tmp_path / "out", tmp_path / "best.toml"
    model.write_text(TINY_MODEL.format(activation=', activation="softmax"'))
    flags = ["--limit-train", "800", "--limit-test", "100", "--batch-size", "32", "--device", "cpu:1"]
    arguments = ["tune", str(model), *flags, "--calibrate", "3m", "--write", str(path), "--out", str(out)]
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "80", "NO_COLOR": "1"})
    assert done.exit_code == 0, done.output
    assert "fastest with the same arithmetic:" in done.stdout
    [folder] = out.iterdir()
    assert (folder / "report" / "tuning.md").exists()
    assert not (folder / "bench.toml").exists()
    data = read_run(folder)
    assert words([trial.trial.cell for trial in data.trials][:2], data.trials[0].trial.cell) == [
        "default",
        "10 steps a call",
    ]
    assert {trial.result.status for trial in data.trials} == {"ok"}
    # Steps were made for their time alone: a process that only compares counts no arithmetic and evaluates nothing.
    assert not {type(event) for trial in data.trials for event in trial.events} & {Flops, Evaluated}
    again = hourglass("report", folder)
    assert done.stdout[done.stdout.index("fastest with") : done.stdout.index("wrote tuning.md")] in again.stdout
    assert (folder / "bench.toml").read_text() == path.read_text()
    read = merge({}, toml=path)
    assert (read.model, read.device, read.limit_train) == ((str(model),), ("cpu:1",), 800)
