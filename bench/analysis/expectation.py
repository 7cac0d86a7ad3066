"""The accuracy that a training is expected to reach: from its own first epochs, or from a reference curve."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bench.analysis.extrapolation import extrapolate, refusal
from bench.analysis.transfer import Expected, transfer
from bench.reference.matching import find, missing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.analysis.transfer import Transferred
    from bench.records import Cell, Epoch
    from bench.reference.curve import ReferenceCurve


MOST_POINTS = 50  # of a curve to come


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """What a training is expected to reach.

    Attributes:
        by_epoch: Accuracy on the validation images, best so far, by the number of the epoch; of epochs to come.
        val: At the end; None where it is not known.
        test: On the test images, likewise.
        source: Where it comes from, or why there is none, in words.
    """

    by_epoch: Mapping[int, Expected]
    val: Expected | None
    test: Expected | None
    source: str


def expect(cell: Cell, epochs: float, done: Sequence[Epoch], references: Sequence[ReferenceCurve]) -> Expectation:
    """Say what a training is expected to reach.

    Its own epochs say more than a reference does, where there are enough of them and nothing in the recipe changes with
    its progress.

    Args:
        cell: What is trained.
        epochs: How many it will have; a fraction where a budget ends it within one.
        done: Those that it has behind it, from the first on; none for a calibration.
        references: Curves to choose from.
    """
    if not epochs:
        return Expectation(by_epoch={}, val=None, test=None, source="it is tested as it was built")
    if epochs < 1:
        return Expectation(by_epoch={}, val=None, test=None, source="it ends before its first epoch does")
    why_not = refusal(cell) if done else ""
    if done and why_not is None:
        own = _extrapolated(cell, epochs, done)
        if own is not None:
            return own
        why_not = f"where its curve goes cannot be told from {len(done)} of {epochs:.3g} epochs"
    known = [_transferred(transfer(match, math.floor(epochs)), epochs, len(done)) for match in find(cell, references)]
    if known:
        return _best(known)
    reasons = [reason for reason in (why_not, missing(cell, references)) if reason]
    return Expectation(by_epoch={}, val=None, test=None, source="; ".join(reasons))


def _best(known: Sequence[Expectation]) -> Expectation:
    """The first that tells how it ends, and of another the test accuracy, if that is the only one to know it."""
    first = next((one for one in known if one.val or one.test), known[0])
    tested = next((one for one in known if one.test), None)
    if first.test is not None or tested is None:
        return first
    return replace(first, test=tested.test, source=f"{first.source}; on the test images: {tested.source}")


def _extrapolated(cell: Cell, epochs: float, done: Sequence[Epoch]) -> Expectation | None:
    accuracies = [math.nan if epoch.val_accuracy is None else epoch.val_accuracy for epoch in done]
    # As curves are told: best so far, which the best of those that were seen bounds from below.
    best = seen = max((accuracy for accuracy in accuracies if math.isfinite(accuracy)), default=0.0)
    by_epoch: dict[int, Expected] = {}
    for end in _ends(len(done), epochs):
        found = extrapolate(
            accuracies, end, num_images=cell.dataset.num_validation, num_classes=cell.dataset.num_classes
        )
        if found is None:
            return None
        best = max(best, found.estimate)
        by_epoch[math.ceil(end)] = Expected(accuracy=best, low=max(seen, found.low), high=max(best, found.high))
    if not by_epoch:
        return None
    source = f"extrapolated from its own {len(done)} epochs"
    return Expectation(by_epoch=by_epoch, val=by_epoch[max(by_epoch)], test=None, source=source)


def _ends(done: int, epochs: float) -> list[float]:
    """Some epochs to come, the last among them, which a budget may end within, or before it begins."""
    whole = range(done + 1, math.floor(epochs) + 1)
    some = whole[:: -(-len(whole) // MOST_POINTS) or 1] if whole else whole
    ends = [*map(float, some), *([float(whole[-1])] if whole else []), epochs]
    return [end for end in dict.fromkeys(ends) if end > done]


def _transferred(found: Transferred, epochs: float, done: int) -> Expectation:
    curve = found.match.curve
    known = {number: value for number, value in enumerate(found.by_epoch, start=1) if value is not None}
    last = math.floor(epochs)
    trainings = "1 training" if len(curve.seeds) == 1 else f"{len(curve.seeds)} trainings"
    source = [] if curve.published else [f"measured in {trainings} elsewhere"]  # who published it is in its notes
    return Expectation(
        by_epoch={number: value for number, value in known.items() if number > done},
        val=known.get(last),
        test=found.test if epochs == last else None,
        source="; ".join([*source, *found.notes, *([f"after epoch {last} of {epochs:.3g}"] if epochs > last else [])]),
    )
