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
from bench.report.charts.files import png, svg
from bench.report.charts.gallery import FIGURES, figures, forecast_figures
from bench.report.markdown import findings_markdown, summary_markdown
from bench.report.page.page import NO_EXTRAS, page
from bench.report.question import NOTHING_ASKED, Question
from bench.report.summary import Summary, summarize
from bench.store import RunFolder, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from bench.analysis.forecasts import Forecast
    from bench.analysis.frame import Report
    from bench.analysis.tuned import Tuned
    from bench.report.charts.figure import Figure
    from bench.report.charts.theme import Mode
    from bench.report.page.page import Extras
    from bench.report.section import Findings


def write_report(
    folder: Path,
    report: Report,
    question: Question = NOTHING_ASKED,
    *,
    summary: Summary | None = None,
    extras: Extras | None = None,
    modes: Sequence[Mode] = ("light",),
) -> list[Path]:
    """Write the page, `report.md`, charts, and tables as CSV and Parquet, below `folder/report/`.

    Measured are `trials`, `epochs`, `samples`, `phases` and `step_times`; `cells` are over seeds, and so are `curves`,
    which are over time, and the `frontier`, which is by what is asked.

    A reader never meets half a file. In CSV, what was not measured is empty and several flags are joined by `; `;
    Parquet keeps types and lists.

    Args:
        folder: The run folder.
        report: What to write.
        question: What is to be answered besides; its prices are those of the curves, its cost that of the frontier.
        summary: What the report says, where that is known already.
        extras: Pictures and logs of the page. Defaults to none.
        modes: The backgrounds that charts are drawn for, as SVG and PNG. Defaults to a light one.

    Returns:
        The files.

    Raises:
        StoreError: The folder cannot be written.
    """
    said = summary or summarize(report, question)
    drawn = figures(report, question)
    points = curve_points(report.trials, report.epochs, question.prices)
    frames = {
        "trials": report.trials,
        "cells": cells(report.trials),
        "epochs": report.epochs,
        "samples": report.samples,
        "phases": report.phases,
        "step_times": report.step_times,
        "curves": median_curves(points),
        "frontier": frontier(median_curves(points, question.by)),
    }
    contents = {
        "report.html": page(report, said, drawn, extras or NO_EXTRAS).encode(),
        "report.md": summary_markdown(said, report).encode(),
        **_chart_files(drawn, modes),
    }
    return _write_below(folder, contents, frames, figure_names=FIGURES)


def write_forecast(
    folder: Path,
    report: Report,
    forecasts: Sequence[Forecast],
    summary: Summary,
    question: Question = NOTHING_ASKED,
) -> list[Path]:
    """Write a page, `forecast.md`, the chart, and what is forecast as CSV and Parquet, below `folder/report/`.

    Args:
        folder: The run folder.
        report: The calibrations, or what was measured so far.
        forecasts: What follows from them.
        summary: What the forecast says.
        question: What was to be answered besides.

    Returns:
        The files.

    Raises:
        StoreError: The folder cannot be written.
    """
    drawn = forecast_figures(report, forecasts, question)
    contents = {
        "forecast.html": page(report, summary, drawn).encode(),
        "forecast.md": summary_markdown(summary, report).encode(),
        **_chart_files(drawn, ["light"]),
    }
    return _write_below(folder, contents, {"forecasts": forecast_frame(forecasts)}, figure_names=["forecast"])


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


def _chart_names(figure_names: Iterable[str]) -> set[str]:
    """All files that charts of these names may have."""
    endings = ("", "-dark")
    return {f"charts/{name}{end}.{kind}" for name in figure_names for end in endings for kind in ("svg", "png")}


def _chart_files(drawn: Iterable[Figure], modes: Iterable[Mode]) -> dict[str, bytes]:
    files = {}
    for mode in modes:
        ending = "" if mode == "light" else f"-{mode}"
        for figure in drawn:
            drawing = svg(figure, mode)
            files[f"charts/{figure.name}{ending}.svg"] = drawing
            files[f"charts/{figure.name}{ending}.png"] = png(drawing)
    return files


def _write_below(
    folder: Path,
    contents: Mapping[str, bytes],
    frames: Mapping[str, pd.DataFrame],
    *,
    figure_names: Iterable[str] = (),
) -> list[Path]:
    place = RunFolder(folder).report
    try:
        place.mkdir(exist_ok=True)
        if any(name.startswith("charts/") for name in contents):
            (place / "charts").mkdir(exist_ok=True)
        for name in _chart_names(figure_names) - set(contents):  # of an earlier report, which may have had more
            (place / name).unlink(missing_ok=True)
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
