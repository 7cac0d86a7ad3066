"""A data set in one `.npz` file."""

from __future__ import annotations

import zipfile
import zlib
from typing import TYPE_CHECKING

import numpy as np

from bench.data.dataset import Splits, as_labels
from bench.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from numpy.typing import NDArray

_KEYS = ("x_train", "y_train", "x_test", "y_test")


def read_npz(path: Path) -> Splits:
    """Read a file that `numpy.savez` wrote.

    Args:
        path: The file. It holds the arrays `x_train`, `y_train`, `x_test` and `y_test`: images as uint8 of shape
            (images, height, width) or (images, height, width, channels), labels as integers; and, if the classes
            have names, `class_names`.

    Returns:
        Images with a channel axis and their labels; classes without names are named by their numbers.

    Raises:
        DataError: The file is missing, damaged or holds something else.
    """
    try:
        with path.open("rb") as content, np.load(content, allow_pickle=False) as file:
            arrays = {key: file[key] for key in (*_KEYS, "class_names") if key in file}
            present = sorted(file)
    except FileNotFoundError:
        raise DataError(
            f"no file {path}; give the path of an .npz file, or a name from `python -m bench data`"
        ) from None
    except (OSError, EOFError, ValueError, TypeError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"{path} is truncated, damaged or no .npz file of plain arrays ({error}); write it again with "
            "numpy.savez_compressed"
        ) from error
    missing = [key for key in _KEYS if key not in arrays]
    if missing:
        raise DataError(f"{path} must hold the arrays {', '.join(_KEYS)}; received {present}")
    y_train, y_test = (as_labels(arrays[key], where=f"{path}, {key}") for key in ("y_train", "y_test"))
    return Splits(
        x_train=_with_channels(arrays["x_train"]),
        y_train=y_train,
        x_test=_with_channels(arrays["x_test"]),
        y_test=y_test,
        class_names=_class_names(arrays.get("class_names"), y_train, y_test),
    )


def _with_channels(images: NDArray[Any]) -> NDArray[Any]:
    return images[..., np.newaxis] if images.ndim == 3 else images


def _class_names(names: NDArray[Any] | None, *labels: NDArray[np.int32]) -> tuple[str, ...]:
    if names is not None:
        return tuple(map(str, np.atleast_1d(names).tolist()))
    return tuple(map(str, range(1 + max((int(part.max()) for part in labels if part.size), default=-1))))
