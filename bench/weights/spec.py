"""The weights that a trial starts with, as they are recorded."""

from __future__ import annotations

from bench.record import Record


class WeightsSpec(Record, frozen=True):
    """Weights that lie on this machine.

    Attributes:
        name: As the model's file names them, such as `imagenet`; else the file's or folder's own name.
        path: Where they lie, absolute.
        sha256: Of the file; of a folder, of the list of its files with their SHA-256 (`bench.weights.digests`).
    """

    name: str
    path: str
    sha256: str
