"""What an accuracy costs, and what accuracy a budget buys."""

from __future__ import annotations

import math
from operator import itemgetter
from statistics import median
from typing import TYPE_CHECKING

from bench.analysis.columns import TARGETS
from bench.analysis.curves import COSTS, Cost, SeedCurves, high, low, seed_curves
from bench.analysis.frame import rows_of, typed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import pandas as pd

    from bench.analysis.rows import Row


def times_to(points: pd.DataFrame, targets: Sequence[float]) -> pd.DataFrame:
    """Say when each cell reached each accuracy; `columns.TARGETS` says what each column means.

    A seed that never reached it counts as one that takes for ever, so the median is known where most reached it.

    Args:
        points: What `bench.analysis.curves.curve_points` returns, and forecasts of the same columns.
        targets: Accuracies, shares of 1.

    Returns:
        A row for each cell, kind and target, by cell, measured before forecast, in the order of the targets.
    """
    return typed(TARGETS, (_time_to(curves, target) for curves in seed_curves(points) for target in targets))


def best_within(curves: pd.DataFrame, budget_s: float) -> tuple[Row, ...]:
    """The highest accuracy within a time, and where it is reached first.

    Args:
        curves: What `bench.analysis.curves.median_curves` returns.
        budget_s: Wall time in seconds.

    Returns:
        Its row; if that is a forecast, the best measured row besides. Empty if nothing was that quick.
    """
    within = [row for row in rows_of(curves) if row["t_s"] is not None and row["t_s"] <= budget_s]
    return _with_measured(within, key=lambda row: (-row["accuracy"], row["t_s"]))


def bests(curves: pd.DataFrame) -> tuple[Row, ...]:
    """The best of each curve: its last row with the costs at which it first had that accuracy.

    Args:
        curves: What `bench.analysis.curves.median_curves` returns.

    Returns:
        By cell, measured before forecast.
    """
    lasts: dict[tuple[int, str, str], Row] = {}
    for row in rows_of(curves):
        curve = (row["cell"], row["kind"], row["split"])
        before = lasts.get(curve)
        is_same = before is not None and before["accuracy"] == row["accuracy"]
        lasts[curve] = row | ({cost: before[cost] for cost in COSTS} if before is not None and is_same else {})
    return tuple(lasts.values())


def soonest(times: pd.DataFrame, target: float) -> tuple[Row, ...]:
    """The cell that reaches an accuracy first.

    Args:
        times: What `times_to` returns.
        target: One of its targets.

    Returns:
        Its row; if that is a forecast, the soonest measured row besides. Empty if most seeds of no cell reached it.
    """
    return _with_measured(_reached(times, target), key=lambda row: (row["t_s"],))


def cheapest(times: pd.DataFrame, target: float) -> tuple[Row, ...]:
    """The cell that reaches an accuracy for the least money or, if no device has a price, the least energy.

    Args:
        times: What `times_to` returns.
        target: One of its targets.

    Returns:
        As `soonest`; empty also where neither money nor energy is known.
    """
    reached = _reached(times, target)
    for cost in ("money", "joules"):
        known = [row for row in reached if row[cost] is not None]
        if known:
            return _with_measured(known, key=itemgetter(cost, "t_s"))
    return ()


def _time_to(curves: SeedCurves, target: float) -> Row:
    firsts = [_first(rows, lambda row: row["accuracy"] >= target) for rows in curves.by_seed.values()]
    early = [_first(rows, lambda row: high(row) >= target) for rows in curves.by_seed.values()]
    late = [_first(rows, lambda row: low(row) >= target) for rows in curves.by_seed.values()]
    return {
        **{name: curves.first.get(name) for name in TARGETS},
        "target": target,
        "reached": sum(row is not None for row in firsts),
        "seeds": len(firsts),
        **{cost: _median(firsts, cost) for cost in COSTS},
        "t_low_s": _finite(min(_spent(row, "t_s") for row in early)),
        "t_high_s": _finite(max(_spent(row, "t_s") for row in late)),
        "horizon_s": curves.horizon_s,
    }


def _first(rows: Sequence[Row], is_reached: Callable[[Row], bool]) -> Row | None:
    return next((row for row in rows if is_reached(row)), None)


def _median(firsts: Sequence[Row | None], cost: Cost) -> float | None:
    if any(row is not None and row[cost] is None for row in firsts):
        return None
    return _finite(median(_spent(row, cost) for row in firsts))


def _spent(row: Row | None, cost: Cost) -> float:
    return math.inf if row is None else row[cost]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _reached(times: pd.DataFrame, target: float) -> list[Row]:
    return [row for row in rows_of(times) if row["target"] == target and row["t_s"] is not None]


def _with_measured(rows: Iterable[Row], *, key: Callable[[Row], tuple[float, ...]]) -> tuple[Row, ...]:
    ordered = sorted(rows, key=lambda row: (*key(row), row["kind"] == "forecast", row["cell"]))
    measured = [row for row in ordered if row["kind"] == "measured"]
    return tuple(ordered[:1]) if ordered[:1] == measured[:1] else (*ordered[:1], *measured[:1])
