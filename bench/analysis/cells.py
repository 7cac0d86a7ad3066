"""Trials of one cell taken together: what a cell costs and yields over its seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.analysis.columns import CELLS
from bench.analysis.frame import typed
from bench.analysis.scaling import Point, scalings
from bench.analysis.stats import mad, median_interval

if TYPE_CHECKING:
    import pandas as pd

MEDIANS = (
    "val_accuracy",
    "test_accuracy",
    "epochs_trained",
    "train_s",
    "fit_s",
    "wall_s",
    "epoch_s",
    "step_s",
    "images_per_s",
    "flops_per_s",
    "attained_fraction",
    "cpu_percent",
    "gpu_utilization_percent",
    "energy_joules",
    "joules_per_epoch",
    "joules_per_image",
)
RATES = (
    *("epoch_s", "step_s", "images_per_s", "flops_per_s", "attained_fraction", "cpu_percent"),
    *("gpu_utilization_percent", "joules_per_epoch", "joules_per_image"),
)
SPREADS = ("test_accuracy", "train_s", "fit_s", "images_per_s")
PEAKS = ("peak_rss_bytes", "peak_pss_bytes", "peak_gpu_bytes", "gpu_memory_used_bytes")


def cells(trials: pd.DataFrame) -> pd.DataFrame:
    """Summarize trials by cell; `columns.CELLS` says what each column means.

    Args:
        trials: `Report.trials`.

    Returns:
        A row for each cell, in the order of the trials. Accuracy, times and rates are of the trials that ended ok;
        where all were stopped as hopeless, rates are theirs.
    """
    points = {point.cell: point for scaling in scalings(trials) for point in scaling.points}
    groups = trials.groupby("cell", sort=False)
    return typed(CELLS, [_summary(group) | _scaling(points.get(group["cell"].iloc[0])) for _, group in groups])


def _summary(trials: pd.DataFrame) -> dict[str, Any]:
    first = trials.iloc[0]
    ok = trials[trials["status"] == "ok"]
    timed = ok if len(ok) else trials[trials["status"] == "hopeless"]  # that its epochs were too few changes no rate
    summary = {name: first[name] for name in CELLS if name in trials.columns} | {
        "n_trials": len(trials),
        "n_ok": len(ok),
        "statuses": _statuses(trials["status"]),
        "parameters": trials["parameters"].max(),
        "verdict": " or ".join(dict.fromkeys(ok["verdict"].dropna())) or None,
        "flags": tuple(dict.fromkeys(flag for flags in trials["flags"] for flag in flags)),
    }
    for name in SPREADS:
        summary |= _spread(name, ok[name].dropna().tolist())
    medians = {name: (timed if name in RATES else ok)[name].median() for name in MEDIANS}
    return summary | medians | {name: trials[name].max() for name in PEAKS}


def _spread(name: str, values: list[float]) -> dict[str, float | None]:
    interval = median_interval(values)
    return {
        f"{name}_mad": mad(values),
        f"{name}_low": interval.low if interval else None,
        f"{name}_high": interval.high if interval else None,
    }


def _scaling(point: Point | None) -> dict[str, float | None]:
    interval = point.interval if point else None
    return {
        "speed_up": point.speed_up if point else None,
        "speed_up_low": interval.low if interval else None,
        "speed_up_high": interval.high if interval else None,
        "efficiency": point.efficiency if point else None,
    }


def _statuses(statuses: pd.Series[str]) -> str:
    counts = statuses.value_counts(sort=False)
    if len(statuses) == 1:
        return str(statuses.iloc[0])
    return ", ".join(f"{count} {status}" for status, count in counts.items())
