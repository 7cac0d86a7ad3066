"""The trial's clock, and phases stamped with it."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bench.records import Assignment, Phase, PhaseDone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.store import Journal


class Clock:
    """Seconds since the trial's process was started, lost work not counted.

    The launcher's start is on the same monotonic clock, which every process of a machine shares.
    """

    def __init__(self, assignment: Assignment) -> None:
        self._zero_s = assignment.started_s - assignment.offset_s

    def now(self) -> float:
        """Return the trial's time, to the microsecond."""
        return round(time.monotonic() - self._zero_s, 6)


class Phases:
    """Writes phases to the journal, devices synchronised at both ends."""

    def __init__(self, clock: Clock, journal: Journal, synchronize: Callable[[], None]) -> None:
        self.clock = clock
        self._journal = journal
        self._synchronize = synchronize

    def now(self) -> float:
        """Return the trial's time once all devices have done what was asked of them."""
        self._synchronize()
        return self.clock.now()

    @contextmanager
    def phase(self, phase: Phase, *, epoch: int | None = None) -> Iterator[None]:
        """Stamp what runs inside as a phase; one that raises is not stamped."""
        start_s = self.now()
        yield
        self.done(phase, start_s=start_s, epoch=epoch)

    def done(self, phase: Phase, *, start_s: float, epoch: int | None = None) -> float:
        """Stamp a phase that began at `start_s` and ends now; return its end."""
        end_s = self.now()
        self._journal.append(PhaseDone(phase=phase, start_s=start_s, end_s=end_s, epoch=epoch))
        return end_s
