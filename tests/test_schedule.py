"""Learning rates and sizes of images as functions of progress."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.recipe import Recipe, Schedule
from bench.schedule import image_sizes, is_constant, learning_rate, stage_number

PROGRESS = st.floats(0, 1)


def rates(recipe: Recipe, *progress: float) -> list[float]:
    """The learning rate at some points."""
    return [learning_rate(recipe, point) for point in progress]


def test_a_constant_rate_stays() -> None:
    """Without a schedule the rate is the recipe's, from the first step to the last."""
    assert rates(Recipe(learning_rate=0.1), 0, 0.5, 1) == [0.1, 0.1, 0.1]
    assert is_constant(Recipe())
    assert not is_constant(Recipe(warmup=0.1))


def test_steps_fall_where_they_are_asked_for() -> None:
    """Each point of `step_at` multiplies the rate by the factor, from that point on."""
    recipe = Recipe(learning_rate=1.0, schedule="step", step_at=(0.5, 0.75), step_factor=0.1)
    assert rates(recipe, 0, 0.49, 0.5, 0.74, 0.75, 1) == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_linear_and_cosine_end_at_the_final_rate() -> None:
    """Half way, both are half way between the highest and the final rate."""
    for schedule in ("linear", "cosine"):
        recipe = Recipe(learning_rate=0.4, schedule=schedule, final_rate=0.1)
        assert rates(recipe, 0, 0.5, 1) == pytest.approx([0.4, 0.22, 0.04])
    assert rates(Recipe(learning_rate=1.0, schedule="cosine"), 0.25) == pytest.approx([(1 + math.sqrt(0.5)) / 2])
    assert rates(Recipe(learning_rate=1.0, schedule="linear"), 0.25) == pytest.approx([0.75])


def test_a_warmup_rises_from_nothing_and_the_rest_follows_it() -> None:
    """The rate rises linearly to its highest, which the schedule starts from."""
    recipe = Recipe(learning_rate=1.0, schedule="linear", warmup=0.2)
    assert rates(recipe, 0, 0.1, 0.2, 0.6, 1) == pytest.approx([0, 0.5, 1, 0.5, 0])
    assert rates(Recipe(learning_rate=1.0, warmup=0.2), 0.1, 0.2, 1) == pytest.approx([0.5, 1, 1])


def test_one_cycle_goes_up_and_down() -> None:
    """From a 25th to the peak at 0.3, or where the warm-up ends, and down to next to nothing."""
    recipe = Recipe(learning_rate=1.0, schedule="one_cycle")
    assert rates(recipe, 0, 0.15, 0.3, 0.65, 1) == pytest.approx([0.04, 0.52, 1, 0.500002, 4e-6])
    assert rates(Recipe(learning_rate=1.0, schedule="one_cycle", warmup=0.5), 0.5) == [1.0]


@given(schedule=st.sampled_from(get_args(Schedule)), warmup=st.floats(0, 0.9), progress=PROGRESS)
def test_no_schedule_leaves_its_bounds(schedule: Any, warmup: float, progress: float) -> None:
    """The rate is never negative and never above the recipe's."""
    assert 0 <= learning_rate(Recipe(learning_rate=0.3, schedule=schedule, warmup=warmup), progress) <= 0.3 * 1.000001


@given(schedule=st.sampled_from(["linear", "cosine", "one_cycle"]), warmup=st.floats(0, 0.9))
def test_every_annealing_ends_annealed(schedule: Any, warmup: float) -> None:
    """After the peak the rate only falls, and the last one is a thousandth of the peak at most."""
    recipe = Recipe(learning_rate=1.0, schedule=schedule, warmup=warmup)
    peak = warmup or (0.3 if schedule == "one_cycle" else 0.0)
    after = [learning_rate(recipe, peak + (1 - peak) * step / 50) for step in range(51)]
    assert all(later <= earlier + 1e-12 for earlier, later in pairwise(after))
    assert after[-1] <= 0.001


def test_stages_follow_each_other() -> None:
    """A stage is over where its share of the training is; after the last, images have their own size."""
    recipe = Recipe(stages=((20, 0.25), (24, 0.55)))
    assert [stage_number(recipe, progress) for progress in (0, 0.249, 0.25, 0.549, 0.55, 1)] == [0, 0, 1, 1, 2, 2]
    assert image_sizes(recipe, 32, 32) == ((20, 20), (24, 24), (32, 32))
    assert image_sizes(recipe, 32, 48) == ((20, 30), (24, 36), (32, 48))
    assert image_sizes(Recipe(), 28, 28) == ((28, 28),)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"stages": ((20, 0.5), (24, 0.5))}, "the ends of stages must grow; received 0.5, 0.5"),
        ({"schedule": "step", "step_at": (0.7, 0.2)}, "step_at must grow; received 0.7, 0.2"),
        ({"schedule": "constant", "final_rate": 0.1}, "final_rate is an option of linear and cosine"),
        ({"schedule": "linear", "step_factor": 0.5}, "step_at and step_factor are options of step"),
        ({"step_at": (0.1,)}, "step_at and step_factor are options of step; received schedule='constant'"),
    ],
)
def test_a_recipe_refuses_a_schedule_that_means_nothing(options: Any, said: str) -> None:
    """Shares that do not grow, and options of another schedule, are errors."""
    with pytest.raises(ValueError, match=said):
        Recipe(**options)
