"""Digests of files and folders."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

Kind = Literal["md5", "sha256"]


def kind_of(digest: str) -> Kind:
    """Return what a digest is; its length in hexadecimal digits tells."""
    return "md5" if len(digest) == 32 else "sha256"


def digest(path: Path, kind: Kind) -> str:
    """Return the digest of a file, or of a folder: that of the lines `DIGEST  NAME`, one a file, sorted by name.

    The names are relative to the folder, so that it may lie elsewhere; links count as what they lead to.

    Raises:
        OSError: It cannot be read.
    """
    if path.is_dir():
        found = {file.relative_to(path).as_posix(): file for file in path.rglob("*") if file.is_file()}
        listing = "".join(f"{digest(found[name], kind)}  {name}\n" for name in sorted(found))
        return hashlib.new(kind, listing.encode("utf-8", "surrogateescape")).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()
