"""Speed over threads, beside what twice the threads would do at best."""

from __future__ import annotations

from typing import TYPE_CHECKING

import altair as alt

from bench.analysis.scaling import scalings
from bench.report.charts.marks import chart_of, layered, sized
from bench.report.charts.theme import HEIGHT, WIDTH

if TYPE_CHECKING:
    import pandas as pd

    from bench.analysis.rows import Row
    from bench.report.charts.cells import CellMarks
    from bench.report.charts.marks import Layer


def scaling_chart(trials: pd.DataFrame, marks: CellMarks) -> Layer | None:
    """Draw the speed-up of each workload over the fewest threads that it ran on, which name it.

    Args:
        trials: `Report.trials`.
        marks: Of the run's cells.

    Returns:
        The chart; None where nothing ran on several CPU devices.
    """
    found = scalings(trials)
    if not found:
        return None
    rows: list[Row] = [
        {
            "cell": scaling.points[0].cell,
            "threads": point.threads,
            "device": point.device,
            "speed_up": point.speed_up,
            "efficiency": point.efficiency,
        }
        for scaling in found
        for point in scaling.points
    ]
    rows = marks.named(rows)
    threads = sorted({row["threads"] for row in rows})
    most = threads[-1]
    log2 = alt.Scale(type="log", base=2, domain=[threads[0] / 1.1, most * 1.1], nice=False)
    x = alt.X("threads:Q", title="threads (log)", scale=log2, axis=alt.Axis(values=threads, format="d"))
    y = alt.Y("speed_up:Q", title="speed-up over the fewest threads (log)", scale=alt.Scale(type="log", base=2))
    ideals = [
        {"fewest": fewest, "threads": count, "speed_up": count / fewest}
        for fewest in sorted({scaling.points[0].threads for scaling in found})
        for count in (fewest, most)
    ]
    base = chart_of(rows).encode(x=x, y=y, color=marks.color(rows))
    ends = [row for row in ideals if row["threads"] == most]
    chart = layered(
        chart_of(ideals).mark_line(color="#808080", strokeDash=[2, 3]).encode(x=x, y=y, detail="fewest:N"),
        chart_of(ends).encode(x=x, y=y).mark_text(align="right", dx=-8, text="ideal"),
        base.mark_line(strokeWidth=2),
        base.mark_point(filled=True, size=60, opacity=1).encode(
            shape=marks.shape(rows),
            tooltip=[
                alt.Tooltip("name:N", title="against"),
                alt.Tooltip("device:N"),
                alt.Tooltip("speed_up:Q", title="speed-up", format=".2f"),
                alt.Tooltip("efficiency:Q", format=".0%"),
            ],
        ),
    )
    return sized(chart, width=WIDTH, height=HEIGHT)
