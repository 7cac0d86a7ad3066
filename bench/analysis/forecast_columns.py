"""The columns of what is forecast; see `bench.analysis.columns`."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from bench.analysis.column import Column

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
        "cell": Column("Int64", "number of the cell in the run, from 1, in the order of the trials"),
        "model": Column("string", "name of the model"),
        "device": Column("string", "device in the grammar of --device, such as cpu:2"),
        "device_kind": Column("string", "cpu or gpu"),
        "precision": Column("string", "Keras dtype policy"),
        "jit": Column("string", "XLA compilation: off or on"),
        "onednn": Column("string", "oneDNN's kernels on the CPU: off or on, as they were asked for"),
        "steps_per_execution": Column("Int64", "steps that one call of TensorFlow makes"),
        "batch_size": Column("Int64", "images a step"),
        "recipe_axes": Column(
            "string", "fields of the recipe that differ between cells of the model, with their values"
        ),
        "epochs_asked": Column("Int64", "epochs that the cell asks for; missing where a budget ends the training"),
        "budget_s": Column("Float64", "time after which the training ends; missing without a budget, seconds"),
        "budget_clock": Column("string", "what the budget covers: train, fit (with validation) or wall (everything)"),
        "dataset": Column("string", "data set as --dataset named it"),
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
        "model": Column("string", "name of the model"),
        "device": Column("string", "device in the grammar of --device, such as cpu:2"),
        "dataset": Column("string", "data set as --dataset named it"),
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
