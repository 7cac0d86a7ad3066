"""Speed over threads, beside what twice the threads would do at best."""

from __future__ import annotations

from typing import TYPE_CHECKING

import altair as alt

from bench.analysis.scaling import scalings
from bench.report.charts.marks import chart_of, layered, sized
from bench.report.charts.theme import COLOURS, HEIGHT, SHAPES, WIDTH
from bench.report.format import plain

if TYPE_CHECKING:
    import pandas as pd

    from bench.analysis.rows import Row
    from bench.report.charts.marks import Layer


def scaling_chart(trials: pd.DataFrame) -> Layer | None:
    """Draw the speed-up of each workload over the fewest threads that it ran on.

    Args:
        trials: `Report.trials`.

    Returns:
        The chart; None where nothing ran on several CPU devices.
    """
    found = scalings(trials)
    if not found:
        return None
    names = [plain(scaling.model) for scaling in found]
    # What is the same model in another setting has a number behind it.
    names = [
        f"{name} ({names[:at].count(name) + 1})" if names.count(name) > 1 else name for at, name in enumerate(names)
    ]
    rows: list[Row] = [
        {
            "name": name,
            "threads": point.threads,
            "device": point.device,
            "speed_up": point.speed_up,
            "efficiency": point.efficiency,
        }
        for name, scaling in zip(names, found, strict=True)
        for point in scaling.points
    ]
    fewest, most = min(row["threads"] for row in rows), max(row["threads"] for row in rows)
    threads = sorted({row["threads"] for row in rows})
    log2 = alt.Scale(type="log", base=2, domain=[fewest / 1.1, most * 1.1], nice=False)
    x = alt.X("threads:Q", title="threads (log)", scale=log2, axis=alt.Axis(values=threads, format="d"))
    y = alt.Y("speed_up:Q", title="speed-up over the fewest threads (log)", scale=alt.Scale(type="log", base=2))
    ideal = [{"threads": count, "speed_up": count / fewest} for count in (fewest, most)]
    legend = alt.Legend(orient="bottom", direction="vertical", columns=2)
    color = alt.Color("name:N", title=None, legend=legend, scale=alt.Scale(domain=names, range=list(COLOURS)))
    shape = alt.Shape("name:N", title=None, legend=legend, scale=alt.Scale(domain=names, range=list(SHAPES)))
    base = chart_of(rows).encode(x=x, y=y, color=color)
    last = chart_of(ideal[-1:]).encode(x=x, y=y)
    chart = layered(
        chart_of(ideal).mark_line(color="#808080", strokeDash=[2, 3]).encode(x=x, y=y),
        last.mark_text(align="right", dx=-8, text="ideal"),
        base.mark_line(strokeWidth=2),
        base.mark_point(filled=True, size=60, opacity=1).encode(
            shape=shape,
            tooltip=[
                alt.Tooltip("name:N", title="model"),
                alt.Tooltip("device:N"),
                alt.Tooltip("speed_up:Q", title="speed-up", format=".2f"),
                alt.Tooltip("efficiency:Q", format=".0%"),
            ],
        ),
    )
    return sized(chart, width=WIDTH, height=HEIGHT)
