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
