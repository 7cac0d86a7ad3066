"""What remains of a trial that was interrupted and taken up again: lost work is counted once."""

from __future__ import annotations

from bisect import bisect_right
from itertools import groupby
from typing import TYPE_CHECKING

from bench.records import Attempt, Done, Epoch, Event, Extracted, Failure, Phase, PhaseDone, Sample, Steps, Tested

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

START_UP: frozenset[Phase] = frozenset({"import", "data", "build", "compile", "warmup"})


def surviving_events(events: Iterable[Event]) -> tuple[Event, ...]:
    """Leave out what a later attempt did again.

    Every process pays for its own start-up, so start-up phases stay, even those of an attempt that finished no epoch;
    the phases of such a trial can therefore add up to more than its clock, which was set back.

    Args:
        events: A trial's journal, in the order in which it was written.

    Returns:
        The events that count, in the same order, attempts included.
    """
    kept: list[Event] = []
    for event in events:
        if isinstance(event, Attempt):
            kept = [earlier for earlier in kept if not _is_lost(earlier, event)]
        kept.append(event)
    return tuple(kept)


def surviving_samples(samples: Iterable[Sample], attempts: Sequence[Attempt]) -> tuple[tuple[Sample, ...], ...]:
    """Leave out samples of lost work, and keep the processes apart.

    Samples do not name their attempt; the trial's clock, which goes back when a trial is taken up, tells them apart.

    Args:
        samples: A trial's samples, in the order in which they were taken.
        attempts: The trial's attempts, in their order.

    Returns:
        The samples that count, one tuple for each process that has any; between two tuples lies a pause.
    """
    resumed_s = sorted(attempt.offset_s for attempt in attempts[1:])
    kept: list[Sample] = []
    for sample in samples:
        if kept and sample.t_s < kept[-1].t_s:
            back_to_s = max((offset_s for offset_s in resumed_s if offset_s <= sample.t_s), default=sample.t_s)
            while kept and kept[-1].t_s >= back_to_s:
                kept.pop()
        kept.append(sample)
    return tuple(tuple(group) for _, group in groupby(kept, lambda sample: bisect_right(resumed_s, sample.t_s)))


def covered_s(phases: Iterable[PhaseDone]) -> float:
    """Time in which some phase ran; a process that was lost may have left phases on the same stretch of the clock."""
    total_s, until_s = 0.0, 0.0
    for phase in sorted(phases, key=lambda phase: phase.start_s):
        total_s += max(0.0, phase.end_s - max(phase.start_s, until_s))
        until_s = max(until_s, phase.end_s)
    return total_s


def _is_lost(event: Event, attempt: Attempt) -> bool:
    match event:
        case PhaseDone(phase=phase) if phase in START_UP:
            return False
        case PhaseDone(epoch=None):
            return event.end_s > attempt.offset_s
        case PhaseDone(epoch=int(epoch)) | Steps(epoch=epoch) | Epoch(epoch=epoch):
            return epoch > attempt.epochs_done
        case Extracted(split="training" | "validation"):
            return attempt.epochs_done == 0
        case Extracted() | Tested() | Failure() | Done():
            return True
        case _:
            return False
