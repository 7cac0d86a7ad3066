"""How long a training will take, from the pace of its first steps."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.analysis.pace import typical_s
from bench.schedule import image_sizes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from bench.analysis.pace import Pace
    from bench.records import Cell

CONFIDENCE = 0.9
QUANTILE = 1.645  # of the normal distribution, for 90 % between both ends
# How far a process lies from another of the same cell, or its hours from its minutes: standard deviation of the
# logarithm of the step time. Of windows of 10, 20 and 40 s of two quiet trainings, against all that followed, 0.03 held
# 76, 85 and 92 %, 0.04 89, 90 and 96 %.
BETWEEN = 0.04
# A single step lies about so far from the mean; of few steps their own spread tells little.
STEP_SPREAD = 0.1
RESAMPLES = 400
# Neighbouring steps are resampled together: what slows one often slows the next. In windows of 80 s, 20 chunks held
# 56 % of trainings that were disturbed meanwhile, 5 held 68 %, and for quiet ones both are as wide.
CHUNKS = 5
# The sentinel's matrices, and the end of the process. Measured: 0.5 to 0.8 s.
END_S = 0.7
# Of a training step, where no evaluation was seen: a forward pass without the two products of the backward pass would
# be a third. Of 16 trainings of three models the median was 0.28, for validation and test alike.
EVALUATION_SHARE = 0.28
# Passes that a linear probe makes for a strength, of those that it may make. On 1,280 features of 45,000 images they
# were 4 to 26, 13 in the mean; of 5,000 images 3 to 22.
FEWEST_PASSES, USUAL_PASSES = 5, 15


@dataclass(frozen=True, kw_only=True)
class Range:
    """A forecast with the ends of its interval."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class TimeForecast:
    """How long a training will take, with 90 % intervals.

    Attributes:
        train_s: Training alone, in seconds.
        fit_s: With validation.
        wall_s: Everything.
        epochs: Passes over the training images.
        epoch_s: One of them, with its validation.
        images_per_s: Training images a second.
        test_s: What follows the last epoch: the test and the end of the process, in seconds.
        steps_seen: Steps that it rests on.
    """

    train_s: Range
    fit_s: Range
    wall_s: Range
    epochs: Range
    epoch_s: Range
    images_per_s: Range
    test_s: float
    steps_seen: int


@dataclass(frozen=True, kw_only=True)
class _Done:
    """What a training has behind it; of a calibration its start-up alone is part of one.

    Attributes:
        at_s: The trial's clock.
        train_s: Training, in seconds.
        fit_s: With validation.
        epochs: Passes over the training images.
        begun: Epochs that have begun.
        validated: Validations.
        saved: Checkpoints.
    """

    at_s: float
    train_s: float = 0.0
    fit_s: float = 0.0
    epochs: float = 0.0
    begun: int = 0
    validated: int = 0
    saved: int = 0


@dataclass(frozen=True, kw_only=True)
class _End:
    """Where the clocks stand at the end, in seconds, and after how many epochs that is."""

    train_s: float
    fit_s: float
    wall_s: float
    epochs: float


def forecast_time(pace: Pace) -> TimeForecast | None:
    """Tell how long a training will take: what was seen of it, and steps, epochs and test that are still to come.

    Args:
        pace: What was seen.

    Returns:
        None where a budget leaves no time for a step.
    """
    off = math.exp(QUANTILE * _spread(pace))
    typical, slow, quick = (_end(pace, slower) for slower in (1.0, off, 1 / off))
    if typical is None or quick is None:
        return None
    slow = slow or typical  # where a budget leaves time for a step only just
    per_epoch_s = _epoch_train_s(pace) + _validate_s(pace)
    return TimeForecast(
        train_s=_range(typical.train_s, slow.train_s, quick.train_s),
        fit_s=_range(typical.fit_s, slow.fit_s, quick.fit_s),
        wall_s=_range(typical.wall_s, slow.wall_s, quick.wall_s),
        epochs=_range(typical.epochs, slow.epochs, quick.epochs),
        epoch_s=_range(per_epoch_s, per_epoch_s * off, per_epoch_s / off),
        images_per_s=forecast_speed(pace),
        test_s=_test_s(pace) + END_S,
        steps_seen=sum(map(len, pace.steps_s.values())),
    )


def forecast_speed(pace: Pace) -> Range:
    """Tell how many training images a second a training makes.

    Args:
        pace: What was seen.
    """
    off = math.exp(QUANTILE * _spread(pace))
    images_per_s = images_per_epoch(pace.cell) / _epoch_train_s(pace)
    return _range(images_per_s, images_per_s * off, images_per_s / off)


def _range(estimate: float, *ends: float) -> Range:
    return Range(estimate=estimate, low=min(estimate, *ends), high=max(estimate, *ends))


def _done(pace: Pace) -> _Done:
    if pace.is_calibration:
        return _Done(at_s=pace.start_s, fit_s=pace.features_s)
    return _Done(
        at_s=pace.at_s,
        train_s=pace.train_s,
        fit_s=pace.features_s + pace.train_s + sum(pace.validate_s),
        epochs=pace.epochs_done,
        begun=pace.epochs_begun,
        validated=len(pace.validate_s),
        saved=len(pace.checkpoint_s),
    )


def _end(pace: Pace, slower: float) -> _End | None:
    """Where it ends if everything to come takes so many times as long as it did."""
    done, cell = _done(pace), pace.cell
    if cell.budget_s is not None:
        return _end_of_budget(pace, done, slower)
    epochs = cell.epochs or 0
    # What a calibration has only begun may take longer too.
    features_s = (slower - 1) * pace.features_s if pace.is_calibration else 0.0
    before: Mapping[int | None, int] = {} if pace.is_calibration else pace.steps_done
    left = {
        height: max(0, count - before.get(height, 0))
        for height, count in _steps_by_height(cell, epochs * cell.steps_per_epoch).items()
    }
    if cell.recipe.optimizer == "lbfgs":  # an epoch is over after as many passes as it needed
        left = {None: (epochs if pace.is_calibration else epochs - len(pace.validate_s)) * _passes(cell, slower)}
    steps_s = sum(count * _step_s(pace, height) for height, count in left.items())
    train_s = slower * (steps_s + max(0, epochs - done.begun) * pace.epoch_start_s)
    validate_s = slower * max(0, epochs - done.validated) * _validate_s(pace)
    checkpoint_s = slower * max(0, epochs - done.saved) * _checkpoint_s(pace)
    return _End(
        train_s=done.train_s + train_s,
        fit_s=done.fit_s + features_s + train_s + validate_s,
        wall_s=done.at_s + features_s + train_s + validate_s + checkpoint_s + slower * _test_s(pace) + END_S,
        epochs=float(epochs),
    )


def _end_of_budget(pace: Pace, done: _Done, slower: float) -> _End | None:
    """A budget fixes one clock; how many epochs that is, and with them the other clocks, follow."""
    cell = pace.cell
    train_s, validate_s = slower * _epoch_train_s(pace), slower * _validate_s(pace)
    checkpoint_s, test_s = slower * _checkpoint_s(pace), slower * _test_s(pace) + END_S
    left_s, between_s = {
        "train": ((cell.budget_s or 0.0) - done.train_s, 0.0),
        "fit": ((cell.budget_s or 0.0) - done.fit_s, validate_s),
        "wall": ((cell.budget_s or 0.0) - done.at_s - test_s, validate_s + checkpoint_s),
    }[cell.budget_clock]
    if left_s - between_s < slower * _step_s(pace, None) and pace.is_calibration:
        return None
    begun = done.epochs % 1
    # Each epoch ends with what comes between it and the next, the last one too, however much of it is made.
    ends = max(1, math.floor(left_s / (train_s + between_s)))
    while (left_s - ends * between_s) / train_s > ends - begun:
        ends += 1
    epochs = max((left_s - ends * between_s) / train_s, ends - 1 - begun, 0.0)
    fit_s = done.fit_s + epochs * train_s + ends * validate_s
    end = _End(
        train_s=done.train_s + epochs * train_s,
        fit_s=fit_s,
        wall_s=done.at_s + fit_s - done.fit_s + ends * checkpoint_s + test_s,
        epochs=done.epochs + epochs,
    )
    known: dict[str, Any] = {f"{cell.budget_clock}_s": cell.budget_s}
    return replace(end, **known)


def _steps_by_height(cell: Cell, steps: int) -> dict[int | None, int]:
    """How many steps have images of each height; None is their own."""
    height, width, _ = cell.dataset.input_shape
    heights = [size[0] for size in image_sizes(cell.recipe, height, width)]
    ends = [math.ceil(until * steps - 0.5) for _, until in cell.recipe.stages] + [steps]
    counts: dict[int | None, int] = {}
    for stage, begin, end in zip(heights, [0, *ends[:-1]], ends, strict=True):
        key = None if stage == height else stage
        counts[key] = counts.get(key, 0) + max(0, end - begin)
    return counts


def _step_s(pace: Pace, height: int | None) -> float:
    """Seconds of a step of such images; by the number of their pixels where none was seen."""
    if height in pace.steps_s:
        return typical_s(pace.steps_s[height])
    whole = pace.cell.dataset.input_shape[0]
    known, times_s = next(iter(pace.steps_s.items()))
    return typical_s(times_s) * ((height or whole) / (known or whole)) ** 2


def _epoch_train_s(pace: Pace) -> float:
    """One epoch's training; with stages, the mean of all epochs."""
    cell = pace.cell
    if cell.budget_s is not None:
        # A stage has its share of the time, not of the steps.
        shares = _steps_by_height(cell, 10_000)
        per_s = sum(share / 10_000 / _step_s(pace, height) for height, share in shares.items())
        return cell.steps_per_epoch / per_s + pace.epoch_start_s
    if cell.recipe.optimizer == "lbfgs":
        return _passes(cell) * _step_s(pace, None) + pace.epoch_start_s
    steps = (cell.epochs or 1) * cell.steps_per_epoch
    total_s = sum(count * _step_s(pace, height) for height, count in _steps_by_height(cell, steps).items())
    return total_s / (cell.epochs or 1) + pace.epoch_start_s


def images_per_epoch(cell: Cell) -> int:
    """Training images that an epoch is expected to show; of a linear probe, in all of its usual passes."""
    return cell.images_per_step * USUAL_PASSES if cell.recipe.optimizer == "lbfgs" else cell.dataset.num_train


def _passes(cell: Cell, slower: float = 1.0) -> int:
    """What a linear probe needs for a strength: usually, or if everything is slower or quicker than that."""
    if slower > 1:
        return cell.steps_per_epoch
    return USUAL_PASSES if slower == 1 else FEWEST_PASSES


def _validate_s(pace: Pace) -> float:
    if pace.validate_s:
        return float(np.median(pace.validate_s))
    return pace.cell.dataset.num_validation * _evaluate_image_s(pace)


def _checkpoint_s(pace: Pace) -> float:
    return float(np.median(pace.checkpoint_s)) if pace.checkpoint_s else pace.first_checkpoint_s


def _evaluate_image_s(pace: Pace) -> float:
    if pace.evaluate_image_s is not None:
        return pace.evaluate_image_s
    images = min(pace.cell.images_per_step, pace.cell.dataset.num_train * pace.cell.recipe.views)
    return EVALUATION_SHARE * _step_s(pace, None) / images


def _test_s(pace: Pace) -> float:
    return pace.cell.dataset.num_test * (_evaluate_image_s(pace) + pace.feature_image_s)


def _spread(pace: Pace) -> float:
    """Standard deviation of the logarithm of what is still to come."""
    largest = max(pace.steps_s.values(), key=len)
    count = sum(map(len, pace.steps_s.values()))
    return math.hypot(BETWEEN, max(_bootstrapped(largest), STEP_SPREAD / math.sqrt(count)))


def _bootstrapped(steps_s: NDArray[np.float64]) -> float:
    """Relative standard error of the typical step, from resampled chunks of neighbouring steps."""
    chunks = np.array_split(np.minimum(steps_s, 2 * np.median(steps_s)), min(CHUNKS, len(steps_s)))
    means, weights = np.array([chunk.mean() for chunk in chunks]), np.array([len(chunk) for chunk in chunks])
    drawn = np.random.default_rng(0).integers(len(chunks), size=(RESAMPLES, len(chunks)))
    resampled = (means * weights)[drawn].sum(axis=1) / weights[drawn].sum(axis=1)
    return float(resampled.std() / means.mean())
