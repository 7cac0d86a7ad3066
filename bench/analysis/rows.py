"""One trial's raw data as rows: every number here is a pure function of what was measured."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import partial, reduce
from itertools import chain
from operator import or_
from statistics import fmean, median
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import numpy as np

from bench.analysis.flags import flags
from bench.analysis.rewind import surviving_events, surviving_samples
from bench.records import Attempt, Built, Epoch, Memory, Phase, PhaseDone, Steps, Tested

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.records import Event, MemoryEstimate, Sample, TrialData

Row = dict[str, Any]
Kind = TypeVar("Kind")
Key = TypeVar("Key")

_GPU_COLUMNS: dict[str, tuple[str, Callable[[list[Any]], float]]] = {
    "gpu_utilization_percent": ("utilization_percent", fmean),
    "gpu_memory_used_bytes": ("memory_used_bytes", sum),
    "gpu_power_watts": ("power_watts", sum),
    "gpu_energy_joules": ("energy_joules", sum),
    "gpu_temperature_celsius": ("temperature_celsius", max),
    "gpu_sm_clock_mhz": ("sm_clock_mhz", fmean),
    "gpu_memory_clock_mhz": ("memory_clock_mhz", fmean),
    "gpu_clock_event_reasons": ("clock_event_reasons", partial(reduce, or_)),
}


class TrialRows:
    """The rows of one trial.

    Args:
        cell: Number of the trial's cell in the run.
        data: All that the run folder holds of the trial.
        estimate: What the trial was expected to need; None if that is not known.
    """

    def __init__(self, cell: int, data: TrialData, *, estimate: MemoryEstimate | None = None) -> None:
        self._cell = cell
        self._data = data
        self._estimate = estimate
        self._events = surviving_events(data.events)
        self._attempts = _of(Attempt, self._events)
        self._segments = surviving_samples(data.samples, self._attempts)
        self._samples = [_sample_row(data.trial.key, sample) for segment in self._segments for sample in segment]
        self._phases = _of(PhaseDone, self._events)
        self._steps = _of(Steps, self._events)
        self._epochs = _of(Epoch, self._events)

    def trial(self) -> Row:
        """The trial's row; `columns.TRIALS` says what each column means."""
        trial, result = self._data.trial, self._data.result
        cell = trial.cell
        phases_s = _sum_by(self._phases, lambda phase: phase.phase)
        train_s = phases_s.get("train")
        began = bool(self._data.events or self._data.samples)
        sampler_percent = 100 * result.sampler_cpu_s / result.sampled_s if result and result.sampled_s else None
        built, tested, memory = _of(Built, self._events), _of(Tested, self._events), _of(Memory, self._events)
        training = self._samples_while_training()
        return {
            "key": trial.key,
            "cell": self._cell,
            "model": cell.model.name,
            "device": cell.device.label,
            "device_kind": cell.device.kind,
            "precision": cell.precision,
            "jit": cell.jit,
            "batch_size": cell.batch_size,
            "epochs_asked": cell.epochs,
            "dataset": cell.dataset.name,
            "seed": trial.seed,
            "status": result.status if result else "interrupted",
            "reason": result.reason if result else "has not ended" if began else "has not begun",
            "parameters": built[-1].parameters if built else None,
            "test_accuracy": tested[-1].accuracy if tested else None,
            "test_loss": tested[-1].loss if tested else None,
            "val_accuracy": self._epochs[-1].val_accuracy if self._epochs else None,
            "epochs_done": len(self._epochs),
            **{f"{phase}_s": phases_s.get(phase) for phase in get_args(Phase)},
            "fit_s": None if train_s is None else train_s + phases_s.get("validate", 0.0),
            "wall_s": result.wall_s if result and result.attempts else None,
            "epoch_s": median(_sum_by(self._fit_phases(), lambda phase: phase.epoch).values())
            if self._epochs
            else None,
            # On a GPU a step's stamp tells when it was handed over, not when it was done.
            "step_s": _median_step_s(self._steps) if cell.device.kind == "cpu" else None,
            "images_per_s": self._images_trained() / train_s if train_s else None,
            "peak_rss_bytes": _highest([event.peak_rss_bytes for event in memory] + self._sampled("peak_rss_bytes")),
            "estimated_bytes": self._estimate.total_bytes if self._estimate else None,
            "peak_pss_bytes": _highest(self._sampled("pss_bytes")),
            "peak_gpu_bytes": _highest(event.peak_gpu_bytes for event in memory),
            "estimated_gpu_bytes": self._estimate.gpu_total_bytes if self._estimate else None,
            "gpu_memory_used_bytes": _highest(self._sampled("gpu_memory_used_bytes")),
            "cpu_percent": _mean(sample["cpu_percent"] for sample in training),
            "gpu_utilization_percent": _mean(sample["gpu_utilization_percent"] for sample in training),
            "energy_joules": _energy_joules(self._segments),
            "sampler_percent": sampler_percent,
            "parent_percent": 100 * result.parent_cpu_s / result.sampled_s if result and result.sampled_s else None,
            "attempts": result.attempts if result else len(self._attempts),
            "flags": flags(self._data, train_s=train_s, sampler_percent=sampler_percent),
            "missing": tuple(f"{metric}: {reason}" for metric, reason in result.missing.items()) if result else (),
        }

    def epochs(self) -> list[Row]:
        """A row for each finished epoch; `columns.EPOCHS` says what each column means."""
        trial = self._data.trial
        train_s = _sum_by((p for p in self._phases if p.phase == "train"), lambda phase: phase.epoch)
        validate_s = _sum_by((p for p in self._phases if p.phase == "validate"), lambda phase: phase.epoch)
        return [
            {
                "key": trial.key,
                "model": trial.cell.model.name,
                "device": trial.cell.device.label,
                "seed": trial.seed,
                "epoch": epoch.epoch,
                "end_s": epoch.end_s,
                "train_s": train_s.get(epoch.epoch),
                "validate_s": validate_s.get(epoch.epoch),
                "images": epoch.images,
                "images_per_s": epoch.images / train_s[epoch.epoch] if train_s.get(epoch.epoch) else None,
                "loss": epoch.loss,
                "accuracy": epoch.accuracy,
                "val_loss": epoch.val_loss,
                "val_accuracy": epoch.val_accuracy,
            }
            for epoch in self._epochs
        ]

    def samples(self) -> list[Row]:
        """A row for each sample that counts; `columns.SAMPLES` says what each column means."""
        return self._samples

    def _sampled(self, metric: str) -> list[Any]:
        return [sample[metric] for sample in self._samples]

    def _fit_phases(self) -> list[PhaseDone]:
        finished = {epoch.epoch for epoch in self._epochs}
        return [p for p in self._phases if p.phase in {"train", "validate"} and p.epoch in finished]

    def _images_trained(self) -> int:
        """Images of the epochs whose training ended, also where the epoch itself was not finished."""
        images = _sum_images(self._steps) | {epoch.epoch: epoch.images for epoch in self._epochs}
        return sum(images.get(phase.epoch or 0, 0) for phase in self._phases if phase.phase == "train")

    def _samples_while_training(self) -> list[Row]:
        spans = [(phase.start_s, phase.end_s) for phase in self._phases if phase.phase == "train"]
        starts, ends = np.array(spans or np.empty((0, 2))).T
        times = np.array(self._sampled("t_s"))
        # Train phases follow one another: a sample lies in one if more have begun than have ended before it.
        inside = np.searchsorted(starts, times, side="right") > np.searchsorted(ends, times, side="left")
        return [sample for sample, is_inside in zip(self._samples, inside, strict=True) if is_inside]


def _of(kind: type[Kind], events: Iterable[Event]) -> list[Kind]:
    return [event for event in events if isinstance(event, kind)]


def _sum_by(phases: Iterable[PhaseDone], key: Callable[[PhaseDone], Key]) -> dict[Key, float]:
    totals: defaultdict[Key, float] = defaultdict(float)
    for phase in phases:
        totals[key(phase)] += phase.end_s - phase.start_s
    return dict(totals)


def _sum_images(steps: Iterable[Steps]) -> dict[int, int]:
    totals: defaultdict[int, int] = defaultdict(int)
    for block in steps:
        totals[block.epoch] += block.images
    return dict(totals)


def _median_step_s(steps: Sequence[Steps]) -> float | None:
    """A block of n steps stands for n steps of its mean time."""
    if not any(block.counts for block in steps):
        return None
    times_s = [np.diff(block.ends_s, prepend=block.start_s) for block in steps]
    counts = np.concatenate([block.counts for block in steps])
    return float(np.median(np.repeat(np.concatenate(times_s) / counts, counts)))


def _energy_joules(segments: Iterable[Sequence[Sample]]) -> float | None:
    """Counters run on between two processes, so each process's own differences are summed."""
    used: list[float] = []
    for segment in segments:
        readings: defaultdict[str, list[float]] = defaultdict(list)
        for gpu in chain.from_iterable(sample.gpus for sample in segment):
            readings[gpu.uuid] += [] if gpu.energy_joules is None else [gpu.energy_joules]
        if any(len(counter) < 2 for counter in readings.values()):
            return None  # the sum of some of them would pass for the sum of all
        used += [counter[-1] - counter[0] for counter in readings.values()]
    return sum(used) if used else None


def _sample_row(key: str, sample: Sample) -> Row:
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


def _highest(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
