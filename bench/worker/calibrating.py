"""A few steps of a training, with all that comes before and after, to tell how long the whole would take."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from msgspec.structs import replace

from bench.records import Assignment, Done, Evaluated, Sentinel, Trial
from bench.store import Journal, TrialFolder
from bench.worker import checkpoint, runtime, sentinel
from bench.worker.clock import Clock, Phases
from bench.worker.course import Aftermath, BudgetCourse
from bench.worker.probing import time_passes
from bench.worker.setting_up import count_arithmetic, set_up
from bench.worker.training import fit
from bench.worker.warm_up import time_evaluation, warm_up_evaluation, warm_up_training

if TYPE_CHECKING:
    from bench.records import Cell

# So many steps, in at least so much time, are enough; and so much time is, however few steps it holds.
ENOUGH_STEPS = 50
ENOUGH_S = 10.0
LONGEST_S = 60.0
# To compare speeds two calls must be seen, as an epoch's first one takes longer; no two take just as long.
FEW_CALLS = 1.9
# A training step takes long if with its tracing it takes longer than this.
LONG_S = 15.0
# A recipe with stages of smaller images goes through all of them in so much time.
STAGED_S = 30.0
# What a frozen part puts out is computed for so long at most, and for that share of the time at most.
SAMPLE_S = 12.0
SAMPLE_SHARE = 0.3
# What the end of the process takes, and a margin.
END_S = 1.0


class CalibrationCourse(BudgetCourse):
    """A training that ends when it has told enough, and never with a step that began too late to end in time.

    Its progress, by which learning rate and sizes of images change, is the share of its time that is gone.

    Args:
        budget_s: Time for its steps, in seconds.
        runs_through: Whether all of that time is wanted.
        enough_s: Seconds of steps that are enough, if two calls were made; None for as many as a forecast needs.
        steps_per_execution: Steps that one call makes.
    """

    def __init__(
        self, budget_s: float, *, runs_through: bool, enough_s: float | None = None, steps_per_execution: int = 1
    ) -> None:
        none = Aftermath(validate_s=0.0, test_s=0.0, checkpoint_s=0.0)
        super().__init__(budget_s, "train", aftermath=none, spent=None, steps_per_execution=steps_per_execution)
        self._runs_through = runs_through
        self._enough_s = enough_s
        self._steps_s: list[float] = []

    def begin_epoch(self, now_s: float) -> None:
        """An epoch begins; the checkpoint before it has taken of the time too."""
        if self._began_s is None:
            self._began_s = self._zero_s = now_s

    def end_steps(self, step_s: float) -> None:
        """Steps took so long each: the middle one counts, since an epoch's last one may be of few images."""
        self._steps_s.append(step_s)
        super().end_steps(median(self._steps_s))

    def is_over(self, now_s: float) -> bool:
        """Whether a step more would tell little, or end too late."""
        spent_s = self._budget_s - self.left_s(now_s)
        enough = spent_s >= self._least_s() and not self._runs_through
        return enough or spent_s >= LONGEST_S or self.left_s(now_s) < self._call_s

    def _least_s(self) -> float:
        """Seconds of steps that tell enough."""
        if self._enough_s is None:
            return max(ENOUGH_S, ENOUGH_STEPS * self._step_s)
        return max(self._enough_s, FEW_CALLS * self._call_s)


def calibrate(assignment: Assignment, trial: Trial, journal: Journal, clock: Clock) -> None:
    """Carry out a calibration in this process and write its events: those of a training, as far as it goes.

    Nothing is validated or tested; a part of the evaluation is timed instead, unless only speeds are compared or steps
    take long.

    Raises:
        BenchError: Model, data or device are not what the trial needs, or its loss diverged.
    """
    cell = trial.cell
    folder = TrialFolder(Path(assignment.folder))
    phases = Phases(clock, journal, runtime.synchronize)
    left_s = LONGEST_S if assignment.limit_s is None else assignment.limit_s - clock.now()
    ready = set_up(assignment, trial, journal, phases, sample_s=min(SAMPLE_S, SAMPLE_SHARE * left_s))
    model, batches, devices = ready.model, ready.batches, ready.devices

    def save(epoch: int) -> None:
        checkpoint.save(folder.checkpoint, model, epoch=epoch)

    with phases.phase("checkpoint"):
        began_s = phases.now()
        save(0)
        checkpoint_s = phases.now() - began_s
    with phases.phase("warmup"):
        began_s = phases.now()
        if cell.recipe.optimizer != "lbfgs":
            warm_up_training(model, cell, batches)
        # Where a step takes long, a second one tells more than what else could be timed: an evaluation is told from it.
        steps_alone = assignment.enough_s is not None or phases.now() - began_s > LONG_S
        if not steps_alone:
            warm_up_evaluation(model, cell, batches)
    if not steps_alone:
        with phases.phase("probe"):
            for counted in count_arithmetic(model, cell):
                journal.append(counted)
    with phases.phase("checkpoint"):
        checkpoint.restore(folder.checkpoint, model, epoch=0)
    with phases.phase("probe"):
        journal.append(Sentinel(when="before", seconds=sentinel.measure_s(devices[0])))
    if not steps_alone:
        # What is in no training stands in no phase of one: the start-up of a calibration is that of a training.
        journal.append(_evaluated(cell, *time_evaluation(model, batches)))

    left_s = LONGEST_S if assignment.limit_s is None else assignment.limit_s - phases.now() - 2 * checkpoint_s - END_S
    staged = bool(cell.recipe.stages)
    budget_s = min(left_s, assignment.enough_s or STAGED_S) if staged else left_s
    course = CalibrationCourse(
        budget_s,
        runs_through=staged,
        enough_s=assignment.enough_s,
        steps_per_execution=cell.steps_per_execution,
    )
    short = replace(cell, epochs=None, budget_s=max(budget_s, END_S), budget_clock="train")
    if cell.recipe.optimizer == "lbfgs":
        time_passes(ready, cell, course, journal=journal, phases=phases)
    else:
        fit(ready, short, course, journal=journal, phases=phases, save=save, validates=False)
    journal.append(runtime.peak_memory(devices))
    journal.append(Done(end_s=phases.now()))
    journal.sync()


def _evaluated(cell: Cell, batches: int, seconds: float) -> Evaluated:
    """What was timed: the last batch of a split may be of fewer images than the others."""
    split = cell.dataset.num_validation or cell.dataset.num_train
    return Evaluated(images=min(batches * cell.batch_size, split), seconds=round(seconds, 6))
