"""Downloading published data sets, in a process of its own: the checking download is Keras's, and Keras is heavy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec

import bench
from bench.data.sources import NAMES, SOURCES, find, folders, source_name
from bench.errors import DataError, UsageError

_NEXT_STEP = {
    "network": "check the connection, or copy the files there from another machine",
    "digest": "the file was removed; try again later",
    "space": "make room, or choose another folder with --data-dir or $HOURGLASS_DATA_DIR",
    "folder": "choose another folder with --data-dir or $HOURGLASS_DATA_DIR",
}


def ensure(name: str, *, data_dir: str | None = None) -> None:
    """Download a data set if it has to be and has not been; call it before any clock starts.

    Args:
        name: As `--dataset` was given; paths and unknown names are left to `load`.
        data_dir: The folder to look in first and to download to. Defaults to `$HOURGLASS_DATA_DIR`, then Keras's own.

    Raises:
        DataError: The download failed.
    """
    if name in NAMES and SOURCES[source_name(name)].downloads and find(source_name(name), data_dir) is None:
        fetch(source_name(name), data_dir=data_dir)


def fetch(name: str, *, data_dir: str | None = None) -> Path:
    """Download a published data set, check its digest and extract it; progress goes to standard error.

    Args:
        name: A name in `bench.data.sources.SOURCES` that has downloads.
        data_dir: The folder to download to. Defaults to `$HOURGLASS_DATA_DIR`, then Keras's own.

    Returns:
        Where the data set lies now.

    Raises:
        UsageError: There is nothing to download under this name.
        DataError: The server cannot be reached, sends something else, or the disk does not take it.
    """
    source = SOURCES.get(source_name(name))
    if source is None or not source.downloads:
        known = ", ".join(key for key, value in SOURCES.items() if value.downloads)
        raise UsageError(f"nothing to download for {name!r}, only for {known}; `python -m bench data` says more")
    folder = folders(data_dir)[0].absolute()
    request = msgspec.json.encode(source.downloads).decode()
    child = subprocess.run(
        [sys.executable, "-P", "-m", "bench.worker.download", str(folder), request],
        env=_environment(),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if child.returncode:
        kind, _, fact = child.stdout.strip().partition(": ")
        if kind not in _NEXT_STEP:  # the child did not come as far as to say why
            raise DataError(
                f"downloading {source.name} failed (exit code {child.returncode}); what is above says why. "
                f"Received: folder {folder}"
            )
        raise DataError(f"downloading {source.name} to {folder} failed: {fact}; {_NEXT_STEP[kind]}")
    return folder / source.places[0]


def _environment() -> dict[str, str]:
    """This process's environment, with this very `bench` found first and TensorFlow silent."""
    parent = str(Path(bench.__file__).resolve().parent.parent)
    paths = (parent, os.environ.get("PYTHONPATH"))
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "KERAS_BACKEND": "tensorflow",
    }
