"""Whether the kernel killed a process of this control group for want of memory."""

from __future__ import annotations

from pathlib import Path

from bench.meter.control_group import memory_file
from bench.meter.readings import UnreadableError


class OomCounter:
    """Watches the kernel's count of out-of-memory kills from when it was made.

    The count is that of this process's control group, which workers inherit. Where the group keeps none (it is the root
    group, as in many virtual machines and in WSL 2) it is the whole system's. Either counts other processes too, so a
    rise means an out-of-memory kill only for a worker that ended by SIGKILL.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        try:
            self._path = memory_file(root, v1="memory.oom_control", v2="memory.events")
        except UnreadableError:
            self._path = root / "proc/vmstat"
        self._before = self._count()

    def rose(self) -> bool | None:
        """Whether there was a kill since this counter was made; None if the kernel does not tell."""
        now = self._count()
        if now is None or self._before is None:
            return None
        return now > self._before

    def _count(self) -> int | None:
        """The line `oom_kill N`, which all three files have (`memory.oom_control` since Linux 4.13)."""
        try:
            lines = self._path.read_text(encoding="ascii").splitlines()
        except OSError:
            return None
        return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), None)
