"""What a trial used while it ran: memory, CPU, GPU and power over time, with its phases behind them."""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import altair as alt

from bench.report.charts.axes import time_unit
from bench.report.charts.figure import Figure
from bench.report.charts.marks import layered, sized
from bench.report.charts.theme import COLOURS, PARTS, PHASES, WIDTH
from bench.report.format import GIGA, duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bench.analysis.rows import Row
    from bench.report.charts.marks import Layer

PANEL_HEIGHT = 80
_PART_OF = {phase: part for part, phases in PARTS.items() for phase in phases}


class _Panel(NamedTuple):
    """A quantity over time."""

    title: str
    value: Callable[[Row], float | None]


_PANELS = (
    _Panel("memory (GB)", lambda row: _divided(row["rss_bytes"], GIGA)),
    _Panel("CPU (cores)", lambda row: _divided(row["cpu_percent"], 100)),
    _Panel("GPU (%)", lambda row: row["gpu_utilization_percent"]),
    _Panel("GPU memory (GB)", lambda row: _divided(row["gpu_memory_used_bytes"], GIGA)),
    _Panel("GPU power (W)", lambda row: row["gpu_power_watts"]),
    _Panel("package power (W)", lambda row: row["package_watts"]),
)


# Columns of `Report.samples` that are drawn.
DRAWN = (
    *("t_s", "rss_bytes", "cpu_percent", "gpu_utilization_percent", "gpu_memory_used_bytes", "gpu_power_watts"),
    "package_energy_joules",
)


def resources_figure(
    samples: Sequence[Row], phases: Sequence[Row], *, name: str, most_points: int = 240
) -> Figure | None:
    """Draw what one trial used, a panel for each quantity that could be read.

    Args:
        samples: Its rows of `Report.samples`.
        phases: Its rows of `Report.phases`.
        name: Of the figure.
        most_points: Of a line; more than its pixels can show would only make the page larger. Defaults to 240.

    Returns:
        The figure; None without two samples.
    """
    if len(samples) < 2:
        return None
    end_s = max([samples[-1]["t_s"], *(row["end_s"] for row in phases)])
    spans = _spans(phases, shortest_s=end_s / WIDTH)
    unit_s, unit = time_unit(end_s)
    for span in spans:
        span["start"], span["end"] = round(span["start"] / unit_s, 4), round(span["end"] / unit_s, 4)
    rows = _with_power(samples)
    lines = {panel.title: _thinned(rows, panel.value, unit_s, most_points) for panel in _PANELS}
    drawn = {title: line for title, line in lines.items() if line}
    if not drawn:
        return None
    return Figure(
        name=name,
        title="What it used",
        about="Its phases are the colours behind the lines.",
        chart=_template(tuple(drawn), unit),
        datasets={"phases": spans, **drawn},
    )


@cache
def _template(titles: tuple[str, ...], unit: str) -> alt.VConcatChart:
    """The chart of all trials with these panels and this unit of time."""
    panels = [_panel(title, f"time since its start ({unit})" if title == titles[-1] else "") for title in titles]
    chart: alt.VConcatChart = alt.vconcat(*panels, spacing=8).resolve_scale(x="shared")
    return chart


def _panel(title: str, time: str) -> Layer:
    scale = alt.Scale(domain=list(PHASES), range=list(PHASES.values()))
    axis = alt.Axis(grid=False, labels=bool(time), ticks=bool(time), tickCount=10)
    legend = alt.Legend(orient="top", columns=0, symbolOpacity=0.6)
    nice = alt.Scale(nice=False, domainMin=0)
    behind = (
        alt.Chart(alt.NamedData("phases"))
        .mark_rect(opacity=0.22)
        .encode(
            x=alt.X("start:Q", title=time or None, axis=axis, scale=nice),
            x2="end:Q",
            color=alt.Color("part:N", title=None, scale=scale, legend=legend),
            tooltip=[alt.Tooltip("part:N", title="phase"), alt.Tooltip("time:N", title="took")],
        )
    )
    line = (
        alt.Chart(alt.NamedData(title))
        .mark_line(color=COLOURS[0], strokeWidth=1.5)
        .encode(
            x=alt.X("t:Q", title=time or None, axis=axis, scale=nice),
            y=alt.Y("value:Q", title=title, axis=alt.Axis(tickCount=3)),
        )
    )
    return sized(layered(behind, line), width=WIDTH, height=PANEL_HEIGHT)


def _spans(phases: Sequence[Row], *, shortest_s: float) -> list[Row]:
    """Phases as they are shown: those of one kind that follow each other are one, and none is narrower than a pixel."""
    shown: list[dict[str, Any]] = []
    for row in sorted(phases, key=lambda row: row["start_s"]):
        part, start_s, end_s = _PART_OF[row["phase"]], row["start_s"], row["end_s"]
        if (
            shown
            and start_s - shown[-1]["end"] <= shortest_s
            and (shown[-1]["part"] == part or end_s - start_s < shortest_s)
        ):
            shown[-1]["end"] = max(shown[-1]["end"], end_s)
        else:
            shown.append({"part": part, "start": start_s, "end": end_s})
    return [span | {"time": duration(span["end"] - span["start"])} for span in shown]


def _with_power(samples: Sequence[Row]) -> list[Row]:
    """Samples with the power of the processor packages since the sample before."""
    watts: list[float | None] = [None]
    for before, row in pairwise(samples):
        passed_s = row["t_s"] - before["t_s"]
        ends = (before["package_energy_joules"], row["package_energy_joules"])
        known = passed_s > 0 and None not in ends
        used = ends[1] - ends[0] if known else -1.0
        watts.append(used / passed_s if used >= 0 else None)  # a new process counts from zero again
    return [row | {"package_watts": value} for row, value in zip(samples, watts, strict=True)]


def _thinned(rows: Sequence[Row], value: Callable[[Row], float | None], unit_s: float, most_points: int) -> list[Row]:
    """Points of a line: of each stretch of time the lowest and the highest, so that no peak is lost."""
    known = [(row["t_s"] / unit_s, found) for row in rows if (found := value(row)) is not None]
    if len(known) < 2:
        return []
    return [{"t": round(t, 4), "value": round(found, 4)} for t, found in _extremes(known, most_points)]


def _extremes(points: Sequence[tuple[float, float]], most_points: int) -> Iterator[tuple[float, float]]:
    every = math.ceil(2 * len(points) / most_points)
    if every < 3:
        yield from points
        return
    for start in range(0, len(points), every):
        stretch = points[start : start + every]
        ends = {min(stretch, key=lambda point: point[1]), max(stretch, key=lambda point: point[1])}
        yield from sorted(ends)


def _divided(value: float | None, by: float) -> float | None:
    return None if value is None else value / by
