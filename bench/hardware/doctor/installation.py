"""TensorFlow and the wheels that it needs, as they are installed; nothing of them is imported."""

from __future__ import annotations

import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement

from bench.hardware import cuda_libraries
from bench.hardware.distributions import find_distributions, read_build_info
from bench.hardware.doctor import words
from bench.hardware.doctor.checkup import Installation, Pin, Platform, Wheel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

# Distributions that bring a package named `tensorflow`; two of them overwrite each other's files.
TENSORFLOWS = (
    "tensorflow",
    "tensorflow-cpu",
    "tensorflow-cpu-aws",
    "tensorflow-gpu",
    "tensorflow-intel",
    "tensorflow-macos",
    "tensorflow-rocm",
    "intel-tensorflow",
    "tf-nightly",
    "tf-nightly-cpu",
)
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
    native, compiled = _capabilities(build.get("cuda_compute_capabilities", ()))
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


def _capabilities(targets: Iterable[str]) -> tuple[tuple[str, ...], str | None]:
    """Split `sm_80` (machine code) and `compute_90` (PTX) and write them as 8.0 and 9.0."""
    native = sorted((_dotted(target) for target in targets if target.startswith("sm_")), key=words.number)
    compiled = sorted((_dotted(target) for target in targets if target.startswith("compute_")), key=words.number)
    return tuple(native), compiled[-1] if compiled else None


def _dotted(target: str) -> str:
    digits = target.partition("_")[2].rstrip("af")  # sm_90a, sm_120f: code for this architecture or family alone
    return f"{digits[:-1]}.{digits[-1]}"


def _wheels(ours: metadata.Distribution | None, found: Mapping[str, metadata.Distribution]) -> Iterator[Wheel]:
    for requirement in _requirements(ours):
        if not requirement.name.startswith("nvidia-") or requirement.marker is None:
            continue
        installed = found.get(requirement.name)
        yield Wheel(
            distribution=requirement.name,
            required=str(requirement.specifier),
            installed=installed.version if installed else None,
            fits=installed is not None and requirement.specifier.contains(installed.version, prereleases=True),
        )


def _pins(found: Mapping[str, metadata.Distribution], wanted: set[str]) -> Iterator[Pin]:
    for name, distribution in found.items():
        if name in TENSORFLOWS or name.startswith("nvidia-"):
            continue
        for requirement in _requirements(distribution):
            asked = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            if asked and requirement.name in wanted and requirement.specifier:
                yield Pin(framework=name, distribution=requirement.name, required=str(requirement.specifier))


def _requirements(distribution: metadata.Distribution | None) -> Iterator[Requirement]:
    for text in (distribution.requires if distribution else None) or ():
        try:
            yield Requirement(text)
        except InvalidRequirement:  # of an old or damaged package: nothing that we look for
            continue


def _has_cuda_tools(folders: Sequence[str]) -> bool:
    homes = [Path(folder) / "nvidia" / "cuda_nvcc" for folder in folders]
    return any((home / "bin/ptxas").is_file() and (home / "nvvm/libdevice/libdevice.10.bc").is_file() for home in homes)
