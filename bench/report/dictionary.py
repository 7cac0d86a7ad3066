"""The columns of all DataFrames as a page of the documentation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.analysis.columns import COLUMNS
from bench.report.markdown import escape

if TYPE_CHECKING:
    from collections.abc import Iterator

ABOUT = {
    "trials": "A row for each trial: one cell of the matrix with one seed. `Report.trials`.",
    "epochs": "A row for each finished epoch of each trial. `Report.epochs`.",
    "samples": "A row for each moment at which a trial was sampled, every 200 ms. `Report.samples`.",
    "phases": "A row for each phase of each trial. `Report.phases`.",
    "step_times": "A row for each trial and size of images. `Report.step_times`.",
    "cells": "A row for each cell, over its seeds. `bench.analysis.cells.cells`.",
    "points": "Accuracy against what it cost, by seed. `bench.analysis.curves.curve_points`.",
    "curves": "The same, the median over the seeds. `bench.analysis.curves.median_curves`.",
    "frontier": "What nothing else reaches for less. `bench.analysis.frontier.frontier`.",
    "legs": "Its stretches, and what a percentage point more costs on each. `bench.analysis.frontier.legs`.",
    "targets": "When each cell reached an accuracy. `bench.analysis.targets.times_to`.",
    "forecasts": "What a training would take and reach. `bench.analysis.forecasts.forecast_frame`.",
    "backtest": "Forecasts against what happened. `bench.analysis.backtest.backtest`.",
    "tuning": "What each setting came to. `bench.analysis.tuned.tuned_frame`.",
}


def dictionary() -> str:
    """Every column of every table, with its type and meaning, as Markdown."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Columns"
    yield ""
    yield "`bench.load(folder)` has the first five tables; `report` writes those that a run has as CSV and Parquet."
    yield "What was not measured is missing, never 0 and never NaN."
    for table, columns in COLUMNS.items():
        yield from ("", f"## {table}", "", ABOUT[table], "", "| column | type | meaning |", "|---|---|---|")
        for name, column in columns.items():
            yield f"| `{name}` | {'list' if column.dtype == 'object' else column.dtype} | {escape(column.meaning)} |"
