"""The CUDA libraries that pip installed, in the order in which a worker loads them before TensorFlow.

TensorFlow finds them through the RUNPATH of its own library, and that of 2.21 names every folder but cuSOLVER's: with
every wheel installed it then sees no GPU (tensorflow#63362, #85311, #117538). And `LD_LIBRARY_PATH`, which is searched
before a RUNPATH, may put older libraries in front. A library that a process has loaded by its path is the one that it
gets when it asks for the name, so loading them first cures both.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.hardware.distributions import TENSORFLOWS, cuda_requirements, find_distribution, fits

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib import metadata


@dataclass(frozen=True, kw_only=True)
class CudaLibrary:
    """One library of the CUDA 12 that TensorFlow 2.21 is built for.

    Attributes:
        soname: The name by which it is asked for.
        folder: Of its wheel, below `nvidia/` in site-packages; `lib/` below that holds it.
        asked_for: Whether TensorFlow itself asks for it; the others are needed by those.
    """

    soname: str
    folder: str
    asked_for: bool = True

    @property
    def distribution(self) -> str:
        """The wheel's name on the package index."""
        return f"nvidia-{self.folder.replace('_', '-')}-cu12"


# Each one after those that it needs. cuDNN's parts are asked for by the first convolution, not by TensorFlow's start.
LIBRARIES = (
    CudaLibrary(soname="libcudart.so.12", folder="cuda_runtime"),
    CudaLibrary(soname="libnvJitLink.so.12", folder="nvjitlink", asked_for=False),
    CudaLibrary(soname="libcublasLt.so.12", folder="cublas"),
    CudaLibrary(soname="libcublas.so.12", folder="cublas"),
    CudaLibrary(soname="libcufft.so.11", folder="cufft"),
    CudaLibrary(soname="libcusparse.so.12", folder="cusparse"),
    CudaLibrary(soname="libcusolver.so.11", folder="cusolver"),
    CudaLibrary(soname="libnvrtc.so.12", folder="cuda_nvrtc", asked_for=False),
    CudaLibrary(soname="libcudnn_graph.so.9", folder="cudnn", asked_for=False),
    CudaLibrary(soname="libcudnn_ops.so.9", folder="cudnn", asked_for=False),
    CudaLibrary(soname="libcudnn_cnn.so.9", folder="cudnn", asked_for=False),
    CudaLibrary(soname="libcudnn.so.9", folder="cudnn"),
)


def installed(search: Sequence[str] | None = None) -> tuple[Path, ...]:
    """Find the libraries of `LIBRARIES` that wheels have installed and this TensorFlow asks for.

    Wheels that came for another framework's sake, in versions that do not fit, are left alone: loaded first, they would
    take the place of what a TensorFlow of conda or of a container brings itself. So is what has no metadata.

    Args:
        search: Folders to look below, first match first. Defaults to `sys.path`, which a worker shares.

    Returns:
        Their paths in loading order; empty where no wheel is installed, as on most machines without a GPU.
    """
    folders = [entry for entry in (sys.path if search is None else search) if entry]
    wheels = _fitting_wheels(folders)
    paths = (
        Path(str(wheels[library.distribution].locate_file(f"nvidia/{library.folder}/lib/{library.soname}")))
        for library in LIBRARIES
        if library.distribution in wheels
    )
    return tuple(path for path in paths if path.is_file())


def _fitting_wheels(folders: Sequence[str]) -> dict[str, metadata.Distribution]:
    """The wheels that TensorFlow's own extra asks for and takes, by their names."""
    ours = next(filter(None, (find_distribution(name, folders) for name in TENSORFLOWS)), None)
    wheels = {}
    for requirement in cuda_requirements(ours):
        wheel = find_distribution(requirement.name, folders)
        if wheel is not None and fits(requirement, wheel):
            wheels[requirement.name] = wheel
    return wheels
