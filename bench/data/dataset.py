"""A data set in memory, checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bench.errors import DataError
from bench.records import DatasetSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Images = NDArray[np.uint8]
    Labels = NDArray[np.int32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Splits:
    """A data set as a reader found it: all its images, in the order of the files.

    Attributes:
        x_train: Images as uint8 of shape (images, height, width, channels); any memory layout.
        y_train: Their labels as int32 of shape (images,).
        x_test: Likewise.
        y_test: Likewise.
        class_names: Names by label.
        coarse_names: Names of groups of classes; empty for a data set without groups.
        coarse_of_fine: Group of each class; empty likewise.
        official: Whether the files are the published ones; None for data that has no published form.
        warnings: What the user should know about the files.
    """

    x_train: Images
    y_train: Labels
    x_test: Images
    y_test: Labels
    class_names: tuple[str, ...]
    coarse_names: tuple[str, ...] = ()
    coarse_of_fine: tuple[int, ...] = ()
    official: bool | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """What a trial is trained, validated and tested on.

    Images are uint8 of shape (images, height, width, channels) with 1 or 3 channels, labels int32 of shape (images,).
    The validation arrays have no images if nothing was held back.

    Attributes:
        name: As `--dataset` was given.
        x_train: Images trained on.
        y_train: Their labels.
        x_validation: Images held back from the training split.
        y_validation: Their labels.
        x_test: Images tested on, once, at the end.
        y_test: Their labels.
        class_names: Names by label.
        coarse_names: Names of groups of classes; empty for a data set without groups.
        coarse_of_fine: Group of each class; empty likewise.
        loading_bytes: Pixels in memory while it was loaded, at their most: as they were read and as they were taken.
        sha256: Of the pixels and labels of both splits, the validation images among the training images.
        official: Whether the files are the published ones; None for data that has no published form.
        warnings: What the user should know about the files.
    """

    name: str
    x_train: Images
    y_train: Labels
    x_validation: Images
    y_validation: Labels
    x_test: Images
    y_test: Labels
    class_names: tuple[str, ...]
    coarse_names: tuple[str, ...]
    coarse_of_fine: tuple[int, ...]
    loading_bytes: int
    sha256: str
    official: bool | None
    warnings: tuple[str, ...]

    @property
    def spec(self) -> DatasetSpec:
        """The data set as a trial's record names it, without the digest of its content, which a worker needs not."""
        height, width, channels = self.x_train.shape[1:]
        return DatasetSpec(
            name=self.name,
            sha256=self.sha256,
            num_train=len(self.x_train),
            num_validation=len(self.x_validation),
            num_test=len(self.x_test),
            input_shape=(height, width, channels),
            num_classes=len(self.class_names),
            official=self.official,
        )


def as_labels(values: object, *, where: str) -> Labels:
    """Labels of any integer type, of shape (images,) or (images, 1), as int32 of shape (images,).

    Raises:
        DataError: They are not such labels; the message begins with `where`.
    """
    labels = np.asarray(values)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or not (np.issubdtype(labels.dtype, np.integer) or not labels.size):
        raise DataError(
            f"{where}: labels must be one integer an image; received {labels.dtype} of shape {labels.shape}"
        )
    bound = np.iinfo(np.int32)
    clipped: Labels = np.clip(labels, bound.min, bound.max).astype(np.int32)  # what is clipped is out of range anyway
    return clipped


def check(name: str, splits: Splits) -> None:
    """Check that a data set is what `Splits` says, and that one can train and test on it.

    Args:
        name: The data set's, for the message.
        splits: What a reader found.

    Raises:
        DataError: It is not.
    """
    num_classes = len(splits.class_names)
    if num_classes < 2:
        raise DataError(f"dataset '{name}': there must be at least two classes; received {num_classes}")
    _check_split(f"dataset '{name}', train split", splits.x_train, splits.y_train, num_classes)
    _check_split(f"dataset '{name}', test split", splits.x_test, splits.y_test, num_classes)
    if splits.x_train.shape[1:] != splits.x_test.shape[1:]:
        raise DataError(
            f"dataset '{name}': images of both splits must have the same shape; received "
            f"{splits.x_train.shape[1:]} to train and {splits.x_test.shape[1:]} to test"
        )


def _check_split(where: str, images: Images, labels: Labels, num_classes: int) -> None:
    if images.dtype != np.uint8:
        raise DataError(
            f"{where}: images must be uint8, 0 to 255; received {images.dtype}. Convert and save them again"
        )
    if images.ndim != 4 or images.shape[3] not in {1, 3} or 0 in images.shape[1:]:
        raise DataError(
            f"{where}: images must have the shape (images, height, width, channels) with 1 or 3 channels; "
            f"received {images.shape}"
        )
    if len(images) != len(labels):
        raise DataError(f"{where}: each image needs one label; received {len(images)} images and {len(labels)} labels")
    if not len(images):
        raise DataError(f"{where}: there must be at least one image; received none")
    least, most = int(labels.min()), int(labels.max())
    if least < 0 or most >= num_classes:
        raise DataError(
            f"{where}: labels must be 0 to {num_classes - 1} for {num_classes} classes; received {least} to {most}"
        )
