"""What the cells of a run are called while it is planned and while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.recipe import describe_fields, differing_by
from bench.report.format import duration

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.records import Cell


def cell_labels(cells: Iterable[Cell]) -> dict[Cell, str]:
    """Name cells so that no two are called alike: model, device, and whatever else differs among a model's cells.

    Args:
        cells: All cells of a run.
    """
    listed = list(dict.fromkeys(cells))
    differing = differing_by((cell.model, cell.recipe) for cell in listed)
    varies_batch = len({cell.batch_size for cell in listed}) > 1
    return {cell: _label(cell, differing[cell.model], varies_batch=varies_batch) for cell in listed}


def _label(cell: Cell, differing: tuple[str, ...], *, varies_batch: bool) -> str:
    parts = [cell.label]
    if varies_batch:
        parts.append(f"batch {cell.batch_size}")
    if differing:
        parts.append(describe_fields(cell.recipe, differing))
    if cell.budget_s is not None:
        parts.append(f"in {duration(cell.budget_s)}")
    return ", ".join(parts)
