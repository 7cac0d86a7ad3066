"""What an accuracy costs, and what accuracy a budget buys."""

from __future__ import annotations

import math
from operator import itemgetter
from typing import TYPE_CHECKING

from bench.analysis.columns import TARGETS
from bench.analysis.curves import COSTS, Cost, SeedCurves, finite, high, low, median_curve, seed_curves
from bench.analysis.frame import rows_of, typed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import pandas as pd

    from bench.analysis.rows import Row


def times_to(points: pd.DataFrame, targets: Sequence[float]) -> pd.DataFrame:
    """Say when each cell reached each accuracy; `columns.TARGETS` says what each column means.

    A cell reaches it when its median curve does: when most of its seeds have.

    Args:
        points: What `bench.analysis.curves.curve_points` returns, and forecasts of the same columns.
        targets: Accuracies, shares of 1.

    Returns:
        A row for each cell, kind, split and target, by cell, measured before forecast, in the order of the targets.
    """
    return typed(TARGETS, (_time_to(curves, target) for curves in seed_curves(points) for target in targets))


def best_within(curves: Sequence[Row], budget_s: float) -> tuple[Row, ...]:
    """The highest accuracy within a time, and where it is reached first.

    Args:
        curves: Rows of `bench.analysis.curves.median_curves`, all of one split.
        budget_s: Wall time in seconds.

    Returns:
        Its row; if that is a forecast, the best measured row besides. Empty if nothing was that quick.
    """
    within = [row for row in curves if row["t_s"] <= budget_s]
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
        before = lasts.get(curve_key(row))
        is_same = before is not None and before["accuracy"] == row["accuracy"]
        lasts[curve_key(row)] = row | ({cost: before[cost] for cost in COSTS} if before and is_same else {})
    return tuple(lasts.values())


def curve_key(row: Row) -> tuple[int, str, str]:
    """Which curve a row is of."""
    return row["cell"], row["kind"], row["split"]


def soonest(times: Sequence[Row]) -> tuple[Row, ...]:
    """The cell that reaches an accuracy first.

    Args:
        times: Rows of `times_to`, all of one target and split.

    Returns:
        Its row; if that is a forecast, the soonest measured row besides. Empty if most seeds of no cell reached it.
    """
    return _with_measured(_reached(times), key=lambda row: (row["t_s"],))


def cheapest(times: Sequence[Row], cost: Cost) -> tuple[Row, ...]:
    """The cell that reaches an accuracy for the least.

    Args:
        times: Rows of `times_to`, all of one target and split.
        cost: Of what; cells of which it is unknown are left out.

    Returns:
        As `soonest`; empty also where it is known of none.
    """
    known = [row for row in _reached(times) if row[cost] is not None]
    return _with_measured(known, key=itemgetter(cost, "t_s"))


def cost_in_question(points: pd.DataFrame) -> Cost:
    """What cells are cheap in: money if any device has a price, else energy."""
    return "money" if points["money"].notna().any() else "joules"


def _time_to(curves: SeedCurves, target: float) -> Row:
    seeds = curves.by_seed.values()
    at = next((row for row in median_curve(curves) if row["accuracy"] >= target), None)
    return {
        **{name: curves.first.get(name) for name in TARGETS},
        "target": target,
        "reached": sum(any(row["accuracy"] >= target for row in rows) for rows in seeds),
        "seeds": len(seeds),
        **{cost: None if at is None else at[cost] for cost in COSTS},
        "t_low_s": finite(min(_first_s(rows, lambda row: high(row) >= target) for rows in seeds)),
        "t_high_s": finite(max(_first_s(rows, lambda row: low(row) >= target) for rows in seeds)),
        "horizon_s": curves.horizon_s,
    }


def _first_s(rows: Sequence[Row], is_reached: Callable[[Row], bool]) -> float:
    return next((float(row["t_s"]) for row in rows if is_reached(row)), math.inf)


def _reached(times: Sequence[Row]) -> list[Row]:
    return [row for row in times if row["t_s"] is not None]


def _with_measured(rows: Iterable[Row], *, key: Callable[[Row], tuple[float, ...]]) -> tuple[Row, ...]:
    ordered = sorted(rows, key=lambda row: (*key(row), row["kind"] == "forecast", row["cell"]))
    measured = [row for row in ordered if row["kind"] == "measured"]
    return tuple(ordered[:1]) if ordered[:1] == measured[:1] else (*ordered[:1], *measured[:1])
