"""When to measure: a grid of deadlines for all, and a share of a core for what is costly."""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bench.meter.readings import NotNowError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Grid:
    """Deadlines at `start_s`, `start_s + interval_s` and so on.

    A late sample does not shift them, and missed ones are skipped.
    """

    def __init__(self, *, start_s: float, interval_s: float) -> None:
        self._start_s = start_s
        self._interval_s = interval_s
        self._index = 0

    @property
    def next_s(self) -> float:
        """The next deadline, on the clock that `start_s` was read from."""
        return self._start_s + self._index * self._interval_s

    def due(self, now_s: float) -> bool:
        """Whether the next deadline has come."""
        return now_s >= self.next_s

    def advance(self, now_s: float) -> None:
        """Go on to the first deadline after `now_s`."""
        while self.next_s <= now_s:
            self._index += 1


class Budget:
    """Keeps a costly reading within a share of one core: what took 10 ms at 0.2 % is due again after 5 s.

    Cost is CPU time of the calling thread, which includes the kernel's work on its behalf.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._due_s = -math.inf
        self._cost_s = 0.0

    def due(self, now_s: float) -> bool:
        """Whether there is budget for another reading."""
        return now_s >= self._due_s

    @contextmanager
    def spend(self, now_s: float) -> Iterator[None]:
        """Charge the reading within.

        Raises:
            NotNowError: If it is not due.
        """
        if not self.due(now_s):
            raise NotNowError(f"not due: a reading costs {self._cost_s * 1e3:.1f} ms of CPU time")
        began_s = time.thread_time()
        try:
            yield
        finally:
            self._cost_s = time.thread_time() - began_s
            self._due_s = now_s + self._cost_s / self._share
