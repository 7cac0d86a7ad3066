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
    ends_s: dict[int, float] = {}
    for event in events:
        match event:
            case Attempt(epochs_done=kept):  # what earlier attempts did beyond that was lost
                ends_s = {epoch: end_s for epoch, end_s in ends_s.items() if epoch <= kept}
            case Epoch(epoch=epoch, end_s=end_s):
                ends_s[epoch] = end_s
            case PhaseDone(phase="checkpoint", epoch=int(epoch), end_s=end_s) if epoch in ends_s:
                ends_s[epoch] = end_s
            case _:
                pass
    epochs_done = max(ends_s.keys() & folder.checkpoints(), default=0)
    return ResumePoint(attempt=attempt, epochs_done=epochs_done, offset_s=ends_s.get(epochs_done, 0.0))
