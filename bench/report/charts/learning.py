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
WHOLE = "datum.value % 1 ? '' : format(datum.value, 'd')"  # there is no epoch 1.5
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
    base = alt.Chart(alt.NamedData("epochs")).encode(color=alt.value(COLOURS[0]))
    return sized(layered(*_curve(base, kind, alt.value("circle"), {"middle": kind})), width=WIDTH, height=HEIGHT)


def trial_rows(trial: Row, epochs: Sequence[Row], kind: Kind) -> list[Row]:
    """The rows of a trial's `trial_chart`; of `epochs`, its rows of `Report.epochs`."""
    rows = _rows([trial], epochs, kind)
    return [{"split": row["split"], "epoch": row["epoch"], "middle": round(row["middle"], 4)} for row in rows]


def thinned(epochs: Sequence[Row], most: int) -> list[Row]:
    """So many of the epochs at most, evenly, the last one among them."""
    every = -(-len(epochs) // most)
    return list(epochs[(len(epochs) - 1) % every :: every])


def _chart(trials: Sequence[Row], epochs: Sequence[Row], marks: CellMarks, kind: Kind) -> Layer | None:
    # Of a linear probe an epoch is a strength of regularisation, and all are the best so far: no curve of a training.
    rows = marks.named(_rows(trials, [row for row in epochs if row["l2"] is None], kind))
    if not rows:
        return None
    base = chart_of(rows).encode(color=marks.color(rows))
    band = base.mark_area(opacity=0.12).encode(x="epoch:Q", y=alt.Y("low:Q"), y2="high:Q", detail="split:N")
    return sized(layered(band, *_curve(base, kind, marks.shape(rows), _SPREAD)), width=WIDTH, height=HEIGHT)


def _rows(trials: Sequence[Row], epochs: Sequence[Row], kind: Kind) -> list[Row]:
    return [
        found._asdict() | {"split": split}
        for split, column in (("training", kind), ("validation", f"val_{kind}"))
        for found in epoch_medians(trials, epochs, column)
    ]


def _curve(
    base: alt.Chart, kind: Kind, shape: alt.Shape | alt.Value, told: Mapping[str, str]
) -> tuple[alt.Chart, alt.Chart]:
    """A line with a point for each epoch, whose tooltip tells these fields besides."""
    title, axis, number = _SHOWN[kind]
    named = [alt.Tooltip("name:N", title="cell")] if "low" in told else []
    tooltip = [
        *named,
        alt.Tooltip("split:N", title="images"),
        alt.Tooltip("epoch:Q"),
        *(alt.Tooltip(f"{name}:Q", title=word, format=number) for name, word in told.items()),
    ]
    scale = alt.Scale(domain=list(SPLITS), range=[[2, 3], [1, 0]])
    dash = alt.StrokeDash("split:N", title=None, scale=scale, legend=alt.Legend(orient="top"))
    x = alt.X("epoch:Q", title="epoch", axis=alt.Axis(grid=False, ticks=False, labelExpr=WHOLE))
    y = alt.Y("middle:Q", title=title, axis=axis, scale=alt.Scale(zero=False))
    base = base.encode(x=x, y=y)
    return (
        base.mark_line(strokeWidth=2).encode(strokeDash=dash),
        base.mark_point(filled=True, size=30, opacity=1).encode(shape=shape, tooltip=tooltip),
    )


_SPREAD = {"middle": "median over seeds", "low": "lowest", "high": "highest"}
_SHOWN: Mapping[Kind, tuple[str, alt.Axis, str]] = {
    "accuracy": ("accuracy", alt.Axis(format=".0%"), ".1%"),
    "loss": ("cross-entropy (nats)", alt.Axis(), ".3f"),
}
