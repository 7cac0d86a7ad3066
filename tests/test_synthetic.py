"""The drawn data set is the same everywhere and for ever, balanced, and not to be solved by colour alone."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.data.synthetic import CLASS_NAMES, COARSE_NAMES, COARSE_OF_FINE, COLOURS, generate


@pytest.mark.parametrize(
    ("split", "digest"),
    [
        ("train", "23a2522c27c2567ad8ce09e3a7a7ccbe74ae0c9d35196c1d1687b12acc87aa8f"),
        ("test", "090e6f2821e3ada9a66a9c37c57415b22050e562c8244760c5f36222e0ce61b8"),
    ],
)
def test_images_never_change(split, digest):
    """The first images of a split have the digest that they had when accuracies on them were first reported."""
    images, labels = generate(100, split=split)
    assert hashlib.sha256(images.tobytes() + labels.astype("<i4").tobytes()).hexdigest() == digest


def test_form():
    """Images are uint8 of 32x32x3 and use the whole range; labels are int32."""
    images, labels = generate(600, split="train")
    assert images.shape == (600, 32, 32, 3)
    assert images.dtype == np.uint8
    assert (images.min(), images.max()) == (0, 255)
    assert labels.shape == (600,)
    assert labels.dtype == np.int32


@settings(max_examples=10, deadline=None)
@given(count=st.integers(0, 1200))
def test_first_images_do_not_depend_on_the_count(count):
    """Fewer images are the first of more."""
    images, labels = generate(count, split="test")
    more_images, more_labels = generate(1200, split="test")
    assert np.array_equal(images, more_images[:count])
    assert np.array_equal(labels, more_labels[:count])


def test_classes_are_balanced():
    """Every 500 images show each class 5 times."""
    labels = generate(1500, split="train")[1]
    for start in range(0, 1500, 500):
        assert np.bincount(labels[start : start + 500], minlength=100).tolist() == [5] * 100


def test_no_image_comes_twice():
    """No two images are the same, within a split or across both."""
    images = np.concatenate([generate(2000, split=split)[0] for split in ("train", "test")])
    assert len({image.tobytes() for image in images}) == 4000


def test_names_and_groups():
    """There are 100 different names in 20 groups of 5, and each name ends in its group's."""
    assert len(set(CLASS_NAMES)) == 100
    assert len(set(COARSE_NAMES)) == 20
    assert np.bincount(COARSE_OF_FINE).tolist() == [5] * 20
    for name, group in zip(CLASS_NAMES, COARSE_OF_FINE, strict=True):
        assert name.split(" ", 1)[1] == COARSE_NAMES[group]


def test_mean_colour_tells_little():
    """The nearest class mean of the images' mean colours beats chance, and stays below one image in twenty."""
    (x_train, y_train), (x_test, y_test) = generate(5000, split="train"), generate(2000, split="test")
    colours = x_train.mean(axis=(1, 2))
    class_means = np.stack([colours[y_train == label].mean(axis=0) for label in range(100)])
    distance = ((x_test.mean(axis=(1, 2))[:, None] - class_means) ** 2).sum(axis=2)
    accuracy = (distance.argmin(axis=1) == y_test).mean()
    assert 0.01 < accuracy < 1 / (len(CLASS_NAMES) / len(COLOURS))
