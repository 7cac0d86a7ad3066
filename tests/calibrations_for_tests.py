"""Calibrations made by hand, and steps of invented lengths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from bench.records import Done, Evaluated, Event, Memory, PhaseDone, Result, Steps, Trial, TrialData
from records_for_tests import START_UP_S, start_up

if TYPE_CHECKING:
    from collections.abc import Sequence

SAVED_S = 0.5  # what the checkpoint before the first step takes
EVALUATED_S = 2.0  # what 100 images of an evaluation take
BEGUN_S = sum(START_UP_S.values()) + SAVED_S + EVALUATED_S  # when the first step begins


def blocks(step_s: Sequence[float], *, start_s: float, epoch: int = 1, **fields: Any) -> list[Steps]:
    """Steps of these lengths, each stamped alone, ten to an event."""
    written, now_s = [], start_s
    for first in range(0, len(step_s), 10):
        begun_s, ends_s = now_s, []
        for seconds in step_s[first : first + 10]:
            now_s += seconds
            ends_s.append(now_s)
        written.append(
            Steps(
                epoch=epoch,
                start_s=begun_s,
                counts=(1,) * len(ends_s),
                ends_s=tuple(ends_s),
                images=100 * len(ends_s),
                **fields,
            )
        )
    return written


def calibration(
    asked: Trial, step_s: Sequence[float] = (1.0,) * 12, *, status: Any = "ok", reason: str = ""
) -> TrialData:
    """A calibration of steps of these lengths, after 5 s of start-up and a checkpoint of half a second."""
    asked = replace(asked, mode="calibrate")
    begun_s = sum(START_UP_S.values())
    events: list[Event] = [
        *start_up(asked),
        PhaseDone(phase="checkpoint", start_s=begun_s, end_s=begun_s + SAVED_S),
        Evaluated(images=100, seconds=EVALUATED_S),
        *blocks(step_s, start_s=BEGUN_S),
        Memory(peak_rss_bytes=1_420_000_000),
        Done(end_s=BEGUN_S + sum(step_s)),
    ]
    wall_s = BEGUN_S + sum(step_s) + 0.5
    result = Result(key=asked.key, status=status, reason=reason, wall_s=wall_s, attempts=1)
    return TrialData(trial=asked, events=tuple(events), result=result)
