"""Augmentation of training images: flips, shifts, cutout and rotation, as functions of (seed, step).

Flips, shifts and cutout are one map of addresses: for each pixel of the new image, which pixel of the old batch stands
there. So all three together cost one gather. Keras's own layers take many times as long on a CPU.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import tensorflow as tf

if TYPE_CHECKING:
    import numpy as np

    from bench.recipe import Recipe

DRAWS = 6  # numbers that an image needs: flip, shift down and right, place of the cutout, angle


class Flips:
    """Which training images a step mirrors.

    Args:
        flip: The recipe's `horizontal_flip`.
        count: Training images.
        seed: The trial's.
    """

    def __init__(self, flip: bool | Literal["alternating"], *, count: int, seed: int) -> None:
        self._flip = flip
        with tf.device("CPU:0"):
            # Which images the first epoch mirrors, if the next one is to mirror the others.
            self._mirrored_first = tf.random.stateless_uniform((count,), seed=(seed, -1)) < 0.5

    def mirrored(self, draws: tf.Tensor, indices: tf.Tensor, *, epoch: tf.Tensor) -> tf.Tensor:
        """Return for each image of a batch whether it is mirrored.

        Args:
            draws: float32 (n,), from 0 to 1, of this step.
            indices: int (n,), the images' numbers among all training images.
            epoch: From 0.

        Returns:
            bool (n,).
        """
        if not self._flip:
            return tf.zeros_like(draws, tf.bool)
        if self._flip == "alternating":
            return tf.not_equal(tf.gather(self._mirrored_first, indices), epoch % 2 == 1)
        return draws < 0.5


class Augmentation:
    """What a recipe does to training images.

    Args:
        recipe: The recipe.
        count: Training images.
        height: Of a whole image, in pixels; where they are smaller, shifts and cutouts shrink with them.
        colour: (channels,), what a cutout is filled with, 0 to 255.
        seed: The trial's.
    """

    def __init__(self, recipe: Recipe, *, count: int, height: int, colour: np.ndarray, seed: int) -> None:
        self._flip = recipe.horizontal_flip
        self._flips = Flips(recipe.horizontal_flip, count=count, seed=seed)
        self._shift_pixels = recipe.shift_pixels
        self._cutout_pixels = recipe.cutout_pixels
        self._most_radians = math.radians(recipe.rotation_degrees)
        self._height = height
        self._seed = seed
        with tf.device("CPU:0"):
            self._colour = tf.constant(colour.round(), tf.uint8)

    def apply(self, images: tf.Tensor, indices: tf.Tensor, *, epoch: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """Return a batch of training images as this step shows them.

        Args:
            images: uint8 (n, height, width, channels), of known height and width.
            indices: int (n,), the images' numbers among all training images.
            epoch: From 0.
            step: From 0, counted over all epochs.

        Returns:
            The same shape, uint8; float32 of the same scale if they were turned.
        """
        draws = tf.random.stateless_uniform((tf.size(indices), DRAWS), seed=tf.stack([self._seed, step]))
        if self._flip or self._shift_pixels or self._cutout_pixels:
            images = self._move(images, self._flips.mirrored(draws[:, 0], indices, epoch=epoch), draws)
        if self._most_radians:
            images = _turn(images, (2 * draws[:, 5] - 1) * self._most_radians)
        return images

    def _move(self, images: tf.Tensor, mirrored: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        _, height, width, channels = images.shape
        count = tf.shape(images)[0]
        rows, columns = tf.range(height)[tf.newaxis], tf.range(width)[tf.newaxis]
        from_rows = tf.repeat(rows, count, axis=0)
        from_columns = tf.where(mirrored[:, tf.newaxis], width - 1 - columns, columns)
        if shift := self._scaled(self._shift_pixels, height):
            # An image that is made very small has no more to shift than its size.
            down, right = min(shift, height - 1), min(shift, width - 1)
            from_rows = _reflect(from_rows + _whole(draws[:, 1:2], -down, down), height)
            from_columns = _reflect(from_columns + _whole(draws[:, 2:3], -right, right), width)
        image_starts = tf.range(count)[:, tf.newaxis, tf.newaxis] * (height * width)
        addresses = image_starts + from_rows[:, :, tf.newaxis] * width + from_columns[:, tf.newaxis, :]
        pixels = tf.reshape(images, (-1, channels))
        if side := self._scaled(self._cutout_pixels, height):
            top = _whole(draws[:, 3:4], 0, height - 1) - side // 2
            left = _whole(draws[:, 4:5], 0, width - 1) - side // 2
            in_rows = (rows >= top) & (rows < top + side)
            in_columns = (columns >= left) & (columns < left + side)
            covered = in_rows[:, :, tf.newaxis] & in_columns[:, tf.newaxis, :]
            addresses = tf.where(covered, count * height * width, addresses)
            pixels = tf.concat([pixels, self._colour[tf.newaxis]], axis=0)
        return tf.gather(pixels, addresses)

    def _scaled(self, pixels: int, height: int) -> int:
        """As many pixels of an image of this height; not none where there are some of a whole one."""
        return max(1, round(pixels * height / self._height)) if pixels else 0


def _whole(draws: tf.Tensor, lowest: int, highest: int) -> tf.Tensor:
    """Whole numbers from lowest to highest, as likely each, from numbers between 0 and 1."""
    return lowest + tf.cast(draws * (highest - lowest + 1), tf.int32)


def _reflect(positions: tf.Tensor, size: int) -> tf.Tensor:
    """Mirror positions that are off by less than the size at the first and the last pixel, which are not repeated."""
    return (size - 1) - tf.abs((size - 1) - tf.abs(positions))


def _turn(images: tf.Tensor, radians: tf.Tensor) -> tf.Tensor:
    """Turn each image about its centre, bilinearly; what is beyond its edges is its mirror image."""
    _, height, width, _ = images.shape
    cosine, sine, zero = tf.cos(radians), tf.sin(radians), tf.zeros_like(radians)
    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
    # Where each pixel of the new image comes from: x' = cos x - sin y + dx, y' = sin x + cos y + dy.
    dx = middle_x - cosine * middle_x + sine * middle_y
    dy = middle_y - sine * middle_x - cosine * middle_y
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(images, tf.float32),
        transforms=tf.stack([cosine, -sine, dx, sine, cosine, dy, zero, zero], axis=1),
        output_shape=(height, width),
        interpolation="BILINEAR",
        fill_mode="REFLECT",
        fill_value=0.0,
    )
