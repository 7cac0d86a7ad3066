"""How far a training has come, and when it is over: by its steps, or by a budget of time."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from bench.recipe import BudgetClock
    from bench.records import Spent

# What follows the last checkpoint inside a budget of everything, beside the test: the sentinel's matrices, and the end
# of the process. Measured: 0.5 to 0.8 s.
TAIL_S = 0.7


class Course(Protocol):
    """How far a training has come. Times are on the trial's clock, steps are counted over all epochs."""

    def begin_epoch(self, now_s: float) -> None:
        """An epoch begins."""

    def end_steps(self, step_s: float) -> None:
        """Steps were made, of so many seconds each."""

    def end_epoch(self, *, train_s: float, validate_s: float, checkpoint_s: float) -> None:
        """An epoch is over and took so long; it was not validated if that took 0 s."""

    def progress(self, step: int, now_s: float, *, steps_ahead: int = 0) -> float:
        """How much of the training is done in the middle of a step that begins now, or so many steps later; 0 to 1."""

    def left_s(self, now_s: float) -> float:
        """Seconds until the last step is to end; infinite without a budget."""

    def is_over(self, now_s: float) -> bool:
        """Whether no step more is to be made."""

    def leaves_time_to_validate(self, now_s: float) -> bool:
        """Whether training can go on after a validation that begins now."""


class StepCourse:
    """A training of so many steps.

    Args:
        total_steps: Its steps.
        steps_per_execution: Steps that one call makes, all with what belongs to their middle.
    """

    def __init__(self, total_steps: int, *, steps_per_execution: int = 1) -> None:
        self._total_steps = total_steps
        self._steps_per_execution = steps_per_execution

    def begin_epoch(self, now_s: float) -> None:
        """Time does not count."""

    def end_steps(self, step_s: float) -> None:
        """Time does not count."""

    def end_epoch(self, *, train_s: float, validate_s: float, checkpoint_s: float) -> None:
        """Time does not count."""

    def progress(self, step: int, now_s: float, *, steps_ahead: int = 0) -> float:  # noqa: ARG002 -- what a course is asked
        """How much of the training is done in the middle of a call's steps, from 0."""
        return min((step + steps_ahead + self._steps_per_execution / 2) / self._total_steps, 1.0)

    def left_s(self, now_s: float) -> float:  # noqa: ARG002 -- what a course is asked
        """No time is set."""
        return math.inf

    def is_over(self, now_s: float) -> bool:  # noqa: ARG002 -- what a course is asked
        """It ends with its last epoch."""
        return False

    def leaves_time_to_validate(self, now_s: float) -> bool:  # noqa: ARG002 -- what a course is asked
        """Every epoch is validated."""
        return True


@dataclass(frozen=True, kw_only=True)
class Aftermath:
    """What is still to come once the last step is made, as far as it can be told beforehand; seconds.

    Attributes:
        validate_s: One validation; 0 without validation images.
        test_s: The test.
        checkpoint_s: One checkpoint.
        test_features_s: What a frozen part puts out for the test images; not told from validations.
    """

    validate_s: float
    test_s: float
    checkpoint_s: float
    test_features_s: float = 0.0


class BudgetCourse:
    """A training that ends when a clock stands at its budget, within half a call's steps.

    On the clock `fit` the last validation is inside, on `wall` everything is, so as much is kept back for them as they
    took before. Near its end an epoch is not validated if the time for a step more would be gone after that.

    Args:
        budget_s: The budget.
        clock: What it covers: `train` alone, `fit` (with validation), or `wall`: everything.
        aftermath: What is still to come after the last step.
        spent: What earlier processes spent; None for a new trial.
        steps_per_execution: Steps that one call makes.
        features_s: What this process spent on what a frozen part puts out, which `fit` covers too. Defaults to 0.
    """

    def __init__(
        self,
        budget_s: float,
        clock: BudgetClock,
        *,
        aftermath: Aftermath,
        spent: Spent | None,
        steps_per_execution: int = 1,
        features_s: float = 0.0,
    ) -> None:
        self._budget_s = budget_s
        self._clock = clock
        self._aftermath = aftermath
        self._steps_per_execution = steps_per_execution
        self._began_s = spent.began_s if spent else None
        self._spent_s = features_s if clock == "fit" else 0.0
        if spent is not None:
            self._spent_s += spent.train_s if clock == "train" else spent.fit_s
        self._zero_s = 0.0
        self._step_s = 0.0

    def begin_epoch(self, now_s: float) -> None:
        """An epoch begins; what lies between two of them, checkpoints, is on no clock but `wall`."""
        if self._began_s is None:
            self._began_s = now_s
        self._zero_s = self._began_s if self._clock == "wall" else now_s - self._spent_s

    def end_steps(self, step_s: float) -> None:
        """The next steps will take about as long."""
        self._step_s = step_s

    def end_epoch(self, *, train_s: float, validate_s: float, checkpoint_s: float) -> None:
        """An epoch is over: the next validation will take about as long, and the test so much more or less."""
        self._spent_s += train_s + (validate_s if self._clock == "fit" else 0.0)
        self._aftermath = replace(self._aftermath, checkpoint_s=checkpoint_s)
        if validate_s:
            foreseen_s = self._aftermath.validate_s
            slower = validate_s / foreseen_s if foreseen_s else 1.0
            test_s = self._aftermath.test_s * slower
            self._aftermath = replace(self._aftermath, validate_s=validate_s, test_s=test_s)

    def progress(self, step: int, now_s: float, *, steps_ahead: int = 0) -> float:  # noqa: ARG002 -- what a course is asked
        """How much of the time is gone in the middle of a call's steps, 0 to 1."""
        middle_s = now_s + steps_ahead * self._step_s + self._call_s / 2
        length_s = self._length_s
        return min((middle_s - self._zero_s) / length_s, 1.0) if length_s > 0 else 1.0

    def left_s(self, now_s: float) -> float:
        """Seconds until the last step is to end."""
        return self._zero_s + self._length_s - now_s

    def is_over(self, now_s: float) -> bool:
        """Whether one call more would end further beyond the budget than the last one ended before it."""
        return self.left_s(now_s) <= self._call_s / 2

    def leaves_time_to_validate(self, now_s: float) -> bool:
        """Whether time for a step is left after validation and, where it counts, checkpoint."""
        match self._clock:
            case "train":
                return True
            case "fit":
                between_s = self._aftermath.validate_s
            case "wall":
                between_s = self._aftermath.validate_s + self._aftermath.checkpoint_s
        return not self.is_over(now_s + between_s)

    @property
    def _call_s(self) -> float:
        """One call takes about so long."""
        return self._steps_per_execution * self._step_s

    @property
    def _length_s(self) -> float:
        """Time from the zero of the clock to the last step's end."""
        match self._clock:
            case "train":
                return self._budget_s
            case "fit":
                return self._budget_s - self._aftermath.validate_s
            case "wall":
                after = self._aftermath
                after_s = after.validate_s + after.test_s + after.test_features_s + after.checkpoint_s + TAIL_S
                return self._budget_s - after_s - (self._began_s or 0.0)
