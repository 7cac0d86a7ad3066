"""Small against large: how many times the time, for how many points of accuracy."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.analysis.frame import rows_of

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    import pandas as pd

    from bench.analysis.rows import Row

AXES = (
    "precision",
    "jit",
    "onednn",
    "steps_per_execution",
    "batch_size",
    "recipe_axes",
    "epochs_asked",
    "budget_s",
)
Setting = tuple[tuple[str, str | float | None], ...]


@dataclass(frozen=True, kw_only=True)
class Side:
    """One model of a trade-off, over its seeds that ended ok.

    Attributes:
        model: Its name.
        train_s: Median training time in seconds.
        accuracy: Median test accuracy, a share of 1.
        accuracy_mad: Its median absolute deviation over seeds; None for one seed.
        n: Seeds.
    """

    model: str
    train_s: float
    accuracy: float
    accuracy_mad: float | None
    n: int


@dataclass(frozen=True, kw_only=True)
class TradeOff:
    """The quickest model on a device against a slower one, or within a budget the smallest against a larger one.

    Attributes:
        device: The device's label.
        setting: What else both have in common where the matrix varies it, such as `("batch_size", 128)`.
        budget_s: The budget that ended both, in seconds, so that their times say nothing; None without one.
        small: The model that trained in the least time; within a budget the smallest (`by_size`).
        large: A model that took longer, or has more.
    """

    device: str
    setting: Setting
    budget_s: float | None
    small: Side
    large: Side

    @property
    def times(self) -> float:
        """Training time of the large model over that of the small one."""
        return self.large.train_s / self.small.train_s

    @property
    def points(self) -> float:
        """Test accuracy that the large model has more, in percentage points; negative if it has less."""
        return 100 * (self.large.accuracy - self.small.accuracy)


def tradeoffs(cells: pd.DataFrame) -> tuple[TradeOff, ...]:
    """Compare the quickest model with every slower one, or within a budget the smallest with every larger one.

    Args:
        cells: What `bench.analysis.cells.cells` returns; cells without a trial that ended ok do not count.

    Returns:
        By device in the order of the cells, then by growing training time or size.
    """
    rows = rows_of(cells)
    ok = {row["cell"] for row in rows if row["n_ok"] and row["train_s"] and row["test_accuracy"] is not None}
    found: list[TradeOff] = []
    for device, setting, group in comparable(rows, ok):
        budgets = {(row["budget_s"], row["budget_clock"]) for row in group}
        budget_s = group[0]["budget_s"] if len(budgets) == 1 else None
        ordered = by_size(group) if budget_s is not None else sorted(group, key=lambda row: row["train_s"])
        small, *larger = ordered
        found += [
            TradeOff(device=device, setting=setting, budget_s=budget_s, small=_side(small), large=_side(large))
            for large in larger
        ]
    return tuple(found)


def comparable(cells: Sequence[Row], known: Container[int]) -> tuple[tuple[str, Setting, tuple[Row, ...]], ...]:
    """Take cells together whose models can be compared: those on one device, in one setting.

    An axis of the matrix, such as the batch size, parts the comparison only where a model was run with several of its
    values; where each model's recipe chose its own, models are compared as their recipes have them.

    Args:
        cells: Rows of `bench.analysis.cells.cells`: all of a run, since an axis is one too where cells on it failed.
        known: Numbers of those that are to be compared.

    Returns:
        Device, setting and rows, in the order of the cells.
    """
    axes = [axis for axis in AXES if _is_varied(axis, cells)]
    groups: defaultdict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in sorted(cells, key=lambda row: row["cell"]):
        if row["cell"] in known:
            groups[row["device"], *(row[axis] for axis in axes)].append(row)
    return tuple(
        (device, tuple(zip(axes, values, strict=True)), tuple(group)) for (device, *values), group in groups.items()
    )


def by_size(rows: Iterable[Row]) -> list[Row]:
    """Order models by what an image costs each of them in training; by their parameters where that is not known of all.

    The small network of the founding report has more parameters than many that take many times as long.

    Args:
        rows: Rows of `bench.analysis.cells.cells`, all of one device.
    """
    listed = list(rows)
    if all(row["images_per_s"] for row in listed):
        return sorted(listed, key=lambda row: (-row["images_per_s"], row["cell"]))
    return sorted(listed, key=lambda row: (row["parameters"] or 0, row["train_s"] or 0.0, row["cell"]))


def _is_varied(axis: str, rows: Sequence[Row]) -> bool:
    values: defaultdict[tuple[str, str], set[Any]] = defaultdict(set)
    for row in rows:
        values[row["device"], row["model"]].add(row[axis])
    return any(len(several) > 1 for several in values.values())


def _side(row: Row) -> Side:
    return Side(
        model=row["model"],
        train_s=row["train_s"],
        accuracy=row["test_accuracy"],
        accuracy_mad=row["test_accuracy_mad"],
        n=row["n_ok"],
    )
