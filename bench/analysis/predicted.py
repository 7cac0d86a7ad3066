"""What a trial predicted for the test images: which were right, which wrong, and what was taken for what."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Indices = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Predicted:
    """Predictions for the test images, in their order.

    Attributes:
        label: True classes, int (n,).
        predicted: Predicted classes, int (n,).
        confidence: Probability that the model gave to the predicted class, float (n,), 0 to 1.
    """

    label: NDArray[np.int32]
    predicted: NDArray[np.int32]
    confidence: NDArray[np.float32]

    @property
    def is_right(self) -> NDArray[np.bool_]:
        """Which images were labelled right, (n,)."""
        right: NDArray[np.bool_] = self.label == self.predicted
        return right

    def right(self, count: int) -> Indices:
        """The first images that were labelled right."""
        return np.flatnonzero(self.is_right)[:count]

    def wrong(self, count: int) -> Indices:
        """The first images that were not."""
        return np.flatnonzero(~self.is_right)[:count]

    def surest_mistakes(self, count: int) -> Indices:
        """The wrongly labelled images that the model was surest of, the surest first."""
        wrong = np.flatnonzero(~self.is_right)
        return wrong[np.argsort(-self.confidence[wrong], kind="stable")][:count]

    def better_than(self, other: Predicted, count: int) -> Indices:
        """The first images that were labelled right here and wrong there.

        Raises:
            ValueError: The other one saw other images.
        """
        if not np.array_equal(self.label, other.label):
            raise ValueError("predictions for other images cannot be compared")
        return np.flatnonzero(self.is_right & ~other.is_right)[:count]

    def confusion(self, num_classes: int) -> NDArray[np.int64]:
        """How many images of each true class (rows) were taken for each class (columns)."""
        pairs = self.label.astype(np.int64) * num_classes + self.predicted
        return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


# What NumPy, zipfile and zlib raise for a file of which any byte may be another one.
_DAMAGED = (OSError, KeyError, TypeError, ValueError, EOFError, RuntimeError, MemoryError, BadZipFile, zlib.error)


def read_predicted(path: Path) -> Predicted | None:
    """Read `predictions.npz` of a trial; None where it is missing or cannot be read."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            label, predicted, confidence = file["label"], file["predicted"], file["confidence"]
    except _DAMAGED:
        return None
    arrays = (label, predicted, confidence)
    if [array.dtype.kind for array in arrays] != ["i", "i", "f"] or len({array.shape for array in arrays}) > 1:
        return None
    if label.ndim != 1 or not label.size or min(label.min(), predicted.min()) < 0:
        return None
    return Predicted(label=label, predicted=predicted, confidence=confidence)


def accuracy_by_class(confusion: NDArray[np.int64]) -> list[float | None]:
    """Share of each true class that was labelled right; None for a class without test images."""
    counts = confusion.sum(axis=1)
    return [
        right / count if count else None
        for right, count in zip(np.diag(confusion).tolist(), counts.tolist(), strict=True)
    ]


def by_group(confusion: NDArray[np.int64], group_of: Sequence[int], num_groups: int) -> NDArray[np.int64]:
    """Sum a confusion matrix over groups of classes."""
    member = np.zeros((len(group_of), num_groups), np.int64)
    member[np.arange(len(group_of)), list(group_of)] = 1
    summed: NDArray[np.int64] = member.T @ confusion @ member
    return summed


def most_confused(confusion: NDArray[np.int64], count: int) -> list[tuple[int, int, int]]:
    """The pairs of true and predicted class with the most images, `(true, predicted, images)`, most first."""
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:count]
    rows, columns = np.unravel_index(order, wrong.shape)
    found = zip(rows.tolist(), columns.tolist(), wrong[rows, columns].tolist(), strict=True)
    return [(true, predicted, images) for true, predicted, images in found if images]
