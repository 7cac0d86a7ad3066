"""How much memory a process could take: of the machine, of its control groups, of a GPU."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import psutil
import pynvml
import pytest

from bench.hardware.cgroup import read_memory_room_bytes
from bench.hardware.gpus import read_free_memory_bytes
from bench.hardware.memory import read_available_memory_bytes
from test_hardware import GIB, Machine

if TYPE_CHECKING:
    from pathlib import Path

V1 = "sys/fs/cgroup/memory"
V2 = "sys/fs/cgroup"


def limited_v2(root: Path) -> Machine:
    """A machine whose group may take 4 GiB, of which 3 are used, 1 of these for cached files."""
    machine = Machine(root)
    machine.cgroup_v2("/a/b")
    machine.write(f"{V2}/a/b/memory.max", "max\n")
    machine.write(f"{V2}/a/b/memory.current", f"{GIB}\n")
    machine.write(f"{V2}/a/memory.max", f"{4 * GIB}\n")
    machine.write(f"{V2}/a/memory.current", f"{3 * GIB}\n")
    machine.write(f"{V2}/a/memory.stat", f"anon {2 * GIB}\nfile {GIB}\ninactive_file {GIB - 1}\nactive_file 1\n")
    return machine


def test_a_group_grants_what_is_left_of_its_limit(tmp_path: Path) -> None:
    """A group above counts as one's own does, and cached files give way."""
    assert read_memory_room_bytes(limited_v2(tmp_path).root) == 2 * GIB


def test_a_group_of_version_1_counts_those_below_it(tmp_path: Path) -> None:
    """Its usage includes the groups below, so their cached files are taken too."""
    machine = Machine(tmp_path)
    machine.cgroup_v1("/x")
    machine.write(f"{V1}/x/memory.limit_in_bytes", f"{2 * GIB}\n")
    machine.write(f"{V1}/x/memory.usage_in_bytes", f"{GIB}\n")
    machine.write(f"{V1}/x/memory.stat", f"inactive_file 0\nactive_file 0\ntotal_inactive_file {GIB // 2}\n")
    machine.write(f"{V1}/memory.limit_in_bytes", "9223372036854771712\n")
    machine.write(f"{V1}/memory.usage_in_bytes", f"{9 * GIB}\n")
    assert read_memory_room_bytes(machine.root) == GIB + GIB // 2


def test_a_full_group_grants_nothing(tmp_path: Path) -> None:
    """A limit that was lowered below what is used leaves no room, not less than none."""
    machine = limited_v2(tmp_path)
    machine.write(f"{V2}/a/memory.max", f"{GIB}\n")
    assert read_memory_room_bytes(machine.root) == 0


def test_without_limit_or_groups_there_is_no_figure(tmp_path: Path) -> None:
    """No limit is not the same as no room."""
    machine = Machine(tmp_path)
    assert read_memory_room_bytes(machine.root) is None
    machine.cgroup_v2("/")
    machine.write(f"{V2}/memory.max", "max\n")
    machine.write(f"{V2}/memory.current", f"{GIB}\n")
    assert read_memory_room_bytes(machine.root) is None


@pytest.mark.parametrize(("machine_bytes", "expected"), [(8 * GIB, 2 * GIB), (GIB, GIB)])
def test_the_smaller_of_machine_and_group_counts(
    machine_bytes: int, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A group cannot grant what the machine does not have, nor the machine what the group forbids."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=machine_bytes))
    assert read_available_memory_bytes(limited_v2(tmp_path).root) == expected


def test_this_machine_has_some() -> None:
    """The real files are read."""
    assert 0 < read_available_memory_bytes() <= psutil.virtual_memory().total


def test_a_gpu_s_free_memory_is_read_by_its_uuid(monkeypatch: pytest.MonkeyPatch) -> None:
    """NVML is opened, asked about that GPU, and closed."""
    calls: list[str] = []
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: calls.append("init"))
    monkeypatch.setattr(pynvml, "nvmlShutdown", lambda: calls.append("shutdown"))
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByUUID", lambda uuid: {"GPU-1": 1, "GPU-2": 2}[uuid])
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", lambda handle: SimpleNamespace(free=handle * GIB))
    assert read_free_memory_bytes("GPU-2") == 2 * GIB
    assert calls == ["init", "shutdown"]


@pytest.mark.parametrize("failing", ["nvmlInit", "nvmlDeviceGetHandleByUUID"])
def test_a_gpu_that_does_not_tell_is_none(failing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that is gone, or a GPU that it no longer knows, is not a crash."""

    def fail(*_: object) -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)

    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlShutdown", lambda: None)
    monkeypatch.setattr(pynvml, failing, fail)
    assert read_free_memory_bytes("GPU-1") is None
