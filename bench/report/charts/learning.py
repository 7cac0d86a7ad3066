"""Accuracy and loss by epoch, on training and validation images: the founding report's two figures."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Literal

import altair as alt

from bench.analysis.epoch_medians import epoch_medians
from bench.report.charts.marks import chart_of, layered, sized
from bench.report.charts.theme import COLOURS, HEIGHT, WIDTH

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.analysis.rows import Row
    from bench.report.charts.cells import CellMarks
    from bench.report.charts.marks import Layer

Kind = Literal["accuracy", "loss"]
SPLITS = ("training", "validation")


def accuracy_chart(trials: Sequence[Row], epochs: Sequence[Row], marks: CellMarks) -> Layer | None:
    """Draw the accuracy of each epoch, median and range over seeds.

    Args:
        trials: Rows of `Report.trials`.
        epochs: Rows of `Report.epochs`.
        marks: Of the run's cells.

    Returns:
        The chart; None without any epoch.
    """
    return _chart(trials, epochs, marks, "accuracy")


def loss_chart(trials: Sequence[Row], epochs: Sequence[Row], marks: CellMarks) -> Layer | None:
    """Draw the loss of each epoch, as `accuracy_chart` does the accuracy."""
    return _chart(trials, epochs, marks, "loss")


@cache
def trial_chart(kind: Kind) -> Layer:
    """Draw the epochs of a single trial, the rows of `trial_rows`, which the chart asks for as `epochs`."""
    return _layers(alt.Chart(alt.NamedData("epochs")).encode(color=alt.value(COLOURS[0])), kind, alt.value("circle"))


def trial_rows(trial: Row, epochs: Sequence[Row], kind: Kind) -> list[Row]:
    """The rows of a trial's `trial_chart`; of `epochs`, its rows of `Report.epochs`."""
    return [row | {"name": f"seed {trial['seed']}"} for row in _rows([trial], epochs, kind)]


def _chart(trials: Sequence[Row], epochs: Sequence[Row], marks: CellMarks, kind: Kind) -> Layer | None:
    rows = marks.named(_rows(trials, epochs, kind))
    return _layers(chart_of(rows).encode(color=marks.color(rows)), kind, marks.shape(rows)) if rows else None


def _rows(trials: Sequence[Row], epochs: Sequence[Row], kind: Kind) -> list[Row]:
    return [
        found._asdict() | {"split": split}
        for split, column in (("training", kind), ("validation", f"val_{kind}"))
        for found in epoch_medians(trials, epochs, column)
    ]


def _layers(base: alt.Chart, kind: Kind, shape: alt.Shape | alt.Value) -> Layer:
    title, axis, number = _SHOWN[kind]
    tooltip = [
        alt.Tooltip("name:N", title="of"),
        alt.Tooltip("split:N", title="images"),
        alt.Tooltip("epoch:Q"),
        *(alt.Tooltip(f"{name}:Q", title=title, format=number) for name, title in _SPREAD.items()),
    ]
    scale = alt.Scale(domain=list(SPLITS), range=[[2, 3], [1, 0]])
    dash = alt.StrokeDash("split:N", title=None, scale=scale, legend=alt.Legend(orient="top"))
    x = alt.X("epoch:Q", title="epoch", axis=alt.Axis(tickMinStep=1, format="d"))
    y = alt.Y("middle:Q", title=title, axis=axis, scale=alt.Scale(zero=False))
    base = base.encode(x=x)
    chart = layered(
        base.mark_area(opacity=0.12).encode(y=alt.Y("low:Q"), y2="high:Q", detail="split:N"),
        base.mark_line(strokeWidth=2).encode(y=y, strokeDash=dash),
        base.mark_point(filled=True, size=30, opacity=1).encode(y=y, shape=shape, tooltip=tooltip),
    )
    return sized(chart, width=WIDTH, height=HEIGHT)


_SPREAD = {"middle": "median over seeds", "low": "lowest", "high": "highest"}
_SHOWN: Mapping[Kind, tuple[str, alt.Axis, str]] = {
    "accuracy": ("accuracy", alt.Axis(format=".0%"), ".1%"),
    "loss": ("cross-entropy (nats)", alt.Axis(), ".3f"),
}
