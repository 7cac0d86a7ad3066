"""What the cells of a run are called: the same rule while it is planned, while it runs, and in its report."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.recipe import describe_fields, differing_by
from bench.report.format import exact_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from bench.analysis.rows import Row
    from bench.records import Cell


@dataclass(frozen=True, kw_only=True)
class _Setting:
    """How a model is trained, as far as a name may tell: plain fields of a cell or of a row about it."""

    model: str
    device: str
    precision: str
    jit: str
    onednn: str
    steps_per_execution: int
    batch_size: int
    recipe: str | None
    epochs: int | None
    budget_s: float | None


def cell_labels(cells: Iterable[Cell]) -> dict[Cell, str]:
    """Name cells so that no two are called alike: model, device, and whatever else differs among a model's cells.

    Args:
        cells: All cells of a run.
    """
    listed = list(dict.fromkeys(cells))
    differing = differing_by((cell.model, cell.recipe) for cell in listed)
    settings = {cell: _of_cell(cell, differing[cell.model]) for cell in listed}
    parts = _parts(settings.values())
    return {cell: f"{cell.model_label} {', '.join(parts(setting))}" for cell, setting in settings.items()}


def setting_labels(rows: Iterable[Row]) -> Callable[[Row], str]:
    """Name devices, and what else is not the plain case, such as `gpu:0 mixed_float16 jit`, in rows about cells.

    Args:
        rows: Of all cells or all trials of a run, with the columns that say which cell it is.

    Returns:
        What names one such row.
    """
    parts = _parts(map(_of_row, rows))
    return lambda row: " ".join(parts(_of_row(row)))


def _parts(settings: Iterable[_Setting]) -> Callable[[_Setting], list[str]]:
    """What is said of a setting: the device, what is not the plain case, and what differs among all of them."""
    listed = list(settings)
    varies_batch = len({setting.batch_size for setting in listed}) > 1
    varies_calls = len({setting.steps_per_execution for setting in listed}) > 1
    epochs: defaultdict[str, set[int | None]] = defaultdict(set)
    for setting in listed:
        epochs[setting.model].add(setting.epochs)
    return lambda setting: list(
        _said(
            setting,
            varies_batch=varies_batch,
            varies_calls=varies_calls,
            varies_epochs=len(epochs[setting.model]) > 1,
        )
    )


def _said(setting: _Setting, *, varies_batch: bool, varies_calls: bool, varies_epochs: bool) -> Iterator[str]:
    device = [setting.device]
    if setting.precision != "float32":
        device.append(setting.precision)
    if setting.jit == "on":
        device.append("jit")
    if setting.onednn == "off":
        device.append("no oneDNN")
    yield " ".join(device)
    if varies_batch:
        yield f"batch {setting.batch_size}"
    if varies_calls:
        yield calls_word(setting.steps_per_execution)
    if setting.recipe is not None:
        yield setting.recipe
    if varies_epochs and setting.epochs is not None:
        yield epochs_word(setting.epochs)
    if setting.budget_s is not None:
        yield f"for {exact_duration(setting.budget_s)}"


def calls_word(steps: int) -> str:
    """How many steps a call of TensorFlow makes, such as `10 steps a call`."""
    return f"{steps} step{'s' * (steps != 1)} a call"


def epochs_word(epochs: int) -> str:
    """A number of epochs, such as `3 epochs`."""
    return f"{epochs} epoch{'s' * (epochs != 1)}"


def _of_cell(cell: Cell, differing: tuple[str, ...]) -> _Setting:
    return _Setting(
        model=cell.model_label,
        device=cell.device.label,
        precision=cell.precision,
        jit=cell.jit,
        onednn=cell.onednn,
        steps_per_execution=cell.steps_per_execution,
        batch_size=cell.batch_size,
        recipe=describe_fields(cell.recipe, differing) or None,
        epochs=cell.epochs,
        budget_s=cell.budget_s,
    )


def _of_row(row: Row) -> _Setting:
    return _Setting(
        model=row["model"],
        device=row["device"],
        precision=row["precision"],
        jit=row["jit"],
        onednn=row["onednn"],
        steps_per_execution=row["steps_per_execution"],
        batch_size=row["batch_size"],
        recipe=row["recipe_axes"],
        epochs=row["epochs_asked"],
        budget_s=row["budget_s"],
    )
