"""The operating system, and what stands between it and the metal: a hypervisor, a container.

What tells a hypervisor is what systemd-detect-virt(1) looks at, as far as files show it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from bench.hardware.kernel_files import read_cpuinfo, read_text
from bench.machine import OperatingSystem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# A word of the kernel's clock sources, which a guest chooses by its hypervisor -> the hypervisor.
_CLOCKS = (("kvm-clock", "KVM"), ("hyperv", "Hyper-V"), ("xen", "Xen"))

# A word of what the firmware (DMI) calls the machine -> the hypervisor; the more telling words first.
_FIRMWARE = (
    ("KVM", "KVM"),
    ("OpenStack", "KVM"),
    ("Amazon EC2", "KVM"),  # Nitro; EC2's older machines say Xen
    ("Google Compute Engine", "KVM"),
    ("Alibaba Cloud ECS", "KVM"),
    ("VMware", "VMware"),
    ("VirtualBox", "VirtualBox"),
    ("Parallels", "Parallels"),
    ("BHYVE", "bhyve"),
    ("Apple Virtualization", "Apple Virtualization"),
    ("Microsoft Corporation Virtual Machine", "Hyper-V"),
    ("Xen", "Xen"),
    ("QEMU", "QEMU"),
)

_CONTAINER_FILES = (("run/.containerenv", "podman"), (".singularity.d", "apptainer"), (".dockerenv", "docker"))

# A word of the first process's control group -> who made the group.
_CONTAINER_GROUPS = (("kubepods", "kubernetes"), ("libpod", "podman"), ("docker", "docker"), ("lxc", "lxc"))


def detect_operating_system(root: Path = Path("/"), *, environ: Mapping[str, str] | None = None) -> OperatingSystem:
    """Describe the operating system; the limits of control groups are `bench.hardware.cgroup`'s to read.

    Args:
        root: Of the file system that holds `proc` and `sys`.
        environ: Environment variables. Defaults to this process's own.
    """
    kernel = read_text(root / "proc/sys/kernel/osrelease")
    wsl = "microsoft" in kernel.lower()
    swap = re.search(r"^SwapTotal:\s*(\d+) kB", read_text(root / "proc/meminfo"), re.MULTILINE)
    hugepages = re.search(r"\[(\w+)\]", read_text(root / "sys/kernel/mm/transparent_hugepage/enabled"))
    return OperatingSystem(
        kernel=kernel or None,
        wsl=wsl,
        virtualization="WSL" if wsl else _virtualization(root),
        container=_container(root, os.environ if environ is None else environ),
        swap_bytes=int(swap[1]) * 1024 if swap else None,
        transparent_hugepages=hugepages[1] if hugepages else None,
    )


def _virtualization(root: Path) -> str | None:
    """The hypervisor; on x86 the CPU says whether there is one, elsewhere only a known name tells."""
    flags = read_cpuinfo(root).get("flags", "").split()
    if flags and "hypervisor" not in flags:  # metal, though it may be a cloud's
        return None
    vendor, product, board, bios = (
        read_text(root / "sys/class/dmi/id" / name)
        for name in ("sys_vendor", "product_name", "board_vendor", "bios_vendor")
    )
    if not flags and ".metal" in product:  # EC2's bare metal names itself as its virtual machines do
        return None
    hypervisor = (
        _first_match(_CLOCKS, read_text(root / "sys/devices/system/clocksource/clocksource0/available_clocksource"))
        or _first_match(_FIRMWARE, f"{vendor} {product} {board} {bios}")
        or ("unknown hypervisor" if flags else None)
    )
    if hypervisor is None or not vendor or vendor.startswith(hypervisor):
        return hypervisor
    return f"{hypervisor} ({vendor})"


def _container(root: Path, environ: Mapping[str, str]) -> str | None:
    """What made the container: Kubernetes before the runtime that it uses, then what each leaves behind."""
    if "KUBERNETES_SERVICE_HOST" in environ:
        return "kubernetes"
    told = read_text(root / "run/systemd/container")
    if told == "wsl":  # what systemd calls WSL 2, which is a virtual machine
        told = ""
    left = (name for path, name in _CONTAINER_FILES if (root / path).exists())
    return told or next(left, None) or _first_match(_CONTAINER_GROUPS, read_text(root / "proc/1/cgroup"))


def _first_match(table: Iterable[tuple[str, str]], text: str) -> str | None:
    return next((name for word, name in table if word in text), None)
