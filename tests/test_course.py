"""How far a training has come, when its budget ends it, and what is steered on the way."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bench.recipe import Recipe
from bench.records import Spent
from bench.schedule import image_sizes
from bench.worker.course import TAIL_S, Aftermath, BudgetCourse, StepCourse
from bench.worker.steering import Steering
from records_for_tests import trial

NOTHING = Aftermath(validate_s=0.0, test_s=0.0, checkpoint_s=0.0)


def budget(budget_s: float, clock: Any = "train", *, after: Aftermath = NOTHING, spent: Spent | None = None) -> Any:
    """A training under a budget."""
    return BudgetCourse(budget_s, clock, aftermath=after, spent=spent)


def last_end_s(course: Any, *, step_s: float, start_s: float = 10.0) -> float:
    """Where the clock stands when a training of equal steps ends."""
    now_s = start_s
    course.begin_epoch(now_s)
    while True:
        now_s += step_s
        course.end_steps(step_s)
        if course.is_over(now_s):
            return now_s


def test_progress_by_steps_is_that_of_their_middles() -> None:
    """The first of ten steps is at 5 %, the last at 95 %; no time ends it."""
    course = StepCourse(10)
    assert [course.progress(step, 0.0) for step in (0, 9)] == [0.05, 0.95]
    assert course.progress(3, 0.0, steps_ahead=4) == 0.75
    assert course.left_s(1e9) == math.inf
    assert not course.is_over(1e9)


@given(budget_s=st.floats(1, 1e5), step_s=st.floats(0.01, 1))
def test_a_budget_ends_within_half_a_step(budget_s: float, step_s: float) -> None:
    """However long the steps are, the last one ends as near to the budget as any could."""
    taken_s = last_end_s(budget(budget_s), step_s=step_s * budget_s / 50) - 10.0
    assert abs(taken_s - budget_s) <= (step_s * budget_s / 50) * 0.5001


def test_where_one_call_makes_several_steps_it_counts_as_one() -> None:
    """Calls of four steps: the budget ends within half a call, progress is that of a call's middle."""
    course = BudgetCourse(10.0, "train", aftermath=NOTHING, spent=None, steps_per_execution=4)
    course.begin_epoch(0.0)
    course.end_steps(0.25)
    assert not course.is_over(9.4)
    assert course.is_over(9.5)
    assert course.progress(8, 2.0) == 0.25
    assert StepCourse(8, steps_per_execution=4).progress(4, 0.0) == 0.75
    assert StepCourse(2, steps_per_execution=4).progress(0, 0.0) == 1.0


@given(
    clock=st.sampled_from(["train", "fit", "wall"]),
    epoch_steps=st.integers(1, 50),
    step_s=st.floats(0.05, 1),
    validate_s=st.floats(0.0, 4),
    checkpoint_s=st.floats(0.0, 0.3),
    budget_s=st.floats(60, 300),
)
def test_whole_trainings_end_on_their_budget(
    *, clock: Any, epoch_steps: int, step_s: float, validate_s: float, checkpoint_s: float, budget_s: float
) -> None:
    """Epochs with validation and checkpoint: however they fall, the clock ends within half a step and a checkpoint."""
    start_s, test_s = 10.0, 5.0
    course = budget(budget_s, clock, after=Aftermath(validate_s=validate_s, test_s=test_s, checkpoint_s=checkpoint_s))
    now_s, train_s, validated_s, over = start_s, 0.0, 0.0, False
    while not over:
        course.begin_epoch(now_s)
        began_s = now_s
        for _ in range(epoch_steps):
            now_s += step_s
            course.end_steps(step_s)
            if over := course.is_over(now_s):
                break
        train_s += now_s - began_s
        took_s = validate_s if over or course.leaves_time_to_validate(now_s) else 0.0
        validated_s += took_s
        now_s += took_s + checkpoint_s
        course.end_epoch(train_s=now_s - took_s - checkpoint_s - began_s, validate_s=took_s, checkpoint_s=checkpoint_s)
    clocks_s = {"train": train_s, "fit": train_s + validated_s, "wall": now_s + test_s + TAIL_S}
    slack_s = checkpoint_s if clock == "wall" else 0.0
    assert abs(clocks_s[clock] - budget_s) <= 0.5001 * step_s + slack_s


def test_no_validation_is_made_that_leaves_no_time_to_train() -> None:
    """With 5 s left beside the last validation, one of 6 s is skipped, and one of 4 s is made."""
    for validate_s, is_made in ((6.0, False), (4.0, True)):
        course = budget(100.0, "fit", after=Aftermath(validate_s=validate_s, test_s=0.0, checkpoint_s=0.0))
        course.begin_epoch(0.0)
        course.end_steps(1.0)
        assert course.leaves_time_to_validate(95.0 - validate_s) is is_made
    assert budget(100.0, "train").leaves_time_to_validate(99.9)
    assert StepCourse(5).leaves_time_to_validate(1e9)


def test_at_least_one_step_is_made() -> None:
    """A budget shorter than a step is overrun by it."""
    assert last_end_s(budget(1.0), step_s=60.0) == 70.0


def test_progress_by_budget_is_elapsed_over_budget() -> None:
    """Half of a step is added: a step is made with what belongs to its middle. It never exceeds 1."""
    course = budget(100.0)
    course.begin_epoch(10.0)
    assert course.progress(0, 10.0) == 0.0
    course.end_steps(2.0)
    assert course.progress(7, 59.0) == 0.5
    assert course.progress(99, 200.0) == 1.0


def test_each_clock_keeps_back_what_it_covers() -> None:
    """Validation is inside `fit`; test, checkpoint, start-up and the end of the process are inside `wall` besides."""
    after = Aftermath(validate_s=5.0, test_s=10.0, checkpoint_s=1.0)
    ends_s = {clock: last_end_s(budget(100.0, clock, after=after), step_s=0.001) for clock in ("train", "fit", "wall")}
    assert ends_s["train"] == pytest.approx(110.0, abs=0.01)
    assert ends_s["fit"] == pytest.approx(105.0, abs=0.01)
    assert ends_s["wall"] == pytest.approx(84.0 - TAIL_S, abs=0.01)


def test_what_lies_between_epochs_counts_where_the_clock_covers_it() -> None:
    """After an epoch of 40 s and a validation of 8 s: left are 60 s of training, 44 of fit, and what the wall has."""
    after = Aftermath(validate_s=4.0, test_s=10.0, checkpoint_s=1.0)
    left_s = {}
    for clock in ("train", "fit", "wall"):
        course = budget(100.0, clock, after=after)
        course.begin_epoch(10.0)
        course.end_epoch(train_s=40.0, validate_s=8.0, checkpoint_s=2.0)
        course.begin_epoch(60.0)
        left_s[clock] = course.left_s(60.0)
    # The validation took twice what was foreseen, and so will the test.
    assert left_s == pytest.approx({"train": 60.0, "fit": 44.0, "wall": 100 - 60 - 8 - 20 - 2 - TAIL_S})


def test_a_trial_that_is_taken_up_goes_on_with_its_clock() -> None:
    """What earlier processes spent is spent; progress goes on where it was."""
    spent = Spent(began_s=12.0, train_s=40.0, fit_s=48.0)
    left_s = {}
    for clock in ("train", "fit", "wall"):
        course = budget(100.0, clock, spent=spent)
        course.begin_epoch(75.0)
        left_s[clock] = course.left_s(75.0)
        assert course.progress(0, 75.0) == pytest.approx(
            {"train": 0.4, "fit": 0.48, "wall": (75 - 12) / (100 - 12 - TAIL_S)}[clock]
        )
    assert left_s == pytest.approx({"train": 60.0, "fit": 52.0, "wall": 25.0 - TAIL_S})


class Stages:
    """Remembers what the stages are told."""

    def __init__(self, sizes: tuple[tuple[int, int], ...]) -> None:
        self.sizes = sizes
        self.starts: list[int | None] = []

    def begin_at(self, steps: list[int | None]) -> None:
        """Keep the steps."""
        self.starts = list(steps)


def steer(recipe: Recipe, course: Any, **cell: Any) -> tuple[Steering, Any, Stages]:
    """A steering of a training of 20 steps, its model and its stages."""
    model = SimpleNamespace(optimizer=SimpleNamespace(learning_rate=None))
    stages = Stages(image_sizes(recipe, 32, 32))
    pipeline = SimpleNamespace(stages=stages, batches_ahead=3)
    asked = trial(recipe=recipe, **cell).cell
    return Steering(model, asked, course, pipeline), model, stages  # type: ignore[arg-type]


STAGED = Recipe(learning_rate=1.0, schedule="linear", stages=((20, 0.25), (24, 0.5)))


def test_a_training_of_epochs_knows_its_stages_beforehand() -> None:
    """20 steps: five with the first size, five with the second, the rest with whole images; rates by the middles."""
    steering, model, stages = steer(STAGED, StepCourse(20))
    assert stages.starts == [5, 10]
    assert [steering.image_height(step) for step in (0, 4, 5, 9, 10, 19)] == [20, 20, 24, 24, None, None]
    steering.begin_epoch(0, 0.0)
    steering.before_step(0, 0.0)
    assert model.optimizer.learning_rate == pytest.approx(0.975)
    steering.before_step(19, 0.0)
    assert model.optimizer.learning_rate == steering.learning_rate == pytest.approx(0.025)


def test_under_a_budget_a_size_changes_when_the_batches_in_the_making_are_used_up() -> None:
    """At 25 % of the budget the size changes three batches and a step later; earlier steps keep theirs."""
    course = budget(100.0)
    steering, _, stages = steer(STAGED, course, epochs=None, budget_s=100.0)
    course.begin_epoch(0.0)
    steering.begin_epoch(0, 0.0)
    assert stages.starts == [None, None]
    steering.before_step(7, 24.0)
    assert stages.starts == [None, None]
    steering.before_step(8, 26.0)
    assert stages.starts == [12, None]
    assert [steering.image_height(step) for step in (8, 11, 12)] == [20, 20, 24]
    steering.before_step(9, 60.0)
    assert stages.starts == [12, 13]
    assert steering.image_height(13) is None


def test_a_size_changes_on_time_where_the_length_of_steps_is_known() -> None:
    """Steps of a second, three batches ahead: it is decided at 21 s that images change at 25 s."""
    course = budget(100.0)
    steering, _, stages = steer(STAGED, course, epochs=None, budget_s=100.0)
    course.begin_epoch(0.0)
    steering.begin_epoch(0, 0.0)
    course.end_steps(1.0)
    steering.before_step(20, 20.0)
    assert stages.starts == [None, None]
    steering.before_step(21, 21.0)
    assert stages.starts == [25, None]


def test_sizes_change_between_calls() -> None:
    """Where a call makes four steps of an epoch of ten, a size begins with a call, or with the next epoch."""
    options = {"steps_per_execution": 4, "epochs": 2}
    _, _, stages = steer(STAGED, StepCourse(20, steps_per_execution=4), **options)
    assert stages.starts == [4, 8]
    late = replace(STAGED, stages=((20, 0.5), (24, 0.7)))
    _, _, stages = steer(late, StepCourse(20, steps_per_execution=4), **options)
    assert stages.starts == [8, 14]


def test_a_stage_of_whole_images_is_none() -> None:
    """Images that have their own size are not called smaller ones, whatever the recipe calls them."""
    steering, _, _ = steer(replace(STAGED, stages=((20, 0.25), (32, 0.5))), StepCourse(20))
    assert [steering.image_height(step) for step in (0, 5, 10)] == [20, None, None]


def test_stages_that_were_over_are_over_at_once_when_a_trial_is_taken_up() -> None:
    """A process that begins at 60 % of the budget shows whole images from its first step on."""
    course = budget(100.0, spent=Spent(began_s=10.0, train_s=60.0, fit_s=60.0))
    steering, _, stages = steer(STAGED, course, epochs=None, budget_s=100.0)
    course.begin_epoch(80.0)
    steering.begin_epoch(10, 80.0)
    assert stages.starts == [10, 10]
    assert steering.image_height(10) is None


def test_where_nothing_changes_nothing_is_done() -> None:
    """A constant rate without stages costs no step anything."""
    steering, _, stages = steer(Recipe(), StepCourse(20))
    assert steering.is_idle
    assert (stages.starts, steering.image_height(3), steering.learning_rate) == ([], None, 0.001)
