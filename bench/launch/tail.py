"""Reads a journal while another process appends to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")


class Tail(Generic[T]):
    """Returns the records that were appended since it was last asked; starts at the journal's present end."""

    def __init__(self, path: Path, kind: type[T]) -> None:
        self._path = path
        self._decoder = msgspec.json.Decoder(kind)
        self._position = path.stat().st_size if path.exists() else 0
        self._rest = b""

    def read(self) -> list[T]:
        """Return the new records; half a line waits for its other half, a damaged one is passed over."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._position)
                new = file.read()
        except FileNotFoundError:
            return []
        self._position += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        records = []
        for line in lines:
            try:
                records.append(self._decoder.decode(line))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
        return records
