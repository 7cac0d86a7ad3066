"""CIFAR-10 and CIFAR-100: pickled dictionaries of pixels and labels, in a folder or in the published archive.

Format: https://www.cs.toronto.edu/~kriz/cifar.html. A pickle can run any code, so nothing but arrays, strings, numbers
and containers is let through.
"""

from __future__ import annotations

import io
import pickle
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.data.dataset import Splits, as_labels
from bench.data.sources import SOURCES, has_digest, provenance
from bench.errors import DataError

if TYPE_CHECKING:
    from io import BufferedReader, BytesIO
    from pathlib import Path

    from bench.data.dataset import Images, Labels

_CIFAR10_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def read_cifar100(place: Path, *, coarse: bool = False) -> Splits:
    """Read CIFAR-100.

    Args:
        place: A folder with `train`, `test` and `meta`, or the published archive.
        coarse: Take the 20 groups as classes. Defaults to False.

    Returns:
        Images of 32x32x3, not contiguous in memory, and their labels.

    Raises:
        DataError: A file is missing, damaged or not what it should be.
    """
    train, test, meta = (_read("cifar100", place, filename) for filename in ("train", "test", "meta"))
    label_key = "coarse_labels" if coarse else "fine_labels"
    fine_names, coarse_names = meta.names("fine_label_names"), meta.names("coarse_label_names")
    official = train.official and test.official and meta.official
    return Splits(
        x_train=train.images(),
        y_train=train.labels(label_key),
        x_test=test.images(),
        y_test=test.labels(label_key),
        class_names=coarse_names if coarse else fine_names,
        coarse_names=() if coarse else coarse_names,
        coarse_of_fine=() if coarse else _coarse_of_fine(train, fine_names, coarse_names),
        official=official,
        warnings=provenance("cifar100", place, official=official),
    )


def read_cifar10(place: Path) -> Splits:
    """Read CIFAR-10.

    Args:
        place: A folder with `data_batch_1` to `data_batch_5` and `test_batch`, or the published archive.

    Returns:
        Images of 32x32x3, not contiguous in memory, and their labels.

    Raises:
        DataError: A file is missing, damaged or not what it should be.
    """
    train = [_read("cifar10", place, f"data_batch_{number}") for number in range(1, 6)]
    test = _read("cifar10", place, "test_batch")
    official = test.official and all(batch.official for batch in train)
    return Splits(
        x_train=np.concatenate([batch.images() for batch in train]),
        y_train=np.concatenate([batch.labels("labels") for batch in train]),
        x_test=test.images(),
        y_test=test.labels("labels"),
        class_names=_CIFAR10_NAMES,
        official=official,
        warnings=provenance("cifar10", place, official=official),
    )


@dataclass(frozen=True)
class _Batch:
    """One pickled dictionary: where it was read, what it holds, whether it is the published file."""

    where: str
    entries: dict[str, Any]
    official: bool

    def images(self) -> Images:
        pixels = self._entry("data")
        if (
            not isinstance(pixels, np.ndarray)
            or pixels.dtype != np.uint8
            or pixels.ndim != 2
            or pixels.shape[1] != 3072
        ):
            received = f"{pixels.dtype} of shape {pixels.shape}" if isinstance(pixels, np.ndarray) else type(pixels)
            raise DataError(f"{self.where}: 'data' must be uint8 of shape (images, 3072); received {received}")
        return pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)

    def labels(self, key: str) -> Labels:
        return as_labels(self._entry(key), where=f"{self.where}, '{key}'")

    def names(self, key: str) -> tuple[str, ...]:
        return tuple(name.decode() if isinstance(name, bytes) else str(name) for name in self._entry(key))

    def _entry(self, key: str) -> Any:  # noqa: ANN401 -- what a pickle holds is checked by the callers
        try:
            return self.entries[key]
        except KeyError:
            raise DataError(f"{self.where} has no '{key}'; received {sorted(self.entries)}") from None


def _coarse_of_fine(train: _Batch, fine_names: tuple[str, ...], coarse_names: tuple[str, ...]) -> tuple[int, ...]:
    """The group of each class, as the training images' pairs of labels tell; empty if a class has no image."""
    pairs = set(zip(train.labels("fine_labels").tolist(), train.labels("coarse_labels").tolist(), strict=False))
    groups = dict(pairs)
    if len(groups) < len(pairs) or not set(groups.values()) <= set(range(len(coarse_names))):
        raise DataError(
            f"{train.where}: each of the {len(fine_names)} fine labels must go with one of the {len(coarse_names)} "
            "coarse labels; received labels that contradict each other. Restore the published files: "
            "`python -m bench fetch cifar100`"
        )
    return tuple(groups[fine] for fine in range(len(fine_names))) if len(groups) == len(fine_names) else ()


def _read(name: str, place: Path, filename: str) -> _Batch:
    again = f"`python -m bench fetch {name}` fetches it again"
    where = f"{filename} in {place}"
    try:
        with _open(place, filename) as file:
            official = has_digest(file, SOURCES[name].digests[filename])
            entries = _ArrayUnpickler(file, encoding="bytes").load()
    except FileNotFoundError:
        raise DataError(f"{place} has no file '{filename}'; {again}") from None
    except _ForbiddenError as error:
        raise DataError(f"{where} {error}; {again}") from None
    except Exception as error:  # a damaged pickle or archive may raise anything
        raise DataError(f"{where} is truncated or damaged ({type(error).__name__}: {error}); {again}") from error
    if not isinstance(entries, dict):
        raise DataError(f"{where} must be a dictionary; received {type(entries).__name__}. {again}")
    decoded = {key.decode() if isinstance(key, bytes) else str(key): value for key, value in entries.items()}
    return _Batch(where, decoded, official)


def _open(place: Path, filename: str) -> BufferedReader | BytesIO:
    if place.is_dir():
        return (place / filename).open("rb")
    with tarfile.open(place, "r:gz") as archive:
        for member in archive:
            if member.name.endswith(f"/{filename}") and (file := archive.extractfile(member)):
                return io.BytesIO(file.read())
    raise FileNotFoundError(filename)


class _ForbiddenError(pickle.UnpicklingError):
    """A pickle asks for something that is no array."""


class _ArrayUnpickler(pickle.Unpickler):
    """Lets through what arrays are made of; strings, numbers and containers need no permission."""

    _RECONSTRUCT = np.empty(0).__reduce__()[0]  # moved from numpy.core to numpy._core with NumPy 2
    _ALLOWED = {  # noqa: RUF012 -- never written to
        ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
        ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 -- as in the base class
        try:
            return self._ALLOWED[module, name]
        except KeyError:
            raise _ForbiddenError(f"asks for {module}.{name}, which no data set needs; it was not run") from None
