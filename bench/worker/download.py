"""Fetches files with Keras: `python -m bench.worker.download FOLDER DOWNLOADS`, the downloads as JSON.

Progress goes to standard error. If it fails, one line on standard output says why, as `KIND: fact`, with a kind of
`network`, `digest`, `space` or `folder`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from bench.downloads import Download

if TYPE_CHECKING:
    from collections.abc import Sequence

_SILENCE_S = 60.0  # a server that says nothing for so long is given up


def main(arguments: Sequence[str]) -> int:
    """Fetch, check and extract all files.

    Args:
        arguments: The folder of all downloads and the downloads, as above.

    Returns:
        0, or 1 if a file could not be fetched.
    """
    folder = Path(arguments[0])
    downloads = msgspec.json.decode(arguments[1], type=tuple[Download, ...])
    socket.setdefaulttimeout(_SILENCE_S)
    try:
        for download in downloads:
            _fetch(download, folder / download.folder)
    except Exception as error:  # noqa: BLE001 -- Keras raises a plain Exception when a server cannot be reached
        sys.stdout.write(f"{kind_of(error)}: {' '.join(str(error).split())}\n")
        return 1
    return 0


def kind_of(error: Exception) -> str:
    """Which of the ways to fail an error is."""
    if isinstance(error, OSError):
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return "space"
        if error.filename is not None:  # about a file of ours; what sockets raise names none
            return "folder"
    return "digest" if isinstance(error, ValueError) else "network"


def _fetch(download: Download, folder: Path) -> None:
    import keras  # noqa: PLC0415 -- takes seconds, and tests ask this module for nothing but `kind_of`

    folder.mkdir(parents=True, exist_ok=True)
    target = folder / (f"{download.filename}_archive" if download.extract else download.filename)
    with contextlib.ExitStack() as stack:
        # Keras prints to standard output, and a line for every block where that is no terminal.
        progress = sys.stderr if sys.stderr.isatty() else stack.enter_context(Path(os.devnull).open("w"))
        stack.enter_context(contextlib.redirect_stdout(progress))
        try:
            keras.utils.get_file(
                download.filename,
                origin=download.url,
                file_hash=download.digest,
                cache_dir=str(folder),
                cache_subdir=str(folder),  # absolute: Keras would turn to /tmp if it could not write to `cache_dir`
                extract=download.extract,
            )
        except ValueError:
            target.unlink(missing_ok=True)  # not the published content: it must not be found as if it were
            raise


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
