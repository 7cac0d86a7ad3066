"""Best accuracy so far against what it cost: of each trial, and of each cell over its seeds."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from itertools import accumulate
from statistics import median_high, median_low
from typing import TYPE_CHECKING, Any, Literal, get_args

from bench.analysis.columns import CURVES, POINTS
from bench.analysis.frame import rows_of, typed
from bench.analysis.prices import price_per_hour

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pandas as pd

    from bench.analysis.rows import Row

Cost = Literal["t_s", "joules", "money"]
Axis = Literal["t_s", "joules"]  # what is measured of each seed; money grows with the time
Kind = Literal["measured", "forecast"]
COSTS: tuple[Cost, ...] = get_args(Cost)
KINDS: tuple[Kind, ...] = get_args(Kind)

# An accuracy is a float32 that was widened: 3,500 of 5,000 is 0.69999998807. Counts of a billion images stay apart.
DECIMALS = 7

# How a trial ends so that it stands for its seed; a forecast has no status. One that was stopped as hopeless is among
# them: it keeps its best, which is less than it would have had, but below the target as it was expected to stay.
# Without it, the lucky seeds of a cell would stand for all.
SETTLED = {"ok", "diverged", "hopeless", None}


@dataclass(frozen=True, kw_only=True)
class SeedCurves:
    """The curves of a cell on one split, one a seed, all measured or all forecast.

    Attributes:
        first: One of the rows, for what all have in common: cell, model, device, kind, split.
        by_seed: The points of each seed as rows, by growing cost. None stands for no seed in particular. A forecast
            begins with what was measured of the same seed, or of the median seed where it is of none.
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


def seed_curves(points: pd.DataFrame, axis: Axis = "t_s") -> list[SeedCurves]:
    """Take points of one cell, kind and split together.

    Where a trial of a cell ended by its own doing, ok, diverged or hopeless, those of the cell that were cut short do
    not count: a seed that was interrupted at 10 % would stand for one that never got further.

    Args:
        points: What `curve_points` returns, and forecasts of the same columns.
        axis: What is to grow along each curve; points where it is unknown are left out.

    Returns:
        By cell, measured before forecast.
    """
    groups: defaultdict[tuple[int, int, str], list[Row]] = defaultdict(list)
    for row in rows_of(points[points[axis].notna()]):
        groups[row["cell"], KINDS.index(row["kind"]), row["split"]].append(row)
    found = {key: _curves(group, axis) for key, group in sorted(groups.items())}
    measured = KINDS.index("measured")
    return [
        curves if kind == measured else _continued(curves, found.get((cell, measured, split)), axis)
        for (cell, kind, split), curves in found.items()
    ]


def median_curves(points: pd.DataFrame, cost: Cost = "t_s") -> pd.DataFrame:
    """Summarize curves by cell; `columns.CURVES` says what each column means.

    A curve rises in jumps. It begins where most seeds have a point, and a seed that has stopped keeps its best. Its
    median is a value that most seeds have at least, for an even number of them the lower middle one: a curve reaches an
    accuracy when most of its seeds have reached it.

    Args:
        points: What `curve_points` returns, and forecasts of the same columns.
        cost: What the curves are over. Defaults to wall time.

    Returns:
        A row for each moment at which any seed has a point, by cell, measured before forecast, then by growing cost.
    """
    if cost == "money":  # it grows with the time, whichever seed's
        over_time = seed_curves(points[points["money"].notna()])
        return typed(CURVES, (row | {"cost": cost} for curves in over_time for row in median_curve(curves)))
    return typed(CURVES, (row for curves in seed_curves(points, cost) for row in median_curve(curves, cost)))


def median_curve(curves: SeedCurves, axis: Axis = "t_s") -> Iterator[Row]:
    """The rows of one cell's median curve; see `median_curves`."""
    seeds = list(curves.by_seed.values())
    common = {name: curves.first.get(name) for name in CURVES} | {"cost": axis, "seeds": len(seeds)}
    for spent in sorted({row[axis] for rows in seeds for row in rows}):
        reached = [rows[done - 1] for rows in seeds if (done := _done(rows, axis, spent))]
        if 2 * len(reached) <= len(seeds):
            continue
        not_yet = [-math.inf] * (len(seeds) - len(reached))
        yield (
            common
            | _costs(seeds, axis, spent)
            | {
                "accuracy": median_low([*not_yet, *(row["accuracy"] for row in reached)]),
                "accuracy_low": min(map(low, reached)),
                "accuracy_high": max(map(high, reached)),
                "begun": len(reached),
            }
        )


def low(row: Row) -> float:
    """The lower end of a forecast's accuracy; of a measurement, the accuracy."""
    return float(row["accuracy"] if row["accuracy_low"] is None else row["accuracy_low"])


def high(row: Row) -> float:
    """The upper end of a forecast's accuracy; of a measurement, the accuracy."""
    return float(row["accuracy"] if row["accuracy_high"] is None else row["accuracy_high"])


def finite(value: float) -> float | None:
    """A cost; None where it would be infinite."""
    return value if math.isfinite(value) else None


def _points(trial: Row, epochs: Sequence[Row], prices: Mapping[str, float]) -> Iterator[Row]:
    price = price_per_hour(trial["device"], prices)
    common = {name: trial.get(name) for name in POINTS} | {"kind": "measured"}
    part = "gpu" if trial["device_kind"] == "gpu" else "package"
    # What a frozen part puts out is paid for before the first epoch.
    before = 0.0 if trial["features_s"] is None else trial[f"{part}_energy_features_joules"]
    _, *joules = accumulate([before, *(row[f"{part}_energy_joules"] for row in epochs)], _sum_if_known)
    best = None
    for row, spent_joules in zip(epochs, joules, strict=True):
        if row["val_accuracy"] is None:
            continue
        accuracy = round(row["val_accuracy"], DECIMALS)
        best = accuracy if best is None else max(best, accuracy)
        yield (
            common | _point(row["epoch"], row["end_s"], spent_joules, price) | {"split": "validation", "accuracy": best}
        )
    if best is None and epochs and trial["test_accuracy"] is not None and trial["wall_s"] is not None:
        tested = {"split": "test", "accuracy": round(trial["test_accuracy"], DECIMALS)}
        yield common | _point(epochs[-1]["epoch"], trial["wall_s"], joules[-1], price) | tested


def _point(epoch: int, t_s: float, joules: float | None, price: float | None) -> Row:
    money = None if price is None else price * t_s / 3600
    return {"epoch": epoch, "t_s": t_s, "joules": joules, "money": money}


def _sum_if_known(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a + b


def _curves(rows: Iterable[Row], axis: Axis) -> SeedCurves:
    by_seed: defaultdict[Any, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: (row[axis], row["accuracy"], row["epoch"] or 0)):
        by_seed[row["seed"]].append(row)
    settled = {seed: points for seed, points in by_seed.items() if points[-1]["status"] in SETTLED} or dict(by_seed)
    seeds = sorted(settled, key=lambda seed: -1 if seed is None else seed)
    return SeedCurves(first=settled[seeds[0]][0], by_seed={seed: settled[seed] for seed in seeds})


def _continued(forecast: SeedCurves, measured: SeedCurves | None, axis: Axis) -> SeedCurves:
    """A forecast after what was measured before it; it never falls below the best of that."""
    if measured is None:
        return forecast
    typical = [row | {"accuracy_low": None, "accuracy_high": None} for row in median_curve(measured, axis)]
    by_seed = {}
    for seed, rows in forecast.by_seed.items():
        before = [row for row in measured.by_seed.get(seed, typical) if row[axis] < rows[0][axis]]
        best = before[-1]["accuracy"] if before else -math.inf
        by_seed[seed] = [*before, *(_at_least(best, row) for row in rows)]
    return SeedCurves(first=forecast.first, by_seed=by_seed)


def _at_least(best: float, row: Row) -> Row:
    known = ("accuracy", "accuracy_low", "accuracy_high")
    return row | {name: max(best, row[name]) for name in known if row[name] is not None}


def _done(rows: Sequence[Row], axis: Axis, spent: float) -> int:
    """How many of a seed's points lie within a cost."""
    return bisect_right(rows, spent, key=lambda row: float(row[axis]))


def _costs(seeds: Sequence[Sequence[Row]], axis: Axis, spent: float) -> dict[Cost, float | None]:
    """All costs at one point of the axis: the middle seed's, of an even number the upper middle one's.

    What most seeds have cost at most goes with the accuracy that most seeds have at least.
    """
    other: Axis = "joules" if axis == "t_s" else "t_s"
    values = [_between(rows, axis, spent, other) for rows in seeds]
    known = [value for value in values if value is not None]
    middle = median_high(known) if len(known) == len(values) else None
    t_s, joules = (spent, middle) if axis == "t_s" else (middle, spent)
    # All seeds of a cell have one device and so one price; a price is of time, whether or not a seed still trains.
    rate = next((row["money"] / row["t_s"] for rows in seeds for row in rows if row["money"] is not None), None)
    return {"t_s": t_s, "joules": joules, "money": None if rate is None or t_s is None else rate * t_s}


def _between(rows: Sequence[Row], axis: Axis, spent: float, other: Axis) -> float | None:
    """The other cost of a seed at one point of the axis: linear between its points, held after the last one."""
    done = _done(rows, axis, spent)
    if not done:
        return None
    here, ahead = rows[done - 1], rows[min(done, len(rows) - 1)]
    if here[axis] == spent or ahead is here:
        return None if here[other] is None else float(here[other])
    if here[other] is None or ahead[other] is None:
        return None
    passed = (spent - here[axis]) / (ahead[axis] - here[axis])
    return float(here[other] + passed * (ahead[other] - here[other]))
