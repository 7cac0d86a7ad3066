"""TensorFlow and the wheels that it needs, as they are installed; nothing of them is imported."""

from __future__ import annotations

import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from bench.hardware import cuda_libraries
from bench.hardware.distributions import (
    TENSORFLOWS,
    cuda_requirements,
    find_distributions,
    fits,
    read_build_info,
    read_capabilities,
    requirements,
)
from bench.hardware.doctor.checkup import Installation, Pin, Platform, Wheel

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_METAL = "tensorflow-metal"


def detect_platform() -> Platform:
    """What the wheels must fit."""
    return Platform(
        system=platform.system(),
        machine=platform.machine(),
        python=platform.python_version(),
        executable=sys.executable,
    )


def inspect_installation(search: Sequence[str] | None = None) -> Installation:
    """Look at what is installed.

    Args:
        search: Folders that hold packages. Defaults to `sys.path`.
    """
    folders = list(sys.path if search is None else search)
    found = find_distributions(folders)
    tensorflows = {name: found[name].version for name in (*TENSORFLOWS, _METAL) if name in found}
    ours = next((found[name] for name in TENSORFLOWS if name in found), None)
    build = read_build_info(folders)
    native, compiled = read_capabilities(build.get("cuda_compute_capabilities", ()))
    wheels = tuple(_wheels(ours, found))
    libraries = cuda_libraries.installed(folders)
    return Installation(
        distributions=tensorflows,
        python_requires=None if ours is None else ours.metadata["Requires-Python"],
        cuda_build=build.get("is_cuda_build"),
        cuda_version=build.get("cuda_version"),
        cudnn_version=build.get("cudnn_version"),
        native_capabilities=native,
        compiled_capability=compiled,
        wheels=wheels,
        pins=tuple(_pins(found, {wheel.distribution for wheel in wheels})),
        libraries=tuple(map(str, libraries)),
        cuda_tools=_has_cuda_tools(folders),
    )


def _wheels(ours: metadata.Distribution | None, found: Mapping[str, metadata.Distribution]) -> Iterator[Wheel]:
    for requirement in cuda_requirements(ours):
        installed = found.get(requirement.name)
        yield Wheel(
            distribution=requirement.name,
            required=str(requirement.specifier),
            installed=installed.version if installed else None,
            fits=fits(requirement, installed),
        )


def _pins(found: Mapping[str, metadata.Distribution], wanted: set[str]) -> Iterator[Pin]:
    for name, distribution in found.items():
        if name in TENSORFLOWS or name.startswith("nvidia-"):
            continue
        for requirement in requirements(distribution):
            asked = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            if asked and requirement.name in wanted and requirement.specifier:
                yield Pin(framework=name, distribution=requirement.name, required=str(requirement.specifier))


def _has_cuda_tools(folders: Sequence[str]) -> bool:
    homes = [Path(folder) / "nvidia" / "cuda_nvcc" for folder in folders]
    return any((home / "bin/ptxas").is_file() and (home / "nvvm/libdevice/libdevice.10.bc").is_file() for home in homes)
