"""`report`: render a run folder again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from bench.analysis.frame import Report


def report(folder: Annotated[Path, typer.Argument(help="A run folder, as `run` writes it below reports/.")]) -> None:
    """Render a run folder again: tables in the terminal; CSV, Parquet and Markdown in its report/."""
    from bench.cli.console import console

    render(folder, console())


def render(folder: Path, terminal: Console) -> Report:
    """Write a run's report and print its tables."""
    import bench
    from bench.report.terminal import report_view
    from bench.report.write import write_report

    loaded = bench.load(folder)
    terminal.print(report_view(loaded))  # first: a full disk must not keep the figures from being seen
    written = write_report(folder, loaded)
    terminal.print(f"wrote {', '.join(path.name for path in written)} to {folder / 'report'}", soft_wrap=True)
    return loaded
