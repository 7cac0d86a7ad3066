"""What a run will take and reach, for each of its trials: from calibrations, or from the part of it that was seen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from bench.analysis.columns import POINTS
from bench.analysis.curves import DECIMALS
from bench.analysis.extrapolation import extrapolate, refusal
from bench.analysis.forecast import Range, TimeForecast, forecast_time
from bench.analysis.forecast_columns import FORECASTS
from bench.analysis.frame import rows_of, typed
from bench.analysis.pace import Pace, find_pace
from bench.analysis.prices import price_per_hour
from bench.analysis.rewind import surviving_events
from bench.analysis.transfer import transfer
from bench.records import Epoch
from bench.reference.matching import find, missing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd

    from bench.analysis.frame import Report
    from bench.analysis.rows import Row
    from bench.records import Cell, RunData, Trial, TrialData
    from bench.reference.curve import ReferenceCurve

RANGES = ("train_s", "fit_s", "wall_s", "epoch_s", "images_per_s", "epochs")
_NOTHING = {name: None for name in FORECASTS}


@dataclass(frozen=True, kw_only=True)
class Reached:
    """The accuracy that a training is expected to reach, shares of 1.

    Attributes:
        by_epoch: On the validation images, best so far, by the number of the epoch; only of epochs to come.
        val: At the end; None where it is not known.
        test: On the test images likewise; without its ends where its spread is not known.
        source: Where it comes from, or why there is none, in words.
    """

    by_epoch: Mapping[int, Range]
    val: Range | None
    test: Range | Row | None
    source: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Forecast:
    """What one trial will take and reach.

    Attributes:
        trial: The trial.
        row: Of `Report.trials`.
        pace: How fast it goes; None if no step was seen.
        time: How long it will take; None likewise, or where nothing is left of it.
        reached: What it is expected to reach; None likewise.
        reason: Why there is no forecast; empty if there is one.
    """

    trial: Trial
    row: Row
    pace: Pace | None
    time: TimeForecast | None
    reached: Reached | None
    reason: str
