"""The columns of what a tuning found; see `bench.analysis.columns`."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from bench.analysis.column import Column

if TYPE_CHECKING:
    from collections.abc import Mapping

TUNING: Mapping[str, Column] = MappingProxyType(
    {
        "model": Column("string", "name of the model"),
        "device": Column("string", "device in the grammar of --device, such as cpu:2"),
        "batch_size": Column("Int64", "images a step"),
        "steps_per_execution": Column("Int64", "steps that one call of TensorFlow makes"),
        "precision": Column("string", "Keras dtype policy"),
        "jit": Column("string", "XLA compilation: off or on"),
        "onednn": Column("string", "oneDNN's kernels on the CPU: off or on, as they were asked for"),
        "is_default": Column("boolean", "whether the others are compared with it"),
        "keeps_arithmetic": Column("boolean", "whether batch size and precision are the default's"),
        "processes": Column("Int64", "that the figures rest on: those of the last rung that it was in"),
        "in_turns": Column("boolean", "whether it was compared in turns with the default, A B B A"),
        "images_per_s": Column("Float64", "training images a second; missing where no step was seen"),
        "images_per_s_low": Column("Float64", "lower end of its 90 % interval"),
        "images_per_s_high": Column("Float64", "upper end of that interval"),
        "times": Column("Float64", "images a second over the default's"),
        "times_low": Column("Float64", "lower end of its 90 % interval"),
        "times_high": Column("Float64", "upper end of that interval"),
        "is_better": Column("boolean", "whether that counts as faster: by 3 % and more, its interval above 1"),
        "peak_rss_bytes": Column("Int64", "highest resident set of its processes, bytes"),
        "peak_gpu_bytes": Column("Int64", "highest memory of TensorFlow's allocator on a GPU, bytes"),
        "reason": Column("string", "why there are no figures; empty if there are"),
    }
)
