"""Trials of one cell taken together: what a cell costs and yields over its seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.analysis.columns import CELLS
from bench.analysis.frame import typed

if TYPE_CHECKING:
    import pandas as pd

MEDIANS = (
    "train_s",
    "fit_s",
    "wall_s",
    "epoch_s",
    "step_s",
    "images_per_s",
    "cpu_percent",
    "gpu_utilization_percent",
    "energy_joules",
    "joules_per_epoch",
    "joules_per_image",
)
PEAKS = ("peak_rss_bytes", "peak_pss_bytes", "peak_gpu_bytes", "gpu_memory_used_bytes")


def cells(trials: pd.DataFrame) -> pd.DataFrame:
    """Summarize trials by cell; `columns.CELLS` says what each column means.

    Args:
        trials: `Report.trials`.

    Returns:
        A row for each cell, in the order of the trials. Accuracy, times and rates are of the trials that ended ok.
    """
    return typed(CELLS, [_summary(group) for _, group in trials.groupby("cell", sort=False)])


def _summary(trials: pd.DataFrame) -> dict[str, Any]:
    first = trials.iloc[0]
    ok = trials[trials["status"] == "ok"]
    summary = {name: first[name] for name in CELLS if name in trials.columns} | {
        "n_trials": len(trials),
        "n_ok": len(ok),
        "statuses": _statuses(trials["status"]),
        "parameters": trials["parameters"].max(),
        "test_accuracy": ok["test_accuracy"].mean(),
        "test_accuracy_std": ok["test_accuracy"].std(ddof=1),
        "flags": tuple(dict.fromkeys(flag for flags in trials["flags"] for flag in flags)),
    }
    return summary | {name: ok[name].median() for name in MEDIANS} | {name: trials[name].max() for name in PEAKS}


def _statuses(statuses: pd.Series[str]) -> str:
    counts = statuses.value_counts(sort=False)
    if len(statuses) == 1:
        return str(statuses.iloc[0])
    return ", ".join(f"{count} {status}" for status, count in counts.items())
