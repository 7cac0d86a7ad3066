"""Where a trial that was cut off is taken up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.records import Attempt, Epoch, PhaseDone, Spent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.records import Phase, Status
    from bench.store import TrialFolder

# A run that is taken up keeps these. Anything else that ended early is tried again: a failure is not a result.
SETTLED: frozenset[Status] = frozenset({"ok", "diverged", "hopeless", "skipped"})


@dataclass(frozen=True, kw_only=True)
class ResumePoint:
    """The next attempt at a trial.

    Attributes:
        attempt: Its number, from 1.
        epochs_done: Finished epochs, whose checkpoint is on disk.
        offset_s: Where the trial's clock stood when the last of them was finished.
        spent: What they took of a budget; None if none is finished.
        epochs: What was learnt in them, in order.
    """

    attempt: int
    epochs_done: int
    offset_s: float
    spent: Spent | None = None
    epochs: tuple[Epoch, ...] = ()


def resume_point(folder: TrialFolder) -> ResumePoint:
    """Return where the next attempt begins: after the last epoch that has both its event and its checkpoint."""
    events, _ = folder.read_events()
    attempt = sum(isinstance(event, Attempt) for event in events) + 1
    ends_s: dict[int, float] = {}
    phases: dict[tuple[Phase, int], PhaseDone] = {}
    last_epochs: set[int] = set()
    features: list[PhaseDone] = []
    epochs: dict[int, Epoch] = {}
    for event in events:
        match event:
            case Attempt(epochs_done=kept):  # what earlier attempts did beyond that was lost
                ends_s = {epoch: end_s for epoch, end_s in ends_s.items() if epoch <= kept}
                features = [phase for phase in features if phase.end_s <= event.offset_s]
            case Epoch(epoch=epoch, end_s=end_s, last=last):
                ends_s[epoch] = end_s
                epochs[epoch] = event
                last_epochs = last_epochs | {epoch} if last else last_epochs - {epoch}
            case PhaseDone(phase="checkpoint", epoch=int(epoch), end_s=end_s) if epoch in ends_s:
                ends_s[epoch] = end_s
            case _:
                pass
        if isinstance(event, PhaseDone) and event.epoch is not None:
            phases[event.phase, event.epoch] = event
        if isinstance(event, PhaseDone) and event.phase == "features":
            features.append(event)
    epochs_done = max(ends_s.keys() & folder.checkpoints(), default=0)
    offset_s = ends_s.get(epochs_done, 0.0)
    return ResumePoint(
        attempt=attempt,
        epochs_done=epochs_done,
        offset_s=offset_s,
        spent=_spent(
            phases,
            epochs_done,
            features_s=sum(phase.end_s - phase.start_s for phase in features if phase.end_s <= offset_s),
            ended=epochs_done in last_epochs,
        ),
        epochs=tuple(epochs[number] for number in sorted(epochs) if number <= epochs_done),
    )


def _spent(
    phases: Mapping[tuple[Phase, int], PhaseDone], epochs_done: int, *, features_s: float, ended: bool
) -> Spent | None:
    """What the finished epochs took; a phase that was done twice counts as it was done last."""

    def took_s(name: Phase) -> float:
        done = (phases.get((name, epoch)) for epoch in range(1, epochs_done + 1))
        return sum(phase.end_s - phase.start_s for phase in done if phase is not None)

    first = phases.get(("train", 1))
    if not epochs_done or first is None:
        return None
    train_s = took_s("train")
    saved = phases.get(("checkpoint", epochs_done))
    return Spent(
        began_s=first.start_s,
        train_s=train_s,
        fit_s=features_s + train_s + took_s("validate"),
        features_s=features_s,
        checkpoint_s=saved.end_s - saved.start_s if saved else 0.0,
        ended=ended,
    )
