"""A folder that is whole in the end, or gone."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bench.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def new_folder(path: Path, *, instead: str) -> Iterator[None]:
    """Make a folder to be filled; what raises meanwhile, an interrupt too, takes all of it away again.

    Args:
        path: Where; it must not exist.
        instead: What to do if it does, in words.

    Raises:
        StoreError: There is one already.
        OSError: It cannot be made.
    """
    try:
        path.mkdir(parents=True)
    except FileExistsError:
        raise StoreError(f"{path} is there already; {instead}") from None
    try:
        yield
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)  # half of it is of no use, and in the way of the next try
        raise
