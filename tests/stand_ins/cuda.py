"""Builds stand-ins for CUDA's driver and for NVIDIA's wheels, so that the real TensorFlow sees a GPU where none is.

What they answer is chosen by the environment variables that `fake.h`, `libcuda.c`, `libcudart.c` and `cudalib.c` list;
UUIDs are those of the NVML stand-in. TensorFlow lists no GPU without NVML, so that stand-in must be on
`LD_LIBRARY_PATH` too.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import bench

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SOURCES = Path(__file__).parent
DRIVER = "libcuda.so.1"


@dataclass(frozen=True)
class Wheel:
    """What one of NVIDIA's wheels brings: its version, its libraries and what each of them needs."""

    version: str
    libraries: dict[str, tuple[str, ...]]
    """Soname to the sonames it needs, each after those; the linker finds them nowhere but in what is loaded."""


# By folder in site-packages/nvidia, in an order in which each library comes after those that it needs. Versions are the
# lowest that tensorflow[and-cuda] 2.21 takes.
WHEELS = {
    "cuda_runtime": Wheel("12.5.82", {"libcudart.so.12": ()}),
    "nvjitlink": Wheel("12.5.82", {"libnvJitLink.so.12": ()}),
    "cublas": Wheel("12.5.3.2", {"libcublasLt.so.12": (), "libcublas.so.12": ("libcublasLt.so.12",)}),
    "cusparse": Wheel("12.5.1.3", {"libcusparse.so.12": ("libnvJitLink.so.12",)}),
    "cusolver": Wheel(
        "11.6.3.83",
        {
            "libcusolver.so.11": (
                "libcublas.so.12",
                "libcublasLt.so.12",
                "libcusparse.so.12",
                "libnvJitLink.so.12",
            )
        },
    ),
    "cudnn": Wheel("9.3.0.75", {"libcudnn.so.9": ()}),
    "cufft": Wheel("11.2.3.61", {"libcufft.so.11": ()}),
    "curand": Wheel("10.3.6.82", {"libcurand.so.10": ()}),
    "nccl": Wheel("2.27.7", {"libnccl.so.2": ()}),
    "cuda_cupti": Wheel("12.5.82", {"libcupti.so.12": ()}),
    "cuda_nvrtc": Wheel("12.5.82", {"libnvrtc.so.12": ()}),
    "cuda_nvcc": Wheel("12.5.82", {}),
}

# What is in a library; in the others, nothing.
CONTENTS = {
    "libcudart.so.12": ("libcudart.c",),
    "libcudnn.so.9": ("cudalib.c", "-DCUDNN"),
    "libcublas.so.12": ("cudalib.c", "-DCUBLAS"),
    "libcublasLt.so.12": ("cudalib.c", "-DCUBLASLT"),
}

BROKEN_BYTES = 20  # less than an ELF header: the loader says "file too short"
PTXAS = "#!/bin/sh\necho 'Cuda compilation tools, release 12.5, V12.5.82'\n"


def build_driver(directory: Path) -> Path:
    """Compile the driver's library, or skip the calling test where that is impossible.

    Args:
        directory: Where to write it.

    Returns:
        The library's path; its folder is what `LD_LIBRARY_PATH` must name before a process starts.
    """
    library = directory / DRIVER
    _compile(library, "libcuda.c")
    return library


def build_wheels(
    site: Path,
    *,
    without: Iterable[str] = (),
    versions: Mapping[str, str] | None = None,
    broken: Iterable[str] = (),
) -> Path:
    """Lay out NVIDIA's wheels as pip does, or skip the calling test where that is impossible.

    Args:
        site: The folder to write them to; on `PYTHONPATH`, `importlib.metadata` finds them there.
        without: Wheels to leave out, by their names in `WHEELS`.
        versions: Versions other than the usual ones, by the same names. They are what the metadata says.
        broken: Wheels whose libraries are cut off after a few bytes, as by a full disk.

    Returns:
        The same folder.
    """
    with tempfile.TemporaryDirectory() as compiled:
        _compile_libraries(Path(compiled))  # all of them: what is left out of `site` is needed all the same
        for name, wheel in WHEELS.items():
            if name in without:
                continue
            files = [site / "nvidia" / name / "lib" / soname for soname in wheel.libraries]
            for file in files:
                file.parent.mkdir(parents=True, exist_ok=True)
                content = (Path(compiled) / file.name).read_bytes()
                file.write_bytes(content[:BROKEN_BYTES] if name in broken else content)
            if name == "cuda_nvcc":
                files = _write_compiler(site)
            _write_metadata(site, name, (versions or {}).get(name, wheel.version), files)
    return site


def library_folders(site: Path, *, without: Iterable[str] = ()) -> list[Path]:
    """The folders of the wheels' libraries, but for those of some wheels, to be put on `LD_LIBRARY_PATH`."""
    return sorted(folder for folder in site.glob("nvidia/*/lib") if folder.parent.name not in without)


def run_python(
    code: str, *, libraries: Iterable[Path] = (), site: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run code in a new process that finds the stand-ins and can import `bench`.

    Args:
        code: What to run.
        libraries: The folders of `LD_LIBRARY_PATH`, in the order of the search.
        site: The folder of the wheels, if the process shall see them as installed.
        **environment: Further variables, those of the stand-ins among them.

    Returns:
        How it ended and what it printed; TensorFlow's messages are in `stderr`.
    """
    paths = [Path(bench.__file__).parent.parent, *([site] if site else [])]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("CUDA_", "TF_", "FAKE_"))}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={
            **inherited,
            "LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries)),
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            **environment,
        },
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )


def _compile_libraries(directory: Path) -> None:
    for wheel in WHEELS.values():
        for soname, needed in wheel.libraries.items():
            flags = [*CONTENTS.get(soname, ("cudalib.c",)), *(str(directory / other) for other in needed)]
            _compile(directory / soname, *flags)


def _write_compiler(site: Path) -> list[Path]:
    folder = site / "nvidia" / "cuda_nvcc"
    ptxas, libdevice = folder / "bin" / "ptxas", folder / "nvvm" / "libdevice" / "libdevice.10.bc"
    for file in (ptxas, libdevice):
        file.parent.mkdir(parents=True, exist_ok=True)
    ptxas.write_text(PTXAS, encoding="utf-8")
    ptxas.chmod(0o755)
    libdevice.touch()
    return [ptxas, libdevice]


def _write_metadata(site: Path, name: str, version: str, files: list[Path]) -> None:
    """Write as much of a wheel's `.dist-info` as `importlib.metadata` reads."""
    folder = site / f"nvidia_{name}_cu12-{version}.dist-info"
    folder.mkdir(parents=True, exist_ok=True)
    project = f"nvidia-{name.replace('_', '-')}-cu12"
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n", encoding="utf-8")
    recorded = [*files, folder / "METADATA", folder / "RECORD"]
    lines = [f"{file.relative_to(site).as_posix()},,\n" for file in recorded]
    (folder / "RECORD").write_text("".join(lines), encoding="utf-8")


def _compile(library: Path, source: str, *flags: str) -> None:
    """Compile a library that needs those among the flags, and that has no path to find them by."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        pytest.skip("the CUDA stand-ins are for the platform of TensorFlow's CUDA build, Linux on x86-64")
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("the CUDA stand-ins are built by a C compiler, and there is no `cc` on PATH")
    soname = f"-Wl,--no-as-needed,-soname,{library.name}"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-Wall", soname, "-o", library, SOURCES / source, *flags, "-ldl"], check=True
    )
