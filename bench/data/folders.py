"""A data set as a folder of images, one folder a class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, UnidentifiedImageError

from bench.data.dataset import Splits
from bench.data.order import permutation
from bench.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from bench.data.dataset import Images, Labels

_TEST_SHARE = 0.2

_Files = list[tuple["Path", int]]  # images with their labels


def read_folder(folder: Path) -> Splits:
    """Read images that lie in one folder a class.

    Args:
        folder: Holds `train/` and `test/` with the same folders in both, one a class; or one folder a class, of
            which a fifth of each class's images, always the same ones, becomes the test split.

    Returns:
        Images with one channel if all are grey, else three; labels in the alphabetical order of the classes.

    Raises:
        DataError: A class has too few images, an image cannot be read, or not all have one size.
    """
    if (folder / "train").is_dir() and (folder / "test").is_dir():
        class_names, train = _list_classes(folder / "train")
        test_names, test = _list_classes(folder / "test")
        if class_names != test_names:
            odd = sorted(set(class_names) ^ set(test_names))
            raise DataError(
                f"{folder}: train/ and test/ must hold the same classes; received {odd[0]!r} in one of them only"
            )
        train_files = [(path, label) for label, paths in enumerate(train) for path in paths]
        test_files = [(path, label) for label, paths in enumerate(test) for path in paths]
    else:
        class_names, classes = _list_classes(folder)
        train_files, test_files = _divide(classes)
    size, grey = _common_form([path for path, _ in train_files + test_files])
    x_train, y_train = _read_images(train_files, size, grey=grey)
    x_test, y_test = _read_images(test_files, size, grey=grey)
    return Splits(x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test, class_names=class_names)


def _list_classes(folder: Path) -> tuple[tuple[str, ...], list[list[Path]]]:
    """Names and image files of the classes, both sorted; files that are no images by their suffix are left out."""
    suffixes = Image.registered_extensions()
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not names:
        raise DataError(f"{folder} must hold one folder a class; received none")
    classes = []
    for name in names:
        paths = sorted(path for path in (folder / name).iterdir() if path.suffix.lower() in suffixes)
        if not paths:
            raise DataError(f"{folder / name} holds no image; put images into it or remove the folder")
        classes.append(paths)
    return tuple(names), classes


def _divide(classes: list[list[Path]]) -> tuple[_Files, _Files]:
    train: _Files = []
    test: _Files = []
    for label, paths in enumerate(classes):
        if len(paths) < 2:
            raise DataError(
                f"{paths[0].parent} holds one image, and each class needs one to train and one to test on; add images, "
                "or divide them into train/ and test/ yourself"
            )
        order = permutation(len(paths))
        num_test = max(1, round(_TEST_SHARE * len(paths)))
        train += [(paths[i], label) for i in order[:-num_test]]
        test += [(paths[i], label) for i in order[-num_test:]]
    return train, test


def _common_form(paths: list[Path]) -> tuple[tuple[int, int], bool]:
    """Width and height of all images, and whether all are grey; only their headers are read."""
    size: tuple[int, int] | None = None
    grey = True
    for path in paths:
        with _open(path) as image:
            if size is not None and image.size != size:
                raise DataError(
                    f"{path} has {image.width}x{image.height} pixels and {paths[0]} has {size[0]}x{size[1]}; all "
                    "images of a data set must have one size: resize them first, as `mogrify -resize 64x64!` does"
                )
            size = image.size
            grey = grey and image.mode in {"1", "L"}
    if size is None:
        raise DataError("there must be at least one image; received none")
    return size, grey


def _read_images(files: _Files, size: tuple[int, int], *, grey: bool) -> tuple[Images, Labels]:
    width, height = size
    images = np.empty((len(files), height, width, 1 if grey else 3), np.uint8)
    for row, (path, _) in zip(images, files, strict=True):
        with _open(path) as image:
            try:
                row[...] = np.asarray(image.convert("L" if grey else "RGB")).reshape(row.shape)
            except (OSError, SyntaxError, ValueError) as error:
                raise DataError(f"{path} is truncated or damaged ({error}); replace or remove it") from error
    return images, np.array([label for _, label in files], np.int32)


def _open(path: Path) -> Image.Image:
    try:
        return Image.open(path)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} cannot be read as an image ({error}); replace or remove it") from error
