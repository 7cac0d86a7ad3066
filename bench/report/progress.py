"""What is known of a trial while it runs; storing it costs next to nothing, reading it is left to whoever shows it."""

from __future__ import annotations

from collections import defaultdict
from statistics import fmean
from typing import TYPE_CHECKING

from bench.analysis.outlook import Outlook
from bench.records import Epoch, Extracted, Extracting, PhaseDone, Steps, Tested

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.analysis.extrapolation import Extrapolation
    from bench.recipe import BudgetClock
    from bench.records import Cell, Event, Phase, Result, Sample, Spent, Trial

# The order in which a worker goes through what comes before the first epoch.
NEXT_PHASE: dict[Phase, Phase] = {
    "import": "data",
    "data": "build",
    "build": "compile",
    "compile": "warmup",
    "features": "warmup",
    "warmup": "train",
    "validate": "checkpoint",
}


class Progress:
    """One trial's latest values; None where there is none yet.

    Attributes:
        trial: The trial.
        attempt: Number of the process that works on it; 0 before the first.
        result: How it ended.
        phase: What it does now.
        epoch: The epoch that it is in or has finished last, from 1; 0 before the first.
        epochs_done: Finished epochs.
        epoch_images: Images that it was trained on in `epoch` so far.
        images_per_s: Of the latest steps.
        accuracy: On the training images, of the last finished epoch.
        val_accuracy: On the validation images, of the last finished epoch.
        test_accuracy: On the test images.
        t_s: The trial's clock at the latest sample.
        rss_bytes: Memory of its processes at the latest sample.
        extracting: How far it has come with what a frozen part puts out; None where it is not at it.
        forecast: What is expected of its last epoch, as it was last asked for.
    """

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self.attempt = 0
        self.result: Result | None = None
        self.phase: Phase = "import"
        self.epoch = 0
        self.epochs_done = 0
        self.epoch_images = 0
        self.images_per_s: float | None = None
        self.accuracy: float | None = None
        self.val_accuracy: float | None = None
        self.test_accuracy: float | None = None
        self.t_s = 0.0
        self.rss_bytes: int | None = None
        self.extracting: Extracting | None = None
        self._images = 0
        self._features_s = 0.0
        self._train_s = 0.0
        self._between_s = 0.0
        self._validate_s = 0.0
        self._is_over = False
        self._spent: Spent | None = None
        self._epochs_seen = 0
        self.forecast: Extrapolation | None = None
        self._outlook = Outlook(trial.cell)

    @property
    def is_running(self) -> bool:
        """Whether a process works on it now."""
        return self.attempt > 0 and self.result is None

    def start(self, attempt: int, spent: Spent | None = None, epochs: Sequence[Epoch] = ()) -> None:
        """A worker was started; earlier ones finished these epochs and spent so much of a budget."""
        self.attempt = attempt
        self._spent = spent
        self._outlook = Outlook(self.trial.cell, epochs=epochs, spent=spent)

    def end(self, result: Result) -> None:
        """The worker is gone."""
        self.result = result

    def sampled(self, sample: Sample) -> None:
        """A sample was taken."""
        self.t_s = sample.t_s
        self.rss_bytes = sample.rss_bytes

    def event(self, event: Event) -> None:
        """The worker wrote an event."""
        self._outlook.event(event)
        match event:
            case Steps():
                self._add_steps(event)
            case PhaseDone():
                self._end_phase(event)
            case Epoch():
                self._end_epoch(event)
            case Extracting():
                self.extracting = event
                self.phase = self.phase if event.split == "test" else "features"
            case Extracted():
                self.extracting = None
            case Tested():
                self.test_accuracy = event.accuracy

    @property
    def may_forecast(self) -> bool:
        """Whether there can be a forecast of its accuracy."""
        return self._outlook.may_forecast

    def look_ahead(self) -> None:
        """Renew the forecast, which takes a millisecond or two: after an epoch, not at every look."""
        self.forecast = self._outlook.forecast()

    @property
    def left_s(self) -> float | None:
        """Seconds until the last epoch ends or the budget is spent; None before the first step.

        Of a budget that covers everything, the test is inside.
        """
        if not self._images or not self._train_s or self.trial.mode == "calibrate":
            return None
        cell = self.trial.cell
        if cell.budget_s is not None:
            return max(0.0, cell.budget_s - self._spent_s(cell.budget_clock))
        epochs = cell.epochs or 0
        if cell.recipe.optimizer == "lbfgs":  # an epoch takes as many passes as it needs
            each_s = (self._train_s + self._between_s) / self._epochs_seen if self._epochs_seen else 0.0
            return (epochs - self.epochs_done) * each_s or None
        images_left = cell.dataset.num_train * (epochs - self.epoch + 1) - self.epoch_images
        between_s = self._between_s / self._epochs_seen if self._epochs_seen else 0.0
        return images_left * self._train_s / self._images + (epochs - self.epochs_done) * between_s

    def _spent_s(self, clock: BudgetClock) -> float:
        match clock:
            case "train":
                return self._train_s + (self._spent.train_s if self._spent else 0.0)
            case "fit":
                return self._features_s + self._train_s + self._validate_s + (self._spent.fit_s if self._spent else 0.0)
            case "wall":
                return self.t_s

    def _add_steps(self, steps: Steps) -> None:
        if steps.epoch != self.epoch:
            self.epoch, self.epochs_done, self.epoch_images = steps.epoch, steps.epoch - 1, 0
        self.phase = "train"
        took_s = steps.ends_s[-1] - steps.start_s
        self.images_per_s = steps.images / took_s if took_s else None
        self.epoch_images += steps.images
        self._images += steps.images
        self._train_s += took_s

    def _end_phase(self, done: PhaseDone) -> None:
        if done.phase in {"validate", "checkpoint"}:
            self._between_s += done.end_s - done.start_s
        if done.phase == "validate":
            self._validate_s += done.end_s - done.start_s
        if done.phase == "features":
            self._features_s += done.end_s - done.start_s
        dataset = self.trial.cell.dataset
        if done.phase == "train":
            self.phase = "validate" if dataset.num_validation else "checkpoint"
        elif done.phase == "checkpoint":
            epochs = self.trial.cell.epochs
            ended = self._is_over if epochs is None else self.epochs_done >= epochs
            self.phase = "test" if ended else "train"
        else:
            self.phase = NEXT_PHASE.get(done.phase, done.phase)

    def _end_epoch(self, epoch: Epoch) -> None:
        self.epoch = self.epochs_done = epoch.epoch
        self.epoch_images = epoch.images
        self.accuracy, self.val_accuracy = epoch.accuracy, epoch.val_accuracy
        self._epochs_seen += 1
        self._is_over = epoch.last


def rest_s(trials: Iterable[Progress]) -> tuple[float, int]:
    """Time for the trials that have not begun, as far as their cells were measured with another seed.

    Returns:
        Seconds, and how many trials are left out of them because their cell has not been measured yet.
    """
    trials = list(trials)
    walls_s: defaultdict[Cell, list[float]] = defaultdict(list)
    for progress in trials:
        if progress.result is not None and progress.result.status == "ok":
            walls_s[progress.trial.cell].append(progress.result.wall_s)
        elif progress.is_running and progress.left_s is not None:
            walls_s[progress.trial.cell].append(progress.t_s + progress.left_s)
    waiting = [progress.trial.cell for progress in trials if progress.result is None and not progress.is_running]
    known = [fmean(walls_s[cell]) for cell in waiting if cell in walls_s]
    return sum(known), len(waiting) - len(known)
