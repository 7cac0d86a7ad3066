"""Trainings that are over, replayed: what would have been forecast of them against what happened.

Nothing of what came later enters a forecast. How long a training took, and for how many epochs, only says which share
of it is seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, nan
from typing import TYPE_CHECKING, Literal

from msgspec.structs import replace

from bench.analysis.extrapolation import MIN_EPOCHS, extrapolate, refusal
from bench.analysis.forecast import Range, TimeForecast, forecast_time
from bench.analysis.forecast_columns import BACKTEST
from bench.analysis.frame import typed
from bench.analysis.machines import fingerprint
from bench.analysis.pace import find_pace
from bench.analysis.rewind import surviving_events
from bench.analysis.rows import TrialRows
from bench.records import Attempt, Epoch, Extracted, PhaseDone

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd

    from bench.analysis.rows import Row
    from bench.records import Cell, Run, RunData, TrialData

Clock = Literal["train_s", "fit_s", "wall_s"]
CLOCKS: tuple[Clock, ...] = ("train_s", "fit_s", "wall_s")
ACCURACY = "val_accuracy"
EPOCHS = "epochs"

SHARES = (0.1, 0.2, 0.3, 0.5)
FIRST_S = 90.0  # what somebody waits for who wants to know whether to wait for hours
FIRST = f"{FIRST_S:g} s"
CALIBRATION = "calibration"


def backtest(runs: Sequence[RunData]) -> pd.DataFrame:
    """Forecast trainings from their first part, and from calibrations of the same cells, and compare.

    Replayed are trials that ended ok with a whole epoch. The times of one that was taken up again are left out: its
    second start-up was nobody's to foresee. Its accuracies are not, as they depend on no clock.

    Times are forecast from what had ended after a share of the wall time, or after 90 s of a training of more than
    twice that. Accuracy is that of the last epoch on the validation images, from the epochs that make a share of all;
    there is none where `extrapolation.refusal` gives a reason. Under a budget, the time that it fixes is no forecast;
    how many epochs it reaches is.

    Args:
        runs: Runs, in any order and from any machines.

    Returns:
        A row for each forecast; `columns.BACKTEST` says what each column means. Empty if nothing can be replayed.
    """
    calibrations = [
        (run.run, trial) for run in runs for trial in run.trials if trial.trial.mode == "calibrate" and _ended_ok(trial)
    ]
    rows = (
        row
        for run in runs
        for trial in run.trials
        if _why_not(trial) is None
        for row in _Training(run.run, trial).rows(calibrations)
    )
    return typed(BACKTEST, rows)


def left_out(run: RunData) -> tuple[str, ...]:
    """Say which trials of a run have no row in its backtest, or not all of them, and why."""
    # Beside trainings, calibrations are what they are told from.
    trainings = [data for data in run.trials if data.trial.mode == "train"] or run.trials
    said = ((data, _why_not(data) or _why_not_all(data)) for data in trainings)
    return tuple(f"{data.trial.cell.label}, seed {data.trial.seed}: {reason}" for data, reason in said if reason)


def _why_not(data: TrialData) -> str | None:
    if data.trial.mode == "calibrate":
        return "it is a calibration, which ends before it could be compared"
    if data.result is None:
        return "it has not ended"
    if not _ended_ok(data):
        return f"it ended {data.result.status}"
    num_train = data.trial.cell.dataset.num_train
    if not any(event.images >= num_train for event in surviving_events(data.events) if isinstance(event, Epoch)):
        return "it finished no whole epoch"
    return None


def _why_not_all(data: TrialData) -> str | None:
    reasons = []
    if _was_resumed(data):
        reasons.append("no times, since it was interrupted and taken up again")
    if any(event.saved_s for event in data.events if isinstance(event, Extracted)):
        reasons.append("no times, since it found what its frozen part puts out and did not compute it")
    if (refused := refusal(data.trial.cell)) is not None:
        reasons.append(f"no accuracy, {refused}")
    return "; ".join(reasons) or None


def _ended_ok(data: TrialData) -> bool:
    return data.result is not None and data.result.status == "ok"


def _was_resumed(data: TrialData) -> bool:
    return sum(isinstance(event, Attempt) for event in data.events) > 1


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """What a forecast rests on: in words, until when on the trial's clock, and how many epochs had ended by then."""

    label: str
    until_s: float
    epochs: int


class _Training:
    """A training that is over."""

    def __init__(self, run: Run, data: TrialData) -> None:
        self._run = run
        self._data = data
        self._cell = data.trial.cell
        measured = _measured(run, data)
        self._actual = measured.trial()
        self._is_disturbed = bool(measured.disturbances())
        events = surviving_events(data.events)
        self._epochs = [event for event in events if isinstance(event, Epoch)]
        self._phases = [event for event in events if isinstance(event, PhaseDone)]

    def rows(self, calibrations: Sequence[tuple[Run, TrialData]]) -> Iterator[Row]:
        """A row for each forecast.

        Args:
            calibrations: Of any cells, each with its run.
        """
        if not _was_resumed(self._data) and not self._actual["features_saved_s"]:
            yield from self._from_first_part()
            yield from self._from_calibration(calibrations)
        if refusal(self._cell) is None:
            yield from self._accuracies()

    def _from_first_part(self) -> Iterator[Row]:
        wall_s = self._actual["wall_s"]
        until_s = {FIRST: FIRST_S} if wall_s > 2 * FIRST_S else {}
        until_s |= {_percent(share): share * wall_s for share in SHARES}
        for label, end_s in until_s.items():
            pace = find_pace(self._data.trial, self._data.events, until_s=end_s)
            forecast = None if pace is None else forecast_time(pace)
            if forecast is not None:
                epochs = sum(epoch.end_s <= end_s for epoch in self._epochs)
                yield from self._times(forecast, _Seen(label=label, until_s=end_s, epochs=epochs))

    def _from_calibration(self, calibrations: Sequence[tuple[Run, TrialData]]) -> Iterator[Row]:
        """Of several calibrations, the one nearest in time counts: a machine changes with the hours."""
        machine, began_s = _machine(self._run, self._data), _began_unix_s(self._run, self._data)
        same = [
            (abs(_began_unix_s(run, data) - began_s), run, data)
            for run, data in calibrations
            if _anywhere(data.trial.cell) == _anywhere(self._cell) and _machine(run, data) == machine
        ]
        if not same:
            return
        _, run, nearest = min(same, key=lambda found: found[0])
        pace = find_pace(nearest.trial, nearest.events)
        forecast = None if pace is None else forecast_time(pace)
        if pace is not None and forecast is not None:
            is_disturbed = self._is_disturbed or bool(_measured(run, nearest).disturbances())
            seen = _Seen(label=CALIBRATION, until_s=pace.at_s, epochs=0)
            yield from (row | {"disturbed": is_disturbed} for row in self._times(forecast, seen))

    def _times(self, forecast: TimeForecast, seen: _Seen) -> Iterator[Row]:
        for clock in CLOCKS:
            if not self._is_known(clock, seen):
                yield self._row(clock, seen, getattr(forecast, clock), self._actual[clock])
        if self._cell.budget_s is not None:
            yield self._row(EPOCHS, seen, forecast.epochs, self._actual["epochs_trained"])

    def _is_known(self, clock: Clock, seen: _Seen) -> bool:
        """Whether a time needs no forecast: a budget fixes it, or all of it has been seen."""
        if self._cell.budget_s is not None and clock == f"{self._cell.budget_clock}_s":
            return True
        phases = {"train_s": {"train"}, "fit_s": {"train", "validate"}}.get(clock, set())
        ends_s = [phase.end_s for phase in self._phases if phase.phase in phases]
        return bool(ends_s) and seen.label != CALIBRATION and max(ends_s) <= seen.until_s

    def _accuracies(self) -> Iterator[Row]:
        accuracies = [nan if epoch.val_accuracy is None else epoch.val_accuracy for epoch in self._epochs]
        if not isfinite(accuracies[-1]):
            return
        for share in SHARES:
            number = int(share * len(accuracies) + 1e-9)  # 0.3 of 10 is a little less than 3
            if number < MIN_EPOCHS:
                continue
            seen = _Seen(label=_percent(share), until_s=self._epochs[number - 1].end_s, epochs=number)
            last = self._last_epoch(seen)
            if last is None or last <= number:
                continue
            data = self._cell.dataset
            found = extrapolate(accuracies[:number], last, num_images=data.num_validation, num_classes=data.num_classes)
            if found is not None:
                forecast = Range(estimate=found.estimate, low=found.low, high=found.high)
                yield self._row(ACCURACY, seen, forecast, accuracies[-1])

    def _last_epoch(self, seen: _Seen) -> float | None:
        """The epoch that the training was expected to end with."""
        if self._cell.budget_s is None:
            return self._cell.epochs
        pace = find_pace(self._data.trial, self._data.events, until_s=seen.until_s)
        forecast = None if pace is None else forecast_time(pace)
        return None if forecast is None else forecast.epochs.estimate

    def _row(self, quantity: str, seen: _Seen, forecast: Range, actual: float) -> Row:
        is_accuracy = quantity == ACCURACY
        off = forecast.estimate - actual
        return {
            "run": self._run.name,
            "machine": self._run.host_of(self._cell.device).cpu,
            "key": self._data.trial.key,
            "model": self._cell.model_label,
            "device": self._cell.device.label,
            "dataset": self._cell.dataset.name,
            "seed": self._data.trial.seed,
            "quantity": quantity,
            "seen": seen.label,
            "seen_s": seen.until_s,
            "epochs_seen": seen.epochs,
            "forecast": forecast.estimate,
            "low": forecast.low,
            "high": forecast.high,
            "actual": actual,
            "error_percent": None if is_accuracy else 100 * off / actual,
            "error_points": 100 * off if is_accuracy else None,
            "covered": forecast.low <= actual <= forecast.high,
            "disturbed": self._is_disturbed,
        }


def _measured(run: Run, data: TrialData) -> TrialRows:
    return TrialRows(data, cell=1, workload=1, virtualized=run.host_of(data.trial.cell.device).is_virtual)


def _percent(share: float) -> str:
    return f"{100 * share:g} %"


def _anywhere(cell: Cell) -> Cell:
    """The cell wherever its model file lies; the file's digest says whether it is the same."""
    return replace(cell, model=replace(cell.model, path=""))


def _machine(run: Run, data: TrialData) -> str:
    """Digest of the machine that a trial ran on; old journals do not name it, their runs do."""
    attempts = [event.machine for event in data.events if isinstance(event, Attempt)]
    return (attempts[-1] if attempts else "") or fingerprint(run.host_of(data.trial.cell.device))


def _began_unix_s(run: Run, data: TrialData) -> float:
    return next((event.unix_s for event in data.events if isinstance(event, Attempt)), run.created_unix_s)
