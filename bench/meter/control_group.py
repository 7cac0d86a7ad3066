"""What the kernel counts for the control group that a trial runs in.

A worker inherits the group of the process that starts it, so this process's group is the trial's.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from bench.hardware.cgroup import find_control_group
from bench.meter.procfs import HeldFile, Source
from bench.meter.readings import UnreadableError

_NO_GROUPS = "this system has no control groups"


class CgroupMemory:
    """Memory charged to the control group: its processes' own, and page cache that they brought in."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._source = Source(lambda: memory_file(root, v1="memory.usage_in_bytes", v2="memory.current"))
        self.close = self._source.close

    def read_bytes(self) -> int:
        """Bytes charged now.

        Raises:
            UnreadableError: If the group has no such count.
            OSError: If it cannot be read.
        """
        return int(self._source.read())


class CgroupThrottling:
    """How often and for how long the quotas of the control group, and of those above it, stopped its processes."""

    def __init__(self, root: Path = Path("/")) -> None:
        group = find_control_group("cpu", root)
        self._reason = _NO_GROUPS if group is None else "no control group of this process counts throttled periods"
        v1 = group is not None and group.version == 1
        self._time, self._per_s = (b"throttled_time", 1e9) if v1 else (b"throttled_usec", 1e6)
        self._files: list[HeldFile] = []
        for folder in group.folders if group else ():
            with suppress(OSError):
                file = HeldFile(folder / "cpu.stat")
                if b"nr_throttled" in file.read():  # without the CPU controller, version 2 counts only what was used
                    self._files.append(file)
                else:
                    file.close()

    def read(self) -> tuple[int, float]:
        """Periods and seconds, since the groups were made.

        Raises:
            UnreadableError: If no group counts them.
            OSError: If a count cannot be read.
        """
        if not self._files:
            raise UnreadableError(self._reason)
        counts = [dict(map(bytes.split, file.read().splitlines())) for file in self._files]
        periods = sum(int(count[b"nr_throttled"]) for count in counts)
        return periods, round(sum(int(count[self._time]) for count in counts) / self._per_s, 4)

    def close(self) -> None:
        """Release the files."""
        for file in self._files:
            file.close()


class CpuPressure:
    """Time in which at least one thread that could run waited for a CPU: "some" of the kernel's pressure stall counts.

    They are the control group's in version 2, where it has them, and the whole system's otherwise.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._source = Source(lambda: _pressure_file(root))
        self.close = self._source.close

    def read_s(self) -> float:
        """Seconds, since the group was made or the system began.

        Raises:
            UnreadableError: If the kernel does not measure pressure.
            OSError: If it was told not to.
        """
        some, _, _ = self._source.read().partition(b"\n")  # some avg10=0.00 avg60=0.00 avg300=0.00 total=123
        return round(int(some.rpartition(b"total=")[2]) / 1e6, 4)


def memory_file(root: Path, *, v1: str, v2: str) -> Path:
    """Where this process's group keeps a count of its memory controller.

    Args:
        root: Of the file system that holds `proc` and `sys`.
        v1: The file's name in version 1 of control groups.
        v2: Its name in version 2.

    Raises:
        UnreadableError: If there is no such file.
    """
    group = find_control_group("memory", root)
    if group is None:
        raise UnreadableError(_NO_GROUPS)
    path = group.folders[0] / (v1 if group.version == 1 else v2)
    if not path.is_file():
        raise UnreadableError(
            f"the control group has no {path.name}: it is the root group, or its memory controller is off"
        )
    return path


def _pressure_file(root: Path) -> Path:
    group = find_control_group("cpu", root)
    paths = [root / "proc/pressure/cpu"]
    if group is not None and group.version == 2:
        paths.insert(0, group.folders[0] / "cpu.pressure")
    for path in paths:
        if path.is_file():
            return path
    raise UnreadableError("this kernel does not measure CPU pressure (Linux 4.20 can, built with CONFIG_PSI)")
