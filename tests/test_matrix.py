"""The matrix: which trials a configuration means, in which order, and which of them cannot run."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from bench.catalog import ModelFile
from bench.config import RunConfig, merge
from bench.errors import UsageError
from bench.hardware.devices import Choice
from bench.matrix import Plan, expand
from bench.recipe import Recipe
from bench.records import Device, ModelSpec, Trial
from records_for_tests import CPU, DATASET, GPU

if TYPE_CHECKING:
    from collections.abc import Sequence

CORE = Device(kind="cpu", threads=1, cpus=(0,))
COMMON = Recipe(epochs=3, batch_size=64, precision="float32")


def model(name: str = "small", **options: Any) -> ModelFile:
    """A model file; its digest is that of its name."""
    return ModelFile(spec=ModelSpec(name=name, path=f"/somewhere/{name}.py", sha256=name), **options)


SMALL = model()


def plan(
    *,
    models: Sequence[ModelFile] = (SMALL,),
    devices: Sequence[Device] = (CPU,),
    choices: Sequence[Choice] = (),
    **config: Any,
) -> Plan:
    """Expand a configuration that names as many models as there are."""
    options: dict[str, Any] = {"model": tuple(found.spec.name for found in models), "common": COMMON} | config
    choices = (*(Choice(device=device) for device in devices), *choices)
    return expand(RunConfig(**options), models=models, choices=choices, dataset=DATASET)


def names(expanded: Plan) -> list[str]:
    """Model and seed of each trial, in order."""
    return [f"{trial.cell.model.name}{trial.seed}" for trial in expanded.trials]


def test_the_matrix_is_the_product_of_its_axes() -> None:
    """Every combination of model, device, precision, XLA, batch size and seed is there once."""
    expanded = plan(
        models=(model("a"), model("b")),
        devices=(CORE, CPU, GPU),
        precision=("float32", "mixed_bfloat16"),
        jit=("off", "on"),
        batch_size=(32, 64),
        repeats=3,
        seed=5,
    )
    points = Counter(
        (cell.model.name, cell.device, cell.precision, cell.jit, cell.batch_size, trial.seed)
        for trial in expanded.trials
        for cell in [trial.cell]
    )
    assert len(points) == 2 * 3 * 2 * 2 * 2 * 3
    assert set(points.values()) == {1}
    assert {trial.seed for trial in expanded.trials} == {5, 6, 7}
    assert len({trial.key for trial in expanded.trials}) == len(expanded.trials)
    assert expanded.refusals == {}


def test_fields_of_the_recipe_and_budgets_are_axes() -> None:
    """Each value of `--recipe-set` and each budget is a cell; a budget takes the place of the epochs."""
    recipe_set = {"label_smoothing": (0, 0.2), "batch_size": (32, 64)}
    cells = [trial.cell for trial in plan(recipe_set=recipe_set, budget=(120.0, 300.0), budget_clock="wall").trials]
    assert [(cell.recipe.label_smoothing, cell.batch_size, cell.budget_s) for cell in cells] == [
        (smoothing, batch, budget_s) for smoothing in (0.0, 0.2) for batch in (32, 64) for budget_s in (120.0, 300.0)
    ]
    assert {(cell.epochs, cell.budget_clock, cell.recipe.batch_size) for cell in cells} == {(None, "wall", None)}
    assert [trial.cell.epochs for trial in plan(recipe_set={"epochs": (1, 2)}).trials] == [1, 2]


def test_the_clock_of_no_budget_tells_nothing_apart() -> None:
    """Without a budget a trial has the same key whatever clock was named."""
    assert plan(budget_clock="wall").trials == plan().trials


@pytest.mark.parametrize(
    ("recipe_set", "said"),
    [
        ({"stages": ([[40, 0.5]],)}, "a stage of its recipe has images 40 pixels high, those of cifar100 have 32"),
        ({"shift_pixels": (32,)}, "its recipe shifts images by 32 pixels, those of cifar100 have 32 × 32"),
        ({"cutout_pixels": (33,)}, "its recipe covers squares of 33 pixels, those of cifar100 have 32 × 32"),
    ],
)
def test_a_recipe_that_the_images_are_too_small_for_costs_its_own_row(recipe_set: Any, said: str) -> None:
    """Such a cell is refused with its reason; others run."""
    expanded = plan(recipe_set=recipe_set)
    [(status, reason)] = expanded.refusals.values()
    assert status == "failed"
    assert said in reason
    [field] = recipe_set
    both = plan(recipe_set={field: ((), *recipe_set[field]) if field == "stages" else (0, *recipe_set[field])})
    assert (len(both.trials), len(both.refusals)) == (2, 1)


def test_a_cell_says_all_that_was_asked_for() -> None:
    """Data set, steps per execution and the model's digest stand in every cell."""
    [trial] = plan(steps_per_execution=4).trials
    assert trial.cell.dataset == DATASET
    assert trial.cell.steps_per_execution == 4
    assert trial.cell.model == model().spec


def test_onednn_is_an_axis_whose_default_changes_no_key() -> None:
    """A cell that says `on` is the cell of old runs, which knew no such field; `off` is another."""
    (with_it, without) = plan(onednn=("on", "off")).trials
    assert [trial.cell.onednn for trial in (with_it, without)] == ["on", "off"]
    assert plan().trials == (with_it,)
    asked = merge({"model": ["a"], "onednn": ["on"]})
    assert b"onednn" not in msgspec.json.encode(msgspec.structs.replace(with_it.cell, onednn=asked.onednn[0]))
    assert with_it.key != without.key


ABC = (model("a"), model("b"), model("c"))


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("interleaved", ["a0", "b0", "c0", "c1", "b1", "a1", "a2", "b2", "c2"]),
        ("grouped", ["a0", "a1", "a2", "b0", "b1", "b2", "c0", "c1", "c2"]),
    ],
)
def test_the_order_is_as_asked(order: Any, expected: Any) -> None:
    """Interleaved goes there and back, so that a drift of the machine favours none; grouped stays with a cell."""
    assert names(plan(models=ABC, repeats=3, order=order)) == expected


def test_a_random_order_is_decided_by_the_seed() -> None:
    """The same configuration runs in the same order again; another seed gives another; nothing is lost."""
    many = tuple(model(name) for name in "abcdefgh")
    first, again, other = (names(plan(models=many, repeats=2, order="random", seed=seed)) for seed in (0, 0, 1))
    assert first == again
    assert [name[0] for name in first] != [name[0] for name in other]
    assert sorted(first) == sorted(names(plan(models=many, repeats=2)))
    assert first != names(plan(models=many, repeats=2))


@pytest.mark.parametrize("order", ["interleaved", "grouped", "random"])
def test_what_is_asked_for_twice_runs_once(order: Any) -> None:
    """Repeated models, devices and values of an axis make no second trial."""
    expanded = plan(
        models=(model(), model()),
        devices=(CPU, CPU),
        batch_size=(64, 64),
        precision=("float32", "float32"),
        jit=("off", "off"),
        order=order,
    )
    assert len(expanded.trials) == 1


def test_a_copy_of_a_model_file_is_the_same_model() -> None:
    """Two files of one name and content have one key, so they are one trial: that of the first."""
    original = model()
    copy = ModelFile(spec=msgspec.structs.replace(original.spec, path="/elsewhere/small.py"))
    [trial] = plan(models=(original, copy)).trials
    assert trial.cell.model == original.spec


def test_two_ways_to_a_cell_are_one_cell() -> None:
    """A batch size from a recipe and the same one from a flag make the same trial, with the same key."""
    from_recipe = plan(models=(model(recipe=Recipe(batch_size=32, epochs=2, precision="mixed_bfloat16")),))
    from_flags = plan(batch_size=(32,), epochs=2, precision=("mixed_bfloat16",))
    assert from_recipe == from_flags


FULL = Recipe(optimizer="sgd", learning_rate=0.1, batch_size=32, epochs=9, precision="mixed_bfloat16")


@pytest.mark.parametrize(
    ("recipe", "flags", "expected"),
    [
        (None, {}, (64, 3, "float32", "adam")),
        (FULL, {}, (32, 9, "mixed_bfloat16", "sgd")),
        (Recipe(optimizer="sgd"), {}, (64, 3, "float32", "sgd")),
        (FULL, {"batch_size": (8,), "epochs": 1, "precision": ("float32",)}, (8, 1, "float32", "sgd")),
        (FULL, {"recipe": "common"}, (64, 3, "float32", "adam")),
        (FULL, {"recipe": "common", "batch_size": (8,)}, (8, 3, "float32", "adam")),
        (None, {"common": Recipe(batch_size=1, epochs=1)}, (1, 1, "float32", "adam")),
    ],
    ids=[
        "the preset",
        "the model's recipe",
        "a recipe that leaves gaps",
        "flags",
        "common",
        "common and flags",
        "no precision",
    ],
)
def test_flags_win_over_the_recipe_and_the_recipe_over_the_preset(recipe: Any, flags: Any, expected: Any) -> None:
    """Each value comes from the strongest source that says it; `--recipe common` leaves the model's recipe out."""
    [trial] = plan(models=(model(recipe=recipe),), **flags).trials
    cell = trial.cell
    assert (cell.batch_size, cell.epochs, cell.precision, cell.recipe.optimizer) == expected
    assert (cell.recipe.batch_size, cell.recipe.epochs, cell.recipe.precision) == (None, None, None)


@pytest.mark.parametrize(("known", "flag"), [({"epochs": 1}, "--batch-size"), ({"batch_size": 1}, "--epochs")])
def test_a_size_that_nobody_gave_is_asked_for(known: Any, flag: Any) -> None:
    """Without a batch size or a number of epochs there is no trial; the error names the flag."""
    with pytest.raises(UsageError, match=rf"neither {flag}, .* nor the preset says .*; give {flag}"):
        plan(common=Recipe(**known))


def test_without_a_model_nothing_can_be_run() -> None:
    """The error says how to see the models."""
    with pytest.raises(UsageError, match="no model was asked for; `python -m bench models` lists them"):
        plan(models=())


def test_what_cannot_run_is_a_row_with_its_reason() -> None:
    """A device with a problem skips its trials, a broken model file fails its own; the others run."""
    expanded = plan(
        models=(model("good"), model("bad", problem="bad.py is not Python")),
        devices=(CPU,),
        choices=(Choice(device=GPU, problem="the driver is too old"),),
        repeats=2,
    )
    rows = {
        (trial.cell.model.name, trial.cell.device.kind, trial.seed): expanded.refusals.get(trial.key)
        for trial in expanded.trials
    }
    skipped, failed = ("skipped", "the driver is too old"), ("failed", "bad.py is not Python")
    assert rows == {
        (name, kind, seed): skipped if kind == "gpu" else (failed if name == "bad" else None)
        for name in ("good", "bad")
        for kind in ("cpu", "gpu")
        for seed in (0, 1)
    }
    assert set(expanded.refusals) < {trial.key for trial in expanded.trials}


def test_trials_differ_only_by_their_seed_within_a_cell() -> None:
    """Repeats of a cell are the same trial with another seed."""
    first, second = plan(repeats=2).trials
    assert first.cell == second.cell
    assert Trial(cell=first.cell, seed=second.seed) == second
