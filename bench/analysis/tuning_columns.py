"""The columns of what a tuning found; see `bench.analysis.columns`."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from bench.analysis.column import Column, cell_columns

if TYPE_CHECKING:
    from collections.abc import Mapping

TUNING: Mapping[str, Column] = MappingProxyType(
    {
        **cell_columns("model", "device", "batch_size", "steps_per_execution", "precision", "jit", "onednn"),
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
