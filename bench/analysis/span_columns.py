"""Columns of what a trial's journal says in detail: when each phase ran, and how long its steps took."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from bench.analysis.column import Column

if TYPE_CHECKING:
    from collections.abc import Mapping

PHASES: Mapping[str, Column] = MappingProxyType(
    {
        "key": Column("string", "the trial's"),
        "phase": Column("string", "its name, such as train"),
        "epoch": Column("Int64", "number of the epoch, from 1; missing where it belongs to none"),
        "start_s": Column("Float64", "when it began, on the trial's clock, seconds"),
        "end_s": Column("Float64", "when it ended, devices synchronised, seconds"),
    }
)

QUANTILES: Mapping[str, float] = MappingProxyType(
    {"p01_s": 0.01, "p25_s": 0.25, "median_s": 0.5, "p75_s": 0.75, "p99_s": 0.99}
)

STEP_TIMES: Mapping[str, Column] = MappingProxyType(
    {
        "key": Column("string", "the trial's"),
        "image_height": Column("Int64", "of the images in a stage of smaller ones, pixels; missing for whole images"),
        "steps": Column("Int64", "training steps"),
    }
    | {
        name: Column("Float64", f"time that {100 * share:g} % of these steps took at most, seconds")
        for name, share in QUANTILES.items()
    }
    | {"longest_s": Column("Float64", "the longest of them, seconds")}
)
