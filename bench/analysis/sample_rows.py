"""A sample as a row: the host's readings as they are, those of the GPUs taken together."""

from __future__ import annotations

from functools import partial, reduce
from operator import or_
from statistics import fmean
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.records import Sample

_GPU_COLUMNS: dict[str, tuple[str, Callable[[list[Any]], float]]] = {
    "gpu_utilization_percent": ("utilization_percent", fmean),
    "gpu_memory_used_bytes": ("memory_used_bytes", sum),
    "gpu_power_watts": ("power_watts", sum),
    "gpu_energy_joules": ("energy_joules", sum),
    "gpu_temperature_celsius": ("temperature_celsius", max),
    "gpu_sm_clock_mhz": ("sm_clock_mhz", fmean),
    "gpu_memory_clock_mhz": ("memory_clock_mhz", fmean),
    "gpu_foreign_processes": ("foreign_processes", max),
    "gpu_clock_event_reasons": ("clock_event_reasons", partial(reduce, or_)),
}


def sample_row(key: str, sample: Sample) -> dict[str, Any]:
    """The row of a sample of the trial with this key; `columns.SAMPLES` says what each column means."""
    gpus = {
        column: _over_gpus(combine, [getattr(gpu, metric) for gpu in sample.gpus])
        for column, (metric, combine) in _GPU_COLUMNS.items()
    }
    host = {name: getattr(sample, name) for name in sample.__struct_fields__ if name != "gpus"}
    return {"key": key} | host | gpus


def _over_gpus(combine: Callable[[list[Any]], float], readings: list[float | None]) -> float | None:
    """None if any GPU could not be read: the sum of some of them would pass for the sum of all."""
    known = [reading for reading in readings if reading is not None]
    return combine(known) if known and len(known) == len(readings) else None
