"""What disturbed a trial while it trained, from its samples, and from what on that is worth a flag.

When it trained is told by its *train* phases. What a count grew between two readings is spread evenly over the time
between them, so that phases need not begin and end with a sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from bench.analysis.steady import Steadiness
    from bench.records import GpuSample, PhaseDone, Sample

# Ticks of 10 ms are counted for each CPU and each process: over 2 s, shares of one core were up to 1.7 % off, over 8 s
# 0.5 %.
SHORTEST_S = 2.0

# The usual limit is 1 %; trials on a shared virtual machine mostly had 0 to 0.6 %, and 1.0 to 1.7 % now and then
# without being any slower than their neighbours.
STEAL_PERCENT = 2.0
# Each percent costs about one percent of the steps: a trial on one core made 83 steps in 4 s beside nobody, 74 beside
# 10 %, 49 beside 32 % and 38 beside 48 %, a busy loop's share. This is above what `SHORTEST_S` leaves uncertain, and
# costs as much as `SENTINEL_DRIFT`.
OTHERS_CPU_PERCENT = 3.0
# The same work before and after. 3 % is the usual limit; but on a shared virtual machine beside nobody the shortest of
# twenty products differed by more than that in half of 34 pairs, nine seconds apart, and by up to 9 %.
SENTINEL_DRIFT = 0.03
VIRTUAL_SENTINEL_DRIFT = 0.1
# There is no limit for pressure and for involuntary switches. Both grow with the trial's own threads, which wait for
# each other whenever more of them can run than there are cores: a trial beside nobody had a pressure of 9 % on one core
# and of 18 % on two, with 140 and 2,400 switches a second. Foreign load that causes either shows as others' CPU time.

# Bits of `nvmlClocksEventReasons` (nvml.h) by which a GPU slows itself down. Left out are those by which somebody chose
# its clock (0x2, 0x10, 0x100) and idling (0x1). A reason that stood in fewer samples moved no mean.
_SLOWDOWNS = {
    0x4: "its power cap",
    0x8: "a hardware slowdown",
    0x20: "heat (driver)",
    0x40: "heat (hardware)",
    0x80: "the power supply's brake",
}
SLOWDOWN_SHARE = 0.05


@dataclass(frozen=True, kw_only=True)
class Noise:
    """What disturbed a trial while it trained; None for what was not measured, or for too short a time.

    Attributes:
        steal_percent: Time that the hypervisor took; 100 is all of the trial's cores.
        others_cpu_percent: CPU time of processes that are neither the trial's nor the harness itself, likewise.
        throttled_periods: Periods in which the control group's quota of CPU time was used up.
        cpu_pressure_percent: Time in which at least one thread waited for a CPU, the trial's own among them.
        involuntary_switches_per_s: How often the worker's threads were pushed off their cores.
        frequency_mhz: Median clock of the trial's CPUs.
        foreign_gpu_processes: Most processes at a time that computed on one of the trial's GPUs and were not its own.
        gpu_slowdowns: What slowed one of the trial's GPUs down, in words: the others wait for it.
    """

    steal_percent: float | None = None
    others_cpu_percent: float | None = None
    throttled_periods: int | None = None
    cpu_pressure_percent: float | None = None
    involuntary_switches_per_s: float | None = None
    frequency_mhz: float | None = None
    foreign_gpu_processes: int | None = None
    gpu_slowdowns: tuple[str, ...] = ()


def measure_noise(segments: Sequence[Sequence[Sample]], phases: Sequence[PhaseDone], *, cpus: int) -> Noise:
    """Derive what disturbed a trial.

    Args:
        segments: The samples that count, one sequence for each process (`bench.analysis.rewind.surviving_samples`).
        phases: The phases that count, of any kind.
        cpus: CPUs that the trial was pinned to; 0 if it was not pinned.
    """
    training = _Training(segments, phases)
    samples = training.samples()
    frequencies = [sample.frequency_mhz for sample in samples if sample.frequency_mhz is not None]
    gpus = [gpu for sample in samples for gpu in sample.gpus]
    throttled = training.growth("throttled_periods")
    return Noise(
        steal_percent=_percent(training.growth("steal_s"), cpus),
        others_cpu_percent=_percent(_others(training.growth("busy_s", "cpu_s", "parent_cpu_s")), cpus),
        throttled_periods=None if throttled is None else round(throttled[1]),
        cpu_pressure_percent=_percent(training.growth("cpu_pressure_s"), 1),
        involuntary_switches_per_s=_per_s(training.growth("involuntary_switches")),
        frequency_mhz=median(frequencies) if frequencies else None,
        foreign_gpu_processes=max(
            (gpu.foreign_processes for gpu in gpus if gpu.foreign_processes is not None), default=None
        ),
        gpu_slowdowns=_slowdowns(gpus),
    )


def noise_flags(
    noise: Noise,
    steadiness: Steadiness | None = None,
    *,
    sentinel_before_s: float | None = None,
    sentinel_after_s: float | None = None,
    virtualized: bool = False,
) -> tuple[str, ...]:
    """Say what disturbed a trial so much that its numbers deserve less trust.

    Args:
        noise: What was measured.
        steadiness: Of its training steps; None where these were not timed.
        sentinel_before_s: Seconds that a fixed piece of work took before the training.
        sentinel_after_s: Seconds that the same took after it.
        virtualized: Whether the machine is a virtual one, whose speed others change.

    Returns:
        Short sentences without a full stop; empty for a quiet trial.
    """
    drift = sentinel_after_s / sentinel_before_s - 1 if sentinel_before_s and sentinel_after_s else 0.0
    limit = VIRTUAL_SENTINEL_DRIFT if virtualized else SENTINEL_DRIFT
    return tuple(_flags(noise, steadiness, drift if abs(drift) > limit else None))


def _flags(noise: Noise, steadiness: Steadiness | None, drift: float | None) -> Iterator[str]:
    if noise.steal_percent is not None and noise.steal_percent > STEAL_PERCENT:
        yield f"the hypervisor took {noise.steal_percent:.1f} % of its cores' time"
    if noise.others_cpu_percent is not None and noise.others_cpu_percent > OTHERS_CPU_PERCENT:
        yield f"other processes took {noise.others_cpu_percent:.0f} % of its cores' time"
    if noise.throttled_periods:
        yield f"the control group's quota of CPU time stopped it in {noise.throttled_periods} periods"
    if noise.foreign_gpu_processes:
        yield f"other processes computed on its GPU, up to {noise.foreign_gpu_processes} at a time"
    if noise.gpu_slowdowns:
        yield f"its GPU slowed down for {', '.join(noise.gpu_slowdowns)}"
    if drift is not None:
        yield f"the machine became {100 * abs(drift):.0f} % {'slower' if drift > 0 else 'faster'} while it trained"
    if steadiness is not None and steadiness.steady is False:
        yield f"its steps were not steady: {steadiness.reason}"


class _Training:
    """The time in which a trial trained, and what was sampled meanwhile."""

    def __init__(self, segments: Sequence[Sequence[Sample]], phases: Sequence[PhaseDone]) -> None:
        self._segments = segments
        spans = [(phase.start_s, phase.end_s) for phase in phases if phase.phase == "train"]
        self._edges_s = np.array(spans or [(0.0, 0.0)]).ravel()  # train phases follow one another
        passed_s = np.diff(self._edges_s, prepend=self._edges_s[0])
        passed_s[::2] = 0.0  # between two of them
        self._trained_s = np.cumsum(passed_s)

    def samples(self) -> list[Sample]:
        """The samples that were taken while it trained."""
        samples = list(chain.from_iterable(self._segments))
        edges_before = np.searchsorted(self._edges_s, [sample.t_s for sample in samples], side="right")
        return [sample for sample, edges in zip(samples, edges_before, strict=True) if edges % 2]

    def growth(self, *counts: str) -> tuple[float, ...] | None:
        """Seconds of training, and how much each count grew in them; None if these are too few.

        All counts come from the same samples. A pause in which one of them fell, when a process took its count along,
        is left out.
        """
        total = np.zeros(1 + len(counts))
        for segment in self._segments:
            readings = np.array(
                [[getattr(sample, name) for name in ("t_s", *counts)] for sample in segment], dtype=float
            )
            known = readings[~np.isnan(readings).any(axis=1)]
            grown = np.diff(known, axis=0)
            trained_s = np.diff(np.interp(known[:, 0], self._edges_s, self._trained_s))
            whole = (grown[:, 0] > 0) & (grown >= 0).all(axis=1)
            total += (trained_s[whole] / grown[whole, 0]) @ grown[whole]
        return tuple(map(float, total)) if total[0] >= SHORTEST_S else None


def _others(growth: tuple[float, ...] | None) -> tuple[float, float] | None:
    """Less than none where ticks of the trial were booked before those of its CPUs."""
    if growth is None:
        return None
    passed_s, busy_s, own_s, parent_s = growth
    return passed_s, max(0.0, busy_s - own_s - parent_s)


def _per_s(growth: tuple[float, ...] | None) -> float | None:
    return None if growth is None else growth[1] / growth[0]


def _percent(growth: tuple[float, ...] | None, cpus: int) -> float | None:
    return None if growth is None or not cpus else 100 * growth[1] / growth[0] / cpus


def _slowdowns(samples: Iterable[GpuSample]) -> tuple[str, ...]:
    by_gpu: dict[str, list[int]] = {}
    for sample in samples:
        if sample.clock_event_reasons is not None:
            by_gpu.setdefault(sample.uuid, []).append(sample.clock_event_reasons)
    return tuple(
        words
        for bit, words in _SLOWDOWNS.items()
        if any(sum(bool(one & bit) for one in reasons) > SLOWDOWN_SHARE * len(reasons) for reasons in by_gpu.values())
    )
