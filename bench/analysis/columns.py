"""The columns of a report's DataFrames: what each means, in which unit, and how it is typed.

Every dtype is a nullable one: what was not measured is `<NA>`, never 0 and never NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Column:
    """One column of a DataFrame.

    Attributes:
        dtype: Its pandas dtype; `object` holds tuples of text.
        meaning: What it says, with its unit.
    """

    dtype: str
    meaning: str


_CELL = {
    "cell": Column("Int64", "number of the cell in the run, from 1, in the order of the trials"),
    "model": Column("string", "name of the model"),
    "device": Column("string", "device in the grammar of --device, such as cpu:2"),
    "device_kind": Column("string", "cpu or gpu"),
    "precision": Column("string", "Keras dtype policy"),
    "jit": Column("string", "XLA compilation: off or on"),
    "batch_size": Column("Int64", "images a step"),
    "epochs_asked": Column("Int64", "epochs that the cell asks for"),
    "dataset": Column("string", "data set as --dataset named it"),
}

TRIALS: Mapping[str, Column] = MappingProxyType(
    {"key": Column("string", "names the trial's folder")}
    | _CELL
    | {
        "seed": Column("Int64", "seed of initialisation, shuffling and augmentation"),
        "status": Column("string", "how the trial ended; interrupted where it has not ended"),
        "reason": Column("string", "why, in words, unless ok"),
        "parameters": Column("Int64", "weights of the model, trainable or not"),
        "test_accuracy": Column("Float64", "share of the test images that were labelled right, 0 to 1"),
        "test_loss": Column("Float64", "mean cross-entropy on the test images, nats"),
        "val_accuracy": Column("Float64", "share of the validation images, after the last finished epoch, 0 to 1"),
        "epochs_done": Column("Int64", "epochs finished"),
        "train_s": Column("Float64", "training alone: its finished phases, seconds"),
        "fit_s": Column("Float64", "training and validation, seconds"),
        "wall_s": Column("Float64", "everything, on the trial's clock when its process was gone, seconds"),
        "import_s": Column("Float64", "importing TensorFlow, summed over attempts, seconds"),
        "data_s": Column("Float64", "loading the data, summed over attempts, seconds"),
        "build_s": Column("Float64", "building the model, summed over attempts, seconds"),
        "compile_s": Column("Float64", "compiling the model, summed over attempts, seconds"),
        "warmup_s": Column("Float64", "first steps, which trace and compile, summed over attempts, seconds"),
        "validate_s": Column("Float64", "validation, seconds"),
        "test_s": Column("Float64", "testing, seconds"),
        "checkpoint_s": Column("Float64", "writing checkpoints and reading them back, seconds"),
        "epoch_s": Column("Float64", "training and validation of an epoch, median over epochs, seconds"),
        "step_s": Column(
            "Float64", "one training step, median over steps; missing on GPUs, which take steps later, seconds"
        ),
        "images_per_s": Column("Float64", "training images over train_s, images a second"),
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
        "sampler_percent": Column("Float64", "CPU time that sampling took, 100 is one core, percent"),
        "parent_percent": Column(
            "Float64", "CPU time of the whole parent: sampling, writing, showing; 100 is one core, percent"
        ),
        "attempts": Column("Int64", "processes that worked on the trial"),
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
        "images": Column("Int64", "images trained on"),
        "images_per_s": Column("Float64", "images over train_s, images a second"),
        "loss": Column("Float64", "mean training loss, nats"),
        "accuracy": Column("Float64", "share of the training images that were labelled right, 0 to 1"),
        "val_loss": Column("Float64", "mean cross-entropy on the validation images, nats"),
        "val_accuracy": Column("Float64", "share of the validation images that were labelled right, 0 to 1"),
    }
)

SAMPLES: Mapping[str, Column] = MappingProxyType(
    {
        "key": Column("string", "the trial's"),
        "t_s": Column("Float64", "when it was taken, on the trial's clock, seconds"),
        "rss_bytes": Column("Int64", "resident sets of the process tree, summed, bytes"),
        "pss_bytes": Column("Int64", "proportional sets of the process tree, summed, bytes"),
        "peak_rss_bytes": Column("Int64", "the worker's highest resident set so far, bytes"),
        "cpu_percent": Column("Float64", "CPU time since the last sample over time passed; 100 is one core, percent"),
        "threads": Column("Int64", "threads of the process tree"),
        "voluntary_switches": Column("Int64", "times the worker waited, since it began"),
        "involuntary_switches": Column("Int64", "times the worker was pushed off its core, since it began"),
        "cgroup_memory_bytes": Column("Int64", "memory charged to the control group, bytes"),
        "gpu_utilization_percent": Column("Float64", "time in which any kernel ran, mean of the GPUs, percent"),
        "gpu_memory_used_bytes": Column("Int64", "memory used, sum of the GPUs, bytes"),
        "gpu_power_watts": Column("Float64", "power, sum of the GPUs, watts"),
        "gpu_energy_joules": Column("Float64", "energy counters since the driver was loaded, sum of the GPUs, joules"),
        "gpu_temperature_celsius": Column("Float64", "temperature of the hottest GPU, degrees Celsius"),
        "gpu_sm_clock_mhz": Column("Float64", "multiprocessor clock, mean of the GPUs, megahertz"),
        "gpu_memory_clock_mhz": Column("Float64", "memory clock, mean of the GPUs, megahertz"),
        "gpu_clock_event_reasons": Column("Int64", "NVML's bits of why clocks are low, of any GPU"),
    }
)

CELLS: Mapping[str, Column] = MappingProxyType(
    _CELL
    | {
        "n_trials": Column("Int64", "trials asked for"),
        "n_ok": Column("Int64", "trials that ended ok: accuracy, times and rates are theirs"),
        "statuses": Column("string", "how the trials ended, such as ok or 2 ok, 1 failed"),
        "parameters": Column("Int64", "weights of the model, trainable or not"),
        "test_accuracy": Column("Float64", "mean over seeds, 0 to 1"),
        "test_accuracy_std": Column("Float64", "sample standard deviation over seeds, 0 to 1; missing for one seed"),
        "train_s": Column("Float64", "training alone, median over seeds, seconds"),
        "fit_s": Column("Float64", "training and validation, median over seeds, seconds"),
        "wall_s": Column("Float64", "everything, median over seeds, seconds"),
        "epoch_s": Column("Float64", "training and validation of an epoch, median over seeds, seconds"),
        "step_s": Column("Float64", "one training step, median over seeds, seconds"),
        "images_per_s": Column("Float64", "training images over train_s, median over seeds, images a second"),
        "cpu_percent": Column("Float64", "mean while training, median over seeds; 100 is one core, percent"),
        "gpu_utilization_percent": Column("Float64", "mean while training, median over seeds, percent"),
        "energy_joules": Column("Float64", "energy of the trial's GPUs, median over seeds, joules"),
        "peak_rss_bytes": Column("Int64", "highest of all trials, failed ones too, bytes"),
        "peak_pss_bytes": Column("Int64", "highest of all trials, failed ones too, bytes"),
        "peak_gpu_bytes": Column("Int64", "highest of all trials, failed ones too, bytes"),
        "gpu_memory_used_bytes": Column("Int64", "highest of all trials, failed ones too, bytes"),
        "flags": Column("object", "the trials' flags, each once"),
    }
)

COLUMNS: Mapping[str, Mapping[str, Column]] = MappingProxyType(
    {"trials": TRIALS, "epochs": EPOCHS, "samples": SAMPLES, "cells": CELLS}
)
