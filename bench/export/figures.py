"""The figures of a cell that trackers of benchmarks follow over commits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.analysis.measures import MEASURES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.analysis.measures import Measure
    from bench.analysis.rows import Row
    from bench.export.source import Source


@dataclass(frozen=True, kw_only=True)
class Figure:
    """What was measured of a cell.

    Attributes:
        cell: Its row.
        measure: What.
        values: Of the trials that ended ok, at least one.
    """

    cell: Row
    measure: Measure
    values: Sequence[float]


def figures(source: Source) -> Iterator[Figure]:
    """Every measure that was taken, cell by cell."""
    for cell in source.cells:
        rows = source.ok_trials(cell)
        for measure in MEASURES.values():
            values = [value for row in rows if (value := measure.of(row)) is not None]
            if values:
                yield Figure(cell=cell, measure=measure, values=values)
