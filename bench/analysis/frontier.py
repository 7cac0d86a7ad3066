"""The Pareto frontier: where nothing that costs less, or as much, is more accurate."""

from __future__ import annotations

import math
from itertools import groupby
from typing import TYPE_CHECKING

from bench.analysis.columns import FRONTIER, LEGS, MARGINAL
from bench.analysis.curves import COSTS, KINDS
from bench.analysis.frame import rows_of, typed

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from bench.analysis.rows import Row


def frontier(curves: pd.DataFrame) -> pd.DataFrame:
    """Keep the points that no other dominates; `columns.FRONTIER` says what each column means.

    Of points of the same cost and accuracy one stays: a measured one before a forecast, then the cheaper, then that of
    the first cell. What it costs to go on is told from the point before, whichever cell's it is: who stops there, and
    who goes on, each train one model from the start. The first point has none before it.

    Args:
        curves: What `bench.analysis.curves.median_curves` returns, all over one cost.

    Returns:
        By growing cost, and so by growing accuracy. Accuracies on validation and test images are never compared: each
        split has a frontier of its own, one after the other.
    """
    kept: list[Row] = []
    for row in sorted(rows_of(curves), key=_order):
        before = kept[-1] if kept and kept[-1]["split"] == row["split"] else None
        if before is None or row["accuracy"] > before["accuracy"]:
            kept.append(row | _leg(before, row) | _marginal(before, row))
    return typed(FRONTIER, kept)


def legs(points: pd.DataFrame) -> pd.DataFrame:
    """Take points together that follow each other on one curve; `columns.LEGS` says what each column means.

    What a leg costs is told from the end of the leg before, so that it holds what changing over costs. The first leg is
    told from its own first point, since what the accuracy was before that is unknown; it costs nothing known if that
    is its only point.

    Args:
        points: What `frontier` returns.

    Returns:
        A row for each leg, in the order of the frontier.
    """
    found: list[Row] = []
    before: Row | None = None
    for _, group in groupby(rows_of(points), key=lambda row: (row["split"], row["leg"])):
        rows = list(group)
        first, last = rows[0], rows[-1]
        if before is not None and before["split"] != first["split"]:
            before = None
        base = before or (first if len(rows) > 1 else None)
        found.append({name: last.get(name) for name in LEGS} | _ends(first, last) | _marginal(base, last))
        before = last
    return typed(LEGS, found)


def _order(row: Row) -> tuple[float | str, ...]:
    others = (math.inf if row[name] is None else row[name] for name in ("money", "joules", "t_s"))
    return (row["split"] == "test", row[row["cost"]], -row["accuracy"], KINDS.index(row["kind"]), *others, row["cell"])


def _leg(before: Row | None, row: Row) -> dict[str, int]:
    if before is None:
        return {"leg": 1}
    return {"leg": before["leg"] + any(before[name] != row[name] for name in ("cell", "kind"))}


def _marginal(before: Row | None, row: Row) -> Row:
    kind = None if before is None else max(before["kind"], row["kind"], key=KINDS.index)
    return {name: _per_point(before, row, cost) for cost, name in MARGINAL.items()} | {"marginal_kind": kind}


def _per_point(before: Row | None, row: Row, cost: str) -> float | None:
    if before is None or before[cost] is None or row[cost] is None:
        return None
    return float((row[cost] - before[cost]) / (100 * (row["accuracy"] - before["accuracy"])))


def _ends(first: Row, last: Row) -> Row:
    names: Sequence[str] = (*COSTS, "accuracy")
    return {f"from_{name}": first[name] for name in names} | {f"to_{name}": last[name] for name in names}
