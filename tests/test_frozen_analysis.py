"""A frozen part in plans, rows and forecasts: what its features cost, what they saved, and what cannot be asked for."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from msgspec.structs import replace
from rich.console import Console

from bench.analysis.backtest import backtest, left_out
from bench.analysis.compare import compare
from bench.analysis.curves import curve_points
from bench.analysis.extrapolation import refusal
from bench.analysis.forecast import END_S, forecast_time
from bench.analysis.frame import frames, rows_of
from bench.analysis.outlook import Outlook
from bench.analysis.pace import find_pace
from bench.analysis.referencing import reference_curves
from bench.analysis.rewind import surviving_events
from bench.catalog import ModelDescription, ModelFile, StepDescription
from bench.config import RunConfig
from bench.errors import ModelError
from bench.hardware.devices import Choice
from bench.launch.resume import resume_point
from bench.matrix import Plan, expand
from bench.memory import ALLOCATOR_RATIO, estimate
from bench.recipe import PROBE_PASSES, Recipe
from bench.records import (
    Attempt,
    Epoch,
    Event,
    Extracted,
    Extracting,
    ModelSpec,
    PhaseDone,
    Steps,
    Trial,
    TrialData,
)
from bench.report.progress import Progress
from bench.report.terminal import report_view
from bench.store import RunFolder
from bench.weights.spec import WeightsSpec
from calibrations_for_tests import BEGUN_S, EVALUATED_S, blocks, calibration
from records_for_tests import CPU, DATASET, GPU, end, epoch, epochs, ok_trial, run_data, samples, start_up, trial

if TYPE_CHECKING:
    from pathlib import Path

WEIGHTS = WeightsSpec(name="imagenet", path="/somewhere/small.h5", sha256="b" * 64)
FROZEN = Recipe(frozen_until="features")
PROBE = Recipe(frozen_until="features", optimizer="lbfgs")
FEATURES_S = 40.0


def extracted(split: Any = "training", **fields: Any) -> Extracted:
    """Features of 1,000 images that were computed in 30 s."""
    return Extracted(**{"split": split, "images": 1000, "seconds": 30.0, "values": 7} | fields)


def features(*found: Extracted, start_s: float = 5.0) -> list[Event]:
    """The phase in which they were computed or found."""
    return [*found, PhaseDone(phase="features", start_s=start_s, end_s=start_s + FEATURES_S)]


def frozen_trial(asked: Trial, *found: Extracted) -> TrialData:
    """A trial of two epochs of 10 s that computed or found features first."""
    data = ok_trial(asked)
    begun_s = 5.0 + FEATURES_S
    ended_s = begun_s + 2 * 11.5
    events = (*start_up(asked), *features(*found), *epochs(asked, start_s=begun_s), *end(start_s=ended_s))
    assert data.result is not None
    result = replace(data.result, wall_s=ended_s + 3.0)
    return replace(data, events=events, samples=tuple(samples(until_s=ended_s)), result=result)


def row_of(data: TrialData) -> dict[str, Any]:
    """The trial's row."""
    (row,) = rows_of(frames(run_data(data)).trials)
    return row


def test_features_are_inside_fit_and_not_inside_train() -> None:
    """What is frozen costs what it costs: it is a phase of its own, and people mean it when they say how long."""
    row = row_of(frozen_trial(trial(recipe=FROZEN), extracted()))
    assert row["features_s"] == FEATURES_S
    assert row["train_s"] == 20.0
    assert row["fit_s"] == FEATURES_S + 20.0 + 2.0
    assert row["other_s"] == pytest.approx(1.0)
    assert row["features_saved_s"] == 0.0
    assert not [flag for flag in row["flags"] if "frozen part" in flag]


def test_features_of_an_earlier_run_are_told_with_the_time_that_they_saved() -> None:
    """A trial whose features lay there looks quicker than it is, and says by how much."""
    found = extracted(images=0, seconds=0.0, reused_images=1000, saved_s=321.5)
    row = row_of(frozen_trial(trial(recipe=FROZEN), found, extracted("validation", reused_images=9, saved_s=2.5)))
    assert row["features_saved_s"] == 324.0
    assert [flag for flag in row["flags"] if "324.0 s" in flag]


@pytest.mark.parametrize(("saved_s", "is_refused"), [(0.0, False), (321.5, True)])
def test_time_with_features_is_compared_unless_some_trials_found_them(saved_s, is_refused) -> None:
    """A cache must not pass for a faster model; what was computed on both sides is comparable."""
    base, new = (
        run_data(*(frozen_trial(trial(seed=seed, recipe=FROZEN), extracted(saved_s=saved)) for seed in range(3)))
        for saved in (0.0, saved_s)
    )
    (cell,) = compare(base, new).cells
    assert ("fit_s" in cell.refused) == is_refused
    assert ("fit_s" in {change.measure for change in cell.changes}) != is_refused


def test_what_an_earlier_process_of_the_trial_computed_saves_nothing() -> None:
    """Its time is in the row already: a trial that is taken up finds its own features."""
    asked = trial(recipe=FROZEN)
    begun_s = 5.0 + FEATURES_S
    first = [*start_up(asked), *features(extracted()), *epoch(asked, 1, start_s=begun_s, train_s=10.0)]
    again_s = begun_s + 11.5
    second = [
        *start_up(asked, number=2, offset_s=again_s, epochs_done=1),
        *features(extracted(images=0, seconds=0.0, reused_images=1000, saved_s=30.0), start_s=again_s + 5.0),
    ]
    row = row_of(replace(frozen_trial(asked), events=(*first, *second)))
    assert row["features_saved_s"] == 0.0
    assert row["features_s"] == 2 * FEATURES_S


def test_features_that_were_lost_with_their_attempt_are_found_by_the_next() -> None:
    """A process that was killed before its first epoch costs nothing, and what it left behind saves time."""
    asked = trial(recipe=FROZEN)
    saved = extracted(images=0, seconds=0.0, reused_images=1000, saved_s=30.0)
    lost = [*start_up(asked), *features(extracted())]
    events = surviving_events([*lost, *start_up(asked, number=2), *features(saved)])
    assert [event for event in events if isinstance(event, Extracted)] == [saved]
    assert len([event for event in events if isinstance(event, PhaseDone) and event.phase == "features"]) == 1
    # Those of test images are computed in the test, which is always made again.
    tested = [*lost, extracted("test"), Attempt(number=2, unix_s=1.8e9, offset_s=90.0, epochs_done=2)]
    splits = [event.split for event in surviving_events(tested) if isinstance(event, Extracted)]
    assert splits == ["training"]


def test_a_budget_that_is_taken_up_has_its_features_behind_it(tmp_path: Path) -> None:
    """What is spent on the clock `fit` holds the features of the finished part, and not those that were lost."""
    asked = trial(recipe=FROZEN)
    begun_s = 5.0 + FEATURES_S
    folder = RunFolder.create(tmp_path / "run", run_data(ok_trial(asked)).run).trial(asked.key)
    folder.checkpoint.mkdir(parents=True)
    (folder.checkpoint / "epoch-00001.npz").touch()
    journal = [*start_up(asked), *features(extracted()), *epoch(asked, 1, start_s=begun_s, train_s=10.0)]
    again_s = begun_s + 11.5
    journal += [
        *start_up(asked, number=2, offset_s=again_s, epochs_done=1),
        *features(extracted(reused_images=1000), start_s=again_s + 5.0),
    ]
    import msgspec

    folder.events.write_bytes(b"\n".join(map(msgspec.json.encode, journal)) + b"\n")
    point = resume_point(folder)
    assert point.spent is not None
    assert (point.spent.train_s, point.spent.fit_s, point.spent.features_s) == (10.0, FEATURES_S + 11.0, FEATURES_S)
    outlook = Outlook(replace(asked.cell, epochs=None, budget_s=100.0), epochs=point.epochs, spent=point.spent)
    assert outlook.last_epoch() == pytest.approx(1 + (100 - FEATURES_S - 11) / 11)


def test_features_of_a_process_that_finished_no_epoch_are_spent_by_nobody(tmp_path: Path) -> None:
    """The clock was set back to 0: what the next process finds in a moment is all that it pays for."""
    asked = trial(recipe=FROZEN)
    folder = RunFolder.create(tmp_path / "run", run_data(ok_trial(asked)).run).trial(asked.key)
    folder.checkpoint.mkdir(parents=True)
    (folder.checkpoint / "epoch-00001.npz").touch()
    found = PhaseDone(phase="features", start_s=5.0, end_s=5.5)
    journal = [*start_up(asked), *features(extracted()), *start_up(asked, number=2), found]
    journal += epoch(asked, 1, start_s=100.0, train_s=10.0)
    folder.events.write_bytes(b"\n".join(map(msgspec.json.encode, journal)) + b"\n")
    point = resume_point(folder)
    assert point.spent is not None
    assert point.spent.fit_s == 11.5


def test_a_budget_s_last_epoch_is_told_from_what_epochs_take() -> None:
    """Features come once: of 100 s, 40 are gone, and each epoch takes 11."""
    asked = trial(recipe=FROZEN, budget_s=100.0)
    asked = replace(asked, cell=replace(asked.cell, epochs=None))
    outlook = Outlook(asked.cell)
    for event in (*features(extracted()), *epoch(asked, 1, start_s=45.0, train_s=10.0)):
        outlook.event(event)
    assert outlook.last_epoch() == pytest.approx(60 / 11)


def test_a_calibration_of_a_frozen_part_foretells_all_its_features() -> None:
    """From the time of some images that of all, mirrored ones too, and of the test's; tracing comes once."""
    asked = trial(recipe=replace(FROZEN, horizontal_flip=True), epochs=3)
    plain = calibration(asked, (1.0,) * 12)
    sample = [
        extracted(images=50, seconds=5.0, uncounted_s=12.0),
        PhaseDone(phase="features", start_s=5.0, end_s=5.0 + FEATURES_S),
    ]
    later = [
        PhaseDone(phase="checkpoint", start_s=5.0 + FEATURES_S, end_s=5.5 + FEATURES_S),
        *blocks((1.0,) * 12, start_s=BEGUN_S + FEATURES_S),
    ]
    known = [event for event in plain.events if not isinstance(event, Steps)]
    known = [event for event in known if not (isinstance(event, PhaseDone) and event.phase == "checkpoint")]
    pace, without = (find_pace(plain.trial, events) for events in ([*known, *sample, *later], plain.events))
    assert pace is not None
    assert without is not None
    data = DATASET
    features_s = 0.1 * (2 * data.num_train + data.num_validation) + FEATURES_S - 17.0
    assert pace.features_s == pytest.approx(features_s)
    found, plainly = forecast_time(pace), forecast_time(without)
    assert found is not None
    assert plainly is not None
    assert found.train_s.estimate == pytest.approx(plainly.train_s.estimate)
    assert found.fit_s.estimate - plainly.fit_s.estimate == pytest.approx(features_s)
    tested_s = 0.1 * data.num_test
    assert found.wall_s.estimate - plainly.wall_s.estimate == pytest.approx(features_s + tested_s)
    assert found.test_s == pytest.approx(2 * EVALUATED_S + tested_s + END_S)
    # Features that have only begun may take longer too, as steps may.
    assert found.fit_s.high - plainly.fit_s.high == pytest.approx(
        features_s * found.train_s.high / found.train_s.estimate
    )


def test_the_live_view_says_how_far_the_features_are() -> None:
    """Between compilation and warm-up it says so, and how many images are done; a budget has them behind it."""
    asked = trial(recipe=FROZEN, budget_s=100.0)
    progress = Progress(replace(asked, cell=replace(asked.cell, epochs=None)))
    progress.start(1)
    progress.event(PhaseDone(phase="compile", start_s=4.0, end_s=5.0))
    progress.event(PhaseDone(phase="probe", start_s=5.0, end_s=5.0))
    progress.event(Extracting(split="training", images=30, of=100))
    assert progress.phase == "features"
    assert progress.extracting is not None
    for event in features(extracted()):
        progress.event(event)
    assert progress.extracting is None
    assert progress.phase == "warmup"
    for event in epoch(asked, 1, start_s=45.0, train_s=10.0):
        progress.event(event)
    assert progress.left_s == pytest.approx(100 - FEATURES_S - 11)


def test_a_linear_probe_is_left_as_long_as_its_epochs_took() -> None:
    """Its passes differ from strength to strength, so images tell nothing."""
    asked = trial(recipe=PROBE, epochs=4)
    progress = Progress(asked)
    progress.start(1)
    for event in epoch(asked, 1, start_s=45.0, train_s=10.0):
        progress.event(event)
    assert progress.left_s == pytest.approx(3 * 11.5)
    assert asked.cell.steps_per_epoch == PROBE_PASSES
    assert "regularisation" in (refusal(asked.cell) or "")


def test_a_probe_s_forecast_is_as_wide_as_its_passes_may_be_many() -> None:
    """Fifteen passes a strength are usual, five to sixty are possible, of a second each."""
    asked = trial(recipe=PROBE, epochs=3)
    data = calibration(asked, (1.0,) * 12)
    pace = find_pace(data.trial, data.events)
    assert pace is not None
    found = forecast_time(pace)
    assert found is not None
    assert found.train_s.estimate == pytest.approx(3 * 15)
    assert found.train_s.low < 3 * 5.5
    assert found.train_s.high > 3 * 60
    assert found.images_per_s.estimate == pytest.approx(DATASET.num_train)
    flipped = replace(asked, cell=replace(asked.cell, recipe=replace(PROBE, horizontal_flip=True)))
    twice = find_pace(replace(flipped, mode="calibrate"), data.events)
    assert twice is not None
    doubled = forecast_time(twice)
    assert doubled is not None
    assert doubled.images_per_s.estimate == pytest.approx(2 * DATASET.num_train)


def test_a_probe_that_is_under_way_has_its_finished_strengths_behind_it() -> None:
    """Of three strengths two are done, however many passes they took; the last one takes what is usual."""
    asked = trial(recipe=PROBE, epochs=3)
    events = [*start_up(asked), *epochs(trial(recipe=PROBE, epochs=2), start_s=5.0)]
    pace = find_pace(asked, events)
    assert pace is not None
    assert pace.epochs_done == 2
    found = forecast_time(pace)
    assert found is not None
    assert found.train_s.estimate == pytest.approx(20 + 15 * 1.0)


def test_an_epoch_s_row_has_the_strength_that_is_kept() -> None:
    """Which regularisation was chosen can be read off the epochs."""
    asked = trial(recipe=PROBE, epochs=1)
    data = ok_trial(asked)
    events = tuple(replace(event, l2=0.01) if isinstance(event, Epoch) else event for event in data.events)
    assert frames(run_data(replace(data, events=events))).epochs["l2"].tolist() == [0.01]


def test_what_was_trained_before_is_called_so_everywhere() -> None:
    """The name of the model says it in rows, tables and answers; the column says with which weights."""
    data = ok_trial(trial(weights=WEIGHTS, recipe=Recipe(weights="imagenet")))
    report = frames(run_data(data, ok_trial(trial())))
    assert report.trials["model"].tolist() == ["small (pre-trained)", "small"]
    assert report.trials["weights"].tolist()[0] == "imagenet"
    assert report.trials["weights"].isna().tolist() == [False, True]
    assert set(report.epochs["model"]) == {"small", "small (pre-trained)"}


def plan(recipe: Recipe, *, find_weights: Any = None, **config: Any) -> Plan:
    """The plan of one model with this recipe."""
    model = ModelFile(spec=ModelSpec(name="small", path="/somewhere/small.py", sha256="a"), recipe=recipe)
    options: dict[str, Any] = {"model": ("small",), "common": Recipe(epochs=3, batch_size=64)} | config
    return expand(
        RunConfig(**options),
        models=[model],
        choices=[Choice(device=CPU)],
        dataset=options.pop("data", DATASET),
        find_weights=find_weights,
    )


def test_a_cell_has_the_weights_that_its_recipe_names() -> None:
    """Their digest is part of the trial's key; where they lie is not."""
    (found,) = plan(Recipe(weights="/home/me/small.h5"), find_weights=lambda *_: replace(WEIGHTS, name="x.h5")).trials
    assert found.cell.weights == replace(WEIGHTS, name="x.h5")
    assert found.cell.recipe.weights == "x.h5"
    (moved,) = plan(
        Recipe(weights="/else/x.h5"), find_weights=lambda *_: replace(WEIGHTS, name="x.h5", path="/e")
    ).trials
    assert found.key == moved.key
    (other,) = plan(Recipe(weights="x"), find_weights=lambda *_: replace(WEIGHTS, name="x.h5", sha256="c")).trials
    assert found.key != other.key


def test_a_cell_whose_weights_are_missing_is_a_row_that_says_why() -> None:
    """One model without its weights costs the others nothing."""

    def missing(*_: object) -> WeightsSpec:
        raise ModelError("the weights 'imagenet' of small are not here")

    found = plan(Recipe(weights="imagenet"), find_weights=missing)
    ((status, reason),) = found.refusals.values()
    assert status == "failed"
    assert "are not here" in reason


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"dataset": "cifar100"}, None),
        ({"budget": (60.0,)}, "give --epochs instead of --budget"),
    ],
)
def test_a_probe_ends_with_its_epochs(config: dict[str, Any], said: str | None) -> None:
    """A budget of time cannot end it."""
    reasons = [reason for _, reason in plan(PROBE, **config).refusals.values()]
    assert reasons == [] if said is None else said in reasons[0]


def test_no_epochs_are_epochs_too() -> None:
    """A model is tested as it was built, if that is what flag or recipe say."""
    assert [found.cell.epochs for found in plan(Recipe(epochs=0)).trials] == [0]
    assert [found.cell.epochs for found in plan(Recipe(epochs=5), epochs=0).trials] == [0]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"frozen_until": "x", "shift_pixels": 2}, "shift_pixels changes what the frozen part sees"),
        ({"frozen_until": "x", "stages": ((16, 0.5),)}, "stages changes what the frozen part sees"),
        ({"optimizer": "lbfgs"}, "set frozen_until too"),
        ({"frozen_until": "x", "optimizer": "lbfgs", "schedule": "linear"}, "schedule is no option of lbfgs"),
        ({"frozen_until": "x", "optimizer": "lbfgs", "weight_decay": 0.1}, "weight_decay is no option of lbfgs"),
        ({"weights": "imagenet", "normalization": "standard"}, "received normalization='standard'"),
    ],
)
def test_what_does_not_go_together_is_refused(fields: dict[str, Any], said: str) -> None:
    """A recipe that could not be followed does not come into being, and says what to leave out."""
    with pytest.raises(ValueError, match=said):
        Recipe(**fields)


def test_flips_go_with_a_frozen_part() -> None:
    """An image and its mirror image are two, and both can be remembered."""
    assert Recipe(frozen_until="x", horizontal_flip="alternating").horizontal_flip == "alternating"


def test_a_frozen_part_s_memory_is_that_of_its_forward_pass_or_of_the_rest_s_step() -> None:
    """The larger counts; the frozen weights stand in memory twice, and batches are of features."""
    step = StepDescription(operations=100, fixed_bytes=4_000_000, image_bytes=1_000)
    frozen = StepDescription(operations=100, fixed_bytes=0, image_bytes=3_000_000)
    described = ModelDescription(
        name="small", parameters=5_000_000, trainable_parameters=1_000_000, step=step, frozen=frozen, features=2_000
    )
    cell = trial(recipe=FROZEN).cell
    found = estimate(cell, described, loading_bytes=0)
    assert found is not None
    assert found.activations_bytes == 3_000_000 * cell.batch_size
    # All weights, two of Adam's values for each trained one, gradients, the frozen ones again.
    assert found.parameters_bytes == (5 + 2 + 4 + 1) * 4_000_000
    model_bytes = found.parameters_bytes + found.activations_bytes
    assert found.allocator_bytes == pytest.approx((ALLOCATOR_RATIO - 1) * model_bytes, abs=1)
    large = estimate(cell, msgspec.structs.replace(described, largest_weights=100_000), loading_bytes=0)
    assert large is not None
    assert large.parameters_bytes == found.parameters_bytes + 2 * 400_000
    small = msgspec.structs.replace(described, frozen=replace(frozen, image_bytes=10))
    later = estimate(cell, small, loading_bytes=0)
    assert later is not None
    assert later.activations_bytes == 1_000 * cell.batch_size


def test_energy_of_features_is_spent_before_the_first_epoch() -> None:
    """A frozen part is not free on the energy axis either, and has a column of its own."""
    asked = trial(recipe=FROZEN, device=GPU)
    data = frozen_trial(asked, extracted())
    gpus = asked.cell.device.gpu_uuids
    data = replace(data, samples=tuple(samples(until_s=70.0, gpus=gpus)))
    report = frames(run_data(data))
    row = rows_of(report.trials)[0]
    assert row["gpu_energy_features_joules"] == pytest.approx(100.0 * FEATURES_S)
    first, *_ = rows_of(curve_points(report.trials, report.epochs, {}))
    assert first["joules"] == pytest.approx(100.0 * (FEATURES_S + 11.0))


def test_the_table_says_what_fit_covers() -> None:
    """Where a part is frozen, and only there, the legend names what it puts out."""
    console = Console(width=120, file=io.StringIO(), force_terminal=False)
    for recipe, said in ((FROZEN, True), (Recipe(), False)):
        with console.capture() as capture:
            console.print(report_view(frames(run_data(frozen_trial(trial(recipe=recipe), extracted())))))
        assert ("with what a frozen part puts out" in " ".join(capture.get().split())) == said


def test_energy_that_cannot_be_read_costs_no_curve() -> None:
    """Without a counter a frozen part has a curve over time like any other, and no joules."""
    report = frames(run_data(frozen_trial(trial(recipe=FROZEN), extracted())))
    found = rows_of(curve_points(report.trials, report.epochs, {}))
    assert [(row["epoch"], row["joules"]) for row in found] == [(1, None), (2, None)]


def test_a_trial_that_found_its_features_is_not_held_against_a_forecast_of_them() -> None:
    """It took no time for what the forecast counts, so its times tell nothing of how far forecasts lie off."""
    run = run_data(frozen_trial(trial(recipe=FROZEN), extracted(images=0, reused_images=1000, saved_s=600.0)))
    assert not [row for row in rows_of(backtest([run])) if row["quantity"].endswith("_s")]
    assert any("found what its frozen part puts out" in reason for reason in left_out(run))


def test_a_model_that_was_tested_as_it_was_built_has_no_curve() -> None:
    """A curve of no epoch could not be read back."""
    taken = reference_curves(run_data(ok_trial(trial(epochs=0))))
    assert not taken.curves
    assert "trained for none" in taken.left_out[0]
