"""How long a training will take, told from its pace."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bench.analysis.forecast import BETWEEN, END_S, EVALUATION_SHARE, Range, forecast_time
from bench.analysis.pace import Pace, find_pace
from bench.recipe import Recipe
from bench.records import TrialData
from calibrations_for_tests import BEGUN_S, EVALUATED_S, blocks, calibration
from records_for_tests import GPU, ok_trial, start_up, trial


def pace_of(data: TrialData, until_s: float | None = None) -> Pace:
    """Its pace, which must be known."""
    pace = find_pace(data.trial, data.events, until_s=until_s)
    assert pace is not None
    return pace


def width(found: Range) -> float:
    """Upper end over lower end."""
    return found.high / found.low


@given(
    epochs=st.integers(2, 30),
    train_s=st.floats(0.5, 1e4),
    seen=st.floats(0.2, 0.95),
)
def test_a_training_that_goes_on_as_it_began_ends_when_it_was_said(epochs: int, train_s: float, seen: float) -> None:
    """Of steady steps, every part of a run from its first validation on tells the whole."""
    data = ok_trial(trial(epochs=epochs), train_s=train_s)
    fit_s = epochs * (train_s + 1.0)
    # The first 1.6 epochs hold a validation and a checkpoint.
    until_s = max(5.0 + 1.6 * (train_s + 1.5), seen * (5.0 + epochs * (train_s + 1.5)))
    found = forecast_time(pace_of(data, until_s))
    assert found.train_s.estimate == pytest.approx(epochs * train_s)
    assert found.fit_s.estimate == pytest.approx(fit_s)
    # 200 test images at the pace of 100 validation images a second.
    assert found.wall_s.estimate == pytest.approx(5.0 + fit_s + 0.5 * epochs + 2.0 + END_S)


def test_a_calibration_foretells_the_whole_training() -> None:
    """Start-up, steps, an evaluation an epoch, its checkpoints, and the test."""
    found = forecast_time(pace_of(calibration(trial(epochs=3), (1.0,) * 12)))
    assert found.train_s.estimate == pytest.approx(3 * 10 * 1.0)
    assert found.fit_s.estimate == pytest.approx(30 + 3 * EVALUATED_S)
    start_s, saved_s, test_s = BEGUN_S - EVALUATED_S, 3 * 0.5, 2 * EVALUATED_S
    assert found.wall_s.estimate == pytest.approx(start_s + 36 + saved_s + test_s + END_S)
    assert found.images_per_s.estimate == pytest.approx(100)
    assert (found.epochs.estimate, found.steps_seen) == (3, 11)


def test_where_nothing_was_evaluated_it_takes_its_usual_share_of_a_step() -> None:
    """A training that was seen within its first epoch has no validation yet."""
    found = forecast_time(pace_of(ok_trial(trial(epochs=2)), 9.5))
    # 100 validation images take a share of a step of 100 that takes a second.
    assert found.fit_s.estimate - found.train_s.estimate == pytest.approx(2 * EVALUATION_SHARE)


def test_fewer_steps_make_a_wider_interval() -> None:
    """Three long steps tell less than fifty short ones, however alike they are; no number of them tells all."""
    few = forecast_time(pace_of(calibration(trial(epochs=9), (10.0,) * 3)))
    many = forecast_time(pace_of(calibration(trial(epochs=9), (1.0,) * 51)))
    assert width(few.wall_s) > width(many.wall_s) > 1 + BETWEEN
    assert few.wall_s.low < few.wall_s.estimate < few.wall_s.high


def test_steps_that_differ_make_a_wider_interval() -> None:
    """What the steps' own spread leaves open is in the interval."""
    steps = np.tile([1.0] * 10 + [1.9] * 10, 3)
    assert width(forecast_time(pace_of(calibration(trial(), steps))).train_s) > width(
        forecast_time(pace_of(calibration(trial(), (1.45,) * 60))).train_s
    )


def test_what_is_over_is_known() -> None:
    """The interval is of what is still to come: it shrinks to nothing."""
    early, late = (forecast_time(pace_of(ok_trial(trial(epochs=10)), until_s)).wall_s for until_s in (20.0, 110.0))
    assert width(early) > width(late)


def test_intervals_hold_what_they_promise_if_processes_differ_as_assumed() -> None:
    """Of 300 invented processes whose steps vary alone and together, nine in ten end within their interval."""
    random = np.random.default_rng(1)
    held = 0
    for _ in range(300):
        seen = random.lognormal(0, 0.1, 50)
        rest = 1000 * random.lognormal(0, BETWEEN) * np.exp(0.1**2 / 2)
        found = forecast_time(pace_of(calibration(trial(epochs=100), seen))).train_s
        held += found.low <= rest <= found.high
    assert 0.85 <= held / 300 <= 0.96


@pytest.mark.parametrize(
    ("clock", "epochs"), [("train", 6.0), ("fit", 5.0), ("wall", (60 - BEGUN_S - 4 - END_S - 4 * 2.5) / 10)]
)
def test_a_budget_fixes_the_time_and_leaves_the_epochs_open(clock: str, epochs: float) -> None:
    """Epochs of 10 s, 2 s of validation and half a second for a checkpoint, in a minute of each clock.

    A part of an epoch ends with a whole validation and checkpoint, and the clocks stand in their order.
    """
    asked = trial(epochs=None, budget_s=60.0, budget_clock=clock)  # type: ignore[arg-type]
    found = forecast_time(pace_of(calibration(asked)))
    assert found.epochs.estimate == pytest.approx(epochs)
    assert found.epochs.low < found.epochs.estimate < found.epochs.high
    known = {"train": found.train_s, "fit": found.fit_s, "wall": found.wall_s}[clock]
    assert (known.low, known.estimate, known.high) == (60.0, 60.0, 60.0)
    assert found.train_s.estimate <= found.fit_s.estimate < found.wall_s.estimate
    ends = {"train": 6, "fit": 5, "wall": 4}[clock]
    assert found.fit_s.estimate == pytest.approx(10 * found.epochs.estimate + 2 * ends)


def test_a_budget_without_time_for_a_step_is_not_forecast() -> None:
    """Where validation and test alone take longer, there is no number of epochs to tell."""
    for clock, budget_s in (("fit", 2.5), ("wall", 12.0)):
        asked = trial(epochs=None, budget_s=budget_s, budget_clock=clock)  # type: ignore[arg-type]
        assert forecast_time(pace_of(calibration(asked))) is None


def test_what_is_spent_of_a_budget_is_spent() -> None:
    """Five epochs of 11 s are behind it; of 110 s, five more are to come, however fast the steps are said to be."""
    asked = trial(epochs=None, budget_s=110.0, budget_clock="fit")  # type: ignore[arg-type]
    events = ok_trial(trial(epochs=5)).events
    found = forecast_time(pace_of(TrialData(trial=asked, events=events)))
    assert found is not None
    assert found.epochs.estimate == pytest.approx(10.0)
    assert found.epochs.low > 9.0


def test_steps_of_a_gpu_are_told_by_their_epoch() -> None:
    """They are stamped when they are handed over: a block that had to wait for the others is no pause."""
    asked = trial(device=GPU, epochs=10)
    handed_over = blocks([0.1] * 9 + [9.1], start_s=5.0)
    pace = pace_of(TrialData(trial=asked, events=(*start_up(asked), *handed_over)))
    assert forecast_time(pace).train_s.estimate == pytest.approx(100.0)  # type: ignore[union-attr]


def test_a_finished_training_is_not_tested_twice() -> None:
    """With more epochs, its own test comes later, not besides."""
    data = ok_trial(trial(epochs=2))
    longer = forecast_time(pace_of(replace(data, trial=trial(epochs=4))))
    unfinished = forecast_time(pace_of(replace(data, trial=trial(epochs=4), events=data.events[:-4])))
    assert longer is not None
    assert unfinished is not None
    assert longer.wall_s.estimate == pytest.approx(unfinished.wall_s.estimate)


def staged(**cell: object) -> TrialData:
    """A calibration of images of 16 pixels in the first half, at a quarter of the time."""
    asked = trial(recipe=Recipe(stages=((16, 0.5),)), **cell)
    small = blocks([0.25] * 8, start_s=5.0, image_height=16)
    return TrialData(trial=asked, events=(*start_up(asked), *small, *blocks([1.0] * 8, start_s=7.0)))


def test_stages_have_their_share_of_the_steps() -> None:
    """Half of twenty steps take a quarter of the others' time."""
    data = staged(epochs=2)
    seen = pace_of(data)
    assert seen.steps_done == {16: 8, None: 8}
    assert forecast_time(seen).train_s.estimate == pytest.approx(10 * 0.25 + 10 * 1.0)


def test_stages_have_their_share_of_a_budget() -> None:
    """Half of the time at 4 steps a second, half of it at one: 25 steps in 10 s, ten to an epoch."""
    data = staged(epochs=None, budget_s=10.0, budget_clock="train")
    data = replace(data, trial=replace(data.trial, mode="calibrate"))
    assert forecast_time(pace_of(data)).epochs.estimate == pytest.approx(2.5, rel=1e-3)


def test_a_size_that_was_not_seen_is_told_by_its_pixels() -> None:
    """Images of half the height take a quarter of the time."""
    asked = trial(recipe=Recipe(stages=((16, 0.5),)), epochs=2)
    data = TrialData(trial=asked, events=(*start_up(asked), *blocks([1.0] * 8, start_s=5.0)))
    assert forecast_time(pace_of(data)).train_s.estimate == pytest.approx(8 + 10 * 0.25 + 2 * 1.0)
