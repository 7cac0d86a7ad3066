"""What the trials of a run will take and reach: from calibrations, or from the part of them that was seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace

from bench.analysis.column import interval
from bench.analysis.expectation import Expectation, expect
from bench.analysis.forecast import TimeForecast, forecast_time, images_per_epoch
from bench.analysis.forecast_columns import FORECASTS
from bench.analysis.frame import rows_of, typed
from bench.analysis.pace import Pace, find_pace
from bench.analysis.rewind import surviving_events
from bench.records import Epoch

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd

    from bench.analysis.frame import Report
    from bench.analysis.rows import Row
    from bench.records import Cell, RunData, TrialData
    from bench.reference.curve import ReferenceCurve

RANGES = ("train_s", "fit_s", "wall_s", "epoch_s", "images_per_s", "epochs")


@dataclass(frozen=True, kw_only=True, eq=False)
class Forecast:
    """What one trial will take and reach.

    Attributes:
        cell: What it trains, and for how long.
        row: Of `Report.trials`.
        epochs_done: Finished epochs.
        pace: How fast it goes; None if no step was seen.
        time: How long it will take; None likewise, or where nothing is left of it.
        expected: What it is expected to reach; None likewise.
        reason: Why there is no forecast; empty if there is one.
    """

    cell: Cell
    row: Row
    epochs_done: int = 0
    pace: Pace | None = None
    time: TimeForecast | None = None
    expected: Expectation | None = None
    reason: str = ""


def make_forecasts(
    data: RunData, report: Report, references: Sequence[ReferenceCurve], *, epochs: int | None = None
) -> list[Forecast]:
    """Say what each trial of a run will take and reach.

    Args:
        data: The run, of calibrations or of trainings.
        report: The same as DataFrames.
        references: Curves of accuracy to choose from.
        epochs: How many a training is to have in all; None for what it was asked to.

    Returns:
        One for each trial, in their order.
    """
    rows = rows_of(report.trials)
    return [_forecast(trial, row, references, epochs) for trial, row in zip(data.trials, rows, strict=True)]


def forecast_frame(forecasts: Iterable[Forecast]) -> pd.DataFrame:
    """Return forecasts as a DataFrame; `columns.FORECASTS` says what each column means."""
    return typed(FORECASTS, map(_row, forecasts))


def _forecast(data: TrialData, row: Row, references: Sequence[ReferenceCurve], epochs: int | None) -> Forecast:
    trial, cell = data.trial, data.trial.cell
    if epochs is not None:
        cell = replace(cell, epochs=epochs, budget_s=None)
    pace = find_pace(replace(trial, cell=cell), data.events)
    if pace is None:
        why = row["reason"] or "it made no step"
        if row["status"] == "timeout":
            why = f"no step ended in its share of the time ({why}); give more by --calibrate"
        elif trial.mode == "calibrate" and row["reason"] == "has not begun":
            why = "no time was left for its calibration; give more by --calibrate"
        return Forecast(cell=cell, row=row, reason=why)
    done = [event for event in surviving_events(data.events) if isinstance(event, Epoch)] * (trial.mode == "train")
    whole = [epoch for epoch in done if epoch.images >= cell.dataset.num_train]
    if row["status"] in {"diverged", "failed", "hopeless"}:
        return Forecast(cell=cell, row=row, pace=pace, reason=f"it ended {row['status']}: {row['reason']}")
    if trial.mode == "train" and row["status"] == "ok" and (epochs is None or epochs <= len(whole)):
        reason = f"it has ended after {len(whole)} epochs; --epochs N says what more would bring"
        return Forecast(cell=cell, row=row, pace=pace, reason=reason)
    time = forecast_time(pace)
    if time is None:
        reason = "its budget leaves no time for a step: what it covers besides, such as a validation, takes all of it"
        return Forecast(cell=cell, row=row, pace=pace, reason=reason)
    return Forecast(
        cell=cell,
        row=row,
        epochs_done=len(whole),
        pace=pace,
        time=time,
        expected=expect(cell, time.epochs.estimate, whole, references),
    )


def _row(forecast: Forecast) -> Row:
    trial, time, expected = forecast.row, forecast.time, forecast.expected
    said = {name: trial.get(name) for name in FORECASTS} | {"reason": forecast.reason}
    said |= {"epochs_asked": forecast.cell.epochs, "budget_s": forecast.cell.budget_s}
    if forecast.pace is not None:
        said |= {"is_calibration": forecast.pace.is_calibration, "seen_s": forecast.pace.at_s}
    for name in RANGES:
        said |= interval(name, getattr(time, name) if time else None)
    said |= {"steps_seen": time.steps_seen if time else None, "train_joules": _joules(forecast)}
    said |= interval("val_accuracy", expected.val if expected else None, middle="accuracy")
    said |= interval("test_accuracy", expected.test if expected else None, middle="accuracy")
    return said | {"accuracy_from": expected.source if expected else None}


def _joules(forecast: Forecast) -> float | None:
    per_image = forecast.row["joules_per_image"]
    if forecast.time is None or per_image is None:
        return None
    return float(per_image) * forecast.time.epochs.estimate * images_per_epoch(forecast.cell)
