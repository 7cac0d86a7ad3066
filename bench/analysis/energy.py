"""What a trial's GPUs, or the processor packages, used: from counters that were sampled.

A counter only tells something as a difference. At the ends of a phase, which are no samples, it is interpolated between
the samples around them.
"""

from __future__ import annotations

from collections import defaultdict
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import numpy.typing as npt

    from bench.records import PhaseDone, Sample

# NVML's counter lags behind, and power sensors of A100 and H100 see a quarter of the time (arXiv 2312.02741).
SHORTEST_S = 5.0
COVERED = 0.9  # of a phase must lie between the first and the last reading; what is missing had the same power

Readings = tuple["npt.NDArray[np.float64]", "npt.NDArray[np.float64]"]


class Energy:
    """The counters of one kind, over all processes that worked on a trial.

    Args:
        segments: The trial's samples, those of each process together, as `surviving_samples` returns them.
        read: The counters in a sample, in joules, by name; None for one that could not be read.
    """

    def __init__(
        self, segments: Iterable[Sequence[Sample]], read: Callable[[Sample], Mapping[str, float | None]]
    ) -> None:
        self._processes = [_readings(segment, read) for segment in segments]

    def total_joules(self) -> float | None:
        """Energy from first to last sample. Counters run on between two processes, so each one's own use is summed."""
        counters = [process for process in self._processes if process is None or process]
        used = [None if process is None else sum(map(_used, process)) for process in counters]
        return _sum(used)

    def joules(self, phases: Iterable[PhaseDone]) -> float | None:
        """Energy of some phases together; None if it is not known for one of them, or if there are none."""
        return _sum([self._during(phase.start_s, phase.end_s) for phase in phases])

    def _during(self, start_s: float, end_s: float) -> float | None:
        for process in self._processes:
            used = _sum([_between(counter, start_s, end_s) for counter in process or ()])
            if used is not None:
                return used
        return None


def gpu_energy(segments: Iterable[Sequence[Sample]]) -> Energy:
    """The trial's GPUs; unknown if that of one of them is: the sum of some would pass for the sum of all."""
    return Energy(segments, lambda sample: {gpu.uuid: gpu.energy_joules for gpu in sample.gpus})


def package_energy(segments: Iterable[Sequence[Sample]]) -> Energy:
    """All processor packages, whoever used them."""
    return Energy(segments, lambda sample: {"packages": sample.package_energy_joules})


def is_short(phases: Sequence[PhaseDone]) -> bool:
    """Whether phases last too short a time, in the median, for what a GPU's counter says of them to be trusted."""
    return median(phase.end_s - phase.start_s for phase in phases) < SHORTEST_S


def _readings(
    segment: Sequence[Sample], read: Callable[[Sample], Mapping[str, float | None]]
) -> tuple[Readings, ...] | None:
    """Each counter's times and values while one process ran; None if one of them tells nothing."""
    found: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for sample in segment:
        for name, joules in read(sample).items():
            found[name] += [] if joules is None else [(sample.t_s, joules)]
    counters = [np.array(pairs).reshape(-1, 2).T for pairs in found.values()]
    if any(len(joules) < 2 or (np.diff(joules) < 0).any() for _, joules in counters):  # a driver may have restarted
        return None
    return tuple((times_s, joules) for times_s, joules in counters)


def _used(counter: Readings) -> float:
    _, joules = counter
    return float(joules[-1] - joules[0])


def _between(counter: Readings, start_s: float, end_s: float) -> float | None:
    times_s, joules = counter
    if end_s <= start_s:
        return 0.0
    seen_s = max(start_s, times_s[0]), min(end_s, times_s[-1])
    share = (seen_s[1] - seen_s[0]) / (end_s - start_s)
    if share < COVERED:
        return None
    at_start, at_end = np.interp(seen_s, times_s, joules)
    return float((at_end - at_start) / share)


def _sum(values: Sequence[float | None]) -> float | None:
    """None if a value is missing, or all are."""
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None
