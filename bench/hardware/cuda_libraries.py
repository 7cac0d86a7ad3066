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

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


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
    """Find the libraries of `LIBRARIES` that wheels have installed.

    Args:
        search: Folders to look below, first match first. Defaults to `sys.path`, which a worker shares.

    Returns:
        Their paths in loading order; empty where no wheel is installed, as on most machines without a GPU.
    """
    folders = [Path(entry) / "nvidia" for entry in (sys.path if search is None else search) if entry]
    return tuple(_first(folders))


def _first(folders: Sequence[Path]) -> Iterator[Path]:
    for library in LIBRARIES:
        paths = (folder / library.folder / "lib" / library.soname for folder in folders)
        found = next((path for path in paths if path.is_file()), None)
        if found is not None:
            yield found
