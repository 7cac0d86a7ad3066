"""Where a trial that was cut off is taken up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.records import Attempt, Epoch, PhaseDone

if TYPE_CHECKING:
    from bench.records import Status
    from bench.store import TrialFolder

# A run that is taken up keeps these. Anything else that ended early is tried again: a failure is not a result.
SETTLED: frozenset[Status] = frozenset({"ok", "diverged", "skipped"})


@dataclass(frozen=True, kw_only=True)
class ResumePoint:
    """The next attempt at a trial.

    Attributes:
        attempt: Its number, from 1.
        epochs_done: Finished epochs, whose checkpoint is on disk.
        offset_s: Where the trial's clock stood when the last of them was finished.
    """

    attempt: int
    epochs_done: int
    offset_s: float


def resume_point(folder: TrialFolder) -> ResumePoint:
    """Return where the next attempt begins: after the last epoch that has both its event and its checkpoint."""
    events, _ = folder.read_events()
    attempt = sum(isinstance(event, Attempt) for event in events) + 1
    finished = {event.epoch for event in events if isinstance(event, Epoch)}
    checkpoint = folder.last_checkpoint()
    if checkpoint is None or checkpoint not in finished:
        return ResumePoint(attempt=attempt, epochs_done=0, offset_s=0.0)
    ends_s = [
        event.end_s
        for event in events
        if (isinstance(event, Epoch) or (isinstance(event, PhaseDone) and event.phase == "checkpoint"))
        and event.epoch == checkpoint
    ]
    return ResumePoint(attempt=attempt, epochs_done=checkpoint, offset_s=max(ends_s))
