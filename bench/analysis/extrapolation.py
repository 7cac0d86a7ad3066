"""The accuracy of a later epoch, from the epochs that a trial has behind it.

Learning-rate schedules break this: accuracy then depends on how much of the schedule is over. `refusal` says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.recipe import Recipe
    from bench.records import Cell

MIN_EPOCHS = 4  # a curve has three parameters: with three points every shape fits
MOST_EPOCHS = 128  # of more, a part is as good, and the parent that asks after each of them stays idle

CONFIDENCE = 0.9
ABOVE_CHANCE = 3.0  # standard deviations of the number of images that guessing gets right


@dataclass(frozen=True, kw_only=True)
class Extrapolation:
    """The accuracy that is expected of an epoch, shares of 1.

    Attributes:
        estimate: The median of what is expected.
        low: Lower end.
        high: Upper end.
        confidence: Share of such intervals that hold the accuracy that the epoch is going to have.
        seen: Epochs that it rests on.
        epochs: The epoch that it is for; a fraction where a training ends within one.
    """

    estimate: float
    low: float
    high: float
    confidence: float
    seen: int
    epochs: float


def extrapolate(
    accuracies: Sequence[float],
    epochs: float,
    *,
    num_images: int | None = None,
    num_classes: int | None = None,
    confidence: float = CONFIDENCE,
) -> Extrapolation | None:
    """Predict the validation accuracy of an epoch: its own, not the best until then.

    On 13 curves of real trainings at constant rates (eight of them logs in the documentation of Keras) it errs by
    1.5 points on average, over all horizons to five times the epochs seen, and 94 % of the intervals hold the truth. A
    curve of another kind, one that stops rising early or falls because the net overfits, is held less often.

    Args:
        accuracies: After each epoch from the first on, shares of 1; not a number for an epoch without one.
        epochs: The epoch to predict, from 1, beyond those that were seen.
        num_images: Validation images, whose choice is noise of p (1 - p) / n. None if unknown: taken as none.
        num_classes: Classes: of a net that does no better than guessing among them, nothing can be told. None if
            unknown.
        confidence: Of the interval. Defaults to 0.9.

    Returns:
        The prediction; None where fewer than 4 epochs have an accuracy, or none of them is above chance. The same
        values always give the same one.

    Raises:
        ValueError: An epoch that is not beyond those that were seen.

    Example:
        >>> found = extrapolate([0.131, 0.204, 0.236, 0.269], 15, num_images=5000)
        >>> found.low < 0.3434 < found.high
        True
    """
    if epochs <= len(accuracies):
        raise ValueError(f"epoch {epochs:g} is not beyond the {len(accuracies)} that were seen, where it is known")
    known = {epoch: accuracy for epoch, accuracy in enumerate(accuracies, start=1) if math.isfinite(accuracy)}
    if len(known) < MIN_EPOCHS or not _has_begun_to_learn(max(known.values()), num_classes, num_images):
        return None
    seen = len(known)
    known = _thinned(known)
    from bench.analysis.learning_curves import predict  # noqa: PLC0415 -- until then, watching a run needs no NumPy

    low, estimate, high = predict(known, epochs, num_images=num_images, confidence=confidence)
    return Extrapolation(
        estimate=estimate,
        low=low,
        high=high,
        confidence=confidence,
        seen=seen,
        epochs=float(epochs),
    )


def _has_begun_to_learn(best: float, num_classes: int | None, num_images: int | None) -> bool:
    """Whether an accuracy is one that guessing would not reach."""
    if num_classes is None:
        return True
    chance = 1 / num_classes
    deviation = math.sqrt(chance * (1 - chance) / num_images) if num_images else 0.0
    return best > chance + ABOVE_CHANCE * deviation


def _thinned(known: dict[int, float]) -> dict[int, float]:
    """Some of many epochs, the last among them, evenly apart."""
    if len(known) <= MOST_EPOCHS:
        return known
    epochs = list(known)
    chosen = {round((number + 1) * len(epochs) / MOST_EPOCHS) - 1 for number in range(MOST_EPOCHS)}
    return {epochs[index]: known[epochs[index]] for index in sorted(chosen)}


def refusal(cell: Cell) -> str | None:
    """Say why the later accuracy of a cell's trials cannot be told from their first epochs; None if it can.

    A budget is no reason: under a constant rate it only says where the curve ends. Averaged weights are one where the
    average covers more than an epoch: it then still holds what the weights were at first. A shorter one shifts the
    curve by less than an epoch.
    """
    if cell.recipe.optimizer == "lbfgs":
        return "lbfgs: each of its epochs is a weaker regularisation, and which one is best only its validation tells"
    if not cell.dataset.num_validation:
        return "no validation images, so accuracy is only known at the end; hold some back with --validation 0.1"
    return _refusal(cell.recipe, cell.steps_per_epoch)


def _refusal(recipe: Recipe, steps_per_epoch: int) -> str | None:
    """Why what a recipe changes on the way hides the later epochs from the first ones."""
    remedy = "only a training to the end tells; for a forecast, train with"
    if recipe.schedule != "constant":
        return (
            f"schedule={recipe.schedule}: accuracy follows the learning rate, whose changes are still to come; "
            f"{remedy} --recipe-set schedule=constant"
        )
    if recipe.warmup:
        return (
            f"warmup={recipe.warmup:g}: the learning rate rises with the first epochs, and accuracy with it; "
            f"{remedy} --recipe-set warmup=0"
        )
    if recipe.stages:
        heights = ", ".join(str(height) for height, _ in recipe.stages)
        return (
            f"stages of {heights} pixels: accuracy jumps where the images become larger; "
            f"{remedy} --recipe-set stages=[]"
        )
    if recipe.ema_momentum and 1 / (1 - recipe.ema_momentum) > steps_per_epoch:
        return (
            f"ema_momentum={recipe.ema_momentum:g}: weights are averaged over {1 / (1 - recipe.ema_momentum):,.0f} "
            f"steps, an epoch has {steps_per_epoch:,}, so the average is still far behind; "
            f"{remedy} --recipe-set ema_momentum=0"
        )
    return None
