"""Samples what a trial costs while it runs, from a parent that waits for it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psutil

from bench.meter.contention import ContentionMeter
from bench.meter.control_group import CgroupMemory
from bench.meter.energy import PackageEnergy
from bench.meter.gpus import GpuMeter
from bench.meter.pace import Grid
from bench.meter.portable import PsutilProcess
from bench.meter.processes import ProcessTree
from bench.meter.procfs import ProcfsProcess
from bench.meter.readings import Ledger
from bench.records import Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Sampler:
    """Samples a worker, its descendants, its control group, its CPUs and its GPUs.

    It starts no thread and never waits: the caller sleeps, in `select` say, for `due_in` seconds and calls `poll`. What
    is costly to read has a budget of CPU time and is read in fewer samples: with all budgets used up, 0.81 % of a core
    (`PSS_SHARE`, `SWITCHES_SHARE`, `DESCENDANTS_SHARE`, `NVML_SHARE`, `PROCESSES_SHARE`, `CONTENTION_SHARE`,
    `FREQUENCY_SHARE`). The first sample is due at once.

    Args:
        pid: The worker, a child that nobody has waited for yet.
        gpu_uuids: The trial's GPUs or MIG instances; empty leaves NVML alone.
        interval_s: Time between samples, above 0.
        clock: The trial's clock in seconds.
        cpus: Logical CPUs that the trial is pinned to; without them nothing is known of who else ran there.
    """

    def __init__(
        self,
        *,
        pid: int,
        gpu_uuids: Sequence[str],
        interval_s: float,
        clock: Callable[[], float],
        cpus: Sequence[int] = (),
    ) -> None:
        began_s = time.thread_time()
        self._clock = clock
        self._start_s = clock()
        self._end_s: float | None = None
        self._grid = Grid(start_s=self._start_s, interval_s=interval_s)
        self._ledger = Ledger()
        self._tree = ProcessTree(pid, ProcfsProcess if psutil.LINUX else PsutilProcess)
        self._cgroup = CgroupMemory()
        self._contention = ContentionMeter(cpus)
        self._packages = PackageEnergy()
        self._gpus = GpuMeter(gpu_uuids)
        self._cpu_s = time.thread_time() - began_s

    @property
    def cpu_s(self) -> float:
        """CPU time that this thread spent on opening and reading, the kernel's work for it included."""
        return self._cpu_s

    @property
    def sampled_s(self) -> float:
        """Time from the start until `close`, or until now."""
        return (self._clock() if self._end_s is None else self._end_s) - self._start_s

    @property
    def missing(self) -> dict[str, str]:
        """Each metric that could not be read, by its name in `Sample` (`gpus[0].power_watts`), and why."""
        return self._ledger.missing

    def due_in(self) -> float:
        """Seconds until the next sample is due; 0 if it is."""
        return max(0.0, self._grid.next_s - self._clock())

    def poll(self) -> Sample | None:
        """Take a sample if one is due.

        Returns:
            The sample, or None if none is due. What could not be read in it is None.
        """
        began_s = time.thread_time()
        now_s = self._clock()
        sample = None
        if self._grid.due(now_s):
            self._grid.advance(now_s)
            sample = self._sample(now_s)
        self._cpu_s += time.thread_time() - began_s
        return sample

    def close(self) -> None:
        """Stop sampling and release what is held open. A second call does nothing."""
        if self._end_s is None:
            self._end_s = self._clock()
            self._tree.close()
            self._cgroup.close()
            self._contention.close()
            self._packages.close()
            self._gpus.close()

    def _sample(self, now_s: float) -> Sample:
        take, tree = self._ledger.take, self._tree
        tree.refresh(now_s)
        return Sample(
            t_s=now_s,
            rss_bytes=take("rss_bytes", tree.rss_bytes),
            pss_bytes=take("pss_bytes", tree.pss_bytes),
            peak_rss_bytes=take("peak_rss_bytes", tree.peak_rss_bytes),
            cpu_s=take("cpu_s", tree.cpu_s),
            cpu_percent=take("cpu_percent", tree.cpu_percent),
            threads=take("threads", tree.threads),
            voluntary_switches=take("voluntary_switches", tree.voluntary_switches),
            involuntary_switches=take("involuntary_switches", tree.involuntary_switches),
            cgroup_memory_bytes=take("cgroup_memory_bytes", self._cgroup.read_bytes),
            **self._contention.read(now_s, self._ledger),
            package_energy_joules=take("package_energy_joules", self._packages.read_joules),
            gpus=self._gpus.read(now_s, self._ledger, own_pids=tree.pids),
        )
