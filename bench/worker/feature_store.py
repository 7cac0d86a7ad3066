"""Features on the disk: what a frozen part puts out for each image, in files that are read as they are needed.

    features/<digest>/<part>.f32    float32, one row an image, in the order of the images
                      <part>.json   how many rows are whole, and in how many seconds they were computed

A part is written from its beginning to its end. What the JSON names is on the disk before it does, so a process that is
killed, or a power cut, costs the rows since then.
"""

from __future__ import annotations

import math
import mmap
import os
import shutil
import time
import weakref
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.errors import StoreError
from bench.record import Record
from bench.store import encode_pretty, hold, read_json, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

VALUE = np.dtype(np.float32)
COMMIT_S = 2.0  # how often rows are made safe
# A file that is mapped counts as the process's memory; larger ones are not mapped.
MAPPED_BYTES = 256_000_000
# Together, all features that are remembered take no more than this; those that were not used longest go first.
LARGEST_BYTES = 32_000_000_000
SPARE_BYTES = 500_000_000  # of the disk, for everybody else
IN_USE_S = 600.0  # what was written to more recently, another process may be writing now

_NEXT_STEP = "what frozen parts put out is remembered there: make room, or choose another place by $HOURGLASS_CACHE_DIR"


class Progress(Record, frozen=True):
    """How far a part has come; `seconds` are those in which its rows were computed."""

    rows: int = 0
    seconds: float = 0.0


class Rows:
    """The rows of a part that is whole, read from its file.

    A small file is mapped into memory. Of a large one each row is read: the kernel maps up to 2 MB around a row that is
    looked at, so that soon all of it would stand in memory, whatever is handed back.
    """

    def __init__(self, path: Path, count: int, shape: Sequence[int]) -> None:
        self.shape = (count, *shape)
        self._path = path
        self._row_bytes = math.prod(shape) * VALUE.itemsize
        self._fd = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._fd)
        self._mapped = self._map() if count * self._row_bytes <= MAPPED_BYTES else None

    def __len__(self) -> int:
        return self.shape[0]

    def take(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return a copy of some rows.

        Raises:
            StoreError: The file has been cut off meanwhile.
        """
        if self._mapped is not None:
            taken: NDArray[np.float32] = self._mapped[indices]
            return taken
        rows = np.empty((len(indices), *self.shape[1:]), VALUE)
        for row, index in zip(rows, indices.tolist(), strict=True):
            self._read(row, index)
        return rows

    def chunks(self, rows: int) -> Iterator[NDArray[np.float32]]:
        """Yield copies of all rows, so many at a time; see `take`."""
        for start in range(0, len(self), rows):
            count = min(rows, len(self) - start)
            if self._mapped is not None:
                yield self._mapped[start : start + count].copy()
            else:
                chunk = np.empty((count, *self.shape[1:]), VALUE)
                self._read(chunk, start)
                yield chunk

    def _map(self) -> NDArray[np.float32]:
        mapped = mmap.mmap(self._fd, 0, access=mmap.ACCESS_READ)
        return np.frombuffer(mapped, VALUE, math.prod(self.shape)).reshape(self.shape)

    def _read(self, into: NDArray[np.float32], first: int) -> None:
        """Fill an array with the rows from this one on."""
        left, at = into.data.cast("B"), first * self._row_bytes
        while left:
            count = os.preadv(self._fd, [left], at)
            if not count:
                raise StoreError(f"{self._path} ends before its last row; remove {self._path.parent} and try again")
            left, at = left[count:], at + count


class Part:
    """One part as it is written; see the module.

    Args:
        folder: Of the features.
        name: Such as `training-mirrored`.
        count: Rows when it is whole.
        shape: Of one row.
    """

    def __init__(self, folder: Path, name: str, count: int, shape: Sequence[int]) -> None:
        self._data, self._head = folder / f"{name}.f32", folder / f"{name}.json"
        self._count, self._shape = count, tuple(shape)
        self._row_bytes = math.prod(shape) * VALUE.itemsize
        self._written = self._found()
        self._committed_s = time.monotonic()

    @property
    def progress(self) -> Progress:
        """What is there, rows that are not safe yet included."""
        return self._written

    @property
    def is_whole(self) -> bool:
        """Whether all rows are there."""
        return self._written.rows == self._count

    @property
    def missing_bytes(self) -> int:
        """What the rest will take on the disk."""
        return (self._count - self._written.rows) * self._row_bytes

    def append(self, rows: NDArray[np.float32], seconds: float) -> None:
        """Write the next rows.

        Args:
            rows: float32 (n, …).
            seconds: In which they were computed.

        Raises:
            StoreError: The disk is full, or the place cannot be written.
        """
        written = Progress(rows=self._written.rows + len(rows), seconds=round(self._written.seconds + seconds, 6))
        due = written.rows == self._count or time.monotonic() - self._committed_s >= COMMIT_S
        try:
            if not self._written.rows:
                self._head.unlink(missing_ok=True)  # it must not vouch for rows that are no longer there
            with self._data.open("r+b" if self._written.rows else "wb") as file:
                file.truncate(self._written.rows * self._row_bytes)
                file.seek(0, os.SEEK_END)
                file.write(np.ascontiguousarray(rows, VALUE).data)
                if due:
                    file.flush()
                    os.fsync(file.fileno())
        except OSError as error:
            raise StoreError(f"{self._data} cannot be written: {error.strerror}; {_NEXT_STEP}") from error
        self._written = written  # only now: a full disk may show itself as late as when the file is closed
        if due:
            try:
                write_atomically(self._head, encode_pretty(self._written))
            except StoreError as error:
                raise StoreError(f"{error}; {_NEXT_STEP}") from error
            self._committed_s = time.monotonic()

    def rows(self) -> Rows:
        """Return the whole part."""
        return Rows(self._data, self._count, self._shape)

    def _found(self) -> Progress:
        """What an earlier process has made safe; a part that is damaged is begun anew."""
        try:
            progress = read_json(self._head, Progress)
            stored = self._data.stat().st_size // self._row_bytes
        except (StoreError, OSError):
            return Progress()
        return progress if 0 <= progress.rows <= min(stored, self._count) else Progress()


class FeatureStore:
    """The features that one frozen part puts out for one data set.

    Args:
        cache: The folder of all features that are remembered.
        digest: Of everything that they depend on.
    """

    def __init__(self, cache: Path, digest: str) -> None:
        self._cache = cache
        self.folder = cache / digest
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            os.utime(self.folder)  # it is in use: others are to go first
        except OSError as error:
            raise StoreError(
                f"{self.folder} cannot be written: {error.strerror}; choose another place by $HOURGLASS_CACHE_DIR"
            ) from error

    def lock(self, *, patience_s: float) -> AbstractContextManager[None]:
        """Hold the features while they are written; another process that wants the same ones waits for them."""
        return hold(
            self.folder,
            busy="another run, which computes the same features; wait for it",
            elsewhere="another $HOURGLASS_CACHE_DIR",
            patience_s=patience_s,
        )

    def part(self, name: str, count: int, shape: Sequence[int]) -> Part:
        """Return a part, as far as it has come."""
        return Part(self.folder, name, count, shape)

    def make_room(self, needed_bytes: int) -> None:
        """Remove features that were not used longest, until those that are to come fit.

        Raises:
            StoreError: They do not fit even so.
        """
        if not needed_bytes:  # all is there, however full the disk may be
            return
        used_s = {path: _used_s(path) for path in self._cache.iterdir() if path.is_dir()}
        in_use = {path for path, at_s in used_s.items() if time.time() - at_s < IN_USE_S} | {self.folder}
        if needed_bytes > LARGEST_BYTES:
            raise StoreError(
                f"what the frozen part puts out takes {needed_bytes / 1e9:.1f} GB, and no more than "
                f"{LARGEST_BYTES / 1e9:.0f} GB are remembered; name a later layer by frozen_until, or leave it out"
            )
        others = sorted(used_s.keys() - in_use, key=used_s.__getitem__)
        while others and (
            needed_bytes + sum(map(_size_bytes, in_use.union(others))) > LARGEST_BYTES or not self._fits(needed_bytes)
        ):
            shutil.rmtree(others.pop(0), ignore_errors=True)  # who reads them has them open
        if not self._fits(needed_bytes):
            free_bytes = shutil.disk_usage(self.folder).free
            raise StoreError(
                f"what the frozen part puts out takes {needed_bytes / 1e9:.1f} GB in {self.folder}, where "
                f"{free_bytes / 1e9:.1f} GB are free; make room, or choose another place by $HOURGLASS_CACHE_DIR"
            )

    def _fits(self, needed_bytes: int) -> bool:
        return needed_bytes + SPARE_BYTES <= shutil.disk_usage(self.folder).free


def _used_s(folder: Path) -> float:
    """When features were used last; what another process has just removed is nothing to remove."""
    try:
        return folder.stat().st_mtime
    except OSError:
        return math.inf


def _size_bytes(folder: Path) -> int:
    """Of all files that are there, while other processes may write and remove some."""
    total = 0
    with suppress(OSError):
        for path in folder.iterdir():
            with suppress(OSError):
                total += path.stat().st_size
    return total
