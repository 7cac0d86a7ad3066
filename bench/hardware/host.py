"""The machine that a run is made on."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from bench.hardware.cgroup import read_memory_limit_bytes
from bench.hardware.processor import detect_processor
from bench.records import Gpu, Host

if TYPE_CHECKING:
    from bench.hardware.topology import Topology

_PACKAGES = ("tensorflow", "keras", "numpy", "nvidia-ml-py", "hourglass-bench")


def detect_host(topology: Topology, gpus: tuple[Gpu, ...], *, root: Path = Path("/")) -> Host:
    """Describe this machine; TensorFlow is not imported, and no host or user name is read.

    Args:
        topology: The cores that this process may use.
        gpus: The GPUs that were found.
        root: Of the file system that holds `proc` and `sys`.
    """
    return Host(
        cpu=detect_processor(root).model,
        physical_cores=psutil.cpu_count(logical=False) or len(topology.cores),
        logical_cpus=psutil.cpu_count() or len(topology.cores),
        usable_cores=topology.usable_cores,
        smt=topology.smt,
        memory_bytes=psutil.virtual_memory().total,
        memory_limit_bytes=read_memory_limit_bytes(root),
        os=_operating_system(),
        python=platform.python_version(),
        packages=_installed_versions(),
        gpus=gpus,
    )


def _operating_system() -> str:
    """Distribution and kernel, such as `Debian GNU/Linux 12 (bookworm), Linux 6.1.0-18-amd64`."""
    kernel = f"{platform.system()} {platform.release()}"
    try:
        return f"{platform.freedesktop_os_release()['PRETTY_NAME']}, {kernel}"
    except OSError:
        return kernel


def _installed_versions() -> dict[str, str]:
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # run from a checkout, or another build of TensorFlow
            continue
    return versions
