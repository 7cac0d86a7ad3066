"""Stages of a training in which images are smaller: their pixels, and from which step on each stage is."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CHUNK_BYTES = 64_000_000  # of images that are made smaller together, as float32
NEVER = np.iinfo(np.int64).max


class Stages:
    """The training images in the size of each stage, in host memory.

    They are made smaller once, before any clock runs: at every step it would cost more than a tenth of a small model's.

    Args:
        images: uint8 (n, height, width, channels), whole.
        sizes: Height and width in each stage; the last is their own.
    """

    def __init__(self, images: np.ndarray, sizes: Sequence[tuple[int, int]]) -> None:
        self.sizes = tuple(sizes)
        with tf.device("CPU:0"):
            self._images = [tf.constant(_resized(images, size)) for size in sizes]
            self._starts = tf.Variable(np.full(len(sizes) - 1, NEVER), dtype=tf.int64, trainable=False)

    @classmethod
    def of_one_size(cls) -> Stages:
        """What never changes its size, such as features."""
        return cls(np.empty((0, 1, 1, 1), np.uint8), ((1, 1),))

    def begin_at(self, steps: Sequence[int | None]) -> None:
        """Say from which step on, counted over all epochs, each stage after the first is; None leaves it open."""
        self._starts.assign([NEVER if step is None else step for step in steps])

    def choose(self, step: tf.Tensor, batch: Callable[[int], tf.Tensor]) -> tf.Tensor:
        """Return the batch of the stage that a step is in, for the graph; its size is only known where it runs."""
        if len(self.sizes) == 1:
            return batch(0)
        number = tf.reduce_sum(tf.cast(step >= self._starts, tf.int32))
        return tf.switch_case(number, [partial(batch, stage) for stage in range(len(self.sizes))])

    def images(self, number: int) -> tf.Tensor:
        """All training images, uint8, in the size of a stage."""
        return self._images[number]


def _resized(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Make images smaller, bilinearly over all pixels that a new one covers."""
    if images.shape[1:3] == size:
        return images
    smaller = np.empty((len(images), *size, images.shape[-1]), np.uint8)
    rows, columns = (_shares(old, new) for old, new in zip(images.shape[1:3], size, strict=True))
    chunk = max(1, CHUNK_BYTES // (4 * int(np.prod(images.shape[1:]))))
    for start in range(0, len(images), chunk):
        # As two matrix products: tf.image.resize says the same on one core, in several times the time.
        part = tf.einsum("yh,nhwc,xw->nyxc", rows, tf.cast(images[start : start + chunk], tf.float32), columns)
        smaller[start : start + chunk] = tf.cast(tf.round(tf.clip_by_value(part, 0, 255)), tf.uint8).numpy()
    return smaller


def _shares(old: int, new: int) -> tf.Tensor:
    """How much of each old pixel is in each new one, along one axis: float32 (new, old)."""
    unit = tf.eye(old)[:, :, None]
    return tf.image.resize(unit, (new, old), antialias=True)[:, :, 0]
