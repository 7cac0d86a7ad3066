"""Break-even: from when on the larger model is ahead of the smaller one, and stays ahead."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from bench.analysis.curves import SeedCurves, high, low, seed_curves, steps
from bench.analysis.frame import rows_of
from bench.analysis.stats import CONFIDENCE, MIN_REPEATS
from bench.analysis.tradeoff import Setting, comparable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from bench.analysis.curves import Kind
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
        small: Row of the model with fewer parameters, one of its points: its cell, model, kind, split.
        large: Likewise of that with more.
        estimate_s: When, by the median curves; None if not until the horizon.
        low_s: The earliest that it may have been; None if it cannot have been.
        high_s: The latest that it may have been; None if it may not have been at all.
        horizon_s: When the last of both stopped.
        small_stopped_s: When the last seed of the small one stopped.
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
    small_stopped_s: float
    seeds: int
    basis: Basis


def break_evens(points: pd.DataFrame, cells: pd.DataFrame) -> tuple[BreakEven, ...]:
    """Set the smallest model against every larger one, on each device.

    Where either has a forecast, the pair is compared twice: as measured, and with each forecast that there is.

    Args:
        points: What `bench.analysis.curves.curve_points` returns, and forecasts of the same columns.
        cells: What `bench.analysis.cells.cells` returns, for parameters and what parts a comparison. Of models with as
            many parameters, the one that trained longer is the larger.

    Returns:
        By device in the order of the cells, then by growing size.
    """
    known = {(curves.first["cell"], curves.first["kind"]): curves for curves in seed_curves(points)}
    begun = {cell for cell, _ in known}
    found: list[BreakEven] = []
    for device, setting, group in comparable([row for row in rows_of(cells) if row["cell"] in begun]):
        small, *others = sorted(group, key=_size)
        for large in others:
            if large["model"] != small["model"]:
                pairs = _pairs(known, small["cell"], large["cell"])
                found += [_break_even(device, setting, *pair) for pair in pairs]
    return tuple(found)


@dataclass(frozen=True, kw_only=True)
class _Steps:
    """Accuracy at moments, each an array of seeds × moments; minus infinity before a seed's first point.

    Attributes:
        known: At the last end of an epoch.
        least: The least that it may be: that of the last end, by a forecast's lower end.
        most: The most that it may be: that of the next end, by a forecast's upper end.
    """

    known: Floats
    least: Floats
    most: Floats

    def of(self, seeds: NDArray[np.int64]) -> _Steps:
        """Those of some seeds, each as often as it is named."""
        return _Steps(known=self.known[seeds], least=self.least[seeds], most=self.most[seeds])


def _size(row: Row) -> tuple[float, float, int]:
    return row["parameters"] or 0, row["train_s"] or 0.0, row["cell"]


def _pairs(
    known: dict[tuple[int, Kind], SeedCurves], small: int, large: int
) -> Iterator[tuple[SeedCurves, SeedCurves]]:
    measured = [known.get((cell, "measured")) for cell in (small, large)]
    expected = [
        _continued(known[cell, "forecast"], after) if (cell, "forecast") in known else after
        for cell, after in zip((small, large), measured, strict=True)
    ]
    for a, b in [measured, expected] if measured != expected else [measured]:
        if a is not None and b is not None and a.first["split"] == b.first["split"]:
            yield a, b


def _continued(forecast: SeedCurves, measured: SeedCurves | None) -> SeedCurves:
    """A forecast after what was measured of the same seed, or of the median seed where it is of none."""
    if measured is None or measured.first["split"] != forecast.first["split"]:
        return forecast
    by_seed = {}
    for seed, rows in forecast.by_seed.items():
        before = measured.by_seed.get(seed) or list(steps(measured))
        by_seed[seed] = [*(row for row in before if row["t_s"] < rows[0]["t_s"]), *rows]
    return SeedCurves(first=forecast.first, by_seed=by_seed)


def _break_even(device: str, setting: Setting, small: SeedCurves, large: SeedCurves) -> BreakEven:
    common = [seed for seed in small.by_seed if seed in large.by_seed]
    is_paired = len(common) >= MIN_REPEATS
    sides = [[curves.by_seed[seed] for seed in (common if is_paired else curves.by_seed)] for curves in (small, large)]
    times_s = np.array(sorted({0.0, *(row["t_s"] for side in sides for rows in side for row in rows)}))
    a, b = (_at(side, times_s) for side in sides)
    estimate_s = _crossing(_median(a.known), _median(b.known), times_s)
    low_s, high_s = _ends(a, b, times_s)
    if is_paired:
        low_s, high_s = _bootstrap(a, b, times_s, around=(low_s, high_s))
    is_forecast = "forecast" in {small.first["kind"], large.first["kind"]}
    return BreakEven(
        device=device,
        setting=setting,
        small=small.first,
        large=large.first,
        estimate_s=_finite(estimate_s),
        low_s=_finite(low_s),
        high_s=_finite(high_s),
        horizon_s=float(times_s[-1]),
        small_stopped_s=max(rows[-1]["t_s"] for rows in sides[0]),
        seeds=min(map(len, sides)),
        basis="forecast" if is_forecast else "seeds" if is_paired else "epochs",
    )


def _at(seeds: Sequence[Sequence[Row]], times_s: Floats) -> _Steps:
    known, least, most = [], [], []
    for rows in seeds:
        last = np.searchsorted([row["t_s"] for row in rows], times_s, side="right") - 1
        following = np.minimum(last + 1, len(rows) - 1)
        known.append(np.where(last < 0, -np.inf, np.array([row["accuracy"] for row in rows])[last]))
        least.append(np.where(last < 0, -np.inf, np.array([low(row) for row in rows])[last]))
        most.append(np.array([high(row) for row in rows])[following])
    return _Steps(known=np.array(known), least=np.array(least), most=np.array(most))


def _ends(small: _Steps, large: _Steps, times_s: Floats) -> tuple[float, float]:
    """When the large one gets ahead at the earliest and at the latest; infinity for never."""
    return (
        _crossing(_median(small.least), _median(large.most), times_s),
        _crossing(_median(small.most), _median(large.least), times_s),
    )


def _median(steps: Floats) -> Floats:
    median: Floats = np.median(steps, axis=0)
    return np.where(np.isneginf(steps).any(axis=0), -np.inf, median)


def _crossing(small: Floats, large: Floats, times_s: Floats) -> float:
    """The moment from which on the large one is ahead; infinity for never."""
    behind = np.flatnonzero(large <= small)
    if not behind.size:
        return 0.0
    return float(times_s[behind[-1] + 1]) if behind[-1] + 1 < len(times_s) else math.inf


def _bootstrap(small: _Steps, large: _Steps, times_s: Floats, *, around: tuple[float, float]) -> tuple[float, float]:
    """Percentiles over resampled pairs of seeds; an order statistic each, since infinity cannot be interpolated."""
    n = len(small.known)
    drawn = np.sort(np.random.default_rng(0).integers(n, size=(RESAMPLES, n)), axis=1)
    samples, counts = np.unique(drawn, axis=0, return_counts=True)
    ends = np.array([_ends(small.of(sample), large.of(sample), times_s) for sample in samples])
    low_s, high_s = (_quantile(ends[:, end], counts, share) for end, share in enumerate(TAILS))
    # No resample takes away what the epochs alone leave open.
    return min(low_s, around[0]), max(high_s, around[1])


def _quantile(values: Floats, counts: NDArray[np.int64], share: float) -> float:
    order = np.argsort(values)
    reached = np.cumsum(counts[order]) >= share * counts.sum()
    return float(values[order][reached.argmax()])


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
