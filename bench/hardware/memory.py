"""How much memory a process that is started now could take."""

from __future__ import annotations

from pathlib import Path

import psutil

from bench.hardware.cgroup import read_memory_room_bytes


def read_available_memory_bytes(root: Path = Path("/")) -> int:
    """Memory that the machine can give without swapping, and that the control groups grant: the smaller of the two.

    Args:
        root: Of the file system that holds `proc` and `sys`, for the control groups.
    """
    granted = read_memory_room_bytes(root)
    available: int = psutil.virtual_memory().available
    return available if granted is None else min(available, granted)
