"""The files of a report: tables for other programs, Markdown for people."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from bench.analysis.cells import cells
from bench.analysis.columns import COLUMNS, Column
from bench.analysis.curves import curve_points, median_curves
from bench.analysis.forecasts import forecast_frame
from bench.analysis.frontier import frontier
from bench.analysis.tuned import tuned_frame
from bench.errors import StoreError
from bench.report.markdown import findings_markdown, summary_markdown
from bench.report.question import NOTHING_ASKED, Question
from bench.report.summary import Summary, summarize
from bench.store import RunFolder, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    import pandas as pd

    from bench.analysis.forecasts import Forecast
    from bench.analysis.frame import Report
    from bench.analysis.tuned import Tuned
    from bench.report.section import Findings


def write_report(
    folder: Path, report: Report, question: Question = NOTHING_ASKED, *, summary: Summary | None = None
) -> list[Path]:
    """Write `report.md`, and as CSV and Parquet what was measured and what follows from it, below `folder/report/`.

    Measured are `trials`, `epochs` and `samples`; `cells` are over seeds, and so are `curves`, which
    are over time, and the `frontier`, which is by what is asked.

    A reader never meets half a file. In CSV, what was not measured is empty and several flags are joined by `; `;
    Parquet keeps types and lists.

    Args:
        folder: The run folder.
        report: What to write.
        question: What is to be answered besides; its prices are those of the curves, its cost that of the frontier.
        summary: What the report says, where that is known already.

    Returns:
        The files.

    Raises:
        StoreError: The folder cannot be written.
    """
    text = summary_markdown(summary or summarize(report, question), report)
    points = curve_points(report.trials, report.epochs, question.prices)
    frames = {
        "trials": report.trials,
        "cells": cells(report.trials),
        "epochs": report.epochs,
        "samples": report.samples,
        "curves": median_curves(points),
        "frontier": frontier(median_curves(points, question.by)),
    }
    return _write_below(folder, {"report.md": text.encode()}, frames)


def write_forecast(folder: Path, report: Report, forecasts: Iterable[Forecast], summary: Summary) -> list[Path]:
    """Write `forecast.md`, and what is forecast as CSV and Parquet, below `folder/report/`.

    Args:
        folder: The run folder.
        report: The calibrations, or what was measured so far.
        forecasts: What follows from them.
        summary: What the forecast says.

    Returns:
        The files.

    Raises:
        StoreError: The folder cannot be written.
    """
    text = summary_markdown(summary, report)
    return _write_below(folder, {"forecast.md": text.encode()}, {"forecasts": forecast_frame(forecasts)})


def write_tuning(folder: Path, report: Report, tuned: Tuned, summary: Summary) -> list[Path]:
    """Write `tuning.md`, and what each setting came to as CSV and Parquet, below `folder/report/`.

    Args:
        folder: The run folder.
        report: Its calibrations.
        tuned: What follows from them.
        summary: What that says.

    Returns:
        The files.

    Raises:
        StoreError: The folder cannot be written.
    """
    text = summary_markdown(summary, report)
    return _write_below(folder, {"tuning.md": text.encode()}, {"tuning": tuned_frame(tuned)})


def write_findings(folder: Path, name: str, findings: Findings, frame: pd.DataFrame) -> list[Path]:
    """Write a folder with what was found as `NAME.md`, and the table it rests on as CSV and Parquet.

    Args:
        folder: Where; it must not exist.
        name: Of the files, and of the table in `bench.analysis.columns.COLUMNS`.
        findings: What was found.
        frame: The table.

    Returns:
        The files.

    Raises:
        StoreError: The folder is there already, or cannot be written.
    """
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise StoreError(f"{folder} is there already; choose another --name") from None
    except OSError as error:
        raise StoreError(f"{folder} cannot be made: {error.strerror}; choose another --out") from error
    return _write(folder, {f"{name}.md": findings_markdown(findings).encode()}, {name: frame})


def _write_below(folder: Path, contents: Mapping[str, bytes], frames: Mapping[str, pd.DataFrame]) -> list[Path]:
    place = RunFolder(folder).report
    try:
        place.mkdir(exist_ok=True)
    except OSError as error:
        raise StoreError(f"{place} cannot be made: {error.strerror}; is {folder} a run folder of yours?") from error
    return _write(place, contents, frames)


def _write(folder: Path, contents: Mapping[str, bytes], frames: Mapping[str, pd.DataFrame]) -> list[Path]:
    files = dict(contents)
    for name, frame in frames.items():
        files |= {f"{name}.csv": _csv(frame, COLUMNS[name]), f"{name}.parquet": _parquet(frame)}
    for name, content in files.items():
        write_atomically(folder / name, content)
    return [folder / name for name in files]


def _csv(frame: pd.DataFrame, columns: Mapping[str, Column]) -> bytes:
    joined = {name: frame[name].map("; ".join) for name, column in columns.items() if column.dtype == "object"}
    return frame.assign(**joined).to_csv(index=False).encode()


def _parquet(frame: pd.DataFrame) -> bytes:
    buffer = BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()
