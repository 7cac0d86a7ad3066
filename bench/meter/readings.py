"""Readings that may fail: each metric by itself, as no value and a reason, never as 0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_T = TypeVar("_T")


class UnreadableError(Exception):
    """A metric cannot be read; the message says why."""


class NotNowError(UnreadableError):
    """A metric has no value in this sample, and that is no fault: it is not due, or its process has ended."""


@dataclass(slots=True)
class _Tally:
    values: int = 0
    faults: int = 0
    fault: str = ""
    postponed: str = ""


class Ledger:
    """Takes readings and keeps book of what could not be read."""

    def __init__(self) -> None:
        self._tallies: dict[str, _Tally] = {}

    def take(self, metric: str, read: Callable[[], _T]) -> _T | None:
        """Read a metric.

        Args:
            metric: The name under which a failure is booked.
            read: Returns the value; raises `UnreadableError` or `OSError` if there is none.

        Returns:
            The value, or None if it could not be read.
        """
        return self.take_together((metric,), lambda: (read(),))[metric]

    def take_together(self, metrics: Sequence[str], read: Callable[[], Sequence[_T]]) -> dict[str, _T | None]:
        """Read metrics that come from one reading: all have a value, or all have the same reason.

        Args:
            metrics: The names under which a failure is booked.
            read: Returns their values in that order; raises as `take` says.

        Returns:
            The values by name, None for all if they could not be read.
        """
        tallies = [self._tallies.setdefault(metric, _Tally()) for metric in metrics]
        try:
            values = read()
        except NotNowError as error:
            for tally in tallies:
                tally.postponed = str(error)
        except (UnreadableError, OSError) as error:
            for tally in tallies:
                tally.faults += 1
                tally.fault = _reason(error)
        else:
            for tally in tallies:
                tally.values += 1
            return dict(zip(metrics, values, strict=True))
        return dict.fromkeys(metrics)

    @property
    def missing(self) -> dict[str, str]:
        """The reason for each metric that failed, and for each that never had a value.

        A metric that failed only sometimes says how often; one that was merely not due between values is not missing.
        """
        reasons = {}
        for metric, tally in self._tallies.items():
            if tally.faults and tally.values:
                reasons[metric] = f"{tally.fault} ({tally.faults} of {tally.faults + tally.values} readings failed)"
            elif not tally.values:
                reasons[metric] = tally.fault or tally.postponed
        return reasons


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.strerror}: {error.filename}"
    return str(error)
