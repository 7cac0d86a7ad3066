"""Learning rates and sizes of images as functions of progress: how much of a training is done, from 0 to 1.

Progress is of steps, or of time where a budget ends the training. So any budget, however short, sees the whole schedule
and ends with the rate that the schedule ends with (Li et al. 2020, Budgeted Training, arXiv 1905.04753).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.recipe import Recipe

# fast.ai's one-cycle, which PyTorch's OneCycleLR took over.
ONE_CYCLE_PEAK = 0.3
ONE_CYCLE_START = 1 / 25
ONE_CYCLE_END = 1 / 250_000


def learning_rate(recipe: Recipe, progress: float) -> float:
    """Return the learning rate at a point of the training.

    Args:
        recipe: Its schedule.
        progress: 0 to 1.
    """
    return recipe.learning_rate * _factor(recipe, progress)


def is_constant(recipe: Recipe) -> bool:
    """Return whether the learning rate stays what it is."""
    return recipe.schedule == "constant" and not recipe.warmup


def stage_number(recipe: Recipe, progress: float) -> int:
    """Return how many of the recipe's stages are over; as many as it has where images have their own size."""
    return bisect_right([until for _, until in recipe.stages], progress)


def image_sizes(recipe: Recipe, height: int, width: int) -> tuple[tuple[int, int], ...]:
    """Return height and width of the training images in each stage, the last being their own.

    Args:
        recipe: Its stages.
        height: Of a whole image, in pixels.
        width: Likewise.
    """
    staged = [(staged_height, max(1, round(width * staged_height / height))) for staged_height, _ in recipe.stages]
    return (*staged, (height, width))


def _factor(recipe: Recipe, progress: float) -> float:
    if recipe.schedule == "one_cycle":
        return _one_cycle(recipe.warmup or ONE_CYCLE_PEAK, progress)
    if progress < recipe.warmup:
        return progress / recipe.warmup
    after_warmup = (progress - recipe.warmup) / (1 - recipe.warmup)
    match recipe.schedule:
        case "constant":
            return 1.0
        case "step":
            return recipe.step_factor ** bisect_right(recipe.step_at, progress)
        case "cosine":
            return _half_cosine(1.0, recipe.final_rate, after_warmup)
        case "linear":
            return 1.0 + (recipe.final_rate - 1.0) * after_warmup


def _one_cycle(peak: float, progress: float) -> float:
    if progress < peak:
        return _half_cosine(ONE_CYCLE_START, 1.0, progress / peak)
    return _half_cosine(1.0, ONE_CYCLE_END, (progress - peak) / (1 - peak))


def _half_cosine(start: float, end: float, progress: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2
