"""Runs whose pages are looked at: what the tests of the page, with and without a browser, share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bench.analysis.predicted import Predicted
from bench.recipe import Recipe
from bench.report.page.page import Contrast, Extras
from bench.report.pictures import TestedImages, gallery
from records_for_tests import ended_trial, ok_trial, run_data, trial

if TYPE_CHECKING:
    from bench.records import RunData

HOSTILE = "<script>alert('name')</script><img src=x onerror=alert(1)>\"&"


def hostile_run() -> tuple[RunData, Extras]:
    """A run in which every name is markup, with pictures and a log of the kind."""
    good = ok_trial(trial(HOSTILE), accuracy=0.4)
    bad = ended_trial(trial(HOSTILE, seed=1), status="failed", reason=HOSTILE)
    seen = Predicted(
        label=np.array([0, 1], np.int32),
        predicted=np.array([0, 0], np.int32),
        confidence=np.array([0.9, 0.8], np.float32),
    )
    tested = TestedImages(images=np.zeros((2, 8, 8, 3), np.uint8), class_names=(HOSTILE, f"{HOSTILE} 2"))
    found = gallery(seen, tested)
    extras = Extras(
        galleries={good.trial.key: found},
        contrasts=[Contrast(title=HOSTILE, pictures=found.wrong)],
        logs={good.trial.key: HOSTILE},
    )
    return run_data(good, bad, name=HOSTILE), extras


def many_trials(count: int) -> RunData:
    """A run of so many trials: forty cells, each with as many seeds as it takes."""
    cells = min(count, 40)
    return run_data(
        *(
            ok_trial(
                trial(f"model_{number % cells // 4}", seed=number // cells, recipe=Recipe(shift_pixels=number % 4)),
                train_s=20.0 + number % cells,
                accuracy=0.3 + 0.002 * number,
            )
            for number in range(count)
        )
    )
