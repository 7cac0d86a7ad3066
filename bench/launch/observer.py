"""Who wants to know what happens while trials run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from bench.records import Epoch, Event, Result, Sample, Spent, Trial

# Takes in what a worker has written since, and says why its trial is to be ended now that an epoch is finished; None:
# go on.
Judge = Callable[[Sequence[Event]], str | None]
# Makes a judge for an attempt at a trial, from the epochs that earlier ones finished and what these spent.
Judges = Callable[[Trial, Sequence[Epoch], Spent | None], Judge]


class Observer(Protocol):
    """Is told what happens, between two samples; it must return at once, since the parent is idle while it measures."""

    def trial_started(self, trial: Trial, attempt: int, spent: Spent | None, epochs: Sequence[Epoch]) -> None:
        """A worker was started; earlier ones finished these epochs and spent so much of a budget."""

    def event(self, trial: Trial, event: Event) -> None:
        """The worker wrote an event."""

    def sampled(self, trial: Trial, sample: Sample) -> None:
        """A sample was taken."""

    def trial_ended(self, trial: Trial, result: Result) -> None:
        """The trial's result is on disk."""
