"""A column of text, as the terminal and Markdown lay it out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.report.format import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.analysis.rows import Row


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of text.

    Attributes:
        heading: Above it.
        texts: One for each row; the terminal keeps the line breaks that one has.
        is_number: Whether it is set flush right and is never broken otherwise.
    """

    heading: str
    texts: tuple[str, ...]
    is_number: bool = True


def column(heading: str, rows: Sequence[Row], text: Callable[[Row], str], *, is_number: bool = True) -> Column:
    """Say something of each row, in text from which control characters are removed."""
    return Column(heading=heading, texts=tuple(plain(text(row)) for row in rows), is_number=is_number)
