"""Sets what changes in the course of a training: the learning rate, and the size of the images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bench import schedule

if TYPE_CHECKING:
    import keras

    from bench.records import Cell
    from bench.worker.course import Course
    from bench.worker.epochs import EpochPipeline


class Steering:
    """Steers a training by its recipe.

    Under a budget it is decided some steps before which size they have, before their batches are in the making: so it
    is known beforehand at which step a size changes.

    Args:
        model: Compiled.
        cell: Its recipe's schedule and stages, and what ends it.
        course: How far the training has come.
        pipeline: Makes the batches.
    """

    def __init__(self, model: keras.Model, cell: Cell, course: Course, pipeline: EpochPipeline) -> None:
        self._model = model
        self._recipe = recipe = cell.recipe
        self._course = course
        self._stages = pipeline.stages
        self._steps_per_epoch = cell.steps_per_epoch
        self._steps_per_execution = cell.steps_per_execution
        self._batches_ahead = pipeline.batches_ahead
        self._steers_rate = not schedule.is_constant(recipe)
        self._starts: list[int | None] = [None for _ in recipe.stages]
        if cell.epochs is not None:
            # The first call whose middle is beyond the stage's end.
            total_steps, half = cell.epochs * cell.steps_per_epoch, cell.steps_per_execution / 2
            ends = (until for _, until in recipe.stages)
            self._starts = [self._begin_of_call(max(0, math.ceil(until * total_steps - half))) for until in ends]
        self._steers_size = None in self._starts
        self._has_begun = False
        self.learning_rate = recipe.learning_rate
        self._stages.begin_at(self._starts)

    @property
    def is_idle(self) -> bool:
        """Whether nothing changes from step to step."""
        return not (self._steers_rate or self._steers_size)

    def begin_epoch(self, step: int, now_s: float) -> None:
        """Let stages that are over before this process's first step be over at once: no batch is in the making yet."""
        if not self._has_begun:
            self._has_begun = True
            self._end_stages(step, at=step, now_s=now_s)

    def before_step(self, step: int, now_s: float) -> None:
        """Set what a step is to be made with; one call of TensorFlow may make several with the same rate."""
        if self._steers_rate:
            self.learning_rate = schedule.learning_rate(self._recipe, self._course.progress(step, now_s))
            self._model.optimizer.learning_rate = self.learning_rate
        if self._steers_size:
            # The batches of this call are being drawn, and those after it are in the making.
            ahead = self._begin_of_call(step + self._steps_per_execution + self._batches_ahead)
            self._end_stages(step, at=ahead, now_s=now_s)

    def image_height(self, step: int) -> int | None:
        """The height of the images of a step, from 0; None if they have their own size."""
        sizes = self._stages.sizes
        number = sum(start is not None and step >= start for start in self._starts)
        return None if sizes[number] == sizes[-1] else sizes[number][0]

    def _begin_of_call(self, step: int) -> int:
        """The first step from this one on that begins a call; each epoch begins with one."""
        epoch, within = divmod(step, self._steps_per_epoch)
        begin = -(-within // self._steps_per_execution) * self._steps_per_execution
        return epoch * self._steps_per_epoch + min(begin, self._steps_per_epoch)

    def _end_stages(self, step: int, *, at: int, now_s: float) -> None:
        """Let stages that will be over when a step is made begin with it what comes after them."""
        progress = self._course.progress(step, now_s, steps_ahead=at - step)
        over = schedule.stage_number(self._recipe, progress)
        if None in self._starts[:over]:
            self._starts = [at if start is None and i < over else start for i, start in enumerate(self._starts)]
            self._steers_size = None in self._starts
            self._stages.begin_at(self._starts)
