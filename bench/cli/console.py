"""The terminal that commands print to."""

from __future__ import annotations

from rich.console import Console


def console(*, stderr: bool = False) -> Console:
    """Return a console that marks nothing up by guessing, so that a name or path is printed as it is."""
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False)


def warn(message: str) -> None:
    """Print a warning to standard error, on one logical line."""
    console(stderr=True).print(f"warning: {message}", style="yellow", soft_wrap=True)
