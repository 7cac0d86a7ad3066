"""How far the forecasts of a backtest were off, and how often their intervals held."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean, median
from typing import TYPE_CHECKING

from bench.analysis.backtest import ACCURACY, CALIBRATION, CLOCKS, EPOCHS, FIRST, SHARES
from bench.analysis.frame import rows_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd

    from bench.analysis.rows import Row

# The whole first; what is seen soonest first, a share of the epochs beside that share of the time.
QUANTITIES = (*reversed(CLOCKS), EPOCHS, ACCURACY)
SEEN = (CALIBRATION, FIRST, *(f"{100 * share:g} %" for share in SHARES))


@dataclass(frozen=True, kw_only=True)
class Errors:
    """Errors of forecasts of one quantity from as much as was seen.

    They are in percent: of what happened, for times and epochs; of the images, and so percentage points, for an
    accuracy. A training is in it once, so they are independent of each other as far as its trainings are.

    Attributes:
        quantity: What was forecast, as in `columns.BACKTEST`.
        seen: What the forecasts rest on, likewise.
        trainings: How many.
        undisturbed: How many of them nothing disturbed.
        median_percent: Median of the errors' amounts.
        undisturbed_median_percent: The same of those that nothing disturbed; None without any.
        mean_percent: Mean of the errors' amounts.
        largest_percent: The largest amount.
        bias_percent: Median error with its sign; positive for forecasts of too much.
        covered: Trainings whose interval held what happened.
    """

    quantity: str
    seen: str
    trainings: int
    undisturbed: int
    median_percent: float
    undisturbed_median_percent: float | None
    mean_percent: float
    largest_percent: float
    bias_percent: float
    covered: int


def find_errors(backtest: pd.DataFrame) -> tuple[Errors, ...]:
    """Sum up all forecasts of a backtest, whatever was trained.

    Args:
        backtest: As `bench.analysis.backtest.backtest` returns it.

    Returns:
        One for each quantity and each part that was seen, the whole time and the shortest part first.
    """
    return _by_quantity(rows_of(backtest))


def find_errors_by_cell(backtest: pd.DataFrame) -> dict[tuple[str, str], tuple[Errors, ...]]:
    """Sum up the forecasts of each model on each device.

    Args:
        backtest: As above.

    Returns:
        As above, by model and device, in their order in the backtest.
    """
    by_cell: dict[tuple[str, str], list[Row]] = {}
    for row in rows_of(backtest):
        by_cell.setdefault((row["model"], row["device"]), []).append(row)
    return {cell: _by_quantity(rows) for cell, rows in by_cell.items()}


def error_percent(row: Row) -> float:
    """A forecast's error with its sign, in percent; see `Errors`."""
    points: float | None = row["error_points"]
    return float(row["error_percent"]) if points is None else points


def _by_quantity(rows: Sequence[Row]) -> tuple[Errors, ...]:
    groups = (
        (quantity, seen, [row for row in rows if row["quantity"] == quantity and row["seen"] == seen])
        for quantity in QUANTITIES
        for seen in SEEN
    )
    return tuple(_errors(quantity, seen, group) for quantity, seen, group in groups if group)


def _errors(quantity: str, seen: str, rows: Sequence[Row]) -> Errors:
    amounts = [abs(error_percent(row)) for row in rows]
    undisturbed = [amount for amount, row in zip(amounts, rows, strict=True) if not row["disturbed"]]
    return Errors(
        quantity=quantity,
        seen=seen,
        trainings=len(rows),
        undisturbed=len(undisturbed),
        median_percent=median(amounts),
        undisturbed_median_percent=_median(undisturbed),
        mean_percent=fmean(amounts),
        largest_percent=max(amounts),
        bias_percent=median(map(error_percent, rows)),
        covered=sum(row["covered"] for row in rows),
    )


def _median(values: Iterable[float]) -> float | None:
    listed = list(values)
    return median(listed) if listed else None
