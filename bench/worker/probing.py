"""The training of a linear probe: one strength of regularisation an epoch, the best one kept, recorded as any other."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.errors import ModelError
from bench.records import Epoch, Steps
from bench.worker.linear_probe import LinearProbe, strength
from bench.worker.recorder import DivergedError

if TYPE_CHECKING:
    from collections.abc import Callable

    import keras

    from bench.records import Cell
    from bench.store import Journal, TrialFolder
    from bench.worker.clock import Phases
    from bench.worker.course import Course
    from bench.worker.setting_up import Ready


@dataclass(frozen=True, kw_only=True)
class _Kept:
    """The best strength so far, with its figures; the model has its weights."""

    l2: float
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float

    def is_better_than(self, other: _Kept) -> bool:
        return (self.val_accuracy, -self.val_loss) > (other.val_accuracy, -other.val_loss)


def fit_probe(
    ready: Ready,
    cell: Cell,
    *,
    folder: TrialFolder,
    journal: Journal,
    phases: Phases,
    save: Callable[[int], None],
    done: int = 0,
) -> None:
    """Fit the layer behind a frozen part with one strength after another, and record it.

    Args:
        ready: What is trained; its validation was warmed up.
        cell: How.
        folder: The trial's, with what earlier processes found.
        journal: Where the events go.
        phases: The clock.
        save: Called with the number of finished epochs at the end of each.
        done: Finished epochs, of earlier processes.

    Raises:
        ModelError: What is trained is no single layer, or there are no validation images.
        DivergedError: Its loss is no number.
    """
    model = ready.model
    ends_s: list[float] = []
    probe = _probe(ready, cell, phases, lambda: ends_s.append(phases.now()))
    kept = _found(folder, done)
    if done:
        probe.take_up()
    for epoch in range(done + 1, (cell.epochs or 0) + 1):
        start_s = phases.now()
        ends_s.clear()
        before = model.get_weights()
        probe.fit(strength(epoch))
        images = len(ends_s) * probe.images
        trained_s = phases.done("train", start_s=start_s, epoch=epoch)
        journal.append(
            Steps(epoch=epoch, start_s=start_s, counts=(1,) * len(ends_s), ends_s=tuple(ends_s), images=images)
        )
        found = _figures(model, ready, probe, strength(epoch))
        end_s = phases.done("validate", start_s=trained_s, epoch=epoch)
        if kept is None or found.is_better_than(kept):
            kept = found
        else:
            model.set_weights(before)
        journal.append(
            Epoch(
                epoch=epoch,
                end_s=end_s,
                images=images,
                loss=kept.loss,
                accuracy=kept.accuracy,
                val_loss=kept.val_loss,
                val_accuracy=kept.val_accuracy,
                l2=kept.l2,
            )
        )
        with phases.phase("checkpoint", epoch=epoch):
            journal.sync()
            save(epoch)


def time_passes(ready: Ready, cell: Cell, course: Course, *, journal: Journal, phases: Phases) -> None:
    """Make passes of the first strength until a course is over, to tell how long one takes, and record them.

    Args:
        ready: What is trained.
        cell: How.
        course: When it is over.
        journal: Where the events go.
        phases: The clock.

    Raises:
        ModelError: See `fit_probe`.
    """
    ends_s: list[float] = []

    def passed() -> None:
        began_s = ends_s[-1] if ends_s else start_s
        ends_s.append(phases.now())
        course.end_steps(ends_s[-1] - began_s)
        if course.is_over(ends_s[-1]):
            raise _EnoughError

    probe = _probe(ready, cell, phases, passed)
    start_s = phases.now()
    course.begin_epoch(start_s)
    with suppress(_EnoughError):
        probe.fit(strength(1))
    images = len(ends_s) * probe.images
    phases.done("train", start_s=start_s, epoch=1)
    journal.append(Steps(epoch=1, start_s=start_s, counts=(1,) * len(ends_s), ends_s=tuple(ends_s), images=images))


class _EnoughError(Exception):
    """A course is over."""


def _probe(ready: Ready, cell: Cell, phases: Phases, evaluated: Callable[[], None]) -> LinearProbe:
    batches = ready.batches
    if batches.features is None or batches.validation is None:
        raise ModelError("lbfgs chooses its regularisation by the validation images; hold some back by --validation")
    features = batches.features
    with phases.phase("warmup"):
        probe = LinearProbe(ready.model, features.variants, features.labels, recipe=cell.recipe, evaluated=evaluated)
        probe.rehearse()
    return probe


def _figures(model: keras.Model, ready: Ready, probe: LinearProbe, l2: float) -> _Kept:
    if not math.isfinite(probe.loss):
        raise DivergedError(f"the training loss became {probe.loss} at an L2 strength of {l2:g}")
    figures: dict[str, Any] = model.evaluate(ready.batches.validation, return_dict=True, verbose=0)
    return _Kept(
        l2=l2,
        loss=probe.loss,
        accuracy=probe.accuracy,
        val_loss=float(figures["loss"]),
        val_accuracy=float(figures["accuracy"]),
    )


def _found(folder: TrialFolder, done: int) -> _Kept | None:
    """What the last finished epoch of an earlier process had kept."""
    events, _ = folder.read_events()
    for event in reversed(events):
        if isinstance(event, Epoch) and event.epoch == done and event.l2 is not None:
            return _Kept(
                l2=event.l2,
                loss=event.loss,
                accuracy=event.accuracy,
                val_loss=event.val_loss or 0.0,
                val_accuracy=event.val_accuracy or 0.0,
            )
    return None
