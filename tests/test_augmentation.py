"""What augmentation does to training images, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest

from bench.recipe import Recipe

pytestmark = pytest.mark.tf

COUNT, HEIGHT, WIDTH = 64, 8, 10


@pytest.fixture(scope="module")
def images():
    """Images of which no two rows and no two columns are alike."""
    return np.random.default_rng(0).integers(0, 256, (COUNT, HEIGHT, WIDTH, 3), dtype=np.uint8)


def augmented(images, recipe, *, seed=1, epoch=0, step=0, indices=None, height=HEIGHT):
    """Return images as one step shows them."""
    import tensorflow as tf  # noqa: TID251 -- stands in for the worker

    from bench.worker.augmentation import Augmentation

    made = Augmentation(recipe, count=COUNT, height=height, colour=np.array([1.4, 2.6, 3.0]), seed=seed)
    numbers = np.arange(len(images)) if indices is None else indices
    shown = made.apply(
        tf.constant(images),
        tf.constant(numbers, tf.int32),
        epoch=tf.constant(epoch, tf.int64),
        step=tf.constant(step, tf.int64),
    )
    return shown.numpy()


def test_without_anything_asked_for_images_stay_as_they_are(images):
    """No augmentation is none."""
    np.testing.assert_array_equal(augmented(images, Recipe()), images)


def test_alternating_flips_show_both_sides_in_two_epochs(images):
    """About half are mirrored in the first epoch, the others in the next, the first ones again in the third."""
    recipe = Recipe(horizontal_flip="alternating")
    mirrored = []
    for epoch in range(3):
        shown = augmented(images, recipe, epoch=epoch, step=7 * epoch)
        mirrored.append((shown == images[:, :, ::-1]).all(axis=(1, 2, 3)))
        assert (mirrored[-1] ^ (shown == images).all(axis=(1, 2, 3))).all()
    np.testing.assert_array_equal(mirrored[0], ~mirrored[1])
    np.testing.assert_array_equal(mirrored[0], mirrored[2])
    assert COUNT / 4 < mirrored[0].sum() < 3 * COUNT / 4
    # It is the image that counts, not its place in the batch.
    order = np.random.default_rng(1).permutation(COUNT)
    np.testing.assert_array_equal(
        augmented(images[order], recipe, indices=order), augmented(images, recipe, step=3)[order]
    )


def test_shifts_are_whole_pixels_mirrored_at_the_edges(images):
    """Each image is one of the 5 × 5 shifts of itself by up to two pixels, and all of them occur over some steps."""
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect")
    seen = set()
    for step in range(8):
        shown = augmented(images, Recipe(shift_pixels=2), step=step)
        for number in range(COUNT):
            places = [
                (down, right)
                for down in range(5)
                for right in range(5)
                if (shown[number] == padded[number, down : down + HEIGHT, right : right + WIDTH]).all()
            ]
            assert len(places) == 1
            seen.update(places)
    assert len(seen) == 25


def test_a_cutout_covers_a_square_in_the_mean_colour(images):
    """What is covered is a square of the asked side, cut by the edges; everything else stays."""
    shown = augmented(images, Recipe(cutout_pixels=4))
    covered = (shown == [1, 3, 3]).all(axis=-1)
    np.testing.assert_array_equal(shown[~covered], images[~covered])
    for mask in covered:
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        assert mask.sum() == len(rows) * len(columns)
        assert 2 <= len(rows) <= 4
        assert 2 <= len(columns) <= 4
    assert (covered.sum(axis=(1, 2)) == 16).any()


def test_shifts_and_cutouts_shrink_with_the_images(images):
    """In a stage of images a quarter as high, four pixels are one, and one stays one."""
    small = images[:, :8, :8]
    shown = augmented(small, Recipe(cutout_pixels=8), height=32)
    covered = (shown == [1, 3, 3]).all(axis=-1).sum(axis=(1, 2))
    assert covered.max() == 4
    padded = np.pad(small, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    shown = augmented(small, Recipe(shift_pixels=1), height=32)
    for number in range(COUNT):
        assert any(
            (shown[number] == padded[number, down : down + 8, right : right + 8]).all()
            for down in range(3)
            for right in range(3)
        )


def test_a_rotation_turns_about_the_centre(images):
    """A quarter turn of a square image is NumPy's; small turns leave the middle nearly where it was."""
    import tensorflow as tf  # noqa: TID251 -- stands in for the worker

    from bench.worker.augmentation import _turn

    square = images[:, :, :8]
    quarter = _turn(tf.constant(square), tf.fill((COUNT,), np.float32(np.pi / 2))).numpy()
    expected = np.rot90(square, axes=(1, 2)).astype(np.float32)
    np.testing.assert_allclose(quarter, expected, atol=0.01)
    smooth = np.tile(np.arange(0, 160, 10, dtype=np.uint8)[:, None, None], (1, 16, 3))[None].repeat(COUNT, axis=0)
    shown = augmented(smooth, Recipe(rotation_degrees=10), height=16)
    assert shown.dtype == np.float32
    assert np.abs(shown[:, 7:9, 7:9].mean(axis=(1, 2, 3)) - 75).max() < 0.5
    slopes = shown[:, 7, 12, 0] - shown[:, 7, 3, 0]  # nine pixels apart, 10 a pixel: 90 sin(angle)
    assert np.abs(slopes).max() <= 90 * np.sin(np.radians(10)) + 0.5
    assert slopes.min() < -5 < 5 < slopes.max()


def test_all_of_it_is_a_function_of_seed_and_step(images):
    """The same seed and step show the same images, another of either others; labels' order is not touched."""
    recipe = Recipe(horizontal_flip=True, shift_pixels=2, rotation_degrees=15, cutout_pixels=3)
    first = augmented(images, recipe, step=5)
    np.testing.assert_array_equal(first, augmented(images, recipe, step=5))
    assert (first != augmented(images, recipe, step=6)).any()
    assert (first != augmented(images, recipe, step=5, seed=2)).any()
    assert first.shape == images.shape
    assert (first >= 0).all()
    assert (first <= 255).all()
