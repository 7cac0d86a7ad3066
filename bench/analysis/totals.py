"""Events of a kind, and what they come to."""

from __future__ import annotations

from collections import defaultdict
from statistics import fmean
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bench.records import Event, PhaseDone, Steps

Kind = TypeVar("Kind")
Key = TypeVar("Key")


def of(kind: type[Kind], events: Iterable[Event]) -> list[Kind]:
    """The events of a kind, in their order."""
    return [event for event in events if isinstance(event, kind)]


def sum_by(phases: Iterable[PhaseDone], key: Callable[[PhaseDone], Key]) -> dict[Key, float]:
    """The seconds of phases, summed by what `key` tells of each."""
    totals: defaultdict[Key, float] = defaultdict(float)
    for phase in phases:
        totals[key(phase)] += phase.end_s - phase.start_s
    return dict(totals)


def sum_images(steps: Iterable[Steps]) -> dict[int, int]:
    """The images of each epoch's steps."""
    totals: defaultdict[int, int] = defaultdict(int)
    for block in steps:
        totals[block.epoch] += block.images
    return dict(totals)


def highest(values: Iterable[float | None]) -> float | None:
    """The highest of those that are known; None where none is."""
    return max((value for value in values if value is not None), default=None)


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of those that are known; None where none is."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
