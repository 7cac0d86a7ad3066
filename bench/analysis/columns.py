"""The columns of a report's DataFrames: what each means, in which unit, and how it is typed.

Every dtype is a nullable one: what was not measured is `<NA>`, never 0 and never NaN.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from bench.analysis.column import CELL_COLUMNS
from bench.analysis.column import Column as Column  # noqa: PLC0414 -- of the columns here
from bench.analysis.forecast_columns import BACKTEST, FORECASTS
from bench.analysis.span_columns import PHASES, STEP_TIMES
from bench.analysis.tuning_columns import TUNING

if TYPE_CHECKING:
    from collections.abc import Mapping


def _spread(name: str, unit: str) -> dict[str, Column]:
    """How far the seeds of a cell lie apart in a measure, and where its median may lie."""
    interval = f"95 % bootstrap interval of {name}, {unit}; missing for fewer than 3 seeds"
    return {
        f"{name}_mad": Column(
            "Float64", f"median absolute deviation of {name} over seeds, not scaled, {unit}; missing for one seed"
        ),
        f"{name}_low": Column("Float64", f"lower end of the {interval}"),
        f"{name}_high": Column("Float64", f"upper end of the {interval}"),
    }


TRIALS: Mapping[str, Column] = MappingProxyType(
    {"key": Column("string", "names the trial's folder")}
    | CELL_COLUMNS
    | {
        "seed": Column("Int64", "seed of initialisation, shuffling and augmentation"),
        "status": Column("string", "how the trial ended; interrupted where it has not ended"),
        "reason": Column("string", "why, in words, unless ok"),
        "parameters": Column("Int64", "weights of the model, trainable or not"),
        "test_accuracy": Column("Float64", "share of the test images that were labelled right, 0 to 1"),
        "test_loss": Column("Float64", "mean cross-entropy on the test images, nats"),
        "val_accuracy": Column("Float64", "share of the validation images, after the last finished epoch, 0 to 1"),
        "epochs_done": Column("Int64", "whole epochs finished"),
        "epochs_trained": Column("Float64", "training images seen over those that there are, of the finished epochs"),
        "train_s": Column("Float64", "training alone: its finished phases, seconds"),
        "fit_s": Column("Float64", "training and validation, and what a frozen part puts out for both, seconds"),
        "wall_s": Column("Float64", "everything, on the trial's clock when its process was gone, seconds"),
        "other_s": Column(
            "Float64", "wall_s less all phases, of a trial that ended ok: above all the end of its process, seconds"
        ),
        "import_s": Column("Float64", "importing TensorFlow, summed over attempts, seconds"),
        "data_s": Column("Float64", "loading the data, summed over attempts, seconds"),
        "build_s": Column("Float64", "building the model, summed over attempts, seconds"),
        "compile_s": Column("Float64", "compiling the model, summed over attempts, seconds"),
        "probe_s": Column("Float64", "looking at threads, arithmetic and the machine's speed, seconds"),
        "features_s": Column(
            "Float64", "computing or finding what a frozen part puts out for training and validation images, seconds"
        ),
        "features_saved_s": Column(
            "Float64", "time in which features that the trial found had been computed; missing without any, seconds"
        ),
        "warmup_s": Column("Float64", "first steps, which trace and compile, summed over attempts, seconds"),
        "validate_s": Column("Float64", "validation, seconds"),
        "test_s": Column("Float64", "testing, seconds"),
        "checkpoint_s": Column("Float64", "writing checkpoints and reading them back, seconds"),
        "epoch_s": Column("Float64", "training and validation of an epoch, median over epochs, seconds"),
        "step_s": Column(
            "Float64",
            "one training step on whole images, median over steps; missing on GPUs, which take steps later, seconds",
        ),
        "images_per_s": Column("Float64", "training images over train_s, images a second"),
        "forward_flops": Column("Int64", "FLOPs of the forward pass for one image, 2 a multiply-add"),
        "training_flops": Column(
            "Int64",
            "FLOPs of a training step for one of its images; of unpadded convolutions the profiler counts too many",
        ),
        "flops_per_s": Column("Float64", "training_flops times images_per_s, FLOPs a second"),
        "attained_fraction": Column("Float64", "flops_per_s over what the device attains at best"),
        "bandwidth_fraction": Column("Float64", "estimated memory traffic over the device's bandwidth"),
        "launch_fraction": Column("Float64", "share of a step's time that it would take without any work"),
        "data_wait_fraction": Column("Float64", "share of training in which it waited for batches, 0 to 1"),
        "verdict": Column("string", "what limits the training, in words"),
        "peak_rss_bytes": Column("Int64", "the worker's highest resident set, bytes"),
        "estimated_bytes": Column("Int64", "what peak_rss_bytes was expected to be, before the trial ran, bytes"),
        "peak_pss_bytes": Column("Int64", "the process tree's highest proportional set that was sampled, bytes"),
        "cpu_percent": Column("Float64", "CPU time over time passed, mean while training; 100 is one core, percent"),
        "gpu_utilization_percent": Column("Float64", "time in which any kernel ran, mean while training, percent"),
        "peak_gpu_bytes": Column("Int64", "peak of TensorFlow's GPU allocator, bytes"),
        "estimated_gpu_bytes": Column(
            "Int64", "memory of each GPU that was expected to be used, before the trial ran, bytes"
        ),
        "gpu_memory_used_bytes": Column("Int64", "memory used on the trial's GPUs by anyone, highest sample, bytes"),
        "energy_joules": Column("Float64", "energy of all the trial's GPUs, from first to last sample, joules"),
        "package_energy_joules": Column(
            "Float64", "energy of all processor packages, whoever used them, from first to last sample, joules"
        ),
    }
    | {
        f"{part}_energy_{phase}_joules": Column("Float64", f"energy of {whose} while {doing}, joules")
        for part, whose in (("gpu", "all the trial's GPUs"), ("package", "all processor packages, whoever used them,"))
        for phase, doing in (
            ("features", "computing features"),
            ("train", "training"),
            ("validate", "validating"),
            ("test", "testing"),
        )
    }
    | {
        "joules_per_epoch": Column(
            "Float64", "training and validation of an epoch, on the GPUs, or on a CPU all packages; mean, joules"
        ),
        "joules_per_image": Column("Float64", "energy of training over training images, likewise, joules an image"),
        "short_energy_phases": Column(
            "object",
            "phases whose GPU energy is not to be trusted: NVML's counter takes 5 s, the median one is shorter",
        ),
        "sampler_percent": Column("Float64", "CPU time that sampling took, 100 is one core, percent"),
        "parent_percent": Column(
            "Float64", "CPU time of the whole parent: sampling, writing, showing; 100 is one core, percent"
        ),
        "attempts": Column("Int64", "processes that worked on the trial"),
        "steal_percent": Column(
            "Float64", "time that the hypervisor took while training; 100 is all its cores, percent"
        ),
        "others_cpu_percent": Column("Float64", "CPU time of other processes on its cores, likewise, percent"),
        "throttled_periods": Column(
            "Int64", "periods in which the control group's CPU quota stopped it while training"
        ),
        "cpu_pressure_percent": Column("Float64", "time in which some thread waited for a CPU while training, percent"),
        "involuntary_switches_per_s": Column("Float64", "times that its threads were pushed off a core, a second"),
        "frequency_mhz": Column("Float64", "clock of its CPUs while training, median, megahertz"),
        "foreign_gpu_processes": Column("Int64", "most processes at a time that computed on its GPU besides it"),
        "sentinel_before_s": Column("Float64", "a fixed matrix product before the training, seconds"),
        "sentinel_after_s": Column("Float64", "the same after it, seconds"),
        "steady": Column("boolean", "whether its steps took about the same time; missing where too few to tell"),
        "steady_from_step": Column("Int64", "a step, from 0, from which on they did; missing where they never did"),
        "flags": Column("object", "why the numbers deserve less trust, in words"),
        "missing": Column("object", "metrics that could not be read, each with its reason"),
    }
)

EPOCHS: Mapping[str, Column] = MappingProxyType(
    {
        "key": Column("string", "the trial's"),
        "model": Column("string", "name of the model"),
        "device": Column("string", "device in the grammar of --device"),
        "seed": Column("Int64", "the trial's"),
        "epoch": Column("Int64", "number of the epoch, from 1"),
        "end_s": Column("Float64", "when it ended, on the trial's clock, seconds"),
        "train_s": Column("Float64", "training, seconds"),
        "validate_s": Column("Float64", "validation, seconds"),
        "checkpoint_s": Column("Float64", "writing its checkpoint, seconds"),
        "other_s": Column("Float64", "between its first phase and its last, in none of them, seconds"),
        "data_wait_s": Column("Float64", "waiting for batches while training, from its first 20 batches, seconds"),
        "images": Column("Int64", "images trained on"),
        "images_per_s": Column("Float64", "images over train_s, images a second"),
        "gpu_energy_joules": Column("Float64", "energy of the trial's GPUs, training and validation, joules"),
        "package_energy_joules": Column("Float64", "energy of all processor packages, likewise, joules"),
        "learning_rate": Column("Float64", "of its last step"),
        "loss": Column("Float64", "mean training loss, nats"),
        "accuracy": Column("Float64", "share of the training images that were labelled right, 0 to 1"),
        "val_loss": Column("Float64", "mean cross-entropy on the validation images, nats"),
        "val_accuracy": Column("Float64", "share of the validation images that were labelled right, 0 to 1"),
        "l2": Column("Float64", "strength of the regularisation that is best so far; of a linear probe alone"),
    }
)

SAMPLES: Mapping[str, Column] = MappingProxyType(
    {
        "key": Column("string", "the trial's"),
        "t_s": Column("Float64", "when it was taken, on the trial's clock, seconds"),
        "rss_bytes": Column("Int64", "resident sets of the process tree, summed, bytes"),
        "pss_bytes": Column("Int64", "proportional sets of the process tree, summed, bytes"),
        "peak_rss_bytes": Column("Int64", "the worker's highest resident set so far, bytes"),
        "cpu_s": Column("Float64", "CPU time of the process tree, seconds"),
        "cpu_percent": Column("Float64", "CPU time since the last sample over time passed; 100 is one core, percent"),
        "threads": Column("Int64", "threads of the process tree"),
        "voluntary_switches": Column("Int64", "times the worker waited, since it began"),
        "involuntary_switches": Column("Int64", "times the worker was pushed off its core, since it began"),
        "cgroup_memory_bytes": Column("Int64", "memory charged to the control group, bytes"),
        "parent_cpu_s": Column("Float64", "CPU time of the harness, seconds"),
        "busy_s": Column("Float64", "CPU time that anyone spent on the trial's cores, since the system began, seconds"),
        "steal_s": Column("Float64", "time that the hypervisor took from them, since the system began, seconds"),
        "throttled_periods": Column("Int64", "periods in which the control group's CPU quota was used up"),
        "throttled_s": Column("Float64", "time for which it was stopped in these, seconds"),
        "cpu_pressure_s": Column("Float64", "time in which some thread waited for a CPU, seconds"),
        "frequency_mhz": Column("Float64", "mean clock of the trial's CPUs, megahertz"),
        "package_energy_joules": Column(
            "Float64", "energy of all processor packages since the first sample, whoever used it, joules"
        ),
        "gpu_utilization_percent": Column("Float64", "time in which any kernel ran, mean of the GPUs, percent"),
        "gpu_memory_used_bytes": Column("Int64", "memory used, sum of the GPUs, bytes"),
        "gpu_power_watts": Column("Float64", "power, sum of the GPUs, watts"),
        "gpu_energy_joules": Column("Float64", "energy counters since the driver was loaded, sum of the GPUs, joules"),
        "gpu_temperature_celsius": Column("Float64", "temperature of the hottest GPU, degrees Celsius"),
        "gpu_sm_clock_mhz": Column("Float64", "multiprocessor clock, mean of the GPUs, megahertz"),
        "gpu_memory_clock_mhz": Column("Float64", "memory clock, mean of the GPUs, megahertz"),
        "gpu_clock_event_reasons": Column("Int64", "NVML's bits of why clocks are low, of any GPU"),
        "gpu_foreign_processes": Column("Int64", "processes that compute on a GPU and are not the trial's, the most"),
    }
)

CELLS: Mapping[str, Column] = MappingProxyType(
    CELL_COLUMNS
    | {
        "n_trials": Column("Int64", "trials asked for"),
        "n_ok": Column("Int64", "trials that ended ok: accuracy, times and rates are theirs"),
        "statuses": Column("string", "how the trials ended, such as ok or 2 ok, 1 failed"),
        "parameters": Column("Int64", "weights of the model, trainable or not"),
        "val_accuracy": Column("Float64", "after the last finished epoch, median over seeds, 0 to 1"),
        "test_accuracy": Column("Float64", "median over seeds, 0 to 1"),
        **_spread("test_accuracy", "0 to 1"),
        "train_s": Column("Float64", "training alone, median over seeds, seconds"),
        **_spread("train_s", "seconds"),
        "fit_s": Column("Float64", "training and validation, median over seeds, seconds"),
        **_spread("fit_s", "seconds"),
        "wall_s": Column("Float64", "everything, median over seeds, seconds"),
        "epochs_trained": Column("Float64", "training images seen over those that there are, median over seeds"),
        "epoch_s": Column("Float64", "training and validation of an epoch, median over seeds, seconds"),
        "step_s": Column("Float64", "one training step, median over seeds, seconds"),
        "images_per_s": Column("Float64", "training images over train_s, median over seeds, images a second"),
        **_spread("images_per_s", "images a second"),
        "speed_up": Column(
            "Float64", "times as fast as the same workload on the fewest threads of a CPU; missing without another"
        ),
        "speed_up_low": Column(
            "Float64", "lower end of its 95 % bootstrap interval, paired by seed; missing for fewer than 3 common seeds"
        ),
        "speed_up_high": Column("Float64", "upper end of that interval"),
        "efficiency": Column("Float64", "speed_up over the ratio of the threads, 1 where each does as much as before"),
        "flops_per_s": Column("Float64", "FLOPs of training over its time, median over seeds, FLOPs a second"),
        "attained_fraction": Column("Float64", "that over what the device attains at best, median over seeds"),
        "verdict": Column("string", "what limits the training, in words; each of the seeds' verdicts once"),
        "cpu_percent": Column("Float64", "mean while training, median over seeds; 100 is one core, percent"),
        "gpu_utilization_percent": Column("Float64", "mean while training, median over seeds, percent"),
        "energy_joules": Column("Float64", "energy of the trial's GPUs, median over seeds, joules"),
        "joules_per_epoch": Column("Float64", "training and validation of an epoch, median over seeds, joules"),
        "joules_per_image": Column("Float64", "training, median over seeds, joules an image"),
        "peak_rss_bytes": Column("Int64", "highest of all trials, failed ones too, bytes"),
        "peak_pss_bytes": Column("Int64", "highest of all trials, failed ones too, bytes"),
        "peak_gpu_bytes": Column("Int64", "highest of all trials, failed ones too, bytes"),
        "gpu_memory_used_bytes": Column("Int64", "highest of all trials, failed ones too, bytes"),
        "flags": Column("object", "the trials' flags, each once"),
    }
)

_SETTING = {
    name: CELL_COLUMNS[name]
    for name in (
        "cell",
        "model",
        "device",
        "device_kind",
        "precision",
        "jit",
        "onednn",
        "steps_per_execution",
        "batch_size",
        "recipe_axes",
        "epochs_asked",
        "budget_s",
        "budget_clock",
    )
}

_KIND = {
    "kind": Column("string", "measured or forecast"),
    "split": Column("string", "the images whose accuracy it is: validation, or test where none were held back"),
}

POINTS: Mapping[str, Column] = MappingProxyType(
    _SETTING
    | {"seed": Column("Int64", "the trial's; missing for a forecast of no seed in particular")}
    | {"status": Column("string", "how the trial ended; interrupted where it has not ended, missing for a forecast")}
    | _KIND
    | {
        "epoch": Column("Int64", "number of the epoch at whose end it is, from 1"),
        "t_s": Column("Float64", "when, on the trial's clock: wall time with start-up, seconds"),
        "joules": Column(
            "Float64",
            "training and validation until then, on the GPUs, or on a CPU all packages; start-up left out, joules",
        ),
        "money": Column("Float64", "t_s times the device's price; missing without a price, in its currency"),
        "accuracy": Column("Float64", "best until then, share of the images, 0 to 1"),
        "accuracy_low": Column("Float64", "lower end of a forecast's interval; missing where measured"),
        "accuracy_high": Column("Float64", "upper end of a forecast's interval; missing where measured"),
    }
)

CURVES: Mapping[str, Column] = MappingProxyType(
    _SETTING
    | _KIND
    | {
        "cost": Column("string", "what the curve is over: t_s, joules or money, the column by which it grows"),
        "t_s": Column("Float64", "wall time with start-up; where not the cost, that of most seeds at most, seconds"),
        "joules": Column(
            "Float64",
            "training and validation until then, linear between the ends of epochs; where not the cost, that of most "
            "seeds at most; missing where it is of any, joules",
        ),
        "money": Column("Float64", "t_s times the device's price; missing without a price, in its currency"),
        "accuracy": Column(
            "Float64", "best until then that most seeds have at least: the median, the lower of two; 0 to 1"
        ),
        "accuracy_low": Column("Float64", "that of the worst seed begun; of a forecast, the lowest end of intervals"),
        "accuracy_high": Column("Float64", "that of the best seed; of a forecast, the highest end of intervals"),
        "begun": Column("Int64", "seeds that have an accuracy by then; the others count as less accurate than any"),
        "seeds": Column("Int64", "seeds that the median is over"),
    }
)

MARGINAL: Mapping[str, str] = MappingProxyType(
    {"t_s": "seconds_per_point", "joules": "joules_per_point", "money": "money_per_point"}
)
_MARGINAL = {
    MARGINAL[cost]: Column("Float64", f"more {what} for each further percentage point, {unit}")
    for cost, what, unit in (
        ("t_s", "time", "seconds"),
        ("joules", "energy", "joules"),
        ("money", "money", "in the currency of the price"),
    )
} | {"marginal_kind": Column("string", "forecast where either end of that is one, else measured; missing without one")}

FRONTIER: Mapping[str, Column] = MappingProxyType(
    dict(CURVES)
    | {"leg": Column("Int64", "number of the leg, from 1: points that follow each other on one cell's curve")}
    | _MARGINAL
)

LEGS: Mapping[str, Column] = MappingProxyType(
    _SETTING
    | _KIND
    | {
        "cost": CURVES["cost"],
        "from_t_s": Column("Float64", "wall time at the leg's first point, seconds"),
        "to_t_s": Column("Float64", "wall time at its last point, seconds"),
        "from_joules": Column("Float64", "energy at its first point, joules"),
        "to_joules": Column("Float64", "energy at its last point, joules"),
        "from_money": Column("Float64", "money at its first point, in the currency of the price"),
        "to_money": Column("Float64", "money at its last point, in the currency of the price"),
        "from_accuracy": Column("Float64", "accuracy at its first point, 0 to 1"),
        "to_accuracy": Column("Float64", "accuracy at its last point, 0 to 1"),
    }
    | _MARGINAL
)

TARGETS: Mapping[str, Column] = MappingProxyType(
    _SETTING
    | _KIND
    | {
        "target": Column("Float64", "accuracy to be reached, 0 to 1"),
        "reached": Column("Int64", "seeds that reached it"),
        "seeds": Column("Int64", "seeds that ran"),
        "t_s": Column("Float64", "wall time until most seeds had reached it; missing unless most did, seconds"),
        "t_low_s": Column("Float64", "that of the quickest seed, or by the upper ends of a forecast, seconds"),
        "t_high_s": Column(
            "Float64", "that of the slowest seed, or by the lower ends of a forecast; missing if never, seconds"
        ),
        "joules": Column("Float64", "energy until then, as in the cell's curve, joules"),
        "money": Column("Float64", "t_s times the device's price, in its currency"),
        "horizon_s": Column(
            "Float64", "end of the last seed's curve: what was not reached was not until then, seconds"
        ),
    }
)

COLUMNS: Mapping[str, Mapping[str, Column]] = MappingProxyType(
    {
        "trials": TRIALS,
        "epochs": EPOCHS,
        "samples": SAMPLES,
        "phases": PHASES,
        "step_times": STEP_TIMES,
        "cells": CELLS,
        "points": POINTS,
        "curves": CURVES,
        "frontier": FRONTIER,
        "legs": LEGS,
        "targets": TARGETS,
        "forecasts": FORECASTS,
        "backtest": BACKTEST,
        "tuning": TUNING,
    }
)
