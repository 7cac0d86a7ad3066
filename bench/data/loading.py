"""A data set by the name that `--dataset` takes."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.data import synthetic
from bench.data.cifar import read_cifar10, read_cifar100
from bench.data.dataset import Dataset, Splits, check
from bench.data.folders import read_folder
from bench.data.mnist import read_fashion_mnist, read_mnist
from bench.data.npz import read_npz
from bench.data.order import permutation
from bench.data.sources import NAMES, SOURCES, find, folders, source_name
from bench.errors import DataError, UsageError

if TYPE_CHECKING:
    from bench.data.dataset import Images, Labels

_CHUNK = 4096  # images copied at a time


def load(
    name: str,
    *,
    data_dir: str | None = None,
    limit_train: int | None = None,
    limit_test: int | None = None,
    validation: float = 0.1,
) -> Dataset:
    """Read a data set into memory.

    Images are taken in an order that is mixed and always the same. A limit takes the first of them; validation takes
    the last of the training images that are left.

    Args:
        name: A name that `python -m bench data` lists, `cifar100:coarse`, the path of an `.npz` file (see
            `bench.data.npz`) or of a folder of images (see `bench.data.folders`).
        data_dir: A folder to look in before `$HOURGLASS_DATA_DIR` and Keras's own. Defaults to none.
        limit_train: Take at most so many training images, at least 1. Defaults to all.
        limit_test: Likewise of the test split.
        validation: Share of the training images to hold back, from 0 to less than 1; if it is not 0, at least one
            image. Defaults to 0.1.

    Returns:
        The data set, checked.

    Raises:
        UsageError: There is no such name, or a limit or share is out of range.
        DataError: The files are missing, damaged or not what they should be.
    """
    limits = [limit for limit in (limit_train, limit_test) if limit is not None]
    if min(limits, default=1) < 1 or not 0 <= validation < 1:
        raise UsageError(
            "limits must be at least 1 and the validation share from 0 to less than 1; received "
            f"limit_train={limit_train}, limit_test={limit_test}, validation={validation}"
        )
    splits = _read(name, data_dir, limit_train, limit_test)
    check(name, splits)
    x_train, y_train = _take(splits.x_train, splits.y_train, limit_train)
    x_test, y_test = _take(splits.x_test, splits.y_test, limit_test)
    num_validation = max(1, round(validation * len(x_train))) if validation else 0
    num_train = len(x_train) - num_validation
    if not num_train:
        raise DataError(
            f"dataset '{name}': validation={validation} of {len(x_train)} training images leaves none to train on; "
            "take more images or hold back fewer"
        )
    return Dataset(
        name=name,
        x_train=x_train[:num_train],
        y_train=y_train[:num_train],
        x_validation=x_train[num_train:],
        y_validation=y_train[num_train:],
        x_test=x_test,
        y_test=y_test,
        class_names=splits.class_names,
        coarse_names=splits.coarse_names,
        coarse_of_fine=splits.coarse_of_fine,
        loading_bytes=sum(pixels.nbytes for pixels in (splits.x_train, splits.x_test, x_train, x_test)),
        sha256=_digest(x_train, y_train, x_test, y_test),
        official=splits.official,
        warnings=splits.warnings,
    )


def _read(name: str, data_dir: str | None, limit_train: int | None, limit_test: int | None) -> Splits:
    if name == "synthetic":
        return _draw(limit_train, limit_test)
    if name in NAMES:
        return _READERS[name](_place(name, data_dir))
    path = Path(name).expanduser()
    if name.endswith(".npz"):
        return read_npz(path)
    if path.is_dir():
        return read_folder(path)
    if name.endswith("/"):
        raise DataError(f"no folder {path}; give the path of a folder of images, or a name from `python -m bench data`")
    near = difflib.get_close_matches(name, NAMES, n=1)
    hint = f" (did you mean '{near[0]}'?)" if near else ""
    raise UsageError(
        f"no dataset '{name}'{hint}; `python -m bench data` lists those that have a name, and the path of an .npz file "
        "or of a folder of images is taken too"
    )


_READERS: dict[str, Callable[[Path], Splits]] = {
    "cifar100": read_cifar100,
    "cifar100:coarse": partial(read_cifar100, coarse=True),
    "cifar10": read_cifar10,
    "mnist": read_mnist,
    "fashion_mnist": read_fashion_mnist,
}


def _draw(limit_train: int | None, limit_test: int | None) -> Splits:
    x_train, y_train = synthetic.generate(limit_train or synthetic.NUM_TRAIN, split="train")
    x_test, y_test = synthetic.generate(limit_test or synthetic.NUM_TEST, split="test")
    return Splits(
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        class_names=synthetic.CLASS_NAMES,
        coarse_names=synthetic.COARSE_NAMES,
        coarse_of_fine=synthetic.COARSE_OF_FINE,
    )


def _place(name: str, data_dir: str | None) -> Path:
    source = source_name(name)
    place = find(source, data_dir)
    if place is None:
        looked = ", ".join(str(folder) for folder in folders(data_dir))
        raise DataError(
            f"dataset '{name}' is not on this disk (looked for {' or '.join(SOURCES[source].places)} in {looked}); "
            f"`python -m bench fetch {source}` downloads it"
        )
    return place


def _take(images: Images, labels: Labels, limit: int | None) -> tuple[Images, Labels]:
    """The first `limit` images of the mixed order, contiguous in memory; a chunk at a time, to need no second copy."""
    order = permutation(len(images))[:limit]
    taken = np.empty((len(order), *images.shape[1:]), np.uint8)
    for start in range(0, len(order), _CHUNK):
        taken[start : start + _CHUNK] = images[order[start : start + _CHUNK]]
    return taken, labels[order]


def _digest(*arrays: Images | Labels) -> str:
    """SHA-256 of shapes and contents."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
