"""Stamps what `fit` does: steps in blocks, phases and epochs, with the devices synchronised."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import keras

from bench.errors import BenchError
from bench.records import Epoch, Steps

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bench.records import Cell
    from bench.store import Journal
    from bench.worker.clock import Phases
    from bench.worker.course import Course
    from bench.worker.steering import Steering

BLOCK_S = 0.015  # steps shorter than this share a stamp, so that stamping costs nothing
WRITE_S = 1.0  # how often blocks are written out
WAIT_S = 1.0  # how often a budget waits for the device, and how long before its end it does so at every step
LOSS_CHECK_S = 5.0  # reading the loss waits for the device; not at every step


class DivergedError(BenchError):
    """The loss is no longer a number."""


class Recorder(keras.callbacks.CallbackList):
    """Records training through `fit(callbacks=Recorder(...))`.

    It is the callback list itself, not a callback in one: Keras's own list hands every batch to a thread pool, or
    converts its logs, which waits for the device at every step.

    Args:
        model: The model that is fitted.
        journal: Where the events go.
        phases: The clock.
        cell: What is trained.
        course: How far the training has come, and when it is over.
        steering: Sets what changes on the way.
        begin_epoch: Called with an epoch, counted from 0, before its first batch is drawn.
        synchronized_steps: Steps at the beginning of an epoch that are waited for. Elsewhere a GPU's steps are only
            handed over: the reader of batches would be ahead of it and wait for what nobody misses yet.
        validate: Evaluates the model on the validation images with these callbacks; None without such images.
        waited_s: Tells how long the batches of the epoch's steps were waited for; None where that is not seen.
        save: Called with the number of finished epochs once an epoch's event is on disk.
        callbacks: Others, which are told of epochs and validations and not of steps.
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        journal: Journal,
        phases: Phases,
        cell: Cell,
        course: Course,
        steering: Steering,
        begin_epoch: Callable[[int], None],
        waited_s: Callable[[int], float | None],
        validate: Callable[[keras.callbacks.CallbackList], Mapping[str, float]] | None,
        save: Callable[[int], None],
        synchronized_steps: int = 0,
        callbacks: Sequence[keras.callbacks.Callback] = (),
    ) -> None:
        super().__init__(callbacks=list(callbacks), model=model, add_history=True)
        self._journal = journal
        self._phases = phases
        self._steps_per_epoch = cell.steps_per_epoch
        self._images_per_epoch = cell.dataset.num_train
        self._batch_size = cell.batch_size
        self._course = course
        self._steering = steering
        self._begin_epoch = begin_epoch
        self._waited_s = waited_s
        self._validate = validate
        self._save = save
        self._synchronized_steps = synchronized_steps
        self._epoch = 0
        self._start_s = 0.0
        self._trained_s = 0.0
        self._checked_s = 0.0
        self._steps_done = self._steps_waited_for = 0
        self._waited_at_s = 0.0
        self._steps_a_wait = 1
        self._over = False
        self._counts: list[int] = []
        self._ends_s: list[float] = []
        self._steps_stamped = self._steps_written = 0
        self._block_s = self._written_s = 0.0
        self._height: int | None = None

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Start the epoch's clock."""
        super().on_epoch_begin(epoch, logs)
        self._epoch = epoch + 1
        self._begin_epoch(epoch)
        self._start_s = self._checked_s = self._waited_at_s = self._phases.now()
        self._steps_done = self._steps_waited_for = 0
        self._course.begin_epoch(self._start_s)
        self._steering.begin_epoch(self._first_step, self._start_s)
        self._begin_blocks(self._start_s)

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002 -- Keras's
        """Set what the step is to be made with, where anything changes from step to step."""
        if not self._steering.is_idle:
            self._steering.before_step(self._first_step + batch, self._phases.clock.now())

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Count steps; stamp a block when it is long enough, and the end of training when all steps are done."""
        # The last execution of an epoch may hold fewer steps than the others, which Keras does not tell.
        self._steps_done = min(batch + 1, self._steps_per_epoch)
        now_s = self._phases.clock.now()
        last = self._steps_done == self._steps_per_epoch
        if last or self._must_wait(now_s):
            now_s = self._wait()
            self._over = self._course.is_over(now_s)
            last = last or self._over
        resized = self._image_height(self._steps_done) != self._height
        if last or resized or now_s - self._block_s >= BLOCK_S:
            self._counts.append(self._steps_done - self._steps_stamped)
            self._ends_s.append(now_s)
            self._steps_stamped = self._steps_done
            self._block_s = now_s
            if last or resized or now_s - self._written_s >= WRITE_S:
                self._write_blocks(now_s)
        if last:
            self._trained_s = self._phases.done("train", start_s=self._start_s, epoch=self._epoch)
            self.model.stop_training = self._over
        if logs and now_s - self._checked_s >= LOSS_CHECK_S:
            self._checked_s = now_s
            self._check(float(logs["loss"]))

    def on_test_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Do nothing, at no cost."""

    def on_test_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Do nothing, at no cost."""

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Validate, write the epoch and then its checkpoint: it is finished when its checkpoint is on disk."""
        figures = {name: float(value) for name, value in (logs or {}).items()}
        self._check(figures["loss"])
        end_s = self._trained_s
        if self._validate and (self._over or self._course.leaves_time_to_validate(end_s)):
            figures |= {f"val_{name}": float(value) for name, value in self._validate(self).items()}
            end_s = self._phases.done("validate", start_s=self._trained_s, epoch=self._epoch)
        super().on_epoch_end(epoch, figures)
        self._journal.append(
            Epoch(
                epoch=self._epoch,
                end_s=end_s,
                images=self._images(self._steps_done),
                loss=figures["loss"],
                accuracy=figures["accuracy"],
                val_loss=figures.get("val_loss"),
                val_accuracy=figures.get("val_accuracy"),
                data_wait_s=self._waited_s(self._steps_done),
                learning_rate=self._steering.learning_rate,
                last=self._over,
            )
        )
        with self._phases.phase("checkpoint", epoch=self._epoch):
            self._journal.sync()
            self._save(self._epoch)
        self._course.end_epoch(
            train_s=self._trained_s - self._start_s,
            validate_s=end_s - self._trained_s,
            checkpoint_s=self._phases.clock.now() - end_s,
        )

    @property
    def _first_step(self) -> int:
        """The epoch's, counted over all epochs."""
        return (self._epoch - 1) * self._steps_per_epoch

    def _images(self, steps: int) -> int:
        """Images of the epoch's first steps; the last one may be of fewer than the others."""
        return min(steps * self._batch_size, self._images_per_epoch)

    def _image_height(self, step: int) -> int | None:
        return self._steering.image_height(self._first_step + step)

    def _must_wait(self, now_s: float) -> bool:
        """Whether to wait for the device: for its first steps, and where a budget asks how late it is."""
        if self._steps_done <= self._synchronized_steps:
            return True
        if self._course.left_s(now_s) == math.inf:
            return False
        since = self._steps_done - self._steps_waited_for
        return since >= self._steps_a_wait or self._course.left_s(now_s) <= WAIT_S

    def _wait(self) -> float:
        """Wait for the device, tell how long its steps take, and return the time."""
        now_s = self._phases.now()
        steps, took_s = self._steps_done - self._steps_waited_for, now_s - self._waited_at_s
        self._course.end_steps(took_s / steps)
        # A GPU's steps may be handed over many times as fast as they are made: its own time counts.
        self._steps_a_wait = max(1, int(steps * WAIT_S / took_s)) if took_s > 0 else 1
        self._steps_waited_for, self._waited_at_s = self._steps_done, now_s
        return now_s

    def _begin_blocks(self, now_s: float) -> None:
        self._counts, self._ends_s = [], []
        self._steps_stamped = self._steps_written = self._steps_done
        self._block_s = self._written_s = now_s
        self._height = self._image_height(self._steps_done)

    def _write_blocks(self, now_s: float) -> None:
        self._journal.append(
            Steps(
                epoch=self._epoch,
                start_s=self._written_s,
                counts=tuple(self._counts),
                ends_s=tuple(self._ends_s),
                images=self._images(self._steps_stamped) - self._images(self._steps_written),
                image_height=self._height,
            )
        )
        self._begin_blocks(now_s)

    def _check(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise DivergedError(f"the training loss became {loss} in epoch {self._epoch}")
