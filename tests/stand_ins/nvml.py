"""Builds the stand-in for libnvidia-ml.so.1 and runs Python with it, so that the real bindings are driven.

What the library answers is chosen by the environment variables that `nvml.c` lists.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bench

SONAME = "libnvidia-ml.so.1"


def gpu_uuid(board: int) -> str:
    """The UUID of a whole board."""
    return f"GPU-00000000-0000-0000-0000-{board:012d}"


def mig_uuid(board: int, instance: int) -> str:
    """The UUID of a MIG instance."""
    return f"MIG-00000000-0000-0000-{instance:04d}-{board:012d}"


def build(directory: Path, *, without: tuple[str, ...] = ()) -> Path:
    """Compile the library, or skip the calling test where that is impossible.

    Args:
        directory: Where to write it.
        without: Functions to leave out, as an older driver does.

    Returns:
        The library's path; its folder is what `LD_LIBRARY_PATH` must name before a process starts.
    """
    if sys.platform != "linux":
        pytest.skip("the NVML stand-in is found through LD_LIBRARY_PATH, which only Linux has")
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("the NVML stand-in is built by a C compiler, and there is no `cc` on PATH")
    library = directory / SONAME
    renamed = [f"-D{function}=absent_{function}" for function in without]
    source = Path(__file__).with_suffix(".c")
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-Wall", f"-Wl,-soname,{SONAME}", *renamed, "-o", library, source], check=True
    )
    return library


def run_python(library: Path, code: str, **environment: str) -> str:
    """Run code in a new process that finds the library, and return what it printed; the code can import `bench`."""
    path = Path(bench.__file__).parent.parent
    completed = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "LD_LIBRARY_PATH": str(library.parent), "PYTHONPATH": str(path), **environment},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    return completed.stdout
