"""A column of text, as the terminal and Markdown lay it out, and how a cell of the matrix is called in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.report.format import duration, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.analysis.rows import Row


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of text.

    Attributes:
        heading: Above it.
        texts: One for each row.
        is_number: Whether it is set flush right and must stay on one line.
    """

    heading: str
    texts: tuple[str, ...]
    is_number: bool = True


def column(heading: str, rows: Sequence[Row], text: Callable[[Row], str], *, is_number: bool = True) -> Column:
    """Say something of each row, in text from which control characters are removed."""
    return Column(heading=heading, texts=tuple(plain(text(row)) for row in rows), is_number=is_number)


def setting_label(row: Row, *, with_batch_size: bool) -> str:
    """A device and what else is not the plain case, such as `gpu:0 mixed_float16 jit`."""
    parts = [row["device"]]
    if row["precision"] != "float32":
        parts.append(row["precision"])
    if row["jit"] == "on":
        parts.append("jit")
    if with_batch_size:
        parts.append(f"batch {row['batch_size']}")
    if row["recipe_axes"] is not None:
        parts.append(row["recipe_axes"])
    if row["budget_s"] is not None:
        parts.append(f"in {duration(row['budget_s'])}")
    return " ".join(parts)
