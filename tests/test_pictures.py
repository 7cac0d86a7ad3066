"""Pictures: which test images are shown, and what is said of classes."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from bench.analysis.predicted import Predicted, accuracy_by_class, by_group, most_confused, read_predicted
from bench.report.pictures import LARGEST, TestedImages, gallery, pictures

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("maple", "oak", "camel", "forest")
GROUPS = ("trees", "others")
GROUP_OF = (0, 0, 1, 1)


def predicted() -> Predicted:
    """Eight images of four classes, five of them labelled right."""
    return Predicted(
        label=np.array([0, 0, 1, 1, 2, 2, 3, 3], np.int32),
        predicted=np.array([0, 1, 1, 0, 2, 2, 1, 3], np.int32),
        confidence=np.array([0.9, 0.8, 0.7, 0.95, 0.6, 0.5, 0.99, 0.4], np.float32),
    )


def images(count: int = 8, *, size: int = 32, channels: int = 3) -> np.ndarray:
    """Images that differ, the first ones darker."""
    shades = np.linspace(0, 255, count).astype(np.uint8)
    return np.broadcast_to(shades[:, None, None, None], (count, size, size, channels)).copy()


def decoded(source: str) -> Image.Image:
    """The picture of a data URI."""
    return Image.open(io.BytesIO(base64.b64decode(source.partition(";base64,")[2])))


def test_right_wrong_and_the_surest_mistakes_are_chosen() -> None:
    """The first right ones, the first wrong ones, and wrong ones by falling confidence."""
    seen = predicted()
    assert seen.right(3).tolist() == [0, 2, 4]
    assert seen.wrong(9).tolist() == [1, 3, 6]
    assert seen.surest_mistakes(2).tolist() == [6, 3]


def test_what_one_gets_right_and_the_other_wrong() -> None:
    """Only images on which the two differ; predictions for other images are refused."""
    one = predicted()
    other = Predicted(label=one.label, predicted=one.label[::-1].copy(), confidence=one.confidence)
    assert one.better_than(other, 10).tolist() == [0, 2, 4, 5, 7]
    assert other.better_than(one, 10).tolist() == []
    with pytest.raises(ValueError, match="other images"):
        one.better_than(Predicted(label=one.label[1:], predicted=one.label[1:], confidence=one.confidence[1:]), 1)


def test_the_confusion_matrix_counts_every_image() -> None:
    """Rows are true classes; groups add up; a class without images has no accuracy."""
    confusion = predicted().confusion(5)
    assert confusion.sum() == 8
    assert confusion[0].tolist() == [1, 1, 0, 0, 0]
    assert confusion[3].tolist() == [0, 1, 0, 1, 0]
    assert accuracy_by_class(confusion) == [0.5, 0.5, 1.0, 0.5, None]
    grouped = by_group(confusion[:4, :4], GROUP_OF, 2)
    assert grouped.tolist() == [[4, 0], [1, 3]]
    assert most_confused(confusion, 2) == [(0, 1, 1), (1, 0, 1)]
    assert most_confused(np.diag([3, 4]), 5) == []


def test_a_gallery_names_classes_and_sorts_them() -> None:
    """Classes and groups come best first, pictures with their names."""
    found = gallery(
        predicted(), TestedImages(images=images(), class_names=NAMES, group_names=GROUPS, group_of=GROUP_OF)
    )
    assert found.classes[0] == ("camel", 1.0)
    assert found.groups == (("trees", 1.0), ("others", 0.75))
    assert [picture.true for picture in found.right] == ["maple", "oak", "camel", "camel", "forest"]
    first = found.mistakes[0]
    assert (first.true, first.predicted, first.is_right) == ("forest", "oak", False)
    assert first.confidence == pytest.approx(0.99)
    assert decoded(first.source).getpixel((0, 0)) == (218, 218, 218)  # the seventh image
    assert decoded(found.matrix).size == (4, 4)


def test_the_matrix_is_ordered_by_group() -> None:
    """Classes of a group are neighbours, whatever their numbers; the diagonal of a perfect model is dark."""
    label = np.arange(4, dtype=np.int32)
    seen = Predicted(label=label, predicted=np.array([0, 0, 2, 3], np.int32), confidence=np.ones(4, np.float32))
    found = gallery(seen, TestedImages(images=None, class_names=NAMES, group_names=GROUPS, group_of=(1, 0, 0, 1)))
    matrix = np.asarray(decoded(found.matrix))
    order = [1, 2, 0, 3]
    for row, column in np.ndindex(4, 4):
        is_dark = matrix[row, column].tolist() == [0, 60, 110]
        assert is_dark == (seen.predicted[order[row]] == order[column])


def test_without_images_there_are_names() -> None:
    """A report far from the data set still tells classes and confusions."""
    found = gallery(predicted(), TestedImages(images=None, class_names=NAMES))
    assert found.right[0].source == ""
    assert found.groups == ()
    assert found.confused[0] == ("maple", "oak", 1)


def test_a_thousand_classes_keep_their_diagonal() -> None:
    """Of more classes than the matrix has pixels, neighbours are summed before shades are taken."""
    label = np.arange(1000, dtype=np.int32)
    seen = Predicted(label=label, predicted=label, confidence=np.ones(1000, np.float32))
    found = gallery(seen, TestedImages(images=None, class_names=tuple(map(str, range(1000)))))
    matrix = np.asarray(decoded(found.matrix))
    assert matrix.shape == (200, 200, 3)
    assert np.array_equal(np.diagonal(matrix).T, np.tile([0, 60, 110], (200, 1)))
    assert (matrix.sum(axis=-1) < 765).sum() == 200


def test_classes_of_one_name_are_told_apart() -> None:
    """What is right follows from labels, and names that are there twice have a number."""
    found = gallery(predicted(), TestedImages(images=None, class_names=("cat", "cat", "c", "d")))
    assert not any(picture.is_right for picture in found.wrong)
    assert {name for name, _ in found.classes} == {"cat", "cat (1)", "c", "d"}


@pytest.mark.parametrize(("size", "channels", "mode"), [(28, 1, "L"), (32, 3, "RGB"), (224, 3, "RGB")])
def test_pictures_keep_their_size_up_to_a_limit(size: int, channels: int, mode: str) -> None:
    """Small images stay as they are, large ones become smaller; grey ones stay grey."""
    tested = TestedImages(images=images(size=size, channels=channels), class_names=NAMES)
    picture = decoded(pictures(predicted(), tested, [0])[0].source)
    assert picture.size == (min(size, LARGEST),) * 2
    assert picture.mode == mode


def test_a_class_may_be_called_anything() -> None:
    """Commands to a terminal are taken out of a class's name."""
    hostile = ("\x1b[31mred", "<b>", "c", "d")
    found = gallery(predicted(), TestedImages(images=None, class_names=hostile))
    assert "\x1b" not in found.right[0].true


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04garbage", b"\x93NUMPY", None])
def test_predictions_that_cannot_be_read_are_none(tmp_path: Path, content: bytes | None) -> None:
    """A file that a kill cut short costs the pictures and nothing else."""
    path = tmp_path / "predictions.npz"
    if content is not None:
        path.write_bytes(content)
    assert read_predicted(path) is None


def test_a_damaged_file_is_none_wherever_it_is_damaged(tmp_path: Path) -> None:
    """Whichever byte was changed, reading ends in predictions or in none, never in an error."""
    path = tmp_path / "predictions.npz"
    zeros = np.zeros(50, int)
    np.savez_compressed(path, label=zeros, predicted=zeros, confidence=np.linspace(0, 1, 50))
    content = path.read_bytes()
    found = []
    for at in range(0, len(content), 3):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :])
        found.append(read_predicted(path))
    assert None in found


def test_predictions_that_make_no_sense_are_none(tmp_path: Path) -> None:
    """Arrays of other lengths, without images, below zero or of objects are refused."""
    good = {"label": np.zeros(3, int), "predicted": np.zeros(3, int), "confidence": np.zeros(3)}
    path = tmp_path / "predictions.npz"
    np.savez(path, **good)
    assert read_predicted(path) is not None
    for change in (
        {"label": np.zeros(2, int)},
        {"label": np.full(3, -1)},
        {"label": np.array([{}, {}, {}], object)},
        {"label": np.array(["a", "b", "c"])},
        {"confidence": np.zeros(3, int)},
        {name: values[:0] for name, values in good.items()},
    ):
        np.savez(path, **good | change)
        assert read_predicted(path) is None
