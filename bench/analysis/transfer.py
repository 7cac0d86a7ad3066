"""Accuracy by epoch of a training that is still to come, from a reference curve."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import accumulate
from statistics import mean, median_low, variance
from typing import TYPE_CHECKING

from scipy import stats

from bench.analysis.stats import MIN_REPEATS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from bench.reference.matching import Match

COVERAGE = 0.9  # of the intervals: the share of further trainings that they are to hold

# Standard deviation between seeds. On CIFAR-100 0.2 to 0.6 points are reported for 10,000 test images at the end of a
# training; the upper end, because few seeds lie close together by chance, and earlier epochs apart by more.
USUAL_DEVIATION = 0.006


@dataclass(frozen=True, kw_only=True)
class Expected:
    """An accuracy that is expected of one more training.

    Attributes:
        accuracy: A share of 1.
        low: Lower end of the interval that holds 90 % of trainings; None where their spread is not known.
        high: Upper end, likewise.
    """

    accuracy: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class Transferred:
    """What a reference curve says of a cell that was never trained here.

    Attributes:
        match: The curve.
        by_epoch: Best validation accuracy so far after each epoch, from the first one to the last that is asked for or
            that the curve reaches; None where it is not known.
        test: Test accuracy at the end; None where it is not known of a training that ends there.
        notes: What should be known of it, in words.
    """

    match: Match
    by_epoch: tuple[Expected | None, ...]
    test: Expected | None
    notes: tuple[str, ...]


def transfer(match: Match, epochs: int) -> Transferred:
    """Say what one more training of a reference curve's kind is expected to reach.

    The expected accuracy is the median of the seeds, of an even number the lower middle one, as in the curves of a
    report. The interval is a prediction interval for a single training, of Student's t from 3 seeds on. It is never
    narrower than the usual deviation between seeds allows, nor than the binomial one of an accuracy that is counted on
    so few images: what differs between trainings is mostly which of these images each gets right (Jordan 2023,
    arXiv 2304.01910). Where the same images are in another order, others are held back: both draws add to the width.

    Args:
        match: A curve that holds for the cell.
        epochs: Of the training, at least 1; beyond the curve's end nothing is said.

    Returns:
        Accuracies; of a published curve those at its end alone, without an interval.

    Raises:
        ValueError: Fewer than 1 epoch.
    """
    if epochs < 1:
        raise ValueError(f"a training has at least 1 epoch; received {epochs}")
    curve = match.curve
    best = [_best_so_far(seed.val_accuracy[:epochs]) for seed in curve.seeds if any(map(_is_known, seed.val_accuracy))]
    # Where a seed's first accuracies are lost, those of the others alone would stand for other trainings than later.
    begun = [[value for value in values if value is not None] for values in zip(*best, strict=True)]
    known = [values if len(values) == len(best) else [] for values in begun]
    by_epoch = [_expected(values, match, images=curve.num_validation) for values in known]
    ends_there = epochs == curve.epochs
    tested = [seed.test_accuracy for seed in curve.seeds if ends_there and seed.test_accuracy is not None]
    return Transferred(
        match=match,
        by_epoch=tuple(_never_falling(by_epoch)),
        test=_expected(tested, match, images=curve.num_test, same_images=True),
        notes=(*match.notes, *_notes(match, epochs)),
    )


def _best_so_far(accuracies: Iterable[float | None]) -> tuple[float | None, ...]:
    return tuple(accumulate(accuracies, _better))


def _is_known(accuracy: float | None) -> bool:
    return accuracy is not None


def _better(best: float | None, accuracy: float | None) -> float | None:
    return max((value for value in (best, accuracy) if value is not None), default=None)


def _expected(
    accuracies: Sequence[float], match: Match, *, images: int, same_images: bool | None = None
) -> Expected | None:
    """What one more training is expected to reach where some have reached these accuracies.

    Args:
        accuracies: One a seed.
        match: The curve that they are of.
        images: That accuracy is counted on.
        same_images: Whether the training is measured on the very images. Defaults to what the match says.
    """
    if not accuracies:
        return None
    accuracy = median_low(accuracies)
    if match.curve.published:
        return Expected(accuracy=accuracy)
    seeds, middle = len(accuracies), mean(accuracies)
    binomial = middle * (1 - middle) / images
    factor = normal = float(stats.norm.ppf((1 + COVERAGE) / 2))
    half = normal * math.sqrt(max(USUAL_DEVIATION**2, binomial))
    if seeds > 1:  # two trainings are too few for Student's t, but can show that the usual is not enough
        if seeds >= MIN_REPEATS:
            factor = float(stats.t.ppf((1 + COVERAGE) / 2, seeds - 1))
        half = max(half, factor * math.sqrt(variance(accuracies)))
    half *= math.sqrt(1 + 1 / seeds)  # the new training's own deviation, and that of the mean of these
    if not (match.same_order if same_images is None else same_images):
        half = math.hypot(half, normal * math.sqrt(2 * binomial))
    return Expected(accuracy=accuracy, low=max(0.0, middle - half), high=min(1.0, middle + half))


def _never_falling(expected: Iterable[Expected | None]) -> Iterator[Expected | None]:
    """The best so far never falls, so neither do the ends of its interval."""
    low = high = 0.0
    for one in expected:
        if one is None or one.low is None or one.high is None:
            yield one
        else:
            low, high = max(low, one.low), max(high, one.high)
            yield replace(one, low=low, high=high)


def _notes(match: Match, epochs: int) -> Iterator[str]:
    curve = match.curve
    if epochs > curve.epochs:
        yield f"the curve ends after {curve.epochs} epochs; of later ones nothing is known"
    if curve.published:
        yield "one published training: how far others lie from it is not known"
    elif len(curve.seeds) < MIN_REPEATS:
        trainings = "one training" if len(curve.seeds) == 1 else f"{len(curve.seeds)} trainings"
        yield f"{trainings}: the interval rests on what seeds usually differ by"
