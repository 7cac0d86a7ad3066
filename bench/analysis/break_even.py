"""Break-even: from when on the larger model is ahead of the smaller one, and stays ahead."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from bench.analysis.curves import SeedCurves, finite, high, low, seed_curves
from bench.analysis.frame import rows_of
from bench.analysis.stats import CONFIDENCE, MIN_REPEATS
from bench.analysis.targets import curve_key
from bench.analysis.tradeoff import Setting, by_size, comparable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from bench.analysis.rows import Row

    Floats = NDArray[np.float64]

RESAMPLES = 999  # most are the same few: three seeds can be drawn in ten ways
TAILS = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)

Basis = Literal["seeds", "epochs", "forecast"]


@dataclass(frozen=True, kw_only=True)
class BreakEven:
    """When a larger model gets ahead of a smaller one for good, in wall time with start-up.

    Each keeps its best accuracy when it stops, so a model that is ahead at the horizon is ahead for good as far as the
    run tells.

    Attributes:
        device: The device's label.
        setting: What else both have in common where the matrix varies it.
        small: Row of the smaller model (`bench.analysis.tradeoff.by_size`), one of its points: its cell, model, kind,
            split.
        large: Likewise of the larger.
        estimate_s: When, by the median curves; None if not until the horizon.
        low_s: The earliest that it may have been; None if it cannot have been.
        high_s: The latest that it may have been; None if it may not have been at all.
        horizon_s: When the last of both stopped.
        small_end: The last point of the small one, of the seed that stopped last: when, and how it ended.
        large_end: Likewise of the large one.
        seeds: Seeds of both that were compared, if pairs; else of the side that has fewer.
        basis: What the ends rest on. Accuracy is known only at the ends of `epochs`: in between it has at least the
            value before and, as long as it grows, at most the value after. From three common `seeds` on, 95 % of the
            bootstrap over pairs of seeds besides. With a `forecast`, its interval besides.
    """

    device: str
    setting: Setting
    small: Row
    large: Row
    estimate_s: float | None
    low_s: float | None
    high_s: float | None
    horizon_s: float
    small_end: Row
    large_end: Row
    seeds: int
    basis: Basis


def break_evens(points: pd.DataFrame, cells: pd.DataFrame) -> tuple[BreakEven, ...]:
    """Set the smallest model against every larger one, on each device.

    Where either has a forecast, the pair is compared twice: as measured, and with each forecast that there is.

    Args:
        points: What `bench.analysis.curves.curve_points` returns, and forecasts of the same columns.
        cells: What `bench.analysis.cells.cells` returns, for sizes and what parts a comparison.

    Returns:
        By device in the order of the cells, then by growing size.
    """
    known = {curve_key(curves.first): curves for curves in seed_curves(points)}
    begun = {cell for cell, _, _ in known}
    found: list[BreakEven] = []
    for device, setting, group in comparable(rows_of(cells), begun):
        small, *others = by_size(group)
        for large in others:
            if large["model"] != small["model"]:
                pairs = _pairs(known, small["cell"], large["cell"])
                found += [_break_even(device, setting, *pair) for pair in pairs]
    return tuple(found)


@dataclass(frozen=True, kw_only=True)
class _Accuracies:
    """Accuracy at moments, each an array of seeds × moments; minus infinity before a seed's first point.

    Attributes:
        known: At the last end of an epoch.
        least: The least that it may be: that of the last end, by a forecast's lower end.
        most: The most that it may be: that of the next end, by a forecast's upper end.
    """

    known: Floats
    least: Floats
    most: Floats

    def of(self, seeds: NDArray[np.int64]) -> _Accuracies:
        """Those of some seeds, each as often as it is named."""
        return _Accuracies(known=self.known[seeds], least=self.least[seeds], most=self.most[seeds])


def _pairs(
    known: Mapping[tuple[int, str, str], SeedCurves], small: int, large: int
) -> Iterator[tuple[SeedCurves, SeedCurves]]:
    """Curves of two cells on the same images: as measured, and with each forecast that there is."""
    for split in dict.fromkeys(split for _, _, split in known):
        measured = [known.get((cell, "measured", split)) for cell in (small, large)]
        expected = [known.get((cell, "forecast", split)) for cell in (small, large)]
        continued = [ahead or behind for ahead, behind in zip(expected, measured, strict=True)]
        for a, b in [measured, continued] if any(expected) else [measured]:
            if a is not None and b is not None:
                yield a, b


def _break_even(device: str, setting: Setting, small: SeedCurves, large: SeedCurves) -> BreakEven:
    common = [seed for seed in small.by_seed if seed in large.by_seed]
    is_paired = len(common) >= MIN_REPEATS
    sides = [[curves.by_seed[seed] for seed in (common if is_paired else curves.by_seed)] for curves in (small, large)]
    times_s = np.array(sorted({0.0, *(row["t_s"] for side in sides for rows in side for row in rows)}))
    a, b = (_at(side, times_s) for side in sides)
    estimate_s = _crossing(_median(a.known), _median(b.known), times_s)
    low_s, high_s = _ends(a, b, times_s)
    if is_paired:
        low_s, high_s = _bootstrap(a, b, times_s, earliest_s=low_s)
    is_forecast = "forecast" in {small.first["kind"], large.first["kind"]}
    return BreakEven(
        device=device,
        setting=setting,
        small=small.first,
        large=large.first,
        estimate_s=finite(estimate_s),
        low_s=finite(low_s),
        high_s=finite(high_s),
        horizon_s=float(times_s[-1]),
        small_end=_end(sides[0]),
        large_end=_end(sides[1]),
        seeds=min(map(len, sides)),
        basis="forecast" if is_forecast else "seeds" if is_paired else "epochs",
    )


def _end(seeds: Sequence[Sequence[Row]]) -> Row:
    return max((rows[-1] for rows in seeds), key=lambda row: float(row["t_s"]))


def _at(seeds: Sequence[Sequence[Row]], times_s: Floats) -> _Accuracies:
    known, least, most = [], [], []
    for rows in seeds:
        last = np.searchsorted([row["t_s"] for row in rows], times_s, side="right") - 1
        following = np.minimum(last + 1, len(rows) - 1)
        known.append(np.where(last < 0, -np.inf, np.array([row["accuracy"] for row in rows])[last]))
        least.append(np.where(last < 0, -np.inf, np.array([low(row) for row in rows])[last]))
        most.append(np.array([high(row) for row in rows])[following])
    return _Accuracies(known=np.array(known), least=np.array(least), most=np.array(most))


def _ends(small: _Accuracies, large: _Accuracies, times_s: Floats) -> tuple[float, float]:
    """When the large one gets ahead at the earliest and at the latest; infinity for never."""
    return (
        _crossing(_median(small.least), _median(large.most), times_s),
        _crossing(_median(small.most), _median(large.least), times_s),
    )


def _median(accuracies: Floats) -> Floats:
    """What most seeds have at least, as in `bench.analysis.curves.median_curves`."""
    middle: Floats = np.sort(accuracies, axis=0)[(len(accuracies) - 1) // 2]
    return middle


def _crossing(small: Floats, large: Floats, times_s: Floats) -> float:
    """The moment from which on the large one is ahead; infinity for never."""
    behind = np.flatnonzero(large <= small)
    if not behind.size:
        return 0.0
    return float(times_s[behind[-1] + 1]) if behind[-1] + 1 < len(times_s) else math.inf


def _bootstrap(small: _Accuracies, large: _Accuracies, times_s: Floats, *, earliest_s: float) -> tuple[float, float]:
    """Percentiles over resampled pairs of seeds; an order statistic each, since infinity cannot be interpolated."""
    n = len(small.known)
    drawn = np.sort(np.random.default_rng(0).integers(n, size=(RESAMPLES, n)), axis=1)
    samples, counts = np.unique(drawn, axis=0, return_counts=True)
    ends = np.array([_ends(small.of(sample), large.of(sample), times_s) for sample in samples])
    low_s, high_s = (_quantile(ends[:, end], counts, share) for end, share in enumerate(TAILS))
    # Few resamples may be ahead as early as all seeds are, but none takes away what the epochs alone leave open. That
    # needs no care at the other end: what is behind with all seeds is so in more resamples than the tail holds.
    return min(low_s, earliest_s), high_s


def _quantile(values: Floats, counts: NDArray[np.int64], share: float) -> float:
    order = np.argsort(values)
    reached = np.cumsum(counts[order]) >= share * counts.sum()
    return float(values[order][reached.argmax()])
