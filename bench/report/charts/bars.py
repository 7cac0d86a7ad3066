"""Charts with a row for each cell: where its time went, how fast it was, how even its steps, what a point cost."""

from __future__ import annotations

from collections import defaultdict
from statistics import median
from typing import TYPE_CHECKING

import altair as alt

from bench.report.charts.axes import log_time, time_unit
from bench.report.charts.marks import chart_of, layered, sized
from bench.report.charts.theme import COLOURS, PARTS, PHASES, ROW_HEIGHT, WIDTH
from bench.report.format import duration, energy, percent, rate, span

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.analysis.rows import Row
    from bench.report.charts.cells import CellMarks
    from bench.report.charts.marks import Layer


def phases_chart(trials: Sequence[Row], marks: CellMarks) -> Layer | None:
    """Draw where the time went, median over the seeds of each cell that ended ok, or over all if none did.

    Args:
        trials: Rows of `Report.trials`.
        marks: Of the run's cells.

    Returns:
        The chart; None where no trial began.
    """
    began = _settled([row for row in trials if row["wall_s"] is not None])
    values = [
        {"cell": cell, "part": part, "seconds": seconds, "order": order, "time": duration(seconds)}
        for cell in dict.fromkeys(row["cell"] for row in began)
        for order, (part, phases) in enumerate(PARTS.items())
        if (seconds := _median_sum([row for row in began if row["cell"] == cell], phases))
    ]
    rows = marks.named(values)
    if not rows:
        return None
    shown = [part for part in PARTS if any(row["part"] == part for row in rows)]
    unit_s, unit = time_unit(max(row["wall_s"] for row in began))
    for row in rows:
        row["amount"] = row["seconds"] / unit_s
    scale = alt.Scale(domain=shown, range=[PHASES[part] for part in shown])
    return _sized(
        chart_of(rows)
        .mark_bar(stroke="white", strokeWidth=0.5)
        .encode(
            x=alt.X("sum(amount):Q", title=f"time, everything ({unit})"),
            y=_names(rows),
            color=alt.Color("part:N", scale=scale, title=None, legend=alt.Legend(orient="top", columns=0)),
            order="order:Q",
            tooltip=[
                alt.Tooltip("name:N", title="cell"),
                alt.Tooltip("part:N", title="phase"),
                alt.Tooltip("time:N", title="median over seeds"),
            ],
        ),
        rows,
    )


def speed_chart(cells: Sequence[Row], marks: CellMarks) -> alt.HConcatChart | Layer | None:
    """Draw images a second, and beside it the fraction of what the device attains, where that is known.

    Args:
        cells: Rows of `bench.analysis.cells.cells`.
        marks: Of the run's cells.

    Returns:
        The chart; None where nothing trained.
    """
    rows = [row for row in marks.named(cells) if row["images_per_s"] is not None]
    if not rows:
        return None
    told = [
        {
            "name": row["name"],
            "images_per_s": row["images_per_s"],
            "low": row["images_per_s_low"],
            "high": row["images_per_s_high"],
            "speed": f"{rate(row['images_per_s'])} images/s",
            "fraction": row["attained_fraction"],
            "attained": percent(None if row["attained_fraction"] is None else 100 * row["attained_fraction"]),
        }
        for row in rows
    ]
    base = chart_of(told).encode(
        tooltip=[
            alt.Tooltip("name:N", title="cell"),
            alt.Tooltip("speed:N", title="training"),
            alt.Tooltip("attained:N", title="of what the device attains"),
        ]
    )
    has_fractions = any(row["fraction"] is not None for row in told)
    width = WIDTH // 2 if has_fractions else WIDTH
    x = alt.X("images_per_s:Q", title="training images/s")
    layers = [base.mark_bar(color=COLOURS[0]).encode(x=x, y=_names(told))]
    if intervals := [row for row in told if row["low"] is not None]:
        layers.append(chart_of(intervals).mark_rule(strokeWidth=2).encode(x="low:Q", x2="high:Q", y=_names(told)))
    speed = layered(*layers)
    if not has_fractions:
        return _sized(speed, told)
    axis = alt.Axis(format=".0%")
    fraction = base.mark_bar(color=COLOURS[1]).encode(
        x=alt.X("fraction:Q", title="of what the device attains at best", axis=axis, scale=alt.Scale(domainMin=0)),
        y=_names(told).axis(None),
    )
    chart: alt.HConcatChart = alt.hconcat(_sized(speed, told, width=width), _sized(fraction, told, width=width))
    return chart


def steps_chart(trials: Sequence[Row], step_times: Sequence[Row], marks: CellMarks) -> Layer | None:
    """Draw how long training steps took: their median, the middle half of them, and all but the outermost hundredths.

    Args:
        trials: Rows of `Report.trials`.
        step_times: Rows of `Report.step_times`; of the seeds of a cell, that of the most steps is shown, and of sizes
            of images the largest.
        marks: Of the run's cells.

    Returns:
        The chart; None where no step was stamped.
    """
    # A pass of a linear probe over all images is no step.
    cell_of = {row["key"]: row["cell"] for row in trials if "optimizer=lbfgs" not in row["recipe"]}
    most: dict[int, Row] = {}
    for row in step_times:
        cell = cell_of.get(row["key"])
        if cell is not None and (cell not in most or _rank(row) > _rank(most[cell])):
            most[cell] = row | {"cell": cell}
    if not most:
        return None
    rows = [
        {
            "name": row["name"],
            **{name: row[name] for name in ("p01_s", "p25_s", "median_s", "p75_s", "p99_s")},
            "middle": duration(row["median_s"]),
            "half": span(duration(row["p25_s"]), duration(row["p75_s"])),
            "nearly_all": span(duration(row["p01_s"]), duration(row["p99_s"])),
            "longest": duration(row["longest_s"]),
            "steps": row["steps"],
        }
        for row in marks.named([most[cell] for cell in sorted(most)])
    ]
    base = chart_of(rows).encode(
        y=_names(rows),
        tooltip=[
            alt.Tooltip("name:N", title="cell"),
            alt.Tooltip("steps:Q", title="steps", format=","),
            alt.Tooltip("middle:N", title="median"),
            alt.Tooltip("half:N", title="middle half"),
            alt.Tooltip("nearly_all:N", title="1 % to 99 %"),
            alt.Tooltip("longest:N", title="longest"),
        ],
    )
    ends = [row[name] for row in rows for name in ("p01_s", "p99_s")]
    x = log_time("p01_s", "time of a training step (log)", ends)
    return _sized(
        layered(
            base.mark_rule(strokeWidth=1.5, color=COLOURS[0]).encode(x=x, x2="p99_s:Q"),
            base.mark_bar(height=9, color=COLOURS[0], opacity=0.75).encode(x="p25_s:Q", x2="p75_s:Q"),
            base.mark_tick(thickness=3, size=13).encode(x="median_s:Q"),
        ),
        rows,
    )


def energy_chart(trials: Sequence[Row], marks: CellMarks) -> Layer | None:
    """Draw the energy of a training, of features and validation too, for each percentage point of test accuracy.

    Args:
        trials: Rows of `Report.trials`; of each cell, the median of those that ended ok.
        marks: Of the run's cells.

    Returns:
        The chart; None where no energy was measured.
    """
    by_cell: defaultdict[int, list[tuple[float, float]]] = defaultdict(list)
    for row in trials:
        joules = _joules(row)
        if row["status"] == "ok" and joules is not None and row["test_accuracy"]:
            by_cell[row["cell"]].append((joules / (100 * row["test_accuracy"]), joules))
    rows = marks.named(
        [
            {
                "cell": cell,
                "joules": median(each for each, _ in pairs),
                "all": energy(median(whole for _, whole in pairs)),
            }
            for cell, pairs in by_cell.items()
        ]
    )
    if not rows:
        return None
    return _sized(
        chart_of([row | {"each": energy(row["joules"])} for row in rows])
        .mark_bar(color=COLOURS[2])
        .encode(
            x=alt.X("joules:Q", title="energy per percentage point of test accuracy (J)"),
            y=_names(rows),
            tooltip=[
                alt.Tooltip("name:N", title="cell"),
                alt.Tooltip("each:N", title="a point"),
                alt.Tooltip("all:N", title="features, training and validation"),
            ],
        ),
        rows,
    )


def _joules(row: Row) -> float | None:
    """Energy of features, training and validation, of the device that trained; None where a part is unknown."""
    part = "gpu" if row["device_kind"] == "gpu" else "package"
    phases = [phase for phase in ("features", "train", "validate") if row[f"{phase}_s"] is not None]
    parts = [row[f"{part}_energy_{phase}_joules"] for phase in phases]
    return None if not parts or None in parts else sum(parts)


def _settled(trials: Sequence[Row]) -> list[Row]:
    """Of each cell the trials that ended ok, or all where none did: a failed one says nothing of the others."""
    ok = {row["cell"] for row in trials if row["status"] == "ok"}
    return [row for row in trials if row["status"] == "ok" or row["cell"] not in ok]


def _rank(row: Row) -> tuple[bool, int, int]:
    height = row["image_height"]
    return (height is None, height or 0, row["steps"])


def _median_sum(rows: Sequence[Row], phases: Iterable[str]) -> float:
    return median(sum(row[f"{phase}_s"] or 0.0 for phase in phases) for row in rows)


def _names(rows: Sequence[Row]) -> alt.Y:
    names = list(dict.fromkeys(row["name"] for row in rows))
    return alt.Y("name:N", title=None, sort=names, axis=alt.Axis(ticks=False, domain=False))


def _sized(chart: Layer, rows: Sequence[Row], *, width: int = WIDTH) -> Layer:
    count = len({row["name"] for row in rows})
    return sized(chart, width=width, height=max(3 * ROW_HEIGHT, count * ROW_HEIGHT))
