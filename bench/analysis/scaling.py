"""More threads against fewer: how many times as fast, and from where on more of them buy nothing."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from bench.analysis.stats import Interval, ratio_interval

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pandas as pd

SAME_WITHIN = 0.03  # by as much may a machine drift before it counts as noisy
LOW_EFFICIENCY = 0.6  # siblings share the arithmetic of one core: 0.5, and a little more where they wait for memory
HIGH_EFFICIENCY = 1.1  # larger caches may lift it a little above 1; more means that the fewest threads were held up


@dataclass(frozen=True, kw_only=True)
class Point:
    """One thread count, over its seeds that ended ok.

    Attributes:
        cell: Number of the cell in the run.
        device: Its label.
        threads: Threads asked for.
        siblings: Whether they share cores.
        rates: Training images a second, by seed.
        speed_up: Times as fast as the fewest threads: the ratio of the median rates; from three common seeds on, the
            median of the seeds' ratios.
        interval: Of the speed-up; None for the fewest threads themselves and for fewer than three common seeds.
        efficiency: Speed-up over the ratio of the threads; 1 where each thread does as much as before.
    """

    cell: int
    device: str
    threads: int
    siblings: bool
    rates: Mapping[int, float]
    speed_up: float
    interval: Interval | None
    efficiency: float

    @property
    def images_per_s(self) -> float:
        """Median rate."""
        return median(self.rates.values())


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """Cells that differ in their CPU device alone.

    Attributes:
        model: Name of the model.
        points: By growing thread count; the first is what the others are measured against.
        fastest: The point of the highest median rate.
        best: The point of the fewest threads that cannot be told from the fastest: it is less than 3 % slower, or the
            interval of their paired ratio holds 1.
    """

    model: str
    points: tuple[Point, ...]
    fastest: Point
    best: Point


def scalings(trials: pd.DataFrame) -> tuple[Scaling, ...]:
    """Set thread counts against each other wherever cells differ in nothing else.

    Args:
        trials: `Report.trials`; those that did not end ok do not count.

    Returns:
        In the order of the trials; empty if nothing ran on several CPU devices.
    """
    ok = trials[(trials["device_kind"] == "cpu") & (trials["status"] == "ok") & trials["images_per_s"].notna()]
    groups = (group for _, group in ok.groupby("workload", sort=False))
    return tuple(_scaling(group) for group in groups if len(set(group["cell"])) > 1)


def doubtful_pair(found: Iterable[Scaling]) -> Point | None:
    """Two cores that may be siblings of one, which a hypervisor need not say: only a possibility.

    A model may be too small for two threads, so what counts is the model that scales best.

    Returns:
        The point of two threads with the highest efficiency, if even that is below 0.6; else None.
    """
    pairs = [
        point
        for scaling in found
        for point in scaling.points
        if scaling.points[0].threads == 1 and point.threads == 2 and not point.siblings
    ]
    best = max(pairs, key=lambda point: point.efficiency, default=None)
    return best if best is not None and best.efficiency < LOW_EFFICIENCY else None


def incredible_points(found: Iterable[Scaling]) -> tuple[tuple[Scaling, Point], ...]:
    """Points whose efficiency is above 1.1, more than threads can give."""
    return tuple(
        (scaling, point) for scaling in found for point in scaling.points if point.efficiency > HIGH_EFFICIENCY
    )


def _scaling(trials: pd.DataFrame) -> Scaling:
    groups = [group for _, group in trials.groupby("cell", sort=False)]
    groups.sort(key=lambda group: (group["threads"].iloc[0], group["siblings"].iloc[0]))
    points = tuple(_point(group, fewest=groups[0]) for group in groups)
    fastest = max(points, key=lambda point: point.images_per_s)
    return Scaling(
        model=trials["model"].iloc[0],
        points=points,
        fastest=fastest,
        best=next(point for point in points if _cannot_be_told_apart(fastest, point)),
    )


def _point(group: pd.DataFrame, *, fewest: pd.DataFrame) -> Point:
    first = group.iloc[0]
    rates, base = _rates(group), _rates(fewest)
    interval = None if group is fewest else ratio_interval(rates, base)
    speed_up = median(rates.values()) / median(base.values()) if interval is None else interval.estimate
    return Point(
        cell=int(first["cell"]),
        device=first["device"],
        threads=int(first["threads"]),
        siblings=bool(first["siblings"]),
        rates=rates,
        speed_up=speed_up,
        interval=interval,
        efficiency=speed_up * int(fewest["threads"].iloc[0]) / int(first["threads"]),
    )


def _rates(trials: pd.DataFrame) -> dict[int, float]:
    return dict(zip(trials["seed"].tolist(), trials["images_per_s"].tolist(), strict=True))


def _cannot_be_told_apart(fastest: Point, point: Point) -> bool:
    if fastest.images_per_s < (1 + SAME_WITHIN) * point.images_per_s:
        return True
    ratio = ratio_interval(fastest.rates, point.rates)
    return ratio is not None and 1.0 in ratio
