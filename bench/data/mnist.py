"""MNIST as Keras publishes it (`.npz`) and Fashion-MNIST as its authors do (gzipped IDX files)."""

from __future__ import annotations

import dataclasses
import gzip
import zlib
from typing import TYPE_CHECKING

import numpy as np

from bench.data.dataset import Splits, as_labels
from bench.data.npz import read_npz
from bench.data.sources import SOURCES, has_digest, provenance
from bench.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_DIGITS = tuple("0123456789")
_CLOTHES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


def read_mnist(path: Path) -> Splits:
    """Read `mnist.npz`.

    Args:
        path: The file.

    Returns:
        Images of 28x28x1 and their labels.

    Raises:
        DataError: The file is damaged or not what it should be.
    """
    with path.open("rb") as file:
        official = has_digest(file, SOURCES["mnist"].digests["mnist.npz"])
    warnings = provenance("mnist", path, official=official)
    return dataclasses.replace(read_npz(path), class_names=_DIGITS, official=official, warnings=warnings)


def read_fashion_mnist(folder: Path) -> Splits:
    """Read Fashion-MNIST.

    Args:
        folder: Holds the four files `{train,t10k}-{images-idx3,labels-idx1}-ubyte.gz`.

    Returns:
        Images of 28x28x1 and their labels.

    Raises:
        DataError: A file is missing, damaged or not what it should be.
    """
    digests = SOURCES["fashion_mnist"].digests
    arrays = {filename: _read_idx(folder / filename, digest) for filename, digest in digests.items()}
    official = all(matches for _, matches in arrays.values())
    x_train, y_train, x_test, y_test = (array for array, _ in arrays.values())
    return Splits(
        x_train=x_train[..., np.newaxis],
        y_train=as_labels(y_train, where=f"{folder}, train labels"),
        x_test=x_test[..., np.newaxis],
        y_test=as_labels(y_test, where=f"{folder}, test labels"),
        class_names=_CLOTHES,
        official=official,
        warnings=provenance("fashion_mnist", folder, official=official),
    )


def _read_idx(path: Path, digest: str) -> tuple[NDArray[np.uint8], bool]:
    """Read one gzipped IDX file of bytes and tell whether it is the published one.

    Format: two zero bytes, 8 for unsigned bytes, the number of axes, each axis's length as a big-endian 32-bit
    integer, the bytes (http://yann.lecun.com/exdb/mnist/).
    """
    try:
        with path.open("rb") as file:
            official = has_digest(file, digest)
            with gzip.open(file) as content:
                data = content.read()
        axes = data[3]
        shape = np.frombuffer(data, ">u4", count=axes, offset=4)
        array = np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(shape.astype(np.int64))
    except FileNotFoundError:
        raise DataError(
            f"{path.parent} has no file '{path.name}'; `python -m bench fetch fashion_mnist` fetches it"
        ) from None
    except (OSError, EOFError, ValueError, IndexError, zlib.error) as error:
        raise DataError(
            f"{path} is truncated or damaged ({error}); `python -m bench fetch fashion_mnist` fetches it again"
        ) from error
    return array, official
