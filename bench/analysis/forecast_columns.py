"""The columns of what is forecast; see `bench.analysis.columns`."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from bench.analysis.column import Column, cell_columns

if TYPE_CHECKING:
    from collections.abc import Mapping


def _forecast(name: str, what: str) -> dict[str, Column]:
    """A forecast with the ends of its interval."""
    return {
        name: Column("Float64", what),
        f"{name}_low": Column(
            "Float64", f"lower end of its 90 % interval; missing where its spread is not known: {name}"
        ),
        f"{name}_high": Column("Float64", f"upper end of that interval, of {name}"),
    }


FORECASTS: Mapping[str, Column] = MappingProxyType(
    {
        "key": Column("string", "the trial's that it rests on"),
        **cell_columns(
            *("cell", "model", "device", "device_kind", "precision", "jit", "onednn", "steps_per_execution"),
            *("batch_size", "recipe_axes", "epochs_asked", "budget_s", "budget_clock", "dataset"),
        ),
        "seed": Column("Int64", "that trial's"),
        "status": Column("string", "how that trial ended, or interrupted if it has not"),
        "reason": Column("string", "why there is no forecast; empty if there is one"),
        "is_calibration": Column("boolean", "whether it rests on a calibration; else on a part of the training itself"),
        "steps_seen": Column("Int64", "training steps that it rests on"),
        "seen_s": Column("Float64", "the trial's clock at the end of what was seen, seconds"),
        **_forecast("train_s", "training alone, seconds"),
        **_forecast("fit_s", "training and validation, seconds"),
        **_forecast("wall_s", "everything, start-up and test included, seconds"),
        **_forecast("epoch_s", "training and validation of an epoch, seconds"),
        **_forecast("images_per_s", "training images a second"),
        **_forecast("epochs", "passes over the training images; of a budget, how far it reaches"),
        "peak_rss_bytes": Column("Int64", "highest resident set while it was calibrated, or until now, bytes"),
        "peak_gpu_bytes": Column("Int64", "highest memory of TensorFlow's allocator on a GPU, likewise, bytes"),
        "train_joules": Column(
            "Float64", "energy of the training, by what an image took; missing where no counter could be read, joules"
        ),
        **_forecast("val_accuracy", "at the end, share of the validation images, 0 to 1"),
        **_forecast("test_accuracy", "at the end, share of the test images, 0 to 1"),
        "accuracy_from": Column("string", "where the accuracy comes from, or why there is none, in words"),
    }
)

BACKTEST: Mapping[str, Column] = MappingProxyType(
    {
        "run": Column("string", "name of the run"),
        "machine": Column("string", "processor of the machine"),
        "key": Column("string", "names the folder of the trial that was replayed"),
        **cell_columns("model", "device", "dataset"),
        "seed": Column("Int64", "seed of the trial"),
        "quantity": Column(
            "string",
            "train_s, fit_s, wall_s; val_accuracy, of the last epoch on the validation images; epochs, of a budget",
        ),
        "seen": Column(
            "string",
            "what the forecast rests on: a share of the wall time (of the epochs, for an accuracy), the first 90 s, or "
            "a calibration of the same cell",
        ),
        "seen_s": Column(
            "Float64", "the clock of the trial, or of its calibration, at the end of what was seen, seconds"
        ),
        "epochs_seen": Column("Int64", "epochs that had ended by then"),
        "forecast": Column("Float64", "seconds, share of 1 or epochs, as the quantity is"),
        "low": Column("Float64", "lower end of its 90 % interval, likewise"),
        "high": Column("Float64", "upper end of that interval, likewise"),
        "actual": Column("Float64", "what happened, likewise"),
        "error_percent": Column(
            "Float64", "forecast less actual, percent of the actual; missing for an accuracy; positive was too much"
        ),
        "error_points": Column("Float64", "forecast less actual, percentage points; missing but for an accuracy"),
        "covered": Column("boolean", "whether the actual lies in the interval"),
        "disturbed": Column("boolean", "whether something disturbed the trial, or its calibration, as its flags say"),
    }
)
