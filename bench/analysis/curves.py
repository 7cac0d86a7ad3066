"""Best accuracy so far against what it cost: of each trial, and of each cell over its seeds."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from itertools import accumulate
from statistics import median
from typing import TYPE_CHECKING, Any, Literal, get_args

from bench.analysis.columns import CURVES, POINTS
from bench.analysis.frame import rows_of, typed
from bench.analysis.prices import price_per_hour

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pandas as pd

    from bench.analysis.rows import Row

Cost = Literal["t_s", "joules", "money"]
Kind = Literal["measured", "forecast"]
COSTS: tuple[Cost, ...] = get_args(Cost)
KINDS: tuple[Kind, ...] = get_args(Kind)

# How a trial ends by its own doing; a forecast has no status.
SETTLED = {"ok", "diverged", None}


@dataclass(frozen=True, kw_only=True)
class SeedCurves:
    """The curves of a cell, one a seed, all measured or all forecast.

    Attributes:
        first: One of the rows, for what all have in common: cell, model, device, kind, split.
        by_seed: The points of each seed as rows, by growing cost. None stands for no seed in particular.
    """

    first: Row
    by_seed: Mapping[int | None, Sequence[Row]]

    @property
    def horizon_s(self) -> float:
        """Wall time at the last point of any seed, in seconds."""
        return max(float(row["t_s"]) for rows in self.by_seed.values() for row in rows)


def curve_points(trials: pd.DataFrame, epochs: pd.DataFrame, prices: Mapping[str, float]) -> pd.DataFrame:
    """Best accuracy so far at the end of each epoch; `columns.POINTS` says what each column means.

    It is the accuracy on the validation images, which is known while a trial runs. Where none were held back, a trial
    has one point, its accuracy on the test images at its end; `split` tells them apart.

    Args:
        trials: `Report.trials`, of any status: what a trial measured before it was interrupted was measured.
        epochs: `Report.epochs`.
        prices: An hour's price by the label or kind of a device.

    Returns:
        A row for each point, by trial in the order of the trials.
    """
    by_key: defaultdict[str, list[Row]] = defaultdict(list)
    for row in sorted(rows_of(epochs), key=lambda row: row["epoch"]):
        by_key[row["key"]].append(row)
    return typed(POINTS, (point for trial in rows_of(trials) for point in _points(trial, by_key[trial["key"]], prices)))


def seed_curves(points: pd.DataFrame, cost: Cost = "t_s") -> list[SeedCurves]:
    """Take points of one cell and kind together.

    Where a trial of a cell ended by its own doing, ok or diverged, those of the cell that were cut short do not count:
    a seed that was interrupted at 10 % would stand for one that never got further.

    Args:
        points: What `curve_points` returns, and forecasts of the same columns.
        cost: What is to grow along each curve; points whose cost is unknown are left out.

    Returns:
        By cell, measured before forecast.
    """
    groups: defaultdict[tuple[int, int, str], list[Row]] = defaultdict(list)
    for row in rows_of(points[points[cost].notna()]):
        groups[row["cell"], KINDS.index(row["kind"]), row["split"]].append(row)
    return [_curves(group, cost) for _, group in sorted(groups.items())]


def median_curves(points: pd.DataFrame, cost: Cost = "t_s") -> pd.DataFrame:
    """Summarize curves by cell; `columns.CURVES` says what each column means.

    A curve is a step function. It begins where every seed has a point, and a seed that has stopped keeps its best.

    Args:
        points: What `curve_points` returns, and forecasts of the same columns.
        cost: What the curves are over. Defaults to wall time.

    Returns:
        A row for each step, by cell, measured before forecast, then by growing cost.
    """
    return typed(CURVES, (row for curves in seed_curves(points, cost) for row in steps(curves, cost)))


def steps(curves: SeedCurves, cost: Cost = "t_s") -> Iterator[Row]:
    """The steps of one cell's median curve, as rows; see `median_curves`."""
    costs = {seed: [row[cost] for row in rows] for seed, rows in curves.by_seed.items()}
    start = max(each[0] for each in costs.values())
    common = {name: curves.first.get(name) for name in CURVES} | {"cost": cost, "seeds": len(costs)}
    for spent in sorted({value for each in costs.values() for value in each if value >= start}):
        reached = [rows[bisect_right(costs[seed], spent) - 1] for seed, rows in curves.by_seed.items()]
        yield (
            common
            | {name: _median_if_known([row[name] for row in reached]) for name in COSTS}
            | {
                cost: spent,
                "accuracy": median(row["accuracy"] for row in reached),
                "accuracy_low": min(low(row) for row in reached),
                "accuracy_high": max(high(row) for row in reached),
            }
        )


def low(row: Row) -> float:
    """The lower end of a forecast's accuracy; of a measurement, the accuracy."""
    return float(row["accuracy"] if row["accuracy_low"] is None else row["accuracy_low"])


def high(row: Row) -> float:
    """The upper end of a forecast's accuracy; of a measurement, the accuracy."""
    return float(row["accuracy"] if row["accuracy_high"] is None else row["accuracy_high"])


def _points(trial: Row, epochs: Sequence[Row], prices: Mapping[str, float]) -> Iterator[Row]:
    price = price_per_hour(trial["device"], prices)
    # A matrix that varies no recipe and no budget may have no such columns.
    common = {name: trial.get(name) for name in POINTS} | {"kind": "measured"}
    energy = "gpu_energy_joules" if trial["device_kind"] == "gpu" else "package_energy_joules"
    joules = list(accumulate((row[energy] for row in epochs), _sum_if_known))
    best = None
    for row, spent_joules in zip(epochs, joules, strict=True):
        if row["val_accuracy"] is None:
            continue
        best = row["val_accuracy"] if best is None else max(best, row["val_accuracy"])
        yield (
            common | _point(row["epoch"], row["end_s"], spent_joules, price) | {"split": "validation", "accuracy": best}
        )
    if best is None and epochs and trial["test_accuracy"] is not None and trial["wall_s"] is not None:
        accuracy = {"split": "test", "accuracy": trial["test_accuracy"]}
        yield common | _point(epochs[-1]["epoch"], trial["wall_s"], joules[-1], price) | accuracy


def _point(epoch: int, t_s: float, joules: float | None, price: float | None) -> Row:
    money = None if price is None else price * t_s / 3600
    return {"epoch": epoch, "t_s": t_s, "joules": joules, "money": money}


def _sum_if_known(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a + b


def _curves(rows: Iterable[Row], cost: Cost) -> SeedCurves:
    by_seed: defaultdict[Any, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: (row[cost], row["accuracy"], row["epoch"] or 0)):
        by_seed[row["seed"]].append(row)
    settled = {seed: points for seed, points in by_seed.items() if points[-1]["status"] in SETTLED} or dict(by_seed)
    seeds = sorted(settled, key=lambda seed: -1 if seed is None else seed)
    return SeedCurves(first=settled[seeds[0]][0], by_seed={seed: settled[seed] for seed in seeds})


def _median_if_known(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if len(known) == len(values) else None
