"""The input pipeline: uint8 images in memory, shuffled by index, augmented and normalised per batch.

The order of the images and what augmentation does to them are functions of (seed, epoch, step), so a trial that is
taken up after its seventh epoch sees in its eighth what it would have seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from bench.schedule import image_sizes
from bench.worker.augmentation import Augmentation
from bench.worker.stages import Stages

if TYPE_CHECKING:
    from bench.recipe import Recipe

PREFETCHED_BATCHES = 2
DISTRIBUTED_BATCHES = 4  # that several devices hold besides, in host and device buffers
TIMED_BATCHES = 20  # of each epoch
CHUNK = 4096  # images looked at together


class Pipeline:
    """Batches of one data set for one recipe.

    Args:
        recipe: Its normalisation and augmentation are applied.
        x_train: uint8 training images (n, height, width, channels).
        seed: The trial's, of order and augmentation.
        threads: Of tf.data's private pool; without one, tf.data uses threads beyond those that the cell was given.
        times_waiting: Whether to time how long the training waits for its batches. Several devices fetch theirs in the
            background, where waiting delays nobody.
    """

    def __init__(
        self, recipe: Recipe, x_train: np.ndarray, *, seed: int, threads: int, times_waiting: bool = True
    ) -> None:
        count, height, width, channels = x_train.shape
        with tf.device("CPU:0"):
            self._epoch = tf.Variable(0, dtype=tf.int64, trainable=False)
            self._waits_s = tf.Variable(tf.zeros(TIMED_BATCHES, tf.float64), trainable=False) if times_waiting else None
        self._count = count
        self._seed = seed
        self._threads = threads
        self.stages = Stages(x_train, image_sizes(recipe, height, width))
        mean, deviation = np.zeros(channels), np.full(channels, 255.0)
        colour = mean
        if recipe.normalization == "standard":
            mean, deviation = channel_statistics(x_train)
        if recipe.cutout_pixels:
            colour, _ = channel_statistics(x_train)
        self._augmentation = Augmentation(recipe, count=count, height=height, colour=colour, seed=seed)
        self._scale = tf.constant(1 / deviation, tf.float32)
        self._shift = tf.constant(-mean / deviation, tf.float32)

    @property
    def batches_ahead(self) -> int:
        """At most so many batches are in the making or wait while a step runs; several devices take some in advance."""
        return PREFETCHED_BATCHES + self._threads + (DISTRIBUTED_BATCHES if self._waits_s is None else 0)

    def training(self, labels: np.ndarray, *, batch_size: int) -> tf.data.Dataset:
        """Return the batches of one epoch: of whichever `begin_epoch` named last when the iteration begins."""
        count, seed = self._count, self._seed
        steps = -(-count // batch_size)
        y = _resident(labels)

        def epoch_batches(epoch: tf.Tensor) -> tf.data.Dataset:
            order = tf.random.experimental.stateless_shuffle(tf.range(count), seed=tf.stack([seed, epoch]))
            return tf.data.Dataset.from_tensor_slices(order).batch(batch_size).enumerate(epoch * steps)

        def fetch(step: tf.Tensor, indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            def batch(number: int) -> tf.Tensor:
                images = tf.gather(self.stages.images(number), indices)
                return self._normalize(self._augmentation.apply(images, indices, epoch=step // steps, step=step))

            return self.stages.choose(step, batch), tf.gather(y, indices)

        dataset = tf.data.Dataset.from_tensors(0).map(lambda _: self._epoch.read_value()).flat_map(epoch_batches)
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(steps))

        def batches(part: tf.data.Dataset) -> tf.data.Dataset:
            return self._finish(part.map(fetch, num_parallel_calls=self._threads, deterministic=True))

        if self._waits_s is None or steps <= TIMED_BATCHES:
            return self._time(batches(dataset))
        return self._time(batches(dataset.take(TIMED_BATCHES))).concatenate(batches(dataset.skip(TIMED_BATCHES)))

    def waited_s(self, steps: int) -> float | None:
        """How long the batches of the last epoch were waited for, in seconds; None if that is not timed.

        The first batches stand for the others, but for the very first, before which nothing was there.

        Args:
            steps: Of the epoch.
        """
        if self._waits_s is None:
            return None
        first, *others = self._waits_s.numpy()[:steps]
        return float(first + (steps - 1) * np.mean(others)) if others else float(first)

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

    def _time(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        """Stamp when a batch is asked for and when it is there, in the call of whoever asks.

        `zip` takes from its inputs in their order, and neither it nor a plain `map` works ahead. It costs 0.15 ms a
        batch, which is why only few are timed.
        """
        waits_s = self._waits_s
        if waits_s is None:
            return dataset
        asked = tf.data.Dataset.range(TIMED_BATCHES).map(lambda number: (number, tf.timestamp()))

        def arrived(
            asked: tuple[tf.Tensor, tf.Tensor], batch: tuple[tf.Tensor, tf.Tensor]
        ) -> tuple[tf.Tensor, tf.Tensor]:
            number, asked_s = asked
            wait_s = tf.timestamp() - asked_s
            with tf.control_dependencies([waits_s.scatter_update(tf.IndexedSlices(wait_s, number))]):
                return tf.identity(batch[0]), batch[1]

        return tf.data.Dataset.zip(asked, dataset).map(arrived).with_options(dataset.options())

    def _normalize(self, images: tf.Tensor) -> tf.Tensor:
        return tf.cast(images, tf.float32) * self._scale + self._shift

    def _finish(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        options = tf.data.Options()
        # One more than work at a time: a batch in the making must not delay the stamps of the waiting for it.
        options.threading.private_threadpool_size = self._threads + 1
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
