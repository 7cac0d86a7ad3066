"""Accuracy at the end from the first epochs: its errors, its intervals, what it refuses, when it gives a trial up."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bench.analysis.extrapolation import MIN_EPOCHS, extrapolate, refusal
from bench.analysis.learning_curves import shapes
from bench.analysis.outlook import CONFIDENCE_TO_STOP, Hopeless, Outlook, unstoppable
from bench.recipe import Recipe
from bench.records import Epoch, Event, Spent
from bench.store import read_run
from records_for_tests import DATASET, epoch, trial

REFERENCE = Path(__file__).parent.parent / "reports" / "reference" / "cifar100-mnist-cnn"

# mnist_cnn on 13,500 images of CIFAR-100's 20 coarse classes, 1,500 held back; Adam at 0.001, batches of 256, one core.
COARSE = [
    *(0.1880, 0.2587, 0.3073, 0.3220, 0.3360, 0.3420, 0.3667, 0.3760),
    *(0.3793, 0.3893, 0.3973, 0.4000, 0.3980, 0.4007, 0.4093),
]

accuracy_lists = st.lists(st.floats(0, 1) | st.just(math.nan), max_size=40)


def real_curves() -> dict[str, tuple[int, list[float]]]:
    """Validation images and the accuracies of 15 epochs, of trainings that took place."""
    curves = {"coarse": (1500, COARSE)}
    for data in read_run(REFERENCE).trials:
        accuracies = [event.val_accuracy for event in data.events if isinstance(event, Epoch)]
        known = [accuracy for accuracy in accuracies if accuracy is not None]
        curves[data.trial.cell.device.label] = (data.trial.cell.dataset.num_validation, known)
    return curves


@pytest.mark.parametrize("seen", [4, 5, 7, 8])
def test_real_curves_are_told_from_their_first_epochs(seen: int) -> None:
    """From 30 and 50 % of 15 epochs, the error is below 3 points on average and every interval holds the truth."""
    curves = real_curves()
    assert len(curves) == 3
    errors = []
    for images, accuracies in curves.values():
        assert len(accuracies) == 15
        found = extrapolate(accuracies[:seen], 15, num_images=images)
        assert found is not None
        assert (found.seen, found.epochs, found.confidence) == (seen, 15.0, 0.9)
        assert found.low <= accuracies[-1] <= found.high
        errors.append(abs(found.estimate - accuracies[-1]))
    assert sum(errors) / len(errors) < 0.03


def test_intervals_hold_nine_of_ten_truths_and_are_no_wider_than_they_must_be() -> None:
    """Over all horizons of real curves they hold 90 % of what came; at half-way they are at most 10 points wide."""
    held = []
    for images, accuracies in real_curves().values():
        for seen in range(MIN_EPOCHS, 15):
            for at in range(seen + 1, 16):
                found = extrapolate(accuracies[:seen], at, num_images=images)
                assert found is not None
                held.append(found.low <= accuracies[at - 1] <= found.high)
        half = extrapolate(accuracies[:8], 15, num_images=images)
        assert half is not None
        assert half.high - half.low < 0.1
    assert sum(held) / len(held) >= 0.9


def test_a_curve_of_a_family_is_found_again() -> None:
    """Without noise, 15 epochs of a power law give its 60th."""
    accuracies = [0.7 - 0.5 * number**-0.6 for number in range(1, 16)]
    found = extrapolate(accuracies, 60, num_images=10_000)
    assert found is not None
    assert found.estimate == pytest.approx(0.7 - 0.5 * 60**-0.6, abs=0.01)


def test_the_interval_grows_with_the_horizon_and_with_the_noise() -> None:
    """Twice and four times as far ahead, and with fewer validation images, less is known."""

    def width(epochs: float, images: int | None) -> float:
        found = extrapolate(COARSE[:8], epochs, num_images=images)
        assert found is not None
        return found.high - found.low

    assert width(9, 1500) < width(16, 1500) < width(32, 1500)
    assert width(16, None) < width(16, 1500) < width(16, 100)


def test_an_unsteady_curve_is_less_certain_than_a_steady_one() -> None:
    """What is seen of a trial's own noise counts."""
    steady = extrapolate(COARSE[:8], 15, num_images=1500)
    shaken = [accuracy + 0.05 * (-1) ** number for number, accuracy in enumerate(COARSE[:8])]
    unsteady = extrapolate(shaken, 15, num_images=1500)
    assert steady is not None
    assert unsteady is not None
    assert unsteady.high - unsteady.low > 1.5 * (steady.high - steady.low)


@given(accuracies=accuracy_lists, ahead=st.floats(0.01, 500), images=st.none() | st.integers(1, 100_000))
def test_nothing_that_was_measured_breaks_it(accuracies: list[float], ahead: float, images: int | None) -> None:
    """Whatever the accuracies, the answer is None for too few or an interval within 0 and 1, always the same."""
    found = extrapolate(accuracies, len(accuracies) + ahead, num_images=images)
    known = sum(map(math.isfinite, accuracies))
    assert (found is None) == (known < MIN_EPOCHS)
    if found is not None:
        assert 0 <= found.low <= found.estimate <= found.high <= 1
        assert found.seen == known
        assert found == extrapolate(accuracies, len(accuracies) + ahead, num_images=images)


@given(level=st.floats(0, 1), seen=st.integers(MIN_EPOCHS, 30), ahead=st.integers(1, 60))
def test_a_level_curve_stays_where_it_is(level: float, seen: int, ahead: int) -> None:
    """What has not moved for epochs is expected within 5 points of where it was."""
    found = extrapolate([level] * seen, seen + ahead, num_images=5000)
    assert found is not None
    assert found.estimate == pytest.approx(level, abs=0.05)


def test_a_falling_curve_is_not_expected_to_rise_far() -> None:
    """A net that becomes worse in every epoch is not promised more than it had."""
    found = extrapolate([0.5, 0.48, 0.45, 0.43, 0.4, 0.38], 12, num_images=5000)
    assert found is not None
    assert found.estimate < 0.45


def test_an_epoch_that_is_known_is_not_predicted() -> None:
    """Asking for an epoch that was seen is an error that says so."""
    with pytest.raises(ValueError, match="epoch 3 is not beyond the 4 that were seen"):
        extrapolate([0.1, 0.2, 0.3, 0.4], 3)


def test_an_extrapolation_takes_few_milliseconds() -> None:
    """Less than 50 ms of CPU time, so that a parent can ask while it measures."""
    extrapolate(COARSE[:8], 15)
    began_s = time.process_time()
    for _ in range(10):
        extrapolate(COARSE, 50, num_images=5000)
    assert (time.process_time() - began_s) / 10 < 0.05


def test_shapes_fall_from_one_towards_zero() -> None:
    """Every shape is 1 at the first epoch, falls, and stays positive; the weights add up to 1."""
    values, weights = shapes(np.array([1.0, 2.0, 10.0, 1000.0]))
    assert len(values) == len(weights)
    assert weights.sum() == pytest.approx(1.0)
    assert values[:, 0] == pytest.approx(1.0)
    assert (np.diff(values, axis=1) < 0).all()
    assert (values > 0).all()


# What cannot be extrapolated.


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        (Recipe(schedule="cosine"), ["schedule=cosine", "--recipe-set schedule=constant"]),
        (Recipe(schedule="one_cycle"), ["schedule=one_cycle"]),
        (Recipe(warmup=0.1), ["warmup=0.1", "--recipe-set warmup=0"]),
        (Recipe(stages=((16, 0.3), (24, 0.6))), ["stages of 16, 24 pixels", "--recipe-set stages=[]"]),
        (Recipe(ema_momentum=0.99), ["ema_momentum=0.99", "100 steps", "an epoch has 10"]),
    ],
    ids=["schedule", "one cycle", "warm-up", "stages", "averaged weights"],
)
def test_a_curve_that_says_little_of_its_end_is_refused(recipe: Recipe, said: list[str]) -> None:
    """The reason names the recipe's value and what to train with instead."""
    reason = refusal(trial(recipe=recipe).cell)
    assert reason is not None
    assert all(words in reason for words in said)


def test_a_curve_nobody_sees_is_refused() -> None:
    """Without validation images there is no curve."""
    reason = refusal(trial(dataset=replace(DATASET, num_validation=0)).cell)
    assert reason is not None
    assert "--validation" in reason


def test_a_constant_rate_is_not_refused() -> None:
    """Neither epochs nor a budget, nor an average of weights over less than an epoch, is a reason."""
    assert refusal(trial().cell) is None
    assert refusal(trial(epochs=None, budget_s=60.0).cell) is None
    assert refusal(trial(recipe=Recipe(ema_momentum=0.5)).cell) is None


# A trial while it trains.


def events_of(accuracies: list[float], *, first: int = 1, start_s: float = 5.0, **cell: Any) -> list[Event]:
    """What a worker writes in epochs of 10 s of training, 1 s of validation and half a second of checkpoint."""
    return [
        event
        for number, accuracy in enumerate(accuracies, start=first)
        for event in epoch(
            trial(**cell), number, start_s=start_s + 11.5 * (number - first), train_s=10.0, accuracy=accuracy + 0.02
        )
    ]


def outlook(accuracies: list[float], **cell: Any) -> Outlook:
    """A trial after some epochs."""
    made = Outlook(trial(**cell).cell)
    for event in events_of(accuracies):
        made.event(event)
    return made


def test_a_trial_has_an_outlook_from_its_fourth_epoch_to_the_one_before_its_last() -> None:
    """It is what the epochs so far give for the last one; there is none where curves cannot be extrapolated."""
    assert outlook(COARSE[:3], epochs=15).forecast() is None
    found = outlook(COARSE[:4], epochs=15).forecast()
    assert found is not None
    assert found.estimate == pytest.approx(extrapolate(COARSE[:4], 15, num_images=100).estimate)  # type: ignore[union-attr]
    assert outlook(COARSE[:14], epochs=15).forecast() is not None
    assert outlook(COARSE, epochs=15).forecast() is None
    assert outlook(COARSE[:8], epochs=15, recipe=Recipe(schedule="linear")).forecast() is None
    assert not outlook([], epochs=4).may_forecast


@pytest.mark.parametrize(
    ("clock", "budget_s", "last"),
    [
        ("train", 100.0, 10.0),
        ("train", 45.0, 4.5),
        ("fit", 110.0, 10.0),
        # The trial's clock stands at 51 s after four epochs of 11.5 s, and the test takes as long as two validations.
        ("wall", 51.0 + 2.0 + 23.0, 6.0),
    ],
)
def test_a_budget_ends_at_the_epoch_that_its_clock_reaches(clock: Any, budget_s: float, last: float) -> None:
    """At the pace so far, with what its clock covers."""
    found = outlook(COARSE[:4], epochs=None, budget_s=budget_s, budget_clock=clock)
    assert found.last_epoch() == pytest.approx(last)
    forecast = found.forecast()
    assert forecast is not None
    assert forecast.epochs == pytest.approx(last)


def test_a_budget_that_is_spent_has_no_outlook() -> None:
    """The epoch that a budget ended is the last one."""
    made = outlook(COARSE[:5], epochs=None, budget_s=100.0)
    last = events_of(COARSE[5:6], first=6)[3]
    made.event(replace(last, last=True))
    assert made.forecast() is None


def test_a_trial_that_is_taken_up_again_has_its_outlook_at_once() -> None:
    """What earlier processes learnt and spent counts, as if one process had done it all."""
    asked = trial(epochs=None, budget_s=110.0)
    events = events_of(COARSE[:6])
    finished = [event for event in events if isinstance(event, Epoch)][:4]
    resumed = Outlook(asked.cell, epochs=finished, spent=Spent(began_s=5.0, train_s=40.0, fit_s=44.0))
    assert resumed.forecast() == outlook(COARSE[:4], epochs=None, budget_s=110.0).forecast()
    for event in events[20:]:
        resumed.event(event)
    assert resumed.forecast() == outlook(COARSE[:6], epochs=None, budget_s=110.0).forecast()


def verdicts(accuracies: list[float], target: float, **cell: Any) -> list[str]:
    """Why a trial would be ended, at each epoch at which it would."""
    judge = Hopeless(trial(**cell).cell, target)
    found = [judge([event]) for event in events_of(accuracies)]
    assert all(why is None for why, event in zip(found, events_of(accuracies), strict=True) if isinstance(event, Epoch))
    return [why for why in found if why is not None]


def test_a_trial_is_hopeless_after_two_forecasts_below_its_target() -> None:
    """It is given up at an epoch's checkpoint, with the forecast, the target and the epoch in words."""
    first = verdicts(COARSE[:14], 0.9, epochs=15, dataset=replace(DATASET, num_validation=1500))[0]
    assert first.startswith("~")
    assert "% after 15 epochs, below the target of 90 %; stopped after epoch 7" in first
    assert not verdicts(COARSE[:4], 0.9, epochs=15)


def test_one_forecast_below_the_target_is_not_enough() -> None:
    """A ninth epoch that falls out of line is not acted upon; a tenth that confirms it is."""
    accuracies = [*COARSE[:8], 0.35, 0.35]
    images = replace(DATASET, num_validation=5000)
    before, one = (
        extrapolate(accuracies[:seen], 20, num_images=5000, num_classes=100, confidence=CONFIDENCE_TO_STOP)
        for seen in (8, 9)
    )
    assert before is not None
    assert one is not None
    assert one.high < before.high
    target = (one.high + before.high) / 2
    assert not verdicts(accuracies[:9], target, epochs=20, dataset=images)
    (why,) = verdicts(accuracies, target, epochs=20, dataset=images)
    assert why.endswith("stopped after epoch 10")


def test_a_net_that_has_not_begun_to_learn_is_not_told() -> None:
    """At chance level nothing is known of what comes, however level the curve is."""
    level = [0.0100, 0.0102, 0.0098, 0.0100, 0.0101]
    assert extrapolate(level, 15, num_images=5000, num_classes=100) is None
    assert extrapolate([*level, 0.03], 15, num_images=5000, num_classes=100) is not None
    images = replace(DATASET, num_validation=5000)
    assert not verdicts([0.01] * 10, 0.3, epochs=15, dataset=images)


def test_near_its_end_a_trial_may_as_well_end() -> None:
    """In the last fifth of its epochs nobody is given up."""
    assert not verdicts([0.1] * 8, 0.9, epochs=10, dataset=replace(DATASET, num_validation=5000))[6:]
    late = [why for why in verdicts([0.1] * 9, 0.9, epochs=10) if "epoch 9" in why]
    assert not late


def test_the_last_of_several_epochs_counts() -> None:
    """Where several come to light together, one that has reached the target is not overlooked."""
    judge = Hopeless(trial(epochs=20, dataset=replace(DATASET, num_validation=5000)).cell, 0.5)
    assert judge(events_of([0.1] * 8 + [0.6])) is None
    other = Hopeless(trial(epochs=20, dataset=replace(DATASET, num_validation=5000)).cell, 0.5)
    assert other(events_of([0.1] * 9)) is not None


def test_intervals_hold_for_curves_of_the_family_whose_only_noise_is_chance() -> None:
    """Of invented power laws, the next epoch's accuracy lies within its interval about as often as it says."""
    random = np.random.default_rng(0)
    held = total = 0
    for _ in range(200):
        limit, first, exponent = random.uniform(0.3, 0.9), random.uniform(0.02, 0.2), random.uniform(0.3, 2)
        epochs = np.arange(1, 17)
        curve = limit + (first - limit) * epochs**-exponent
        seen = random.binomial(500, curve) / 500
        found = extrapolate(seen[:15].tolist(), 16, num_images=500)
        assert found is not None
        held += found.low <= seen[15] <= found.high
        total += 1
    assert 0.86 <= held / total <= 0.99


def test_hope_is_kept_where_there_is_any() -> None:
    """A trial that had its target once, or may have it in the end, goes on; so does one that nobody can tell."""
    assert not verdicts([*COARSE[:3], 0.6, *COARSE[3:13]], 0.6, epochs=15)
    assert not verdicts(COARSE[:14], 0.4, epochs=15)
    assert not verdicts(COARSE[:14], 0.9, epochs=15, recipe=Recipe(schedule="cosine"))


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ({"epochs": 15, "recipe": Recipe(schedule="cosine")}, "schedule=cosine"),
        ({"epochs": 5}, "trains for 5 epochs"),
        ({"epochs": 6}, None),
        ({"epochs": None, "budget_s": 60.0}, None),
    ],
)
def test_what_cannot_be_stopped_is_said(cell: dict[str, Any], said: str | None) -> None:
    """A schedule, or so few epochs that none is left, is a reason."""
    reason = unstoppable(trial(**cell).cell)
    assert reason is None if said is None else said in str(reason)
