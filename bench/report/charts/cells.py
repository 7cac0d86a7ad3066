"""Which mark stands for which cell: a colour and a shape, the same in all charts that tell cells apart by colour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import altair as alt

from bench.report.charts.theme import COLOURS, SHAPES
from bench.report.format import plain
from bench.report.labels import setting_labels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.analysis.rows import Row

LEGEND_ROWS = 14  # beyond which a legend has several columns


@dataclass(frozen=True, kw_only=True)
class CellMarks:
    """Names of a run's cells, and what they look like.

    Attributes:
        names: By number of the cell, in the order of the run.
    """

    names: Mapping[int, str]

    def named(self, rows: Sequence[Row]) -> list[Row]:
        """Rows about cells, with the name of each in `name`."""
        return [row | {"name": self.names[row["cell"]]} for row in rows]

    def color(self, rows: Sequence[Row]) -> alt.Color:
        """The colour of those cells that the rows are about."""
        names = self._shown(rows)
        scale = alt.Scale(domain=names, range=[COLOURS[index % len(COLOURS)] for index in self._indices(names)])
        return alt.Color("name:N", scale=scale, title=None, legend=self._legend(names))

    def shape(self, rows: Sequence[Row]) -> alt.Shape:
        """Their shapes, which repeat only after all colours have had each."""
        names = self._shown(rows)
        shapes = [SHAPES[index // len(COLOURS) % len(SHAPES)] for index in self._indices(names)]
        scale = alt.Scale(domain=names, range=shapes)
        return alt.Shape("name:N", scale=scale, title=None, legend=self._legend(names))

    def _shown(self, rows: Sequence[Row]) -> list[str]:
        there = {row["cell"] for row in rows}
        return [name for cell, name in self.names.items() if cell in there]

    def _indices(self, names: Sequence[str]) -> list[int]:
        all_names = list(self.names.values())
        return [all_names.index(name) for name in names]

    def _legend(self, names: Sequence[str]) -> alt.Legend:
        return alt.Legend(
            orient="bottom",
            direction="horizontal",
            symbolOpacity=1,
            symbolLimit=0,
            columns=1 + (len(names) - 1) // LEGEND_ROWS,
        )


def cell_marks(rows: Sequence[Row]) -> CellMarks:
    """Name the cells of a run, no two alike.

    Args:
        rows: About all its cells, as `bench.analysis.cells.cells` or `Report.trials` have them.
    """
    setting = setting_labels(rows)
    names: dict[int, str] = {}
    for row in rows:
        if row["cell"] not in names:
            name = plain(f"{row['model']} on {setting(row)}")
            names[row["cell"]] = f"{name} (cell {row['cell']})" if name in names.values() else name
    return CellMarks(names=names)
