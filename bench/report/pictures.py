"""Pictures of a report: test images with what a model took them for, and its confusions at a glance."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

from bench.analysis.predicted import accuracy_by_class, by_group, most_confused
from bench.report.format import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from bench.analysis.predicted import Predicted

SHOWN = 20  # images of a kind
PAIRS = 12  # of classes that are confused
LARGEST = 64  # pixels of a picture's longer side; the page enlarges smaller ones, each pixel as a square
MATRIX = 200  # pixels of a confusion matrix: of more classes, several are taken together


@dataclass(frozen=True, kw_only=True, eq=False)
class TestedImages:
    """The images that predictions are about, and the names of their classes.

    Attributes:
        images: uint8 (n, height, width, channels), in the order of the predictions; None where they are not at hand.
        class_names: By label.
        group_names: Of groups of classes; empty without any.
        group_of: The group of each class; empty likewise.
    """

    images: NDArray[np.uint8] | None
    class_names: tuple[str, ...]
    group_names: tuple[str, ...] = ()
    group_of: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A test image with what a model took it for.

    Attributes:
        source: The image as a data URI; empty where it is not at hand.
        true: Name of its class.
        predicted: Name of the class that the model took it for.
        confidence: The model's, 0 to 1.
        is_right: Whether the model was right.
    """

    source: str
    true: str
    predicted: str
    confidence: float
    is_right: bool


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """What one trial saw in the test images.

    Attributes:
        right: Images that it labelled right.
        wrong: Images that it labelled wrong.
        mistakes: Those of them that it was surest of.
        classes: Accuracy by name of the class, the best first.
        groups: Likewise of groups of classes.
        confused: True class, predicted class, images: the most frequent confusions.
        matrix: The confusion matrix as a data URI: rows are true classes, columns predicted ones, both ordered by
            group; the darker, the more images of the row.
    """

    right: tuple[Picture, ...]
    wrong: tuple[Picture, ...]
    mistakes: tuple[Picture, ...]
    classes: tuple[tuple[str, float], ...]
    groups: tuple[tuple[str, float], ...]
    confused: tuple[tuple[str, str, int], ...]
    matrix: str


def gallery(predicted: Predicted, tested: TestedImages) -> Gallery:
    """Choose what is shown of a trial's predictions.

    Args:
        predicted: Its predictions.
        tested: What they are about.
    """
    names = unique(map(plain, tested.class_names))
    confusion = predicted.confusion(len(names))
    groups: tuple[tuple[str, float], ...] = ()
    if tested.group_of:
        summed = by_group(confusion, tested.group_of, len(tested.group_names))
        groups = _sorted(unique(map(plain, tested.group_names)), accuracy_by_class(summed))
    return Gallery(
        right=pictures(predicted, tested, predicted.right(SHOWN)),
        wrong=pictures(predicted, tested, predicted.wrong(SHOWN)),
        mistakes=pictures(predicted, tested, predicted.surest_mistakes(SHOWN)),
        classes=_sorted(names, accuracy_by_class(confusion)),
        groups=groups,
        confused=tuple((names[true], names[taken], count) for true, taken, count in most_confused(confusion, PAIRS)),
        matrix=_matrix(confusion, tested.group_of),
    )


def pictures(predicted: Predicted, tested: TestedImages, indices: Iterable[int]) -> tuple[Picture, ...]:
    """Show some of the test images with what was predicted for them."""
    names = unique(map(plain, tested.class_names))
    return tuple(
        Picture(
            source="" if tested.images is None else _photograph(tested.images[index]),
            true=names[predicted.label[index]],
            predicted=names[predicted.predicted[index]],
            confidence=float(predicted.confidence[index]),
            is_right=bool(predicted.is_right[index]),
        )
        for index in indices
    )


def _sorted(names: Iterable[str], shares: Sequence[float | None]) -> tuple[tuple[str, float], ...]:
    known = [(name, share) for name, share in zip(names, shares, strict=True) if share is not None]
    return tuple(sorted(known, key=lambda pair: -pair[1]))


def unique(names: Iterable[str]) -> tuple[str, ...]:
    """Names, those that are there already with their number behind."""
    found: dict[str, None] = {}
    for number, name in enumerate(names):
        found[f"{name} ({number})" if name in found else name] = None
    return tuple(found)


def _matrix(confusion: NDArray[np.int64], group_of: Sequence[int]) -> str:
    """Shares of each row as shades of blue on white; their square root, so that rare confusions are seen too."""
    order = np.argsort(group_of, kind="stable") if len(group_of) else np.arange(len(confusion))
    together = -(-len(confusion) // MATRIX)
    starts = np.arange(0, len(confusion), together)
    ordered = np.add.reduceat(np.add.reduceat(confusion[np.ix_(order, order)], starts, axis=0), starts, axis=1)
    shares = ordered / np.maximum(ordered.sum(axis=1, keepdims=True), 1)
    white, blue = np.array([255.0, 255.0, 255.0]), np.array([0.0, 60.0, 110.0])
    shades = white + np.sqrt(shares)[..., None] * (blue - white)
    return _uri(Image.fromarray(np.rint(shades).astype(np.uint8)), "PNG")


def _photograph(image: NDArray[np.uint8]) -> str:
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    if max(picture.size) <= LARGEST:
        return _uri(picture, "PNG")
    picture.thumbnail((LARGEST, LARGEST))
    return _uri(picture, "JPEG")


def _uri(picture: Image.Image, form: Literal["PNG", "JPEG"]) -> str:
    buffer = BytesIO()
    picture.save(buffer, form, optimize=True)
    return f"data:image/{form.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
