"""The accuracy that a training is expected to reach: from its own first epochs, or from a reference curve."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.analysis.extrapolation import extrapolate, refusal
from bench.analysis.transfer import Expected, transfer
from bench.reference.matching import find, missing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.analysis.transfer import Transferred
    from bench.records import Cell, Epoch
    from bench.reference.curve import ReferenceCurve


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """What a training is expected to reach.

    Attributes:
        by_epoch: Accuracy on the validation images, best so far where it comes from a reference, by the number of the
            epoch; of epochs that are still to come.
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
    why_not = refusal(cell) if done else ""
    if done and why_not is None:
        own = _extrapolated(cell, epochs, done)
        if own is not None:
            return own
        why_not = f"where its curve goes cannot be told from {len(done)} of {epochs:.3g} epochs"
    matches = find(cell, references)
    if matches:
        return _transferred(transfer(matches[0], max(1, math.floor(epochs))), epochs, len(done))
    reasons = [reason for reason in (why_not, missing(cell, references)) if reason]
    return Expectation(by_epoch={}, val=None, test=None, source="; ".join(reasons))


def _extrapolated(cell: Cell, epochs: float, done: Sequence[Epoch]) -> Expectation | None:
    accuracies = [math.nan if epoch.val_accuracy is None else epoch.val_accuracy for epoch in done]
    # A budget may end within the epoch after these, or before it.
    ends = [*map(float, range(len(done) + 1, math.floor(epochs) + 1)), *([epochs] if epochs % 1 else [])]
    by_epoch: dict[int, Expected] = {}
    for end in (end for end in ends if end > len(done)):
        found = extrapolate(accuracies, end, num_images=cell.dataset.num_validation)
        if found is None:
            return None
        by_epoch[math.ceil(end)] = Expected(accuracy=found.estimate, low=found.low, high=found.high)
    if not by_epoch:
        return None
    source = f"extrapolated from its own {len(done)} epochs"
    return Expectation(by_epoch=by_epoch, val=by_epoch[max(by_epoch)], test=None, source=source)


def _transferred(found: Transferred, epochs: float, done: int) -> Expectation:
    curve = found.match.curve
    known = {number: value for number, value in enumerate(found.by_epoch, start=1) if value is not None}
    last = max(1, math.floor(epochs))
    if curve.published is not None:
        source = f"published by {curve.published.source}"
    else:
        trainings = "1 training" if len(curve.seeds) == 1 else f"{len(curve.seeds)} trainings"
        source = f"measured in {trainings} elsewhere"
    return Expectation(
        by_epoch={number: value for number, value in known.items() if number > done},
        val=known.get(last),
        test=found.test if epochs == last else None,
        source="; ".join([source, *found.notes]),
    )
