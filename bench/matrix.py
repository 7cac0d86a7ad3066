"""RunConfig + models + devices -> trials, in the order in which they run."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from bench import recipe_axes
from bench.errors import BenchError, UsageError
from bench.records import Cell, Status, Trial
from bench.schedule import image_sizes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from bench.catalog import ModelFile
    from bench.config import RunConfig
    from bench.hardware.devices import Choice
    from bench.recipe import Recipe
    from bench.records import DatasetSpec
    from bench.weights.spec import WeightsSpec

    FindWeights = Callable[[ModelFile, str], WeightsSpec | None]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be run.

    Attributes:
        trials: In the order in which they run, each once.
        refusals: Trials that cannot run, by key, with the status and the reason of their row.
    """

    trials: tuple[Trial, ...]
    refusals: Mapping[str, tuple[Status, str]]


def expand(
    config: RunConfig,
    *,
    models: Sequence[ModelFile],
    choices: Sequence[Choice],
    dataset: DatasetSpec,
    find_weights: FindWeights | None = None,
) -> Plan:
    """Expand the axes into trials: the product of models, devices, recipes and what a cell says besides, and repeats.

    Args:
        config: The axes.
        models: Those that it asks for.
        choices: Its devices.
        dataset: What is trained and tested on.
        find_weights: Finds the weights that a recipe names; a cell whose weights are not found cannot run. Defaults to
            none: no recipe names any.

    Raises:
        UsageError: Neither flag, recipe nor preset says how large a batch is or how many epochs there are, or the
            recipe's axes do not go together.
    """
    if not config.model:
        raise UsageError("no model was asked for; `python -m bench models` lists them")
    cells: dict[str, Cell] = {}  # by what tells trials apart: a copy of a model file elsewhere is the same model
    refused: dict[Cell, tuple[Status, str]] = {}
    for model, choice in itertools.product(models, choices):
        for cell, missing in _cells(config, model, choice, dataset, find_weights):
            cells.setdefault(Trial(cell=cell, seed=config.seed).key, cell)
            if choice.problem is not None:
                refused[cell] = "skipped", choice.problem
            elif (problem := model.problem or missing or _recipe_problem(cell)) is not None:
                refused[cell] = "failed", problem
    trials = tuple(_ordered(config, tuple(cells.values())))
    refusals = {trial.key: refused[trial.cell] for trial in trials if trial.cell in refused}
    return Plan(trials=trials, refusals=refusals)


def _cells(
    config: RunConfig, model: ModelFile, choice: Choice, dataset: DatasetSpec, find_weights: FindWeights | None
) -> Iterator[tuple[Cell, str | None]]:
    """The cells of a model on a device, each with why its weights are not there; None if they are."""
    base = model.recipe if config.recipe == "model" and model.recipe else config.common
    for recipe in recipe_axes.variants(base, config.recipe_set):
        weights, missing = _weights(model, recipe, find_weights)
        batch_sizes = config.batch_size or (_settle("batch_size", recipe, config),)
        precisions = config.precision or (recipe.precision or config.common.precision or "float32",)
        budgets: tuple[float | None, ...] = config.budget or (None,)
        axes = itertools.product(precisions, config.jit, config.onednn, batch_sizes, budgets)
        for precision, jit, onednn, batch_size, budget_s in axes:
            ends: dict[str, Any] = {"budget_s": budget_s, "budget_clock": config.budget_clock}
            if budget_s is None:
                ends = {"epochs": _settle("epochs", recipe, config) if config.epochs is None else config.epochs}
            cell = Cell(
                model=model.spec,
                device=choice.device,
                precision=precision,
                jit=jit,
                onednn=onednn,
                batch_size=batch_size,
                dataset=dataset,
                # What the recipe asked for now stands in the cell; two ways to the same cell must be one cell.
                recipe=msgspec.structs.replace(
                    recipe,
                    batch_size=None,
                    epochs=None,
                    precision=None,
                    weights=recipe.weights if weights is None else weights.name,
                ),
                steps_per_execution=config.steps_per_execution,
                weights=weights,
                **ends,
            )
            yield cell, missing


def _weights(
    model: ModelFile, recipe: Recipe, find_weights: FindWeights | None
) -> tuple[WeightsSpec | None, str | None]:
    """What a recipe's `weights` stand for, or why they stand for nothing."""
    if recipe.weights == "none" or model.problem is not None or find_weights is None:
        return None, None
    try:
        return find_weights(model, recipe.weights), None
    except BenchError as error:
        return None, str(error)


def _recipe_problem(cell: Cell) -> str | None:
    """Why the recipe cannot be followed with these images; None if it can."""
    height, width, _ = cell.dataset.input_shape
    *staged, whole = image_sizes(cell.recipe, height, width)
    if any(size[0] > whole[0] for size in staged):
        return (
            f"a stage of its recipe has images {max(size[0] for size in staged)} pixels high, those of "
            f"{cell.dataset.name} have {height}; stages begin with smaller ones"
        )
    if cell.recipe.optimizer == "lbfgs" and not cell.dataset.num_validation:
        return (
            "lbfgs chooses its regularisation by the validation images, and none are held back; give --validation 0.1"
        )
    if cell.recipe.optimizer == "lbfgs" and cell.budget_s is not None:
        return "lbfgs ends with its epochs, one for each strength of regularisation; give --epochs instead of --budget"
    images = f"those of {cell.dataset.name} have {height} × {width}"
    if cell.recipe.shift_pixels >= min(height, width):
        return f"its recipe shifts images by {cell.recipe.shift_pixels} pixels, {images}; shift by fewer"
    if cell.recipe.cutout_pixels > min(height, width):
        return f"its recipe covers squares of {cell.recipe.cutout_pixels} pixels, {images}; cover smaller ones"
    return None


def _settle(field: str, recipe: Recipe, config: RunConfig) -> int:
    own = getattr(recipe, field)
    value = getattr(config.common, field) if own is None else own
    if value is None:
        flag = field.replace("_", "-")
        raise UsageError(f"neither --{flag}, the model's recipe nor the preset says the {field}; give --{flag}")
    return int(value)


def _ordered(config: RunConfig, cells: tuple[Cell, ...]) -> Iterator[Trial]:
    seeds = range(config.seed, config.seed + config.repeats)
    match config.order:
        case "grouped":
            yield from (Trial(cell=cell, seed=seed) for cell in cells for seed in seeds)
        case "interleaved":
            # A B B A: a machine that drifts while the run lasts favours none of them.
            for repeat, seed in enumerate(seeds):
                row = cells if repeat % 2 == 0 else cells[::-1]
                yield from (Trial(cell=cell, seed=seed) for cell in row)
        case "random":
            trials = [Trial(cell=cell, seed=seed) for cell in cells for seed in seeds]
            random.Random(config.seed).shuffle(trials)  # noqa: S311 -- an order, not a secret
            yield from trials
