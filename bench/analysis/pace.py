"""How fast a training goes, from a calibration or from the part of it that was seen."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
from msgspec.structs import replace

from bench.analysis.rewind import surviving_events
from bench.analysis.step_times import step_times_s
from bench.records import Evaluated, Extracted, PhaseDone, Steps

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from bench.records import Cell, Event, Trial


FEWEST_LATER = 3  # steps after the first: of fewer, the first tells as much, and long ones hardly feel an epoch's begin


@dataclass(frozen=True, kw_only=True, eq=False)
class Pace:
    """How fast a training goes.

    Attributes:
        cell: What trains.
        is_calibration: Whether only its beginning was carried out, so that what was seen is no part of it.
        at_s: The trial's clock at the end of the last thing that was seen whole.
        start_s: The start-up: all before the first step, in seconds.
        steps_s: Seconds of each step but the first ones of epochs, by the height of its images; None is their own.
        epoch_start_s: How much longer the first steps of an epoch take than as many others, together; seconds.
        epochs_begun: Epochs of which any step was seen.
        steps_done: Steps, by the height of their images.
        train_s: Training that was seen, in seconds.
        validate_s: Seconds of each validation.
        checkpoint_s: Seconds of each checkpoint after an epoch.
        first_checkpoint_s: Seconds of the one before the first step; 0 if there was none.
        evaluate_image_s: Seconds that an image takes in validation or test; None if that was not seen.
        features_s: Seconds for what a frozen part puts out for training and validation images, as they were or, after a
            calibration, will be; 0 without one. They are inside `start_s`.
        feature_image_s: Seconds that a frozen part takes for a further image; 0 without one.
    """

    cell: Cell
    is_calibration: bool
    at_s: float
    start_s: float
    steps_s: Mapping[int | None, NDArray[np.float64]]
    epoch_start_s: float
    epochs_begun: int
    steps_done: Mapping[int | None, int]
    train_s: float
    validate_s: Sequence[float]
    checkpoint_s: Sequence[float]
    first_checkpoint_s: float
    evaluate_image_s: float | None
    features_s: float = 0.0
    feature_image_s: float = 0.0

    @property
    def epochs_done(self) -> float:
        """Epochs whose steps were seen, a part of one too; of a linear probe, whose passes tell nothing, whole ones."""
        if self.cell.recipe.optimizer == "lbfgs":
            return float(len(self.validate_s))
        return sum(self.steps_done.values()) / self.cell.steps_per_epoch


def find_pace(trial: Trial, events: Iterable[Event], *, until_s: float | None = None) -> Pace | None:
    """Tell how fast a training goes.

    Args:
        trial: The trial, in either mode.
        events: Its journal.
        until_s: Where the trial's clock stands: what ended later has not been seen. Defaults to the end.

    Returns:
        None if no step was seen.
    """
    seen = [event for event in (_until(event, until_s) for event in surviving_events(events)) if event is not None]
    steps = [event for event in seen if isinstance(event, Steps)]
    if not steps:
        return None
    phases = [event for event in seen if isinstance(event, PhaseDone)]
    validate_s = [_took_s(phase) for phase in phases if phase.phase == "validate"]
    saved = [phase for phase in phases if phase.phase == "checkpoint"]
    by_height: dict[int | None, list[Steps]] = {}
    for block in steps:
        by_height.setdefault(block.image_height, []).append(block)
    begun_with = [next(group) for _, group in groupby(steps, key=lambda block: block.epoch)]
    # A GPU's steps are stamped when they are handed over: only all of an epoch's together tell how long they took.
    after_first = _means_of_epochs if trial.cell.device.kind == "gpu" else _after_first
    steps_s = {height: after_first(blocks, begun_with) for height, blocks in by_height.items()}
    # What follows the last epoch is still to come where more of them are asked for.
    ended_s = max([steps[-1].ends_s[-1], *(phase.end_s for phase in phases if phase.epoch is not None)])
    # A calibration evaluates before its first step, in no phase: no training does.
    before_s = [phase.end_s for phase in phases if phase.end_s <= steps[0].start_s]
    is_calibration = trial.mode == "calibrate"
    # Under a budget that covers it, a training times its evaluation too before it begins.
    looks = trial.cell.budget_s is not None and (
        trial.cell.budget_clock == "wall" or (trial.cell.budget_clock == "fit" and trial.cell.dataset.num_validation)
    )
    start_s = max(before_s, default=0.0) if is_calibration and not looks else steps[0].start_s
    sampled_s = sum(_took_s(phase) for phase in phases if phase.phase == "features")
    features_s, feature_image_s = _features_s(trial, seen, sampled_s)
    return Pace(
        cell=trial.cell,
        is_calibration=is_calibration,
        at_s=ended_s,
        start_s=start_s - sampled_s + features_s if is_calibration else start_s,
        steps_s=steps_s,
        epoch_start_s=0.0 if trial.cell.device.kind == "gpu" else _epoch_start_s(begun_with, steps_s),
        epochs_begun=len(begun_with),
        steps_done={height: sum(sum(block.counts) for block in blocks) for height, blocks in by_height.items()},
        train_s=sum(block.ends_s[-1] - block.start_s for block in steps),
        validate_s=validate_s,
        checkpoint_s=[_took_s(phase) for phase in saved if phase.epoch is not None],
        first_checkpoint_s=sum(_took_s(phase) for phase in saved[:1] if phase.epoch is None),
        evaluate_image_s=_evaluate_image_s(trial.cell, seen, validate_s),
        features_s=features_s,
        feature_image_s=feature_image_s,
    )


def typical_s(steps_s: NDArray[np.float64]) -> float:
    """The step time that stands for all: their mean, a step that took more than twice the median counted as that.

    A total is steps times their mean, and the mean lies above the median where some steps are slow; but one pause of
    the machine, in a calibration of some seconds, would stand for hundreds of them in the hours that follow.
    """
    return float(np.minimum(steps_s, 2 * np.median(steps_s)).mean())


def _until(event: Event, until_s: float | None) -> Event | None:
    """What was seen of an event by then; None if nothing."""
    if until_s is None:
        return event
    if isinstance(event, Steps):
        known = sum(end_s <= until_s for end_s in event.ends_s)
        return replace(event, counts=event.counts[:known], ends_s=event.ends_s[:known]) if known else None
    return None if getattr(event, "end_s", 0.0) > until_s else event


def _took_s(phase: PhaseDone) -> float:
    return phase.end_s - phase.start_s


def _after_first(blocks: Sequence[Steps], begun_with: Sequence[Steps]) -> NDArray[np.float64]:
    """The steps but those that were stamped together at an epoch's begin; all of them if there are no others."""
    first = set(map(id, begun_with))
    later = [_without_first(block) if id(block) in first else block for block in blocks]
    times_s = step_times_s([block for block in later if block.counts])
    return times_s if len(times_s) >= FEWEST_LATER else step_times_s(blocks)


def _means_of_epochs(blocks: Sequence[Steps], begun_with: Sequence[Steps]) -> NDArray[np.float64]:  # noqa: ARG001 -- as above
    """For each step the mean of its epoch."""
    means = []
    for _, group in groupby(blocks, key=lambda block: block.epoch):
        epoch = list(group)
        count = sum(sum(block.counts) for block in epoch)
        means.append(np.full(count, sum(block.ends_s[-1] - block.start_s for block in epoch) / count))
    return np.concatenate(means)


def _without_first(block: Steps) -> Steps:
    return replace(block, start_s=block.ends_s[0], counts=block.counts[1:], ends_s=block.ends_s[1:])


def _epoch_start_s(begun_with: Sequence[Steps], steps_s: Mapping[int | None, NDArray[np.float64]]) -> float:
    extra_s = [
        block.ends_s[0] - block.start_s - block.counts[0] * typical_s(steps_s[block.image_height])
        for block in begun_with
    ]
    return max(0.0, float(np.median(extra_s)))


def _features_s(trial: Trial, seen: Sequence[Event], took_s: float) -> tuple[float, float]:
    """What a frozen part takes for all images that are trained and validated on, and for one more; seconds.

    Args:
        trial: The trial.
        seen: What was seen of it.
        took_s: The phase in which it computed, or found, what was needed.
    """
    extracted = [event for event in seen if isinstance(event, Extracted) and event.split != "test"]
    images = sum(event.images + event.reused_images for event in extracted)
    if not images:
        return 0.0, 0.0
    image_s = sum(event.seconds + event.saved_s for event in extracted) / images
    if trial.mode == "train":
        return took_s, image_s
    data = trial.cell.dataset
    wanted = data.num_train * trial.cell.recipe.views + data.num_validation
    # A calibration's sample stands for all; what it took besides, such as tracing, a training takes too.
    called_s = sum(event.seconds + event.uncounted_s for event in extracted)
    return wanted * image_s + max(0.0, took_s - called_s), image_s


def _evaluate_image_s(cell: Cell, seen: Iterable[Event], validate_s: Sequence[float]) -> float | None:
    if validate_s and cell.dataset.num_validation:
        return float(np.median(validate_s)) / cell.dataset.num_validation
    timed = [event.seconds / event.images for event in seen if isinstance(event, Evaluated) and event.images]
    return timed[-1] if timed else None
