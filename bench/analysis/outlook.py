"""What is expected of a trial while it trains: its accuracy at the end, and whether that can still reach a target."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bench.analysis.extrapolation import CONFIDENCE, MIN_EPOCHS, Extrapolation, extrapolate, refusal
from bench.records import Epoch, PhaseDone

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.records import Cell, Event, Phase, Spent

UNLUCKY = 2  # one fit may be; so many in a row are taken for the truth
# What is stopped is lost, and it is asked after every epoch, and one lucky epoch reaches a target too: the best of 50
# lies 2.2 standard deviations above them. So an interval of 3.1 to either side has to lie below it.
CONFIDENCE_TO_STOP = 0.998
LAST_PART = 0.2  # of the epochs: so near its end, a trial may as well end


class Outlook:
    """A trial's finished epochs, and where they lead.

    Args:
        cell: The trial's.
        epochs: Those that earlier processes finished, in order.
        spent: What these took; None for a new trial.

    Attributes:
        may_forecast: Whether the trial's curve can be extrapolated before it is over.
    """

    def __init__(self, cell: Cell, *, epochs: Sequence[Epoch] = (), spent: Spent | None = None) -> None:
        self._cell = cell
        # Of so few epochs, none is left when enough of them are known.
        self.may_forecast = refusal(cell) is None and (cell.epochs is None or cell.epochs > MIN_EPOCHS)
        self._accuracies: list[float] = []
        self._is_over = False
        self._began_s = spent.began_s if spent else None
        self._train_s = spent.train_s if spent else 0.0
        self._fit_s = spent.fit_s if spent else 0.0
        self._validate_s = 0.0
        self._features_s = spent.features_s if spent else 0.0
        self._now_s = 0.0
        for epoch in epochs:
            self._end_epoch(epoch)

    @property
    def epochs_done(self) -> int:
        """Finished epochs."""
        return len(self._accuracies)

    @property
    def best(self) -> float:
        """The best validation accuracy so far, a share of 1; 0 before the first."""
        return max((accuracy for accuracy in self._accuracies if math.isfinite(accuracy)), default=0.0)

    def event(self, event: Event) -> None:
        """The worker wrote an event."""
        match event:
            case Epoch():
                self._end_epoch(event)
            case PhaseDone(epoch=int()) | PhaseDone(phase="features"):
                self._end_phase(event.phase, event.start_s, event.end_s)
            case _:
                pass

    def last_epoch(self) -> float | None:
        """The epoch at which the training ends; of a budget what it will reach at the pace so far, None before one."""
        cell, done = self._cell, self.epochs_done
        if cell.budget_s is None:
            return cell.epochs
        match cell.budget_clock:
            case "train":
                spent_s = per_epochs_s = self._train_s
            case "fit":
                spent_s, per_epochs_s = self._fit_s, self._fit_s - self._features_s
            case "wall":
                # The test is inside, and takes about as long as the validation does for as many images.
                images = cell.dataset.num_test / cell.dataset.num_validation if cell.dataset.num_validation else 0.0
                spent_s = self._now_s + self._validate_s * images
                per_epochs_s = self._now_s - (self._began_s or 0.0)
        if not done or per_epochs_s <= 0:
            return None
        return done + max(cell.budget_s - spent_s, 0.0) * done / per_epochs_s

    def forecast(self, *, without: int = 0, confidence: float = CONFIDENCE) -> Extrapolation | None:
        """Predict the accuracy of the last epoch.

        Args:
            without: Leave out so many of the latest epochs, as if they were not yet known. Defaults to 0.
            confidence: Of the interval. Defaults to 0.9.

        Returns:
            The prediction; None before the fourth epoch, before a net does better than chance, where the training is
            over, and where a curve cannot be extrapolated.
        """
        last = self.last_epoch()
        if not self.may_forecast or self._is_over or last is None or last <= self.epochs_done:
            return None
        seen = self._accuracies[: max(self.epochs_done - without, 0)]
        data = self._cell.dataset
        return extrapolate(
            seen, last, num_images=data.num_validation, num_classes=data.num_classes, confidence=confidence
        )

    def _end_epoch(self, epoch: Epoch) -> None:
        self._accuracies = self._accuracies[: epoch.epoch - 1]
        self._accuracies.append(math.nan if epoch.val_accuracy is None else epoch.val_accuracy)
        self._is_over = epoch.last
        self._now_s = epoch.end_s

    def _end_phase(self, phase: Phase, start_s: float, end_s: float) -> None:
        took_s = end_s - start_s
        match phase:
            case "train":
                self._began_s = start_s if self._began_s is None else self._began_s
                self._train_s += took_s
                self._fit_s += took_s
            case "validate":
                self._validate_s = took_s
                self._fit_s += took_s
            case "features":
                self._fit_s += took_s
                self._features_s += took_s
            case _:
                pass
        self._now_s = end_s


class Hopeless:
    """Says when a trial is not worth its time: its last epoch is surely below a target, twice in a row.

    It is asked to: after the events that are there, so that an epoch that has just come to light counts.

    Args:
        cell: The trial's.
        target: Validation accuracy, a share of 1.
        epochs: Those that earlier processes finished, in order.
        spent: What these took; None for a new trial.
    """

    def __init__(self, cell: Cell, target: float, *, epochs: Sequence[Epoch] = (), spent: Spent | None = None) -> None:
        self._target = target
        self._outlook = Outlook(cell, epochs=epochs, spent=spent)

    def __call__(self, events: Sequence[Event]) -> str | None:
        """Take in what the worker wrote.

        Returns:
            Why the trial is to be ended, now that its last epoch is finished; None to let it go on.
        """
        for event in events:
            self._outlook.event(event)
        if not events or not _is_saved(events[-1]) or self._outlook.best >= self._target or self._is_nearly_over():
            return None
        forecasts = [self._outlook.forecast(without=number, confidence=CONFIDENCE_TO_STOP) for number in range(UNLUCKY)]
        below = [forecast for forecast in forecasts if forecast is not None and forecast.high < self._target]
        if len(below) < UNLUCKY:
            return None
        return (
            f"{_expected(below[0])}, below the target of {100 * self._target:g} %; "
            f"stopped after epoch {self._outlook.epochs_done}"
        )

    def _is_nearly_over(self) -> bool:
        last = self._outlook.last_epoch()
        return last is None or last - self._outlook.epochs_done < LAST_PART * last


def _is_saved(event: Event) -> bool:
    """Whether it is the last of an epoch."""
    return isinstance(event, PhaseDone) and event.phase == "checkpoint" and event.epoch is not None


def unstoppable(cell: Cell) -> str | None:
    """Say why no trial of a cell can be found hopeless; None if one can."""
    found = refusal(cell)
    earliest = MIN_EPOCHS + UNLUCKY - 1
    if found is None and cell.epochs is not None and cell.epochs <= earliest:
        return f"it trains for {cell.epochs} epochs, and none is stopped before epoch {earliest}"
    return found


def _expected(forecast: Extrapolation) -> str:
    low, high = (f"{100 * end:.1f}" for end in (forecast.low, forecast.high))
    return f"~{low if low == high else f'{low}–{high}'} % after {round(forecast.epochs, 1):g} epochs"
