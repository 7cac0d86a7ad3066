"""`run --dry-run`: the matrix, and what each trial would need, without training anything."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bench.cli.console import console
from bench.cli.tables import table
from bench.launch.preflight import how_built
from bench.report.format import MISSING, duration, size
from bench.report.labels import cell_labels

if TYPE_CHECKING:
    from bench.launch.planning import Prepared
    from bench.records import Cell, MemoryEstimate

LEGEND = (
    "memory: the expected peak of the process; activations: the part of it that a training step holds for its images; "
    "the rest is TensorFlow, the data, weights, gradients, the optimizer's values and the allocator's spare room"
)


def show(prepared: Prepared) -> None:
    """Print the trials in their order, with what each would need."""
    plan, data, preflight = prepared.plan, prepared.dataset, prepared.preflight
    terminal = console()
    pixels = (data.num_train + data.num_validation + data.num_test) * math.prod(data.input_shape)
    terminal.print(
        f"{data.name}: {data.num_train:,} training, {data.num_validation:,} validation and {data.num_test:,} test "
        f"images of {' × '.join(map(str, data.input_shape))}, {data.num_classes} classes, {size(pixels)} as uint8",
        soft_wrap=True,
    )
    on_gpu = any(trial.cell.device.kind == "gpu" for trial in plan.trials)
    matrix = table(
        *("#", "trial", "CPUs", "seed", "batch", "steps", "parameters", "activations", "memory"),
        *(["GPU memory"] if on_gpu else []),
    )
    labels = cell_labels(trial.cell for trial in plan.trials)
    for number, trial in enumerate(plan.trials, start=1):
        cell = trial.cell
        described = preflight.descriptions.get(how_built(cell))
        matrix.add_row(
            str(number),
            labels[cell],
            ",".join(map(str, cell.device.cpus)) or MISSING,
            str(trial.seed),
            str(cell.batch_size),
            _steps(cell),
            f"{described.parameters:,}" if described and not described.problem else MISSING,
            *_needs(preflight.estimates.get(trial.key), on_gpu=on_gpu),
        )
    terminal.print(matrix)
    for trial in plan.trials:
        if trial.key in plan.refusals:
            status, reason = plan.refusals[trial.key]
            terminal.print(f"{labels[trial.cell]}, seed {trial.seed} will be {status}: {reason}", soft_wrap=True)
    for description in preflight.descriptions.values():
        if description.problem:
            terminal.print(f"{description.name} will fail: {description.problem}", soft_wrap=True)
    terminal.print(f"{size(preflight.available_bytes)} of memory available; {LEGEND}", soft_wrap=True)


def _steps(cell: Cell) -> str:
    if cell.epochs is None:
        return f"for {duration(cell.budget_s)}"
    at_most = "≤ " if cell.recipe.optimizer == "lbfgs" else ""
    return f"{cell.epochs} × {at_most}{cell.steps_per_epoch}"


def _needs(needed: MemoryEstimate | None, *, on_gpu: bool) -> list[str]:
    if needed is None:
        return [MISSING] * (3 if on_gpu else 2)
    shown = [needed.activations_bytes, needed.total_bytes]
    return [*map(size, shown), *([size(needed.gpu_total_bytes)] if on_gpu else [])]
