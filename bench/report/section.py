"""A part of a report that has tables, as text: the terminal and Markdown lay it out alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.report.column import Column


@dataclass(frozen=True, kw_only=True)
class TextTable:
    """A table of a section.

    Attributes:
        names: Columns that say which cell it is.
        measures: The other columns, the most important first.
        caption: Above it; empty where the section's title is enough.
    """

    names: tuple[Column, ...]
    measures: tuple[Column, ...]
    caption: str = ""


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a report.

    Attributes:
        title: Its heading.
        tables: One below the other.
        legend: How to read them; empty without any.
        sentences: What follows from them, in words.
    """

    title: str
    tables: tuple[TextTable, ...]
    legend: str
    sentences: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Findings:
    """A report that answers one question from any number of runs.

    Attributes:
        title: Its heading.
        answer: One sentence, without a full stop.
        about: What it rests on, a line each.
        sections: What the answer was taken from.
        details: More of that, too long for a terminal.
        left_out: What does not enter it, and why, a line each.
    """

    title: str
    answer: str
    about: tuple[str, ...]
    sections: tuple[Section, ...]
    details: tuple[Section, ...]
    left_out: tuple[str, ...]
