"""Whether a training ended when its budget did."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.recipe import BudgetClock
    from bench.records import Cell

TOLERANCE = 0.01  # of the budget, or one step if that is longer
COVERS: dict[BudgetClock, str] = {
    "train": "training",
    "fit": "training and validation",
    "wall": "everything, start-up and test included",
}


def budget_flag(cell: Cell, *, spent_s: float | None, step_s: float | None) -> str | None:
    """Say that a trial ended off its budget; None if it did not, or has none.

    Args:
        cell: The trial's.
        spent_s: Where the budget's clock stood at the end, in seconds.
        step_s: One training step, in seconds.
    """
    if cell.budget_s is None or spent_s is None:
        return None
    off_s = spent_s - cell.budget_s
    if abs(off_s) <= max(TOLERANCE * cell.budget_s, step_s or 0.0):
        return None
    return f"it took {spent_s:.1f} s for {COVERS[cell.budget_clock]}, its budget was {cell.budget_s:g} s"
