"""`report`: render a run folder again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from bench.analysis.frame import Report
    from bench.report.charts.theme import Mode
    from bench.report.question import Question

Words = list[str] | None


def report(
    folder: Annotated[Path, typer.Argument(help="A run folder, as `run` writes it below reports/.")],
    *,
    budget: Annotated[Words, typer.Option(help="What is best in 90s, 30m or 2h of wall time? May be repeated.")] = None,
    target: Annotated[Words, typer.Option(help="What reaches 0.6, or 60%, first? May be repeated.")] = None,
    price: Annotated[Words, typer.Option(help="What an hour costs, such as cpu=0.05 or gpu:0=2.1; repeated.")] = None,
    by: Annotated[str | None, typer.Option(help="What the frontier is over: time, energy or money.")] = None,
    data_dir: Annotated[
        str | None, typer.Option(help="Where its data set lies, if not in Keras's cache folder.")
    ] = None,
    dark: Annotated[bool, typer.Option("--dark", help="Draw charts for a dark background too.")] = False,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Render a run folder again: tables in the terminal; page, charts, CSV, Parquet and Markdown in its report/."""
    from bench.cli.console import console
    from bench.cli.question import parse_question

    question = parse_question(budgets=budget or (), targets=target or (), prices=price or (), by=by)
    render(folder, console(), question, data_dir=data_dir, dark=dark)
    if open_page:
        _open(folder)


def render(
    folder: Path,
    terminal: Console,
    question: Question | None = None,
    *,
    data_dir: str | None = None,
    dark: bool = False,
) -> Report:
    """Write a run's report and print its tables.

    Args:
        folder: The run folder.
        terminal: Where to print.
        question: What is to be answered besides.
        data_dir: Where data sets lie, if not in Keras's cache folder; only pictures need them.
        dark: Whether to draw charts for a dark background too.
    """
    import bench
    from bench.cli.console import warn
    from bench.cli.extras import find_extras
    from bench.cli.question import check_question, unused_prices
    from bench.report.question import NOTHING_ASKED
    from bench.report.summary import summarize
    from bench.report.terminal import summary_view
    from bench.report.write import write_report

    asked = question or NOTHING_ASKED
    loaded = bench.load(folder)
    if loaded.run.tuning is not None:
        render_tuning(folder, terminal)
        return loaded
    if loaded.run.trials and all(trial.mode == "calibrate" for trial in loaded.run.trials):
        render_forecast(folder, terminal, asked)
        return loaded
    check_question(asked, loaded)
    for line in unused_prices(asked, loaded):
        warn(line)
    summary = summarize(loaded, asked)
    terminal.print(summary_view(summary))  # first: a full disk must not keep the figures from being seen
    extras = find_extras(folder, loaded, data_dir=data_dir or loaded.run.config.data_dir)
    modes: list[Mode] = ["light", "dark"] if dark else ["light"]
    written = write_report(folder, loaded, asked, summary=summary, extras=extras, modes=modes)
    terminal.print(_wrote(folder, written), soft_wrap=True)
    return loaded


def render_forecast(
    folder: Path, terminal: Console, question: Question | None = None, *, epochs: int | None = None
) -> bool:
    """Write what a run's calibrations, or its finished epochs, let expect, and print it.

    Args:
        folder: The run folder.
        terminal: Where to print.
        question: What is to be answered besides.
        epochs: How many a training is to have in all; None for what it was asked to.

    Returns:
        Whether anything is forecast.
    """
    from bench.analysis.forecast_points import forecast_points
    from bench.analysis.forecasts import make_forecasts
    from bench.analysis.frame import frames
    from bench.cli.console import warn
    from bench.cli.question import unused_prices
    from bench.reference import shelf
    from bench.report.forecast import summarize_forecast
    from bench.report.question import NOTHING_ASKED
    from bench.report.terminal import summary_view
    from bench.report.write import write_forecast
    from bench.store import read_run

    asked = question or NOTHING_ASKED
    data = read_run(folder)
    loaded = frames(data)
    known = shelf.load()
    for line in (*known.warnings, *unused_prices(asked, loaded)):
        warn(line)
    found = make_forecasts(data, loaded, known.curves, epochs=epochs)
    if asked.by != "t_s" and forecast_points(found, asked.prices)[asked.by].isna().all():
        raise UsageError(f"a forecast's curves know no {'prices' if asked.by == 'money' else 'energy'}; ask by time")
    summary = summarize_forecast(loaded, found, asked)
    terminal.print(summary_view(summary))
    written = write_forecast(folder, loaded, found, summary, asked)
    terminal.print(_wrote(folder, written), soft_wrap=True)
    return any(forecast.time is not None for forecast in found)


def _wrote(folder: Path, written: Sequence[Path]) -> str:
    names = [path.name for path in written if path.parent.name != "charts"]
    charts = len(written) - len(names)
    said = f"wrote {', '.join(names)}" + (f" and {charts} charts" if charts else "")
    return f"{said} to {folder / 'report'}"


def _open(folder: Path) -> None:
    """Show the page in a browser; raise UsageError where there is none to show."""
    import webbrowser

    from bench.store import RunFolder

    place = RunFolder(folder).report
    page = next((place / name for name in ("report.html", "forecast.html") if (place / name).exists()), None)
    if page is None:
        raise UsageError(f"{place} has no page: a tuning has tables alone")
    if not webbrowser.open(page.resolve().as_uri()):
        raise UsageError(f"no browser could be opened; open {page} yourself")


def render_tuning(folder: Path, terminal: Console, *, settings: Path | None = None) -> bool:
    """Write what a tuning found, and the best setting for `run --config`, and print it.

    Args:
        folder: The run folder.
        terminal: Where to print.
        settings: Where the best setting is written. Defaults to `bench.toml` in the folder; a file that is there stays
            as it is.

    Returns:
        Whether anything was found.

    Raises:
        StoreError: A file cannot be written.
    """
    from bench.analysis.frame import frames
    from bench.analysis.tuned import conclude
    from bench.report.bench_toml import bench_toml
    from bench.report.terminal import summary_view
    from bench.report.tuning import summarize_tuning
    from bench.report.write import write_tuning
    from bench.store import read_run, write_atomically

    data = read_run(folder)
    tuned = conclude(data)
    if tuned is None:
        terminal.print("no setting was tried: there was no time left; give more with --calibrate", soft_wrap=True)
        return False
    loaded = frames(data)
    summary = summarize_tuning(loaded, tuned)
    terminal.print(summary_view(summary))
    written = write_tuning(folder, loaded, tuned, summary)
    terminal.print(_wrote(folder, written), soft_wrap=True)
    if tuned.same.rate is None:
        return False
    place = settings or folder / "bench.toml"
    if not place.exists():
        write_atomically(place, bench_toml(data.run, tuned).encode())
    terminal.print(f"the fastest setting: python -m bench run --config {place}", soft_wrap=True)
    return True
