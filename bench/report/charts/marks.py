"""What all charts are made of: rows as data, and layers as one chart."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import altair as alt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.analysis.rows import Row

Layer = alt.Chart | alt.LayerChart


def chart_of(rows: Sequence[Row]) -> alt.Chart:
    """Begin a chart of these rows."""
    data = alt.InlineData(values=list(rows))
    return alt.Chart(data)


def layered(*layers: alt.Chart) -> alt.LayerChart:
    """Draw charts over each other, the first one behind."""
    return cast("alt.LayerChart", alt.layer(*layers))  # it is a facet only where a layer is one


def sized(chart: Layer, *, width: int, height: int) -> Layer:
    """Give a chart its inner size, in pixels."""
    return chart.properties(width=width, height=height)
