"""Who wants to know what happens while trials run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from bench.records import Event, Result, Sample, Spent, Trial


class Observer(Protocol):
    """Is told what happens, between two samples; it must return at once, since the parent is idle while it measures."""

    def trial_started(self, trial: Trial, attempt: int, spent: Spent | None) -> None:
        """A worker was started; earlier ones spent so much of a budget."""

    def event(self, trial: Trial, event: Event) -> None:
        """The worker wrote an event."""

    def sampled(self, trial: Trial, sample: Sample) -> None:
        """A sample was taken."""

    def trial_ended(self, trial: Trial, result: Result) -> None:
        """The trial's result is on disk."""
