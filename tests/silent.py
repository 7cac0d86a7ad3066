"""An observer for tests: it keeps what it is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.records import Epoch, Event, Result, Sample, Spent, Trial


@dataclass
class Silent:
    """Prints nothing; remembers."""

    attempts: list[int] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    earlier: list[Epoch] = field(default_factory=list)

    def trial_started(self, trial: Trial, attempt: int, spent: Spent | None, epochs: Sequence[Epoch]) -> None:
        """Keep the attempt, and the epochs before it."""
        self.attempts.append(attempt)
        self.earlier.extend(epochs)

    def event(self, trial: Trial, event: Event) -> None:
        """Keep the event."""
        self.events.append(event)

    def sampled(self, trial: Trial, sample: Sample) -> None:
        """Keep the sample."""
        self.samples.append(sample)

    def trial_ended(self, trial: Trial, result: Result) -> None:
        """Keep the result."""
        self.results.append(result)
