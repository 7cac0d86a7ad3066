"""When each phase of a trial ran, and how long its steps took, as rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bench.analysis.rewind import surviving_events
from bench.analysis.span_columns import QUANTILES
from bench.analysis.step_times import step_times_s
from bench.analysis.totals import of
from bench.records import PhaseDone, Steps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.analysis.rows import Row
    from bench.records import TrialData


def phase_rows(data: TrialData) -> Iterator[Row]:
    """A row for each phase that counts, in the order in which they ended; see `span_columns.PHASES`."""
    for done in of(PhaseDone, surviving_events(data.events)):
        yield {
            "key": data.trial.key,
            "phase": done.phase,
            "epoch": done.epoch,
            "start_s": done.start_s,
            "end_s": done.end_s,
        }


def step_time_rows(data: TrialData) -> Iterator[Row]:
    """A row for each size of images, the smallest first; see `span_columns.STEP_TIMES`.

    None for a GPU, where a step's stamp tells when it was handed over and not when it was done.
    """
    if data.trial.cell.device.kind == "gpu":
        return
    steps = of(Steps, surviving_events(data.events))
    heights = {block.image_height for block in steps}
    for height in sorted(heights, key=lambda height: (height is None, height or 0)):
        times_s = step_times_s([block for block in steps if block.image_height == height])
        if times_s.size:
            quantiles = np.quantile(times_s, list(QUANTILES.values())).tolist()
            yield {
                "key": data.trial.key,
                "image_height": height,
                "steps": times_s.size,
                **dict(zip(QUANTILES, quantiles, strict=True)),
                "longest_s": float(times_s.max()),
            }
