"""All charts of a report, in the order in which they are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from bench.analysis.cells import cells
from bench.analysis.curves import curve_points
from bench.analysis.forecast_points import forecast_points
from bench.analysis.frame import rows_of
from bench.report.charts.bars import energy_chart, phases_chart, speed_chart, steps_chart
from bench.report.charts.cells import cell_marks
from bench.report.charts.figure import Figure
from bench.report.charts.learning import accuracy_chart, loss_chart
from bench.report.charts.scaling import scaling_chart
from bench.report.charts.tradeoff import tradeoff_chart
from bench.report.question import NOTHING_ASKED, Question

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.analysis.forecasts import Forecast
    from bench.analysis.frame import Report


def figures(report: Report, question: Question = NOTHING_ASKED) -> list[Figure]:
    """Draw what was measured, as far as there is anything to draw."""
    trials, epochs, by_cell = rows_of(report.trials), rows_of(report.epochs), rows_of(cells(report.trials))
    marks = cell_marks(by_cell)
    points = curve_points(report.trials, report.epochs, question.prices)
    drawn = (
        ("tradeoff", tradeoff_chart(points, marks)),
        ("accuracy", accuracy_chart(trials, epochs, marks)),
        ("loss", loss_chart(trials, epochs, marks)),
        ("phases", phases_chart(trials, marks)),
        ("speed", speed_chart(by_cell, marks)),
        ("scaling", scaling_chart(report.trials, marks)),
        ("steps", steps_chart(trials, rows_of(report.step_times), marks)),
        ("energy", energy_chart(trials, marks)),
    )
    return [
        Figure(name=name, title=_SAID[name][0], about=" ".join(_SAID[name][1].split()), chart=chart)
        for name, chart in drawn
        if chart is not None
    ]


def forecast_figures(report: Report, forecasts: Sequence[Forecast], question: Question = NOTHING_ASKED) -> list[Figure]:
    """Draw what is forecast beside what was measured, if its accuracy is known."""
    points = [
        curve_points(report.trials, report.epochs, question.prices),
        forecast_points(forecasts, question.prices),
    ]
    known = [frame for frame in points if not frame.empty]
    chart = tradeoff_chart(pd.concat(known), cell_marks(rows_of(report.trials))) if known else None
    title, about = _SAID["tradeoff"]
    return [] if chart is None else [Figure(name="forecast", title=title, about=" ".join(about.split()), chart=chart)]


_SAID = {
    "tradeoff": (
        "Accuracy against wall time",
        """Best accuracy so far, median over seeds with the range from worst to best. The broad grey staircase is the
        frontier: nothing that takes as little time is more accurate. Dashed lines are forecasts.""",
    ),
    "accuracy": (
        "Accuracy by epoch",
        """Median over seeds with their range, on training images (as they were trained on, dotted) and on validation
        images (solid). Linear probes, whose epochs are strengths of regularisation, are left out.""",
    ),
    "loss": ("Loss by epoch", "Cross-entropy, as in the chart before; label smoothing counts on training images."),
    "phases": (
        "Where the time went",
        "Median of each phase over the seeds that ended ok; other is above all the end of the process.",
    ),
    "speed": (
        "Throughput",
        """Training images a second, median over seeds, with its 95 % interval where there are three seeds; beside it
        the share of the arithmetic that the device attains at best.""",
    ),
    "scaling": (
        "Thread scaling",
        "Speed-up over the fewest threads; the dotted line is as much faster as threads are more.",
    ),
    "steps": (
        "Step times",
        "Median, the middle half and all but the outermost hundredths of the training steps on the largest images.",
    ),
    "energy": (
        "Energy of a percentage point",
        "Energy of training, validation and what a frozen part puts out for both, over points of test accuracy.",
    ),
}

FIGURES = tuple(_SAID)  # names of all that `figures` may draw
