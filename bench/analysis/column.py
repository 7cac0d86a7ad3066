"""One column of a DataFrame."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """One column of a DataFrame.

    Attributes:
        dtype: Its pandas dtype; `object` holds tuples of text.
        meaning: What it says, with its unit.
    """

    dtype: str
    meaning: str
