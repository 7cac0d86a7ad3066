"""`run --dry-run`: the matrix, and what each trial would need, without training anything."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bench import catalog
from bench.cli.console import console
from bench.cli.tables import table
from bench.launch.describing import describe_models
from bench.report.format import size

if TYPE_CHECKING:
    from bench.catalog import ModelDescription
    from bench.launch.planning import Prepared
    from bench.recipe import Optimizer
    from bench.records import Cell

FLOAT32_BYTES = 4
# Values that each optimizer keeps a trained parameter, beside the parameter and its gradient.
SLOTS: dict[Optimizer, int] = {"adam": 2, "adamw": 2, "rmsprop": 1, "sgd": 0}


def show(prepared: Prepared) -> None:
    """Print the trials in their order, with sizes from models that are really built."""
    plan, data = prepared.plan, prepared.dataset
    terminal = console()
    specs = tuple(
        {
            trial.cell.model.name: trial.cell.model
            for trial in plan.trials
            if catalog.read(catalog.locate(trial.cell.model)).problem is None
        }.values()
    )
    built = describe_models(specs, input_shape=data.input_shape, num_classes=data.num_classes) if specs else ()
    described = dict(zip(specs, built, strict=True))
    pixels = (data.num_train + data.num_validation + data.num_test) * math.prod(data.input_shape)
    terminal.print(
        f"{data.name}: {data.num_train:,} training, {data.num_validation:,} validation and {data.num_test:,} test "
        f"images of {' × '.join(map(str, data.input_shape))}, {data.num_classes} classes, {size(pixels)} as uint8",
        soft_wrap=True,
    )
    matrix = table("#", "trial", "CPUs", "seed", "batch", "steps", "parameters", "weights + optimizer", "activations")
    for number, trial in enumerate(plan.trials, start=1):
        cell = trial.cell
        cpus = ",".join(map(str, cell.device.cpus)) or "–"
        matrix.add_row(
            str(number),
            cell.label,
            cpus,
            str(trial.seed),
            str(cell.batch_size),
            f"{cell.epochs} × {cell.steps_per_epoch}",
            *_needs(cell, described.get(cell.model)),
        )
    terminal.print(matrix)
    for trial in plan.trials:
        if trial.key in plan.refusals:
            status, reason = plan.refusals[trial.key]
            terminal.print(f"{trial.cell.label} will be {status}: {reason}", soft_wrap=True)
    for description in described.values():
        if description.problem:
            terminal.print(f"{description.name} will fail: {description.problem}", soft_wrap=True)
    terminal.print("activations: outputs of all layers for one batch; training keeps about that much, or more")


def _needs(cell: Cell, described: ModelDescription | None) -> tuple[str, str, str]:
    if described is None or described.problem:
        return "–", "–", "–"
    slots = SLOTS[cell.recipe.optimizer] + bool(cell.recipe.optimizer == "sgd" and cell.recipe.momentum)
    values = described.parameters + (1 + slots) * described.trainable_parameters
    return (
        f"{described.parameters:,}",
        size(values * FLOAT32_BYTES),
        size(described.activations * cell.batch_size * FLOAT32_BYTES),
    )
