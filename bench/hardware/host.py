"""The machine that a run is made on."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from bench.hardware.cgroup import read_memory_limit_bytes
from bench.hardware.distributions import find_distributions, read_build_info
from bench.hardware.identity import read_boot_id, read_machine_id
from bench.hardware.operating_system import detect_operating_system
from bench.hardware.processor import detect_processor
from bench.hardware.revision import detect_revision
from bench.hardware.variables import telling_variables
from bench.machine import Host

if TYPE_CHECKING:
    from bench.hardware.topology import Topology
    from bench.machine import Gpu

_PACKAGES = ("tensorflow", "keras", "numpy", "hourglass-bench")


def detect_host(topology: Topology, gpus: tuple[Gpu, ...], *, with_name: bool = False, root: Path = Path("/")) -> Host:
    """Describe this machine and what is installed on it; TensorFlow is not imported, and no user name is read.

    Args:
        topology: The cores that this process may use.
        gpus: The GPUs that were found.
        with_name: Whether to record the machine's network name. Defaults to False.
        root: Of the file system that holds `etc`, `proc` and `sys`.
    """
    processor = detect_processor(root)
    system = detect_operating_system(root)
    build = read_build_info(sys.path)
    return Host(
        cpu=processor.model,
        physical_cores=psutil.cpu_count(logical=False) or len(topology.cores),
        logical_cpus=psutil.cpu_count() or len(topology.cores),
        usable_cores=topology.usable_cores,
        smt=topology.smt,
        memory_bytes=psutil.virtual_memory().total,
        os=_operating_system(),
        python=platform.python_version(),
        packages=_installed_versions(),
        memory_limit_bytes=read_memory_limit_bytes(root),
        gpus=gpus,
        quota_cores=topology.quota_cores,
        processor=processor,
        operating_system=system,
        cuda=build.get("cuda_version"),
        cudnn=build.get("cudnn_version"),
        environment=telling_variables(os.environ),
        revision=detect_revision(),
        # A container's system was installed when its image was made, and is the same on every machine.
        machine_id=None if system.container else read_machine_id(root),
        boot_id=read_boot_id(root),
        name=platform.node() if with_name else None,
    )


def _operating_system() -> str:
    """Distribution and kernel, such as `Debian GNU/Linux 12 (bookworm), Linux 6.1.0-18-amd64`."""
    kernel = f"{platform.system()} {platform.release()}"
    try:
        return f"{platform.freedesktop_os_release()['PRETTY_NAME']}, {kernel}"
    except OSError:
        return kernel


def _installed_versions() -> dict[str, str]:
    """Of what counts, and of all that NVIDIA ships; what is not installed, or under another name, is left out."""
    found = find_distributions(sys.path)
    nvidia = sorted(name for name in found if name.startswith("nvidia-"))
    return {name: found[name].version for name in (*_PACKAGES, *nvidia) if name in found}
