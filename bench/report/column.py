"""A column of text, as the terminal and Markdown lay it out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bench.report.format import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.analysis.rows import Row


Tone = Literal["", "good", "bad", "doubt"]


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of text.

    Attributes:
        heading: Above it.
        texts: One for each row; the terminal keeps the line breaks that one has.
        is_number: Whether it is set flush right and is never broken otherwise.
        keys: What rows are sorted by, one for each row; empty where the texts are.
        tones: What is to be seen at once, one for each row; empty where nothing is.
    """

    heading: str
    texts: tuple[str, ...]
    is_number: bool = True
    keys: tuple[float | None, ...] = ()
    tones: tuple[Tone, ...] = ()

    def tone(self, row: int) -> Tone:
        """How the text of a row is to be seen."""
        return self.tones[row] if self.tones else ""


def column(
    heading: str,
    rows: Sequence[Row],
    text: Callable[[Row], str],
    *,
    is_number: bool = True,
    key: str = "",
    tone: Callable[[Row], Tone] | None = None,
) -> Column:
    """Say something of each row, in text from which control characters are removed.

    Args:
        heading: Above it.
        rows: What it is about.
        text: What it says of a row.
        is_number: Whether it is set flush right. Defaults to True.
        key: Field of the rows by which they are sorted. Defaults to none, the text.
        tone: How the text of a row is to be seen. Defaults to none, as any other.
    """
    return Column(
        heading=heading,
        texts=tuple(plain(text(row)) for row in rows),
        is_number=is_number,
        keys=tuple(row[key] for row in rows) if key else (),
        tones=tuple(map(tone, rows)) if tone else (),
    )
