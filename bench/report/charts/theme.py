"""How charts look, in light and in dark: sizes, fonts, and colours that colour-blind people tell apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Mode = Literal["light", "dark"]

WIDTH = 640  # pixels of a chart's inner area
HEIGHT = 360
ROW_HEIGHT = 18  # of a bar with its gap
LABEL_WIDTH = 320  # beyond which a cell's name is cut

# Okabe & Ito's (https://jfly.uni-koeln.de/color/), without black and yellow: the one is invisible in dark, the other
# in light. Each has a contrast of at least 2 against both backgrounds; shapes tell apart what colours do not.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999")
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")

# Of phases: what matters is in strong colours, what surrounds it is pale.
PHASES: Mapping[str, str] = {
    "start-up": "#8f7f5f",
    "warm-up": "#cc79a7",
    "features": "#56b4e9",
    "train": "#0072b2",
    "validate": "#009e73",
    "test": "#e69f00",
    "checkpoint": "#d55e00",
    "other": "#767676",
}

# The phases that each of these stands for; the rest stand for themselves.
PARTS: Mapping[str, tuple[str, ...]] = {part: (part,) for part in PHASES} | {
    "start-up": ("import", "data", "build", "compile", "probe"),
    "warm-up": ("warmup",),
}

_INK = {"light": "#1f2328", "dark": "#e6edf3"}
_FAINT = {"light": "#d0d7de", "dark": "#3d444d"}
BACKGROUND = {"light": "#ffffff", "dark": "#0d1117"}


def config(mode: Mode) -> dict[str, Any]:
    """Return Vega-Lite's `config` for a background of this kind."""
    ink, faint = _INK[mode], _FAINT[mode]
    text = {"labelColor": ink, "titleColor": ink, "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal"}
    return {
        "background": BACKGROUND[mode],
        "font": "system-ui, 'Segoe UI', 'Liberation Sans', Arial, sans-serif",
        "view": {"stroke": None, "continuousWidth": WIDTH, "continuousHeight": HEIGHT},
        "axis": text | {"gridColor": faint, "domainColor": faint, "tickColor": faint, "labelLimit": LABEL_WIDTH},
        "axisX": {"labelSeparation": 4},  # pixels; of labels that are nearer every other one is left out
        "header": text,
        "legend": text | {"labelLimit": LABEL_WIDTH, "symbolStrokeWidth": 2},
        "title": {"color": ink, "subtitleColor": ink, "fontSize": 14, "anchor": "start", "fontWeight": "bold"},
        "text": {"color": ink, "fontSize": 11},
        "rule": {"color": ink},
        "tick": {"color": ink},
    }
