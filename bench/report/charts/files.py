"""Charts as files: SVG and PNG, drawn by vl-convert without a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt
import vl_convert

from bench.report.charts.theme import config

if TYPE_CHECKING:
    from bench.report.charts.figure import Figure
    from bench.report.charts.theme import Mode

VEGA_LITE = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])  # what Altair writes for, such as 6.1
PNG_SCALE = 2.0  # pixels of the file for one of the chart


def specification(figure: Figure, mode: Mode) -> dict[str, Any]:
    """Return a figure as Vega-Lite, in the colours of a light or a dark background."""
    spec = bare(figure.chart)
    return spec | {"config": config(mode), "datasets": spec.get("datasets", {}) | dict(figure.datasets)}


def bare(chart: alt.TopLevelMixin) -> dict[str, Any]:
    """Return the chart as Vega-Lite, without colours of a background."""
    spec: dict[str, Any] = chart.to_dict(validate=False)
    spec.pop("config", None)
    return spec


def svg(figure: Figure, mode: Mode = "light") -> bytes:
    """Draw a figure as SVG."""
    drawn: str = vl_convert.vegalite_to_svg(specification(figure, mode), vl_version=VEGA_LITE)
    return drawn.encode()


def png(drawn: bytes) -> bytes:
    """Make pixels of what `svg` has drawn, twice as many as the page has."""
    pixels: bytes = vl_convert.svg_to_png(drawn.decode(), scale=PNG_SCALE)
    return pixels
