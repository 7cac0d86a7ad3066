"""How long a training will take, from the pace of its first steps."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

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
class _Rest:
    """What is still to come, in seconds."""

    train_s: float
    validate_s: float
    checkpoint_s: float
    test_s: float


def forecast_time(pace: Pace) -> TimeForecast:
    """Tell how long a training will take: what was seen of it, and steps, epochs and test that are still to come.

    Of a calibration, only the start-up is part of the training.

    Args:
        pace: What was seen.
    """
    cell = pace.cell
    spread = _spread(pace)
    epochs = float(cell.epochs) if cell.budget_s is None and cell.epochs else _budget_epochs(pace, 1.0)
    rest = _rest(pace, epochs)
    done_train_s = 0.0 if pace.is_calibration else pace.train_s
    done_fit_s = 0.0 if pace.is_calibration else pace.train_s + sum(pace.validate_s)
    done_s = pace.start_s if pace.is_calibration else pace.at_s
    fit_s = rest.train_s + rest.validate_s
    wall_s = fit_s + rest.checkpoint_s + rest.test_s + END_S
    steps_seen = sum(map(len, pace.steps_s.values()))
    per_epoch_s = _epoch_train_s(pace) + _validate_s(pace)
    images_per_s = cell.dataset.num_train / _epoch_train_s(pace)
    forecast = TimeForecast(
        train_s=_plus(done_train_s, rest.train_s, spread),
        fit_s=_plus(done_fit_s, fit_s, spread),
        wall_s=_plus(done_s, wall_s, spread),
        epochs=Range(estimate=epochs, low=epochs, high=epochs),
        epoch_s=_plus(0.0, per_epoch_s, spread),
        images_per_s=_plus(0.0, images_per_s, spread),
        test_s=rest.test_s + END_S,
        steps_seen=steps_seen,
    )
    return forecast if cell.budget_s is None else _within_budget(forecast, pace, spread)


def _within_budget(forecast: TimeForecast, pace: Pace, spread: float) -> TimeForecast:
    """Time is what was asked for, and how far it reaches is what is not known."""
    cell = pace.cell
    budget_s = cell.budget_s or 0.0
    fixed = Range(estimate=budget_s, low=budget_s, high=budget_s)
    epochs = Range(
        estimate=_budget_epochs(pace, 1.0),
        low=_budget_epochs(pace, math.exp(QUANTILE * spread)),
        high=_budget_epochs(pace, math.exp(-QUANTILE * spread)),
    )
    return replace(
        forecast,
        train_s=fixed if cell.budget_clock == "train" else forecast.train_s,
        fit_s=fixed if cell.budget_clock == "fit" else forecast.fit_s,
        wall_s=fixed if cell.budget_clock == "wall" else forecast.wall_s,
        epochs=epochs,
    )


def _rest(pace: Pace, epochs: float) -> _Rest:
    cell = pace.cell
    total = _steps_by_height(cell, round(epochs * cell.steps_per_epoch))
    done: Mapping[int | None, int] = {} if pace.is_calibration else pace.steps_done
    begun, validated, saved = (
        (0, 0, 0) if pace.is_calibration else (pace.epochs_begun, len(pace.validate_s), len(pace.checkpoint_s))
    )
    left = {height: max(0, count - done.get(height, 0)) for height, count in total.items()}
    train_s = sum(count * _step_s(pace, height) for height, count in left.items())
    whole = math.ceil(epochs)
    return _Rest(
        train_s=train_s + max(0, whole - begun) * pace.epoch_start_s,
        validate_s=max(0, whole - validated) * _validate_s(pace),
        checkpoint_s=max(0, whole - saved) * _checkpoint_s(pace),
        test_s=cell.dataset.num_test * _evaluate_image_s(pace),
    )


def _budget_epochs(pace: Pace, slower: float) -> float:
    """Epochs that a budget reaches, where each takes so many times as long as it did."""
    cell = pace.cell
    budget_s = cell.budget_s or 0.0
    per_epoch_s = _epoch_train_s(pace)
    if cell.budget_clock != "train":
        per_epoch_s += _validate_s(pace)
    if cell.budget_clock == "wall":
        test_s = cell.dataset.num_test * _evaluate_image_s(pace)
        budget_s = max(0.0, budget_s - pace.start_s - (test_s + END_S) * slower)
        per_epoch_s += _checkpoint_s(pace)
    return budget_s / (per_epoch_s * slower)


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
    steps = (cell.epochs or 1) * cell.steps_per_epoch
    total_s = sum(count * _step_s(pace, height) for height, count in _steps_by_height(cell, steps).items())
    return total_s / (cell.epochs or 1) + pace.epoch_start_s


def _validate_s(pace: Pace) -> float:
    if pace.validate_s:
        return float(np.median(pace.validate_s))
    return pace.cell.dataset.num_validation * _evaluate_image_s(pace)


def _checkpoint_s(pace: Pace) -> float:
    return float(np.median(pace.checkpoint_s)) if pace.checkpoint_s else pace.first_checkpoint_s


def _evaluate_image_s(pace: Pace) -> float:
    if pace.evaluate_image_s is not None:
        return pace.evaluate_image_s
    return EVALUATION_SHARE * _step_s(pace, None) / pace.cell.batch_size


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


def _plus(done: float, rest: float, spread: float) -> Range:
    """What is known and what is still to come."""
    off = math.exp(QUANTILE * spread)
    return Range(estimate=done + rest, low=done + rest / off, high=done + rest * off)
