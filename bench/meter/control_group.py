"""What the kernel counts for the control group that a trial runs in.

A worker inherits the group of the process that starts it, so this process's group is the trial's.
"""

from __future__ import annotations

from pathlib import Path

from bench.hardware.cgroup import find_control_group
from bench.meter.procfs import HeldFile
from bench.meter.readings import UnreadableError


class CgroupMemory:
    """Memory charged to the control group: its processes' own, and page cache that they brought in."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._file: HeldFile | None = None
        self._reason = ""
        try:
            self._file = HeldFile(memory_file(root, v1="memory.usage_in_bytes", v2="memory.current"))
        except (UnreadableError, OSError) as error:
            self._reason = str(error)

    def read_bytes(self) -> int:
        """Bytes charged now.

        Raises:
            UnreadableError: If the group has no such count.
            OSError: If it cannot be read.
        """
        if self._file is None:
            raise UnreadableError(self._reason)
        return int(self._file.read())

    def close(self) -> None:
        """Release the file."""
        if self._file is not None:
            self._file.close()


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
        raise UnreadableError("this system has no control groups")
    path = group.folders[0] / (v1 if group.version == 1 else v2)
    if not path.is_file():
        raise UnreadableError(
            f"the control group has no {path.name}: it is the root group, or its memory controller is off"
        )
    return path
