"""Accuracy against wall time: all cells, and what is best for each time."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import altair as alt

from bench.analysis.curves import median_curves
from bench.analysis.frame import rows_of
from bench.analysis.frontier import frontier
from bench.report.charts.axes import accuracy, log_time
from bench.report.charts.marks import chart_of, layered, sized
from bench.report.charts.theme import HEIGHT, WIDTH
from bench.report.format import duration, share, span

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd

    from bench.analysis.rows import Row
    from bench.report.charts.cells import CellMarks
    from bench.report.charts.marks import Layer

MARKS_S = {1800.0: "30 min", 28800.0: "8 h"}  # the founding report's two times
REACH = 12  # a mark is shown where the longest training took a twelfth of it or more


def tradeoff_chart(points: pd.DataFrame, marks: CellMarks) -> alt.VConcatChart | None:
    """Draw best accuracy so far against wall time, start-up included, median and range over seeds.

    Args:
        points: What `bench.analysis.curves.curve_points` returns, and forecasts of the same columns.
        marks: Of the run's cells.

    Returns:
        A chart for each split, since accuracies on different images are not compared; None without any point.
    """
    curves = median_curves(points)
    if curves.empty:
        return None
    best = frontier(curves)
    panels = [
        _panel(marks.named(rows_of(curves[curves["split"] == split])), rows_of(best[best["split"] == split]), marks)
        for split in dict.fromkeys(curves["split"])
    ]
    chart: alt.VConcatChart = alt.vconcat(*panels).resolve_scale(color="independent", shape="independent")
    return chart


def _panel(rows: Sequence[Row], best: Sequence[Row], marks: CellMarks) -> Layer:
    longest_s = max(row["t_s"] for row in rows)
    shown_s = {at_s: word for at_s, word in MARKS_S.items() if REACH * longest_s >= at_s}
    split = rows[0]["split"]
    x = log_time("t_s", "wall time, start-up included (log)", [*(row["t_s"] for row in rows), *shown_s])
    y = accuracy("accuracy", f"best accuracy so far, {split} images")
    lines = chart_of([_told(row) for row in rows]).encode(x=x, color=marks.color(rows))
    # A forecast has a point for every epoch to come, which would hide its dashes.
    counts = Counter((row["cell"], row["kind"]) for row in rows)
    seen = [row for row in rows if row["kind"] == "measured" or counts[row["cell"], row["kind"]] == 1]
    dots = chart_of([_told(row) for row in seen]).encode(x=x, color=marks.color(rows))
    layers = [
        *_time_marks(shown_s),
        _staircase(best).encode(x=x, y=y),
        lines.mark_area(interpolate="step-after", opacity=0.15).encode(
            y=accuracy("low", ""), y2="high:Q", detail="kind:N"
        ),
        lines.mark_line(interpolate="step-after", strokeWidth=2).encode(y=y, strokeDash=_dashes(rows)),
        dots.mark_rule().encode(y=accuracy("low", ""), y2="high:Q"),
        dots.mark_point(filled=True, size=45, opacity=1).encode(y=y, shape=marks.shape(rows), tooltip=_TOOLTIP),
    ]
    return sized(layered(*layers), width=WIDTH, height=HEIGHT)


_TOOLTIP = [
    alt.Tooltip("name:N", title="cell"),
    alt.Tooltip("kind:N"),
    alt.Tooltip("time:N", title="wall time"),
    alt.Tooltip("reached:N", title="accuracy"),
    alt.Tooltip("range:N", title="range over seeds"),
]


def _told(row: Row) -> Row:
    low, high = row["accuracy_low"], row["accuracy_high"]
    return {
        "name": row["name"],
        "kind": row["kind"],
        "t_s": row["t_s"],
        "accuracy": row["accuracy"],
        "low": low,
        "high": high,
        "time": duration(row["t_s"]),
        "reached": share(row["accuracy"]),
        "range": span(share(low), share(high)),
    }


def _staircase(best: Sequence[Row]) -> alt.Chart:
    """The frontier: nothing that takes as little time is more accurate."""
    values = [{"t_s": row["t_s"], "accuracy": row["accuracy"]} for row in best]
    chart: alt.Chart = chart_of(values).mark_line(
        interpolate="step-after", strokeWidth=7, opacity=0.25, color="#808080"
    )
    return chart


def _time_marks(shown_s: dict[float, str]) -> Iterator[alt.Chart]:
    if shown_s:
        values = [{"t_s": at_s, "word": word} for at_s, word in shown_s.items()]
        yield chart_of(values).mark_rule(strokeDash=[2, 3]).encode(x="t_s:Q")
        yield (
            chart_of(values)
            .mark_text(align="right", dx=-4, baseline="top")
            .encode(x="t_s:Q", y=alt.value(2), text="word:N")
        )


def _dashes(rows: Sequence[Row]) -> alt.StrokeDash:
    has_forecasts = any(row["kind"] == "forecast" for row in rows)
    legend = alt.Legend(orient="top", symbolType="stroke") if has_forecasts else None
    scale = alt.Scale(domain=["measured", "forecast"], range=[[1, 0], [6, 4]])
    return alt.StrokeDash("kind:N", title=None, scale=scale, legend=legend)
