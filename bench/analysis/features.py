"""What a frozen part cost a trial, or saved it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.records import Extracted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.records import Event


def features_saved_s(events: Iterable[Event]) -> float | None:
    """Return what the features that a trial found had taken, in seconds; None if no part is frozen.

    What a process of its own had computed counts as computed: of each split the first event tells.

    Args:
        events: Those that count.
    """
    first: dict[str, Extracted] = {}
    for event in events:
        if isinstance(event, Extracted):
            first.setdefault(event.split, event)
    return sum(event.saved_s for event in first.values()) if first else None


def features_flag(saved_s: float | None) -> str | None:
    """Say that a trial looks quicker than it is, since it found features; None if it computed all that it needed."""
    if not saved_s:
        return None
    return (
        f"what its frozen part puts out was found, not computed, which had taken {saved_s:.1f} s: its own times are "
        "shorter by as much"
    )
