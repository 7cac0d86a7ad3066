"""Downloading published files, in a process of its own: the checking download is Keras's, and Keras is heavy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

import bench

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.errors import BenchError

_NEXT_STEP = {
    "network": "check the connection, or copy the files there from another machine",
    "digest": "the file was removed; try again later",
    "space": "make room, or choose another folder with --data-dir or $HOURGLASS_DATA_DIR",
    "folder": "choose another folder with --data-dir or $HOURGLASS_DATA_DIR",
}


class Download(msgspec.Struct, frozen=True, kw_only=True):
    """One file to fetch.

    Attributes:
        url: Where it is published.
        digest: Its SHA-256 or MD5 in hexadecimal; the length tells which.
        filename: Its name in `folder`. Of an archive: the name of the folder that it is extracted to.
        folder: Where it belongs, relative to the folder of all downloads; empty for that folder itself.
        extract: Whether it is an archive.
    """

    url: str
    digest: str
    filename: str
    folder: str = ""
    extract: bool = False


def folders(kind: str, data_dir: str | None) -> tuple[Path, ...]:
    """Where downloads are looked for; the first folder is the one that they go to.

    Args:
        kind: The subfolder that Keras keeps them in, such as `datasets`.
        data_dir: What the user named, if anything.

    Returns:
        `data_dir`, `$HOURGLASS_DATA_DIR` and Keras's own folder, as far as they are set, without doubles.
    """
    keras_home = os.environ.get("KERAS_HOME") or "~/.keras"
    named = (data_dir, os.environ.get("HOURGLASS_DATA_DIR"), f"{keras_home}/{kind}")
    return tuple(dict.fromkeys(Path(folder).expanduser() for folder in named if folder))


def download(downloads: Sequence[Download], folder: Path, *, what: str, error: type[BenchError]) -> None:
    """Download files, check their digests and extract archives; progress goes to standard error.

    What is there already, with its digest, is not downloaded again.

    Args:
        downloads: The files.
        folder: Where to; an absolute path.
        what: Their name in errors.
        error: The kind of error that a failure is.

    Raises:
        BenchError: Of that kind: the server cannot be reached, sends something else, or the disk does not take it.
    """
    child = subprocess.run(
        [sys.executable, "-P", "-m", "bench.worker.download", str(folder), msgspec.json.encode(downloads).decode()],
        env=_environment(),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if child.returncode:
        kind, _, fact = child.stdout.strip().partition(": ")
        if kind not in _NEXT_STEP:  # the child did not come as far as to say why
            raise error(
                f"downloading {what} failed (exit code {child.returncode}); what is above says why. "
                f"Received: folder {folder}"
            )
        raise error(f"downloading {what} to {folder} failed: {fact}; {_NEXT_STEP[kind]}")


def _environment() -> dict[str, str]:
    """This process's environment, with this very `bench` found first and TensorFlow silent."""
    parent = str(Path(bench.__file__).resolve().parent.parent)
    paths = (parent, os.environ.get("PYTHONPATH"))
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "KERAS_BACKEND": "tensorflow",
    }
