"""CIFAR-10 and CIFAR-100: pickled dictionaries of pixels and labels, in a folder or in the published archive.

Format: https://www.cs.toronto.edu/~kriz/cifar.html. A pickle can run any code, so nothing but arrays, strings, numbers
and containers is let through.
"""

from __future__ import annotations

import io
import pickle  # noqa: S403 -- only through _ArrayUnpickler
import tarfile
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.data.dataset import Splits, as_labels
from bench.data.sources import SOURCES, has_digest
from bench.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from bench.data.dataset import Images

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
    batches = _Batches("cifar100", place)
    meta, train, test = batches.read("meta"), batches.read("train"), batches.read("test")
    fine_names, coarse_names = meta.names("fine_label_names"), meta.names("coarse_label_names")
    if coarse:
        class_names, groups = coarse_names, {}
    else:
        class_names = fine_names
        groups = {"coarse_names": coarse_names, "coarse_of_fine": _coarse_of_fine(train, len(fine_names))}
    label_key = "coarse_labels" if coarse else "fine_labels"
    return Splits(
        x_train=train.images(),
        y_train=train.labels(label_key),
        x_test=test.images(),
        y_test=test.labels(label_key),
        class_names=class_names,
        official=batches.official,
        warnings=batches.warnings,
        **groups,
    )
