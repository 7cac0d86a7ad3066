"""The trial's CPUs as Linux shows them: whose time they spent, and how fast they are clocked."""

from __future__ import annotations

import os
import re
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from bench.hardware.topology import detect_topology
from bench.meter.pace import Budget
from bench.meter.procfs import Source
from bench.meter.readings import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Sequence

# Fields of a line of /proc/stat, `cpuN user nice system idle iowait irq softirq steal guest guest_nice`, in clock
# ticks; the guests' time is part of the first two (proc_stat(5)).
_BUSY = (1, 2, 3, 6, 7)
_STEAL = 8

# Frequencies are read of at most so many CPUs: on some kernels each takes an interrupt of that CPU and a wait of 10 ms.
# This share of a core is two readings a second where a driver tells them, fewer where all of /proc/cpuinfo is made.
MOST_FREQUENCIES = 8
FREQUENCY_SHARE = 0.0001

# A number and a frequency of the same paragraph.
_LISTED = re.compile(rb"^processor\s*: (\d+)\n(?:.+\n)*?cpu MHz\s*: ([\d.]+)", re.MULTILINE)

_LARGEST_BYTES = 1 << 16  # the first 700 lines of /proc/stat, or about 40 CPUs of /proc/cpuinfo


class CpuTimes:
    """What the trial's cores did, for whomever. What runs on a CPU's sibling thread slows it down, so it counts.

    Args:
        cpus: Logical CPUs that the trial is pinned to.
        root: Of the file system that holds `proc` and `sys`.
    """

    def __init__(self, cpus: Sequence[int], root: Path = Path("/")) -> None:
        self._source = Source(lambda: _of_pinned(cpus, root / "proc/stat"), most_bytes=_LARGEST_BYTES)
        self.close = self._source.close
        self._names = frozenset(b"cpu%d" % cpu for cpu in _with_siblings(cpus, root))

    def read(self) -> tuple[float, float]:
        """CPU time that was spent and time that the hypervisor took, in seconds since the system began.

        Raises:
            UnreadableError: If this system does not tell.
            OSError: If it cannot be read.
        """
        lines = [line.split() for line in self._source.read().split(b"\n") if line.partition(b" ")[0] in self._names]
        if len(lines) != len(self._names):
            raise UnreadableError("the kernel does not list all of the trial's CPUs")
        busy = sum(int(line[field]) for line in lines for field in _BUSY)
        ticks_per_s = os.sysconf("SC_CLK_TCK")
        return busy / ticks_per_s, sum(int(line[_STEAL]) for line in lines) / ticks_per_s


class CpuFrequency:
    """The clock of the trial's CPUs, within a budget.

    Args:
        cpus: Logical CPUs that the trial is pinned to.
        root: Of the file system that holds `proc` and `sys`.
    """

    def __init__(self, cpus: Sequence[int], root: Path = Path("/")) -> None:
        self._cpus = tuple(cpus)[:MOST_FREQUENCIES]
        self._budget = Budget(FREQUENCY_SHARE)
        paths = [root / f"sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_cur_freq" for cpu in self._cpus]
        self._drivers = [Source(partial(_of_pinned, cpus, path)) for path in paths if path.is_file()]
        # Without such a driver, as in most virtual machines, the kernel may still know, or repeat what it was told.
        self._all = Source(lambda: _of_pinned(cpus, root / "proc/cpuinfo"), most_bytes=_LARGEST_BYTES)

    def read_mhz(self, now_s: float) -> float:
        """Mean clock of the first CPUs.

        Raises:
            NotNowError: If it is not due.
            UnreadableError: If this system does not tell.
            OSError: If it cannot be read.
        """
        with self._budget.spend(now_s):
            if self._drivers:
                return round(fmean(int(driver.read()) / 1e3 for driver in self._drivers), 1)  # they tell kHz
            return round(fmean(self._listed_mhz()), 1)

    def close(self) -> None:
        """Release the files."""
        for source in (*self._drivers, self._all):
            source.close()

    def _listed_mhz(self) -> list[float]:
        """The trial's CPUs in /proc/cpuinfo, which has a paragraph for each."""
        listed = [float(mhz) for cpu, mhz in _LISTED.findall(self._all.read()) if int(cpu) in self._cpus]
        if not listed:
            raise UnreadableError("neither a driver nor /proc/cpuinfo tells this machine's frequencies")
        return listed


def _of_pinned(cpus: Sequence[int], path: Path) -> Path:
    if not cpus:
        raise UnreadableError("the trial is not pinned to CPUs")
    return path


def _with_siblings(cpus: Sequence[int], root: Path) -> set[int]:
    """The CPUs and the other hardware threads of their cores."""
    machine = {int(path.name[3:]) for path in (root / "sys/devices/system/cpu").glob("cpu[0-9]*")} if cpus else set()
    cores = detect_topology(root, affinity=machine).cores
    return set(cpus).union(*(core for core in cores if not set(core).isdisjoint(cpus)))
