"""Loads CUDA libraries by their paths before TensorFlow asks for them by name; `bench.hardware` finds them."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_loaded: list[str] = []
_failed: dict[str, str] = {}


def load(paths: Iterable[str]) -> None:
    """Load libraries, in this order; must come before TensorFlow is imported.

    One that cannot be loaded is left to TensorFlow's own search, and the reason is kept.
    """
    for path in paths:
        try:
            ctypes.CDLL(path)
        except OSError as error:
            _failed[path] = str(error)
        else:
            _loaded.append(path)


def loaded() -> tuple[str, ...]:
    """The paths of the libraries that were loaded."""
    return tuple(_loaded)


def failed() -> dict[str, str]:
    """The paths of those that could not be, and why."""
    return dict(_failed)
