"""Two runs side by side: which cells belong together, what changed, which limits hold, and how that is told."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bench.analysis.compare import compare, split
from bench.analysis.gate import (
    EXIT_HOLDS,
    EXIT_NOTHING_COMPARABLE,
    EXIT_REGRESSION,
    EXIT_TOO_NOISY,
    exit_code,
    judge,
    parse_limits,
)
from bench.analysis.machines import fingerprint
from bench.analysis.measures import MEASURES
from bench.analysis.pairing import pair_cells
from bench.errors import UsageError
from bench.peaks import DevicePeak
from bench.recipe import Recipe
from bench.records import Attempt, Device, ModelSpec, Sentinel, Tested
from bench.report.comparison import SHOWN, comparison_findings, label_cells
from bench.report.junit import junit_xml
from bench.report.markdown import findings_markdown
from records_for_tests import DATASET, EXAMPLE_GPU, GPU, HOST, PEAK, ended_trial, ok_trial, run_data, trial, write_run
from test_cli import hourglass

STEADY = (10.0, 10.1, 9.9, 10.2, 10.0)
ELSEWHERE = replace(HOST, cpu="Another CPU", usable_cores=8)


def run_of(*times_s, name="new", host=HOST, accuracy=0.38, **cell):
    """A run of one cell, a repeat for each time that an epoch of training took."""
    trials = [
        ok_trial(trial(seed=seed, **cell), train_s=train_s, accuracy=accuracy + 0.001 * seed)
        for seed, train_s in enumerate(times_s)
    ]
    return run_data(*trials, name=name, host=host)


def slowed(factor, **changes):
    """`STEADY`, slowed."""
    return run_of(*(factor * train_s for train_s in STEADY), **changes)


def change(comparison, measure, cell=0):
    """What a measure of a cell became."""
    return next(change for change in comparison.cells[cell].changes if change.measure == measure)


def judged(base, new, *limits, **options):
    """The outcome of each limit, and the exit code."""
    comparison = compare(base, new, **options)
    judgements = judge(comparison, parse_limits(limits), label_cells(comparison))
    return {judgement.limit: judgement for judgement in judgements}, exit_code(judgements, [comparison])


BASE = run_of(*STEADY, name="base")


# Which cells belong together


def test_the_same_cell_is_found_among_several() -> None:
    """Cells of one model and device that differ in their batch are told apart, whatever their order."""
    cells = [trial(batch_size=batch_size).cell for batch_size in (64, 100)]
    pairing = pair_cells(cells, reversed(cells))
    assert [(pair.base, pair.new) for pair in pairing.pairs] == [(cell, cell) for cell in cells]
    assert not any((*pair.obstacles, *pair.changes) for pair in pairing.pairs)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch_size": 50}, "batch size: 100 against 50"),
        ({"epochs": 3}, "training: 2 epochs against 3 epochs"),
        ({"budget_s": 90.0, "epochs": None}, "training: 2 epochs against 90 s of fit"),
        (
            {"dataset": replace(DATASET, sha256="e" * 64)},
            "data: cifar100 (dddddddddddd) against cifar100 (eeeeeeeeeeee)",
        ),
        ({"dataset": replace(DATASET, num_train=900)}, "1,000 + 100 + 200 against 900 + 100 + 200"),
    ],
)
def test_other_work_is_no_pair_to_compare(changes, said) -> None:
    """What was trained differs, so its figures are not compared, and the reason is told."""
    cell = trial().cell
    (pair,) = pair_cells([cell], [replace(cell, **changes)]).pairs
    assert said in "; ".join(pair.obstacles)


def test_the_same_images_in_another_order_are_the_same_data() -> None:
    """Two forms of the official files differ in their digest and not in what is learnt from them."""
    cell = trial(dataset=replace(DATASET, content="c")).cell
    (pair,) = pair_cells([cell], [replace(cell, dataset=replace(DATASET, content="c", sha256="e" * 64))]).pairs
    assert not pair.obstacles


def test_what_one_may_want_to_see_the_effect_of_is_no_obstacle() -> None:
    """A changed model file and a changed recipe are compared, and told."""
    cell = trial().cell
    changed = replace(cell, model=replace(cell.model, sha256="b" * 64), recipe=Recipe(label_smoothing=0.1))
    (pair,) = pair_cells([cell], [changed]).pairs
    assert not pair.obstacles
    assert pair.changes == ("its model file changed", "recipe: label_smoothing=0 against label_smoothing=0.1")


def test_a_cell_without_a_counterpart_is_left_over() -> None:
    """Another model, device, precision or setting is another cell."""
    cell = trial().cell
    others = [
        replace(cell, model=ModelSpec(name="large", path="", sha256="a" * 64)),
        replace(cell, device=Device(kind="cpu", threads=1)),
        replace(cell, device=GPU),
        replace(cell, precision="mixed_bfloat16"),
        replace(cell, jit="on"),
    ]
    pairing = pair_cells([cell], others)
    assert not pairing.pairs
    assert (pairing.only_base, pairing.only_new) == ((cell,), tuple(others))


def test_a_gpu_is_the_same_cell_in_another_slot() -> None:
    """Its index and identifier change when cards are moved; its number of GPUs does not."""
    ours = trial(device=GPU).cell
    theirs = trial(device=Device(kind="gpu", threads=8, gpu_uuids=("GPU-9",), gpu_indices=(3,))).cell
    both = trial(device=Device(kind="gpu", threads=8, gpu_uuids=("GPU-8", "GPU-9"), gpu_indices=(0, 1))).cell
    assert len(pair_cells([ours], [theirs]).pairs) == 1
    assert not pair_cells([ours], [both]).pairs


# What changed


def test_a_slowed_model_is_slower_by_as_much() -> None:
    """15 % more time for training is told with an interval around it, and of the speed the reciprocal."""
    comparison = compare(BASE, slowed(1.15))
    time, speed = change(comparison, "train_s"), change(comparison, "images_per_s")
    assert (time.verdict, time.word) == ("worse", "slower")
    assert time.change == pytest.approx(0.15)
    assert time.low <= 0.15 <= time.high
    assert 0.1 < time.low < time.high < 0.2
    assert (speed.word, speed.change) == ("slower", pytest.approx(1 / 1.15 - 1))


def test_a_faster_one_is_faster() -> None:
    """Less time is better, more images a second are."""
    comparison = compare(BASE, slowed(0.8))
    assert {change(comparison, name).word for name in ("train_s", "images_per_s")} == {"faster"}


def test_the_same_again_is_the_same() -> None:
    """Two runs of one thing, in another order of luck, do not differ."""
    comparison = compare(BASE, run_of(*reversed(STEADY)))
    assert {change.verdict for change in comparison.cells[0].changes} == {"same"}


def test_a_certain_but_small_change_is_none() -> None:
    """Two per cent are what a machine drifts between two runs, however steady each of them was."""
    found = change(compare(run_of(*[10.0] * 5), run_of(*[10.2] * 5)), "train_s")
    assert (found.low, found.high) == (pytest.approx(0.02), pytest.approx(0.02))
    assert found.verdict == "same"


def test_accuracies_that_are_the_same_in_each_seed_are_identical() -> None:
    """Seeds scatter by more than a limit; where each gives the very same again, the work is the same."""
    scattered = [ok_trial(trial(seed=seed), train_s=10.0, accuracy=0.3 + 0.02 * seed) for seed in range(5)]
    base, same = (run_data(*scattered, name=name) for name in ("base", "new"))
    found = change(compare(base, same), "accuracy")
    assert (found.change, found.low, found.high, found.word) == (0.0, 0.0, 0.0, "identical")
    found, code = judged(base, same, "accuracy:1pp")
    assert (found["accuracy:1pp"].reason, code) == ("identical", EXIT_HOLDS)
    other = run_data(*scattered[:4], ok_trial(trial(seed=4), train_s=10.0, accuracy=0.3801), name="new")
    assert change(compare(base, other), "accuracy").word == "same within noise"
    assert judged(base, other, "accuracy:1pp")[1] == EXIT_TOO_NOISY
    two = [run_data(*scattered[:2], name=name) for name in ("base", "new")]
    assert change(compare(*two), "accuracy").word == "too few repeats to tell"


def test_accuracies_that_only_look_alike_are_not_identical() -> None:
    """Other seeds, seeds that one side has alone, another loss, ties in most seeds: none of these is the same work."""
    three = [ok_trial(trial(seed=seed), train_s=10.0, accuracy=0.3) for seed in range(3)]
    base = run_data(*three, name="base")
    others = [ok_trial(trial(seed=seed), train_s=10.0, accuracy=0.3) for seed in (7, 8, 9)]
    more = [*three, ok_trial(trial(seed=3), train_s=10.0, accuracy=0.2)]
    another_loss = [
        replace(
            data,
            events=tuple(replace(event, loss=2.0) if isinstance(event, Tested) else event for event in data.events),
        )
        for data in three
    ]
    for trials in (others, more, another_loss):
        found = change(compare(base, run_data(*trials, name="new")), "accuracy")
        assert found.word != "identical"
    many = [ok_trial(trial(seed=seed), train_s=10.0, accuracy=0.3) for seed in range(12)]
    tied = [*many[:11], ok_trial(trial(seed=11), train_s=10.0, accuracy=0.1)]
    for paired in (False, True):
        found = change(compare(run_data(*many, name="base"), run_data(*tied, name="new"), paired=paired), "accuracy")
        assert found.word == "same within noise"
    assert change(compare(base, run_data(*three, name="new")), "peak_rss").word == "same within noise"
    assert change(compare(base, run_data(*three, name="new")), "accuracy").word == "identical"


def test_an_accuracy_is_told_in_points() -> None:
    """38 % against 36 % is two points, not five per cent."""
    found = change(compare(BASE, run_of(*STEADY, accuracy=0.36)), "accuracy")
    assert found.change == pytest.approx(-0.02)
    assert found.word == "lower"
    assert found.worsening[0] == pytest.approx(0.02)


def test_two_repeats_tell_nothing_certain() -> None:
    """The change is told, its interval is not, and no verdict."""
    found = change(compare(BASE, run_of(20.0, 20.1)), "train_s")
    assert (found.low, found.high, found.verdict) == (None, None, "unknown")
    assert found.change == pytest.approx(1.0, rel=0.05)
    assert found.repeats == 2


def test_only_trials_that_ended_ok_are_compared() -> None:
    """One that failed has no times; it is counted among the statuses."""
    asked = trial(seed=9)
    new = run_data(*slowed(1.0).trials, ended_trial(asked, status="oom_host", reason="no memory"), name="new")
    (cell,) = compare(BASE, new).cells
    assert cell.new_statuses == ("ok",) * 5 + ("oom_host",)
    assert len(change(compare(BASE, new), "train_s").new) == 5


def test_calibrations_are_no_trainings() -> None:
    """What was only calibrated has no times of a training."""
    calibrated = run_data(*(replace(data, trial=replace(data.trial, mode="calibrate")) for data in BASE.trials))
    comparison = compare(BASE, calibrated)
    assert not comparison.cells
    assert len(comparison.only_base) == 1


def test_a_slower_machine_is_told() -> None:
    """A fixed piece of work beside the trials says whether the machine itself became slower."""

    def beside(run, seconds):
        trials = [replace(data, events=(*data.events, Sentinel(when="before", seconds=seconds))) for data in run.trials]
        return replace(run, trials=tuple(trials))

    comparison = compare(beside(BASE, 0.1), beside(slowed(1.1), 0.11))
    assert comparison.pace == pytest.approx(0.1)
    said = " ".join(comparison_findings([comparison], []).about)
    assert "a fixed piece of work beside each trial took 10 % longer" in said


# Two machines


def test_times_of_two_machines_are_refused() -> None:
    """Nothing of them is compared unless it is asked for; the difference is named."""
    comparison = compare(BASE, run_of(*STEADY, host=ELSEWHERE))
    (cell,) = comparison.cells
    assert not cell.changes
    assert "another machine (processor: Example CPU against Another CPU" in cell.obstacles[0]


def with_large(run, factor):
    """The same run with a second, larger model, which takes `factor` times as long."""
    large = [ok_trial(trial("large", seed=seed), train_s=factor * train_s) for seed, train_s in enumerate(STEADY)]
    return run_data(*run.trials, *large, name=run.run.name, host=run.run.host)


def test_across_machines_what_the_machine_does_cancels() -> None:
    """On a machine twice as fast, what is relative to its own first cell is the same; a slower model still shows."""
    ours = with_large(BASE, 8.0)
    theirs = with_large(slowed(0.5, host=ELSEWHERE), 4.0 * 1.15)
    first, second = compare(ours, theirs, across_machines=True).cells
    assert "train_s" not in {change.measure for change in first.changes}  # it is what others are held against
    assert {change.measure for change in first.changes} >= {"accuracy", "peak_rss"}
    found = next(change for change in second.changes if change.measure == "train_s")
    assert found.change == pytest.approx(0.15)
    assert found.low <= 0.15 <= found.high
    assert (found.word, found.yardstick) == ("slower", "small cpu:2")


def with_peak(run, flops_per_s):
    """A run whose trials count FLOPs on a device of this peak."""
    from bench.records import Flops

    machine = fingerprint(run.run.host)
    peak = DevicePeak(
        machine=machine, device="cpu:2", precision="float32", jit="off", peak=replace(PEAK, flops_per_s=flops_per_s)
    )
    trials = [
        replace(
            data,
            events=(
                replace(data.events[0], machine=machine),
                Flops(forward=10**8, training=3 * 10**8),
                *data.events[1:],
            ),
        )
        for data in run.trials
    ]
    assert isinstance(trials[0].events[0], Attempt)
    return replace(run, trials=tuple(trials), peaks=(peak,))


def test_across_machines_shares_of_the_peak_are_compared_whatever_the_batch() -> None:
    """A model that attains as large a share of a machine twice as fast is as good; other batches do not matter."""
    ours = with_peak(BASE, 1e11)
    theirs = with_peak(slowed(0.5, host=ELSEWHERE, batch_size=50), 2e11)
    (cell,) = compare(ours, theirs, across_machines=True).cells
    (found,) = cell.changes
    assert (found.measure, found.verdict) == ("attained", "same")
    assert found.change == pytest.approx(0.0, abs=1e-9)


def test_across_machines_other_data_without_a_peak_is_still_refused() -> None:
    """There is nothing that it could be held against."""
    theirs = run_of(*STEADY, host=ELSEWHERE, dataset=replace(DATASET, sha256="e" * 64))
    (cell,) = compare(BASE, theirs, across_machines=True).cells
    assert cell.obstacles[0].startswith("data: ")


def test_all_cores_of_one_machine_go_with_all_cores_of_another() -> None:
    """`--device cpu` is another number of threads on each machine."""
    theirs = slowed(0.5, host=ELSEWHERE, device=Device(kind="cpu", threads=8))
    (cell,) = compare(BASE, theirs, across_machines=True).cells
    assert cell.pair.changes == ("threads: 2 against 8",)
    assert not compare(BASE, theirs).cells


def test_all_cores_go_with_all_cores_though_another_number_comes_first() -> None:
    """A run on one core and on all has two candidates."""
    devices = [Device(kind="cpu", threads=threads) for threads in (1, 8)]
    theirs = run_data(
        *(data for device in devices for data in slowed(0.5, device=device).trials), name="new", host=ELSEWHERE
    )
    comparison = compare(BASE, theirs, across_machines=True)
    assert [cell.pair.new.device.threads for cell in comparison.cells] == [8]
    assert [cell.device.threads for cell in comparison.only_new] == [1]


def test_across_machines_a_cell_that_fails_is_a_regression() -> None:
    """What no longer ends ok is no matter of the machine's speed, and another cell that holds does not hide it."""
    ours, theirs = with_large(BASE, 8.0), with_large(slowed(0.5, host=ELSEWHERE), 4.0)
    failed = (ended_trial(data.trial, status="oom_host", reason="") for data in theirs.trials[5:])
    theirs = run_data(*theirs.trials[:5], *failed, name="new", host=ELSEWHERE)
    found, code = judged(ours, theirs, "accuracy:1pp", across_machines=True)
    assert (found["ends ok"].outcome, code) == ("regression", EXIT_REGRESSION)


def test_across_machines_what_was_taken_up_on_a_third_one_is_no_yardstick() -> None:
    """Its time is of neither machine."""
    theirs = with_large(slowed(0.5, host=ELSEWHERE), 4.0)
    theirs = replace(theirs, trials=(*elsewhere(theirs).trials[:5], *theirs.trials[5:]))
    moved, other = compare(with_large(BASE, 8.0), theirs, across_machines=True).cells
    assert moved.obstacles == ("trials of new ran on another machine than their run was planned on",)
    assert "train_s" in other.refused
    assert "accuracy" in {change.measure for change in other.changes}


def test_two_machines_with_identifiers_of_their_own_are_told() -> None:
    """Of equal hardware without one it is not known whether they are two."""

    def about(*machine_ids):
        base, new = (run_of(*STEADY, host=replace(HOST, machine_id=machine_id)) for machine_id in machine_ids)
        return " ".join(comparison_findings([compare(base, new)], []).about)

    assert "on the same hardware; another machine, by its identifier" in about("a", "b")
    assert "on the same hardware; whether on the same machine is not known" in about("a", None)
    assert "on the same machine" in about("a", "a")


# Two models of one run


def in_turns(*factors, drift=1.0, new="after/mine"):
    """A run of two models in turns: the second takes `factors` times as long, on a machine that becomes slower."""
    trials = []
    for seed, factor in enumerate(factors):
        pace = drift**seed
        for name, times in (("before/mine", 1.0), (new, factor)):
            trials.append(ok_trial(trial(name, seed=seed), train_s=10.0 * pace * times, accuracy=0.38 + 0.01 * seed))
    return run_data(*trials, name="nightly")


def test_what_drifts_cancels_between_two_models_of_one_run() -> None:
    """A machine that becomes twice as slow hides 15 % between two runs, and not within one."""
    run = in_turns(1.15, 1.14, 1.16, 1.15, 1.15, 1.15, drift=1.2)
    old, new = split(run, "before/mine", "after/mine")
    paired, apart = (change(compare(old, new, paired=paired), "train_s") for paired in (True, False))
    assert (paired.verdict, paired.change) == ("worse", pytest.approx(0.15))
    assert 0.1399 < paired.low <= 0.15 <= paired.high < 0.1601
    assert apart.verdict == "same"
    assert judged(old, new, "train_s:10%", paired=True)[1] == EXIT_REGRESSION
    assert judged(old, new, "train_s:10%")[1] == EXIT_TOO_NOISY


def test_only_seeds_that_both_models_have_are_pairs() -> None:
    """One that failed takes its counterpart along."""
    run = in_turns(*[1.15] * 6)
    lost = run.trials[3]
    failed = ended_trial(lost.trial, status="killed", reason="")
    run = run_data(*(failed if data is lost else data for data in run.trials), name="nightly")
    old, new = split(run, "before/mine", "after/mine")
    found = change(compare(old, new, paired=True), "train_s")
    assert (len(found.base), len(found.new)) == (5, 5)
    # Five pairs bound a median in 94 % of all cases: no 95 % interval.
    assert (found.verdict, found.low) == ("unknown", None)
    assert judged(old, new, "train_s:10%", paired=True)[0]["train_s:10%"].repeats == 6


def test_a_model_that_the_run_lacks_is_named() -> None:
    """The message lists those that it has."""
    with pytest.raises(UsageError, match="nightly has no model 'mine'; it has before/mine, after/mine"):
        split(in_turns(1.0), "mine", "after/mine")


def test_a_pre_trained_model_is_called_as_the_tables_call_it() -> None:
    """A model and the same one pre-trained are two, of which one may be asked for."""
    drawn = in_turns(1.0, 1.0)
    trained = [
        ok_trial(replace(data.trial, cell=replace(data.trial.cell, recipe=Recipe(weights="imagenet"))))
        for data in in_turns(1.0, 1.0).trials
    ]
    run = run_data(*drawn.trials, *trained, name="nightly")
    halves = split(run, "before/mine (pre-trained)", "after/mine (pre-trained)")
    assert [{data.trial.cell.recipe.weights for data in half.trials} for half in halves] == [{"imagenet"}] * 2
    (cell,) = compare(*halves, paired=True).cells
    assert cell.pair.new.model_label == "after/mine (pre-trained)"
    with pytest.raises(UsageError, match=r"after/mine with weights 'none' and after/mine \(pre-trained\) with weights"):
        split(run, "after/mine", "after/mine (pre-trained)")
    assert [len(half.trials) for half in split(run, "before/mine", "after/mine")] == [2, 2]


def test_what_did_not_run_in_turns_is_no_pair() -> None:
    """A grouped run has all trials of one model first; and a model is not compared with itself."""
    run = in_turns(1.0)
    grouped = replace(run, run=replace(run.run, config=replace(run.run.config, order="grouped")))
    with pytest.raises(UsageError, match="ran in the order grouped, not in turns"):
        split(grouped, "before/mine", "after/mine")
    with pytest.raises(UsageError, match="received after/mine twice"):
        split(run, "after/mine", "after/mine")


# Limits


def test_a_slowed_model_fails_and_the_same_does_not() -> None:
    """15 % more time breaks a limit of 10 % and holds one of 30 %; the same again holds both."""
    assert judged(BASE, slowed(1.15), "train_s:10%")[1] == EXIT_REGRESSION
    assert judged(BASE, slowed(1.15), "train_s:30%")[1] == EXIT_HOLDS
    assert judged(BASE, run_of(*reversed(STEADY)), "train_s:10%", "accuracy:1pp")[1] == EXIT_HOLDS
    assert judged(BASE, slowed(0.5), "train_s:0%", "images_per_s:0%")[1] == EXIT_HOLDS


def test_too_noisy_says_how_many_repeats_would_do() -> None:
    """An interval that holds the limit is no verdict; the number of repeats grows with its width."""
    noisy = run_of(10.0, 11.5, 10.2, 11.0, 10.4)
    found, code = judged(BASE, noisy, "train_s:10%")
    assert code == EXIT_TOO_NOISY
    assert found["train_s:10%"].outcome == "too noisy"
    assert 5 < found["train_s:10%"].repeats <= 50
    assert "repeats of each run would do" in found["train_s:10%"].reason


def test_few_repeats_are_too_noisy_whatever_they_show() -> None:
    """Twice the time in one repeat may be bad luck: three are asked for."""
    found, code = judged(BASE, run_of(20.0), "train_s:10%")
    assert code == EXIT_TOO_NOISY
    assert found["train_s:10%"].repeats == 3


def test_a_limit_that_is_met_exactly_holds() -> None:
    """11 s against 10 s are no more than 10 %, whatever the rounding says."""
    assert judged(run_of(*[10.0] * 5), run_of(*[11.0] * 5), "train_s:10%")[1] == EXIT_HOLDS


def test_failing_trials_are_a_regression_of_their_own() -> None:
    """A model that no longer fits is worse than a slow one, whatever the limit is of."""
    failed = run_data(*(ended_trial(data.trial, status="oom_host", reason="") for data in BASE.trials), name="new")
    found, code = judged(BASE, failed, "accuracy:1pp")
    assert code == EXIT_REGRESSION
    assert found["ends ok"].reason == "0 of 5 trials ended ok, others oom_host"
    assert judged(failed, failed, "accuracy:1pp")[1] == EXIT_NOTHING_COMPARABLE  # it was no better before


def test_a_model_that_is_skipped_since_it_no_longer_fits_is_a_regression() -> None:
    """A guard of memory that passes because memory grew would be none; what was skipped before says nothing."""
    both = with_large(BASE, 8.0)
    skipped = [ended_trial(data.trial, status="skipped", reason="does not fit") for data in both.trials[5:]]
    grown = run_data(*both.trials[:5], *skipped, name="new")
    found, code = judged(both, grown, "peak_rss:15%")
    assert (found["ends ok"].reason, code) == ("0 of 5 trials ended ok, others skipped", EXIT_REGRESSION)
    assert judged(grown, both, "peak_rss:15%")[1] == EXIT_HOLDS


def test_a_change_that_two_runs_of_one_thing_show_too_breaks_no_limit() -> None:
    """The table calls 2 % the same within noise, so no limit may call it a regression; of trials in turns it is one."""
    found, code = judged(run_of(*[10.0] * 5), run_of(*[10.2] * 5), "train_s:1%")
    assert code == EXIT_TOO_NOISY
    assert "two runs of one thing differ by as much" in found["train_s:1%"].reason
    old, new = split(in_turns(*[1.02] * 6), "before/mine", "after/mine")
    assert change(compare(old, new, paired=True), "train_s").verdict == "worse"
    assert judged(old, new, "train_s:1%", paired=True)[1] == EXIT_REGRESSION


def test_more_pairs_are_asked_for_than_leave_the_interval_as_wide() -> None:
    """Six, seven and eight ratios have their extremes for an interval: nine are the next that narrow it."""
    old, new = split(in_turns(1.19, 1.095, 1.2, 1.18, 1.19, 1.2), "before/mine", "after/mine")
    found, code = judged(old, new, "train_s:10%", paired=True)
    assert (found["train_s:10%"].repeats, code) == (9, EXIT_TOO_NOISY)


def test_missing_cells_are_called_apart() -> None:
    """Two that differ in their recipe alone are two, in the count and in JUnit."""
    sweep = [run_of(*STEADY, recipe=Recipe(label_smoothing=smoothing)) for smoothing in (0.0, 0.1, 0.2)]
    base = run_data(*(data for run in sweep for data in run.trials), name="base")
    comparison = compare(base, sweep[0])
    judgements = judge(comparison, parse_limits(["train_s:10%"]), label_cells(comparison))
    assert comparison_findings([comparison], judgements).answer == "every limit holds, in 1 of 3 cells"
    assert len({judgement.cell for judgement in judgements}) == 3


@pytest.mark.parametrize(
    ("new", "limit"),
    [
        (run_of(*STEADY, batch_size=50), "train_s:10%"),
        (run_of(*STEADY, host=ELSEWHERE), "train_s:10%"),
        (run_of(*STEADY, device=Device(kind="cpu", threads=1)), "train_s:10%"),
        (run_of(*STEADY), "energy:10%"),
    ],
)
def test_a_guard_that_guards_nothing_is_no_success(new, limit) -> None:
    """Other work, another machine, no common cell, or a measure that this machine has no counters for."""
    assert judged(BASE, new, limit)[1] == EXIT_NOTHING_COMPARABLE


def test_the_headline_says_what_the_exit_code_does() -> None:
    """A limit that guards nothing is no limit that holds, though the trials ended well; what is left out is counted."""

    def headline(new, *limits):
        comparison = compare(BASE, new)
        judgements = judge(comparison, parse_limits(limits), label_cells(comparison))
        return comparison_findings([comparison], judgements).answer

    assert headline(run_of(*STEADY), "energy:10%").startswith("not comparable: small cpu:2, energy:10%: energy was not")
    assert headline(run_of(*STEADY), "train_s:10%", "energy:10%").startswith("not comparable: ")
    assert headline(run_of(*STEADY), "train_s:10%") == "every limit holds, in 1 cell"


def test_a_cell_that_is_gone_is_told_and_counted() -> None:
    """A renamed model must not leave the gate without a word."""
    both = with_large(BASE, 8.0)
    comparison = compare(both, run_of(*STEADY))
    judgements = judge(comparison, parse_limits(["train_s:10%"]), label_cells(comparison))
    findings = comparison_findings([comparison], judgements)
    assert findings.answer == "every limit holds, in 1 of 2 cells"
    assert "large cpu:2: not in new" in findings.left_out
    assert [(one.cell, one.outcome) for one in judgements if one.reason == "new has no such cell"] == [
        ("large cpu:2", "not comparable")
    ]


def test_a_cell_whose_trials_all_failed_is_told() -> None:
    """Without limits too; and where that is all, nothing was compared."""
    failed = run_data(*(ended_trial(data.trial, status="oom_host", reason="") for data in BASE.trials), name="new")
    comparison = compare(BASE, failed)
    (line,) = comparison_findings([comparison], []).left_out
    assert line == "small cpu:2: nothing was measured on both sides; trials ended ok against oom_host"
    assert judged(BASE, failed)[1] == EXIT_NOTHING_COMPARABLE


def test_trials_that_were_never_run_to_an_end_are_no_failures() -> None:
    """A run that the CI cut off is no regression; those that ended are judged."""
    cut = run_data(*BASE.trials[:3], *(replace(data, result=None) for data in BASE.trials[3:]), name="new")
    assert judged(BASE, cut, "train_s:30%")[0]["ends ok"].outcome == "holds"
    nothing = run_data(*(replace(data, result=None) for data in BASE.trials), name="new")
    found, code = judged(BASE, nothing, "train_s:30%")
    assert found["ends ok"].outcome == "not comparable"
    assert code == EXIT_NOTHING_COMPARABLE


def test_what_a_budget_fixes_is_not_guarded_by_its_time() -> None:
    """Ten minutes are ten minutes, however slow the model has become: its speed is what changes."""
    budget = {"budget_s": 20.0, "epochs": 2}
    found, code = judged(run_of(*STEADY, **budget), run_of(*STEADY, **budget), "train_s:10%")
    assert (found["train_s:10%"].reason, code) == ("its budget of time fixes it", EXIT_NOTHING_COMPARABLE)
    assert judged(run_of(*STEADY, **budget), slowed(1.3, **budget), "images_per_s:10%")[1] == EXIT_REGRESSION


def test_another_card_is_another_machine() -> None:
    """Two cards of one host share a kind and a number, and nothing else."""

    def on(uuid, index, *times_s):
        gpus = (EXAMPLE_GPU, replace(EXAMPLE_GPU, index=1, uuid="GPU-2", name="Small GPU"))
        device = Device(kind="gpu", threads=2, gpu_uuids=(uuid,), gpu_indices=(index,))
        return run_of(*times_s, device=device, host=replace(HOST, gpus=gpus))

    (cell,) = compare(on("GPU-1", 0, *STEADY), on("GPU-2", 1, *STEADY)).cells
    assert cell.obstacles == ("GPU: Example GPU against Small GPU",)
    both = run_data(*on("GPU-1", 0, *STEADY).trials, *on("GPU-2", 1, *STEADY).trials, host=on("GPU-1", 0).run.host)
    (cell,) = compare(both, on("GPU-2", 1, *STEADY)).cells
    assert cell.pair.base.device.gpu_uuids == ("GPU-2",)
    assert not cell.obstacles


def elsewhere(run):
    """The same run, its trials taken up on a third machine."""
    trials = (replace(data, events=(replace(data.events[0], machine="x"), *data.events[1:])) for data in run.trials)
    return replace(run, trials=tuple(trials))


def test_trials_that_were_taken_up_elsewhere_are_not_compared() -> None:
    """Their run's machine is not theirs."""
    (cell,) = compare(BASE, elsewhere(run_of(*STEADY))).cells
    assert cell.obstacles == ("trials of new ran on another machine than their run was planned on",)


def test_without_limits_nothing_fails_but_having_nothing_to_compare() -> None:
    """A comparison alone is no gate."""
    assert judged(BASE, slowed(2.0))[1] == EXIT_HOLDS
    assert judged(BASE, run_of(*STEADY, batch_size=50))[1] == EXIT_NOTHING_COMPARABLE


def test_a_regression_counts_more_than_noise() -> None:
    """What is certain is not hidden by what is not."""
    found, code = judged(BASE, run_of(11.4, 13.5, 12.0, 14.0, 12.6, accuracy=0.3), "train_s:20%", "accuracy:1pp")
    assert {found["train_s:20%"].outcome, found["accuracy:1pp"].outcome} == {"too noisy", "regression"}
    assert code == EXIT_REGRESSION


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("train_s", "takes a measure and how much worse"),
        ("train_s:-5%", "takes a measure and how much worse"),
        ("train:5%", "no measure is called 'train'; there are train_s, images_per_s"),
        ("accuracy:5%", "percentage points, such as 1pp"),
        ("train_s:5pp", "percent, such as 10%"),
    ],
)
def test_a_limit_that_cannot_be_understood_is_refused(text, said) -> None:
    """The message says what was given and what is taken."""
    with pytest.raises(UsageError, match=r"--fail") as raised:
        parse_limits([text])
    assert said in str(raised.value)


def test_two_limits_for_one_measure_are_refused() -> None:
    """It is not guessed which one counts."""
    with pytest.raises(UsageError, match="train_s has two limits, train_s:5% and train_s:10%"):
        parse_limits(["train_s:5%", "train_s:10%"])


@given(st.lists(st.floats(5.0, 20.0), min_size=3, max_size=6), st.sampled_from(["train_s", "images_per_s"]))
def test_a_verdict_never_contradicts_its_interval(times_s, measure) -> None:
    """Worse is only said where the whole interval is worse, and limits are held where its worst end is below them."""
    comparison = compare(BASE, run_of(*times_s))
    found = change(comparison, measure)
    worse, low, high = found.worsening
    assert low <= worse <= high
    assert (found.verdict == "worse") == (low > 0 and worse >= 0.03)
    assert (found.verdict == "better") == (high < 0 and worse <= -0.03)
    for percent in (10, 1):
        limit = f"{measure}:{percent}%"
        outcome = judged(BASE, run_of(*times_s), limit)[0][limit].outcome
        is_broken = low > percent / 100 and worse >= 0.03
        assert outcome == ("holds" if high <= percent / 100 else "regression" if is_broken else "too noisy")


# How it is told


def test_every_measure_can_be_shown() -> None:
    """A measure without words would end the report of whoever guards it."""
    assert set(SHOWN) == set(MEASURES)


def test_the_answer_comes_first() -> None:
    """Without limits it is what changed; with them, whether they hold."""
    comparison = compare(BASE, slowed(1.15))
    assert comparison_findings([comparison], []).answer.startswith("small cpu:2: slower, train +15.0 % (")
    worse = comparison_findings([compare(BASE, slowed(0.8, accuracy=0.18))], []).answer
    assert "small cpu:2: faster, train \N{MINUS SIGN}20.0 %" in worse
    assert "lower, test accuracy \N{MINUS SIGN}20.0 pp" in worse
    judgements = judge(comparison, parse_limits(["train_s:10%"]), label_cells(comparison))
    assert comparison_findings([comparison], judgements).answer.startswith(
        "regression: small cpu:2, train_s:10%: 15.0 % worse ("
    )


def test_several_runs_stand_side_by_side() -> None:
    """Each of them has a column beside the first run's."""
    comparisons = [compare(BASE, run) for run in (slowed(1.15, name="slow"), slowed(0.8, name="fast"))]
    (section,) = comparison_findings(comparisons, []).sections
    (table,) = section.tables
    assert [column.heading for column in table.measures] == ["base", "slow", "fast"]
    assert table.measures[1].texts[0].startswith("23.0 s, +15.0 %")
    assert [column.texts[0].rsplit(", ")[-1] for column in table.measures[1:]] == ["slower", "faster"]
    assert (table.measures[1].tone(0), table.measures[2].tone(0)) == ("bad", "good")


def test_a_measure_that_is_rarely_shown_is_where_a_limit_names_it() -> None:
    """`wall_s` is no news beside `train_s`, unless it is guarded."""
    comparison = compare(BASE, slowed(1.15))
    plain, asked = (
        [
            text
            for table in comparison_findings([comparison], [], limits=limits).sections[0].tables
            for text in table.names[1].texts
        ]
        for limits in ([], ["wall_s"])
    )
    assert "wall" not in plain
    assert "wall" in asked


def test_markdown_keeps_names_as_they_are() -> None:
    """A run's name can be no markup in a pull request."""
    comparison = compare(BASE, slowed(1.15, name="<b>*new*</b>"))
    text = findings_markdown(comparison_findings([comparison], []))
    assert r"\<b\>\*new\*\</b\>" in text


def test_junit_counts_what_it_lists() -> None:
    """A regression is a failure, noise an error, what is not comparable is skipped; a CI service reads it."""
    comparison = compare(BASE, slowed(1.15, accuracy=0.3801))
    limits = parse_limits(["train_s:10%", "images_per_s:13%", "energy:5%", "accuracy:1pp"])
    judgements = judge(comparison, limits, label_cells(comparison))
    suite = ET.fromstring(junit_xml(judgements))[0]  # noqa: S314 -- ours
    assert [suite.get(name) for name in ("tests", "failures", "errors", "skipped")] == ["5", "1", "1", "1"]
    ended = {case.get("name"): [child.tag for child in case] for case in suite}
    assert ended["train_s:10%"] == ["failure"]
    assert ended["images_per_s:13%"] == ["error"]
    assert ended["energy:5%"] == ["skipped"]
    assert ended["ends ok"] == ended["accuracy:1pp"] == ["system-out"]


# The command


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Three run folders: one, the same again, and a slower one."""
    place = tmp_path_factory.mktemp("runs")
    runs = {"base": BASE, "again": run_of(*reversed(STEADY), name="again"), "slow": slowed(1.15, name="slow")}
    return {name: write_run(place / name, run).path for name, run in runs.items()}


def test_the_command_ends_with_its_verdict(folders, tmp_path) -> None:
    """Exit codes, the three files, and the answer on the first line."""
    held = hourglass("compare", folders["base"], folders["again"], "--fail", "train_s:10%")
    assert (held.returncode, held.stderr) == (EXIT_HOLDS, "")
    assert held.stdout.splitlines()[0] == "every limit holds, in 1 cell"
    outputs = [f"--{name}={tmp_path / name}" for name in ("markdown", "json", "junit")]
    failed = hourglass("compare", folders["base"], folders["slow"], "--fail", "train_s:10%", *outputs)
    assert (failed.returncode, failed.stderr) == (EXIT_REGRESSION, "")
    assert max(map(len, failed.stdout.splitlines())) <= 80
    assert (tmp_path / "markdown").read_text().startswith("# slow against base\n\nregression: ")
    written = json.loads((tmp_path / "json").read_text())
    assert (written["exit_code"], written["runs"][0]["cells"][0]["measures"][0]["says"]) == (1, "slower")
    assert ET.fromstring((tmp_path / "junit").read_bytes())[0].get("failures") == "1"  # noqa: S314 -- ours


def test_runs_of_one_name_are_told_apart_by_their_folders(folders, tmp_path) -> None:
    """CI calls every run alike."""
    again = write_run(tmp_path / "pull", run_of(*STEADY, name="base")).path
    said = hourglass("compare", folders["base"], again).stdout
    assert "base: base, " in said
    assert "new: pull, " in said


@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        (["--junit", "x.xml"], 2, "give some with --fail"),
        (["--fail", "speed:5%"], 2, "no measure is called 'speed'"),
        (["--json", "no/such/folder/x.json"], 7, "no/such/folder"),
        (["--markdown", ""], 2, "--markdown takes the name of a file; received an empty one or a folder"),
    ],
)
def test_the_command_refuses_with_a_reason(folders, tmp_path, arguments, exit_code, said) -> None:
    """One line, without a traceback."""
    done = hourglass("compare", folders["base"], folders["slow"], *arguments, cwd=tmp_path)
    assert done.returncode == exit_code
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_two_models_of_a_run_are_compared_by_the_command(tmp_path) -> None:
    """One folder, two names; anything else is refused with the way it is meant."""
    folder = write_run(tmp_path / "run", in_turns(1.15, 1.14, 1.16, 1.15, 1.15, 1.15, drift=1.2)).path
    done = hourglass("compare", folder, "--models", "before/mine,after/mine", "--fail", "train_s:10%")
    assert done.returncode == EXIT_REGRESSION, done.stderr
    assert "in turns with base" in done.stdout
    for arguments, said in (
        ([], "give a second run, or two models"),
        (["--models", "after/mine"], "takes two names"),
        ([folder, "--models", "before/mine,after/mine"], "give that run alone"),
    ):
        refused = hourglass("compare", folder, *arguments)
        assert refused.returncode == 2
        assert said in " ".join(refused.stderr.split())


def test_a_folder_that_is_no_run_is_named(folders, tmp_path) -> None:
    """The message says which of the folders it is."""
    done = hourglass("compare", folders["base"], tmp_path)
    assert done.returncode == 7
    assert str(tmp_path) in done.stderr
