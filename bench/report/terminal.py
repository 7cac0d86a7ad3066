"""A report in the terminal: readable at any width, in a pipe and without colour."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from bench.report.question import NOTHING_ASKED, Question
from bench.report.summary import Summary, summarize

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

    from bench.analysis.frame import Report
    from bench.report.column import Column
    from bench.report.section import Findings, Section

_STYLES = {"": "", "good": "bold green", "bad": "red", "doubt": "yellow"}
NAME_WIDTH = 24  # longer names are folded, so that they leave room for numbers


def report_view(report: Report, question: Question = NOTHING_ASKED) -> RenderableType:
    """What to print for a report: `console.print(report_view(report))`.

    Args:
        report: What was measured.
        question: What is to be answered besides.
    """
    return summary_view(summarize(report, question))


def summary_view(summary: Summary) -> RenderableType:
    """What to print for what a report says."""
    return Group(
        Text(summary.title, style="bold"),
        *(Paragraph(line, style="bold") for line in summary.answers),
        *(Paragraph(line, style="dim") for line in summary.about),
        Text(),
        StackedTable(summary.names, summary.measures, summary.notes),
        Paragraph(summary.legend, style="dim"),
        *_lines_below("Notes", [f"{number}  {flag}" for number, flag in enumerate(summary.flags, start=1)]),
        *_lines_below(summary.failures_title, summary.failures),
        *_lines_below("Small against large", summary.tradeoffs),
        *chain.from_iterable(map(_section, summary.sections)),
    )


def findings_view(findings: Findings) -> RenderableType:
    """What to print for what was found; its answer comes first."""
    return Group(
        Paragraph(findings.answer, style="bold"),
        *(Paragraph(line, style="dim") for line in findings.about),
        *chain.from_iterable(map(_section, findings.sections)),
        *_lines_below("Left out", findings.left_out),
    )


class Paragraph:
    """Text that is broken at the console's width, each line set in and without blanks at its end."""

    def __init__(self, text: str, *, style: str = "", indent: int = 0) -> None:
        self._text = Text(text, style=style)
        self._indent = indent

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in self._text.wrap(console, max(1, options.max_width - self._indent)):
            line.rstrip()
            yield Text(" " * self._indent) + line


class StackedTable:
    """A table that is cut into several, one below the other, where the console is too narrow for one.

    Each repeats the columns that name the cell. A number is never cut.
    """

    def __init__(self, names: Sequence[Column], measures: Sequence[Column], notes: Column | None = None) -> None:
        self._names = names
        self._measures = measures
        self._notes = notes

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        names, notes = self._names, [self._notes] if self._notes else []
        rest = list(self._measures)
        while rest:
            shown = 1
            while shown < len(rest) and _fits([*names, *rest[: shown + 1], *notes], console, options):
                shown += 1
            yield _table([*names, *rest[:shown], *notes], is_last_wide=True)
            yield Text()
            rest, notes = rest[shown:], []


def _fits(columns: Sequence[Column], console: Console, options: ConsoleOptions) -> bool:
    unbounded = options.update(max_width=10_000)
    return console.measure(_table(columns), options=unbounded).maximum <= options.max_width


def _table(columns: Sequence[Column], *, is_last_wide: bool = False) -> Table:
    """A table as wide as its texts; the last column, if it is text, may then take what is left of the console."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for column in columns:
        if column.is_number:
            table.add_column(Text(column.heading.replace(" ", "\n")), justify="right", no_wrap=True)
        else:
            width = None if is_last_wide and column is columns[-1] else NAME_WIDTH
            table.add_column(Text(column.heading), max_width=width, overflow="fold")
    for row, texts in enumerate(zip(*(column.texts for column in columns), strict=True)):
        styles = [_STYLES[column.tone(row)] for column in columns]
        table.add_row(*map(Text, texts, styles))
    return table


def _section(section: Section) -> Iterator[RenderableType]:
    yield Text()
    yield Text(section.title, style="bold")
    for table in section.tables:
        if table.caption:
            yield Text(table.caption, style="dim")
        yield StackedTable(table.names, table.measures)
    if section.legend:
        yield Paragraph(section.legend, style="dim")
    yield from _lines(section.sentences)


def _lines_below(title: str, lines: Iterable[str]) -> list[RenderableType]:
    body = _lines(lines)
    return [Text(), Text(title, style="bold"), *body] if body else []


def _lines(lines: Iterable[str]) -> list[RenderableType]:
    return [Paragraph(line, indent=2) for line in lines]
