"""The limits that this process's control groups set, cgroup v1 and v2.

A group is limited by itself and by every group above it, so each limit is read on the way up to the mount and the
smallest counts. Formats: Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst of the Linux kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from bench.hardware.kernel_files import read_text

# v1 writes "no limit" as the largest multiple of the page size below 2^63.
_NO_LIMIT_BYTES = 1 << 60

# Version 1 tells of a group together with those below it under names of their own.
_MEMORY_USAGE = {1: "memory.usage_in_bytes", 2: "memory.current"}
_CACHED_FILES = {1: ("total_inactive_file", "total_active_file"), 2: ("inactive_file", "active_file")}


@dataclass(frozen=True, kw_only=True)
class ControlGroup:
    """Where one controller of this process can be read.

    Attributes:
        version: Of the hierarchy that the controller belongs to.
        folders: This process's group first, then those above it up to the mount.
    """

    version: Literal[1, 2]
    folders: tuple[Path, ...]


def find_control_group(controller: str, root: Path = Path("/")) -> ControlGroup | None:
    """Find this process's group for a controller.

    Args:
        controller: Such as `cpu` or `memory`.
        root: Of the file system that holds `proc` and `sys`.

    Returns:
        The group, or None where there are no control groups.
    """
    version, group = _membership(controller, root)
    if group is None:
        return None
    mount = _mount(controller if version == 1 else None, root)
    if mount is None:
        return None
    mount_root, mount_point = mount
    # In a container the group may be named as the host sees it, above what is mounted: then the mount is the group.
    inside = group.relative_to(mount_root) if group.is_relative_to(mount_root) else PurePosixPath()
    if ".." in inside.parts:
        inside = PurePosixPath()
    top = root / mount_point.relative_to("/")
    return ControlGroup(version=version, folders=tuple(top / part for part in (inside, *inside.parents)))


def read_cpu_quota_cores(root: Path = Path("/")) -> float | None:
    """CPU time per time passed that the control groups grant, in cores; None for no quota."""
    group = find_control_group("cpu", root)
    if group is None:
        return None
    quotas = [_quota_v2(folder) if group.version == 2 else _quota_v1(folder) for folder in group.folders]
    return min((quota for quota in quotas if quota is not None), default=None)


def read_memory_limit_bytes(root: Path = Path("/")) -> int | None:
    """The memory that the control groups grant; None for no limit."""
    group = find_control_group("memory", root)
    limits = [] if group is None else [_memory_limit_bytes(folder, group.version) for folder in group.folders]
    return min((limit for limit in limits if limit is not None), default=None)


def read_memory_room_bytes(root: Path = Path("/")) -> int | None:
    """The memory that the control groups would grant besides what is used; None for no limit.

    Cached files are charged to a group like anything else, but give way where memory is needed.
    """
    group = find_control_group("memory", root)
    if group is None:
        return None
    rooms = []
    for folder in group.folders:
        limit = _memory_limit_bytes(folder, group.version)
        usage = _number(read_text(folder / _MEMORY_USAGE[group.version]))
        if limit is not None and usage is not None:
            rooms.append(limit - usage + _cached_files_bytes(folder, group.version))
    return min((max(0, room) for room in rooms), default=None)


def _memory_limit_bytes(folder: Path, version: Literal[1, 2]) -> int | None:
    limit = _number(read_text(folder / ("memory.max" if version == 2 else "memory.limit_in_bytes")))
    return limit if limit is not None and limit < _NO_LIMIT_BYTES else None


def _cached_files_bytes(folder: Path, version: Literal[1, 2]) -> int:
    pairs = (line.split() for line in read_text(folder / "memory.stat").splitlines())
    return sum(int(value) for name, value in pairs if name in _CACHED_FILES[version])


def _membership(controller: str, root: Path) -> tuple[Literal[1, 2], PurePosixPath | None]:
    """Version and path of the group: a line of /proc/self/cgroup is `id:controllers:path`, v2's has none."""
    unified = None
    for line in read_text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return 1, PurePosixPath(path)
        if not controllers:
            unified = PurePosixPath(path)
    return 2, unified


def _mount(controller: str | None, root: Path) -> tuple[PurePosixPath, PurePosixPath] | None:
    """What is mounted and where, for a v1 controller, or for v2 if that is None; see proc_pid_mountinfo(5)."""
    for line in read_text(root / "proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        fields, (kind, _, options) = before.split(), after.split(" ", 2)  # the source between them may be empty
        wanted = kind == "cgroup2" if controller is None else kind == "cgroup" and controller in options.split(",")
        if wanted:
            return PurePosixPath(fields[3]), PurePosixPath(fields[4])
    return None


def _quota_v2(folder: Path) -> float | None:
    quota_us, _, period_us = read_text(folder / "cpu.max").partition(" ")
    return _cores(_number(quota_us), _number(period_us))


def _quota_v1(folder: Path) -> float | None:
    return _cores(_number(read_text(folder / "cpu.cfs_quota_us")), _number(read_text(folder / "cpu.cfs_period_us")))


def _cores(quota_us: int | None, period_us: int | None) -> float | None:
    return quota_us / period_us if quota_us and period_us else None


def _number(text: str) -> int | None:
    """The number, or None for what means no limit: `max` (v2), -1 (v1), a file that is not there."""
    return int(text) if text.strip().isdecimal() else None
