"""The one look of the tables that commands list things in."""

from __future__ import annotations

from rich import box
from rich.table import Table


def table(*headings: str) -> Table:
    """Return an empty table with these headings; its cells are plain text and wrap, never cut."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        made.add_column(heading, overflow="fold")
    return made
