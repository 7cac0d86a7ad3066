"""Loads one library: `python -m bench.hardware.doctor.library_probe SONAME [PATH ...]` prints a `LibraryProbe`.

The paths are what a worker loads first, in that order; the last one is the library itself. Without paths, the loader
searches as it would for any program. A process of its own, since a broken library can end it.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import msgspec

from bench.hardware.doctor.checkup import LibraryProbe

LIBCUDA = "libcuda.so.1"
_LIBCUDNN = "libcudnn.so"


def load(soname: str, paths: list[str]) -> LibraryProbe:
    """Load the library and ask it what it is."""
    try:
        for path in paths[:-1]:
            ctypes.CDLL(path)
        library = ctypes.CDLL(paths[-1] if paths else soname)
    except OSError as error:
        return LibraryProbe(soname=soname, problem=str(error))
    version, init_error = None, None
    if soname.startswith(_LIBCUDNN):
        library.cudnnGetVersion.restype = ctypes.c_size_t
        version = int(library.cudnnGetVersion())
    elif soname == LIBCUDA:
        version, init_error = _ask_driver(library)
    return LibraryProbe(soname=soname, path=_mapped(soname), version=version, init_error=init_error)


def _ask_driver(library: ctypes.CDLL) -> tuple[int | None, str | None]:
    """CUDA's version that the driver supports, and why it does not start; see the CUDA driver API."""
    number = ctypes.c_int()
    version = number.value if library.cuDriverGetVersion(ctypes.byref(number)) == 0 else None
    code = int(library.cuInit(0))
    if code == 0:
        return version, None
    name = ctypes.c_char_p()
    known = library.cuGetErrorName(code, ctypes.byref(name)) == 0 and name.value
    return version, f"{code} {name.value.decode()}" if known and name.value else str(code)


def _mapped(soname: str) -> str | None:
    """The file that the loader chose."""
    try:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    paths = (line.split(maxsplit=5)[-1] for line in lines)
    stem = soname.partition(".so")[0]
    return next((path for path in paths if path.startswith("/") and Path(path).name.startswith(f"{stem}.so")), None)


if __name__ == "__main__":
    found = load(sys.argv[1], sys.argv[2:])
    sys.stdout.write("\n" + msgspec.json.encode(found).decode() + "\n")
