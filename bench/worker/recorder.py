"""Stamps what `fit` does: steps in blocks, phases and epochs, with the devices synchronised."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import keras

from bench.errors import BenchError
from bench.records import Epoch, Steps

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bench.records import Cell
    from bench.store import Journal
    from bench.worker.clock import Phases

BLOCK_S = 0.015  # steps shorter than this share a stamp, so that stamping costs nothing
WRITE_S = 1.0  # how often blocks are written out
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
        begin_epoch: Called with an epoch, counted from 0, before its first batch is drawn.
        synchronized_steps: Steps at the beginning of an epoch that are waited for. Elsewhere a GPU's steps are only
            handed over: the reader of batches would be ahead of it and wait for what nobody misses yet.
        waited_s: Tells how long the batches of the epoch's steps were waited for; None where that is not seen.
        save: Called with the number of finished epochs once an epoch's event is on disk.
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        journal: Journal,
        phases: Phases,
        cell: Cell,
        begin_epoch: Callable[[int], None],
        waited_s: Callable[[int], float | None],
        save: Callable[[int], None],
        synchronized_steps: int = 0,
    ) -> None:
        super().__init__(model=model, add_history=True)
        self._journal = journal
        self._phases = phases
        self._steps_per_epoch = cell.steps_per_epoch
        self._images_per_epoch = cell.dataset.num_train
        self._batch_size = cell.batch_size
        self._begin_epoch = begin_epoch
        self._waited_s = waited_s
        self._save = save
        self._synchronized_steps = synchronized_steps
        self._epoch = 0
        self._start_s = 0.0
        self._trained_s = 0.0
        self._checked_s = 0.0
        self._counts: list[int] = []
        self._ends_s: list[float] = []
        self._steps_stamped = self._steps_written = 0
        self._block_s = self._written_s = 0.0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Start the epoch's clock."""
        super().on_epoch_begin(epoch, logs)
        self._epoch = epoch + 1
        self._begin_epoch(epoch)
        self._start_s = self._checked_s = self._phases.now()
        self._begin_blocks(self._start_s, steps_done=0)

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Do nothing, at no cost."""

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Count steps; stamp a block when it is long enough, and the end of training when all steps are done."""
        # The last execution of an epoch may hold fewer steps than the others, which Keras does not tell.
        steps_done = min(batch + 1, self._steps_per_epoch)
        last = steps_done == self._steps_per_epoch
        waits = last or steps_done <= self._synchronized_steps
        now_s = self._phases.now() if waits else self._phases.clock.now()
        if last or now_s - self._block_s >= BLOCK_S:
            self._counts.append(steps_done - self._steps_stamped)
            self._ends_s.append(now_s)
            self._steps_stamped = steps_done
            self._block_s = now_s
            if last or now_s - self._written_s >= WRITE_S:
                self._write_blocks(now_s)
        if last:
            self._trained_s = self._phases.done("train", start_s=self._start_s, epoch=self._epoch)
        if logs and now_s - self._checked_s >= LOSS_CHECK_S:
            self._checked_s = now_s
            self._check(float(logs["loss"]))

    def on_test_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Do nothing, at no cost."""

    def on_test_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Do nothing, at no cost."""

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Write the epoch and then its checkpoint: an epoch is finished when its checkpoint is on disk."""
        figures = {name: float(value) for name, value in (logs or {}).items()}
        super().on_epoch_end(epoch, figures)
        self._check(figures["loss"])
        end_s = self._trained_s
        if "val_loss" in figures:
            end_s = self._phases.done("validate", start_s=self._trained_s, epoch=self._epoch)
        self._journal.append(
            Epoch(
                epoch=self._epoch,
                end_s=end_s,
                images=self._images_per_epoch,
                loss=figures["loss"],
                accuracy=figures["accuracy"],
                val_loss=figures.get("val_loss"),
                val_accuracy=figures.get("val_accuracy"),
                data_wait_s=self._waited_s(self._steps_per_epoch),
            )
        )
        with self._phases.phase("checkpoint", epoch=self._epoch):
            self._journal.sync()
            self._save(self._epoch)

    def _begin_blocks(self, now_s: float, *, steps_done: int) -> None:
        self._counts, self._ends_s = [], []
        self._steps_stamped = self._steps_written = steps_done
        self._block_s = self._written_s = now_s

    def _write_blocks(self, now_s: float) -> None:
        first, last = self._steps_written * self._batch_size, self._steps_stamped * self._batch_size
        self._journal.append(
            Steps(
                epoch=self._epoch,
                start_s=self._written_s,
                counts=tuple(self._counts),
                ends_s=tuple(self._ends_s),
                images=min(last, self._images_per_epoch) - first,
            )
        )
        self._begin_blocks(now_s, steps_done=self._steps_stamped)

    def _check(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise DivergedError(f"the training loss became {loss} in epoch {self._epoch}")
