"""The CPU cores that this process may use."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from bench.hardware.cgroup import read_cpu_quota_cores

if TYPE_CHECKING:
    from collections.abc import Collection


@dataclass(frozen=True, kw_only=True)
class Topology:
    """The CPU cores that this process may use.

    Attributes:
        cores: Physical cores in the order of their first logical CPU; each the sorted logical CPUs (SMT siblings)
            of that core that the affinity allows. A core is empty where processes cannot be pinned.
        quota_cores: CPU time per time passed that the control groups grant, in cores; None for no quota.
        smt: Whether some core has sibling threads that may be used.
    """

    cores: tuple[tuple[int, ...], ...]
    quota_cores: float | None = None
    smt: bool = False

    @property
    def usable_cores(self) -> int:
        """Physical cores that can be kept busy: affinity and quota taken together, at least 1."""
        if self.quota_cores is None:
            return len(self.cores)
        return min(len(self.cores), max(1, math.floor(self.quota_cores)))


def detect_topology(root: Path = Path("/"), *, affinity: Collection[int] | None = None) -> Topology:
    """Read the cores from the kernel's tables.

    Args:
        root: Of the file system that holds `proc` and `sys`.
        affinity: Logical CPUs that may be used. Defaults to this process's affinity.
    """
    if affinity is None:
        if not hasattr(os, "sched_getaffinity"):  # macOS: no affinity, so no pinning
            return _topology_without_affinity()
        affinity = os.sched_getaffinity(0)
    cores = {_usable_siblings(cpu, affinity, root) for cpu in affinity}
    return Topology(
        cores=tuple(sorted(cores)),
        quota_cores=read_cpu_quota_cores(root),
        smt=any(len(core) > 1 for core in cores),
    )


def _topology_without_affinity() -> Topology:
    logical = psutil.cpu_count() or 1
    physical = psutil.cpu_count(logical=False) or logical
    return Topology(cores=((),) * physical, smt=logical > physical)


def _usable_siblings(cpu: int, affinity: Collection[int], root: Path) -> tuple[int, ...]:
    """The CPU's core. Where the kernel does not say (some sandboxes), the CPU counts as a core of its own."""
    path = root / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
    try:
        siblings = _parse_cpu_list(path.read_text(encoding="ascii"))
    except OSError:
        siblings = {cpu}
    return tuple(sorted((siblings | {cpu}).intersection(affinity)))


def _parse_cpu_list(text: str) -> set[int]:
    """The numbers of a kernel list such as `0-1,8`."""
    cpus: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        cpus.update(range(int(first), int(last or first) + 1))
    return cpus
