"""Figures of each epoch, over the seeds of each cell."""

from __future__ import annotations

from collections import defaultdict
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from bench.analysis.frame import rows_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from bench.analysis.rows import Row


class EpochMedian(NamedTuple):
    """A figure of an epoch: its median over the seeds of a cell that have it, the lowest and the highest."""

    cell: int
    epoch: int
    middle: float
    low: float
    high: float


def epoch_medians(trials: Sequence[Row], epochs: Sequence[Row], name: str) -> list[EpochMedian]:
    """Summarize a column of the epochs.

    Args:
        trials: Rows of `Report.trials`.
        epochs: Rows of `Report.epochs`.
        name: Of the column, such as `val_accuracy`; where it is missing, an epoch does not count.

    Returns:
        By cell, then by epoch.
    """
    cell_of = {row["key"]: row["cell"] for row in trials}
    found: defaultdict[tuple[int, int], list[float]] = defaultdict(list)
    for row in epochs:
        if row[name] is not None:
            found[cell_of[row["key"]], row["epoch"]].append(row[name])
    return [
        EpochMedian(cell=cell, epoch=epoch, middle=median(values), low=min(values), high=max(values))
        for (cell, epoch), values in sorted(found.items())
    ]


def median_accuracies(trials: pd.DataFrame, epochs: pd.DataFrame) -> dict[int, list[float]]:
    """Accuracy by epoch of each cell, on validation images where some were held back, else on training images."""
    rows, of_epochs = rows_of(trials), rows_of(epochs)
    curves: dict[int, list[float]] = {}
    for name in ("accuracy", "val_accuracy"):  # the latter takes the place of the former
        by_cell: defaultdict[int, list[float]] = defaultdict(list)
        for found in epoch_medians(rows, of_epochs, name):
            by_cell[found.cell].append(found.middle)
        curves |= by_cell
    return curves
