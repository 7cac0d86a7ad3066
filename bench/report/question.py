"""What a reader wants to know of a report besides what every report says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.analysis.curves import Cost


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a reader asks.

    Attributes:
        budgets_s: Wall times, in seconds, for each of which the best model is wanted.
        targets: Accuracies, shares of 1, for each of which the soonest and the cheapest model is wanted.
        prices: What an hour costs, by the label or kind of a device.
        by: What the frontier is over.
    """

    budgets_s: tuple[float, ...] = ()
    targets: tuple[float, ...] = ()
    prices: Mapping[str, float] = field(default_factory=dict)
    by: Cost = "t_s"


NOTHING_ASKED = Question()
