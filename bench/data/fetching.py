"""Downloading published data sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.data.sources import NAMES, SOURCES, find, folders, source_name
from bench.downloads import download
from bench.errors import DataError, UsageError

if TYPE_CHECKING:
    from pathlib import Path


def ensure(name: str, *, data_dir: str | None = None) -> None:
    """Download a data set if it has to be and has not been; call it before any clock starts.

    Args:
        name: As `--dataset` was given; paths and unknown names are left to `load`.
        data_dir: The folder to look in first and to download to. Defaults to `$HOURGLASS_DATA_DIR`, then Keras's own.

    Raises:
        DataError: The download failed.
    """
    if name in fetchable() and find(source_name(name), data_dir) is None:
        fetch(name, data_dir=data_dir)


def fetchable() -> tuple[str, ...]:
    """Return the names that there is something to download for."""
    return tuple(name for name in NAMES if SOURCES[source_name(name)].downloads)


def fetch(name: str, *, data_dir: str | None = None) -> Path:
    """Download a published data set, check its digest and extract it; progress goes to standard error.

    Args:
        name: One of `fetchable`.
        data_dir: The folder to download to. Defaults to `$HOURGLASS_DATA_DIR`, then Keras's own.

    Returns:
        Where the data set lies now.

    Raises:
        UsageError: There is nothing to download under this name.
        DataError: The server cannot be reached, sends something else, or the disk does not take it.
    """
    if name not in fetchable():
        raise UsageError(
            f"nothing to download for {name!r}, only for {', '.join(fetchable())}; `python -m bench data` says more"
        )
    source = SOURCES[source_name(name)]
    folder = folders(data_dir)[0].absolute()
    download(source.downloads, folder, what=source.name, error=DataError)
    return folder / source.places[0]
