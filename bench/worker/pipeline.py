"""The input pipeline: uint8 images in memory, shuffled by index, normalised per batch.

The order of the images and their flips are functions of (seed, epoch, step), so a trial that is taken up after its
seventh epoch sees in its eighth what it would have seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from bench.recipe import Recipe

PREFETCHED_BATCHES = 2
CHUNK = 4096  # images looked at together


class Pipeline:
    """Batches of one data set for one recipe.

    Args:
        recipe: Its normalisation and augmentation are applied.
        x_train: uint8 training images (n, height, width, channels), from which a `standard` normalisation is taken.
        threads: Of tf.data's private pool; without one, tf.data uses threads beyond those that the cell was given.
    """

    def __init__(self, recipe: Recipe, x_train: np.ndarray, *, threads: int) -> None:
        self._flip = recipe.horizontal_flip
        with tf.device("CPU:0"):
            self._epoch = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._threads = threads
        channels = x_train.shape[-1]
        if recipe.normalization == "standard":
            mean, deviation = channel_statistics(x_train)
        else:
            mean, deviation = np.zeros(channels), np.full(channels, 255.0)
        self._scale = tf.constant(1 / deviation, tf.float32)
        self._shift = tf.constant(-mean / deviation, tf.float32)

    def training(self, images: np.ndarray, labels: np.ndarray, *, batch_size: int, seed: int) -> tf.data.Dataset:
        """Return the batches of one epoch: of whichever `begin_epoch` named last when the iteration begins."""
        count = len(images)
        steps = -(-count // batch_size)
        x, y = _resident(images), _resident(labels)

        def epoch_batches(epoch: tf.Tensor) -> tf.data.Dataset:
            order = tf.random.experimental.stateless_shuffle(tf.range(count), seed=tf.stack([seed, epoch]))
            return tf.data.Dataset.from_tensor_slices(order).batch(batch_size).enumerate(epoch * steps)

        def fetch(step: tf.Tensor, indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            batch = tf.gather(x, indices)
            if self._flip:
                mirrored = tf.random.stateless_uniform((tf.size(indices), 1, 1, 1), seed=tf.stack([seed, step])) < 0.5
                batch = tf.where(mirrored, tf.reverse(batch, axis=[2]), batch)
            return self._normalize(batch), tf.gather(y, indices)

        dataset = tf.data.Dataset.from_tensors(0).map(lambda _: self._epoch.read_value()).flat_map(epoch_batches)
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(steps))
        return self._finish(dataset.map(fetch, num_parallel_calls=self._threads, deterministic=True))

    def begin_epoch(self, epoch: int) -> None:
        """Let the next iteration over the training batches be that of this epoch, counted from 0."""
        self._epoch.assign(epoch)

    def evaluation(self, images: np.ndarray, labels: np.ndarray, *, batch_size: int) -> tf.data.Dataset:
        """Return the batches of a split, once, in its order."""
        x, y = _resident(images), _resident(labels)

        def fetch(indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return self._normalize(tf.gather(x, indices)), tf.gather(y, indices)

        dataset = tf.data.Dataset.range(len(images)).batch(batch_size)
        return self._finish(dataset.map(fetch, num_parallel_calls=self._threads, deterministic=True))

    def _normalize(self, images: tf.Tensor) -> tf.Tensor:
        return tf.cast(images, tf.float32) * self._scale + self._shift

    def _finish(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        options = tf.data.Options()
        options.threading.private_threadpool_size = self._threads
        options.threading.max_intra_op_parallelism = 1
        # Nothing is left to tune, and the tuner's thread keeps the end of a training waiting: up to 28 s were seen.
        options.autotune.enabled = False
        return dataset.prefetch(PREFETCHED_BATCHES).with_options(options)


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


def _resident(array: np.ndarray) -> tf.Tensor:
    """Keep an array in host memory, whatever devices there are."""
    with tf.device("CPU:0"):
        return tf.constant(array)
