"""The input pipeline: uint8 images in memory, shuffled by index, augmented and normalised per batch.

What augmentation does is a function of (seed, epoch, step), as the order is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from bench.schedule import image_sizes
from bench.worker.augmentation import Augmentation
from bench.worker.epochs import EpochPipeline, resident
from bench.worker.stages import Stages

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.recipe import Recipe

CHUNK = 4096  # images looked at together


class Pipeline(EpochPipeline):
    """Batches of one data set for one recipe.

    Args:
        recipe: Its normalisation and augmentation are applied.
        x_train: uint8 training images (n, height, width, channels).
        seed: The trial's, of order and augmentation.
        threads: See `EpochPipeline`.
        times_waiting: See `EpochPipeline`.
    """

    def __init__(
        self, recipe: Recipe, x_train: np.ndarray, *, seed: int, threads: int, times_waiting: bool = True
    ) -> None:
        count, height, width, channels = x_train.shape
        stages = Stages(x_train, image_sizes(recipe, height, width))
        super().__init__(count=count, seed=seed, threads=threads, stages=stages, times_waiting=times_waiting)
        colour = channel_statistics(x_train)[0] if recipe.cutout_pixels else np.zeros(channels)
        self._augmentation = Augmentation(recipe, count=count, height=height, colour=colour, seed=seed)
        self._normalize = normalizer(recipe, x_train)

    def evaluation(self, images: np.ndarray, labels: np.ndarray, *, batch_size: int) -> tf.data.Dataset:
        """Return the batches of a split, once, in its order."""
        x = resident(images)
        return self._in_order(lambda indices: self._normalize(tf.gather(x, indices)), labels, batch_size=batch_size)

    def _batch(self, indices: tf.Tensor, *, epoch: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        def batch(number: int) -> tf.Tensor:
            images = tf.gather(self.stages.images(number), indices)
            return self._normalize(self._augmentation.apply(images, indices, epoch=epoch, step=step))

        return self.stages.choose(step, batch)


def normalizer(recipe: Recipe, x_train: np.ndarray) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return what makes of uint8 images what a recipe's model gets, float32, for the graph.

    Args:
        recipe: Its normalisation.
        x_train: uint8 training images (n, height, width, channels), whose colours may be what counts.
    """
    channels = x_train.shape[-1]
    mean, deviation = np.zeros(channels), np.full(channels, 255.0)
    if recipe.normalization == "standard":
        mean, deviation = channel_statistics(x_train)
    scale, shift = tf.constant(1 / deviation, tf.float32), tf.constant(-mean / deviation, tf.float32)
    return lambda images: tf.cast(images, tf.float32) * scale + shift


def channel_statistics(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation per channel of uint8 images, exactly and without a wider copy of them.

    Args:
        images: uint8 (n, height, width, channels).

    Returns:
        Two float64 arrays (channels,); a deviation of zero is given as 1, so that one can divide by it.
    """
    levels = np.arange(256.0)
    means, deviations = [], []
    for channel in range(images.shape[-1]):
        # A few at a time: bincount turns each pixel into eight bytes.
        counts = sum(
            np.bincount(images[start : start + CHUNK, ..., channel].ravel(), minlength=256)
            for start in range(0, len(images), CHUNK)
        )
        share = counts / images[..., channel].size
        mean = share @ levels
        means.append(mean)
        deviations.append(np.sqrt(share @ (levels - mean) ** 2) or 1.0)
    return np.array(means), np.array(deviations)
