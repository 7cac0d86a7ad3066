"""Epochs of training batches, shuffled by index, and how long they are waited for; whatever the batches hold.

The order is a function of (seed, epoch), so a trial that is taken up after its seventh epoch sees in its eighth what it
would have seen.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.worker.stages import Stages

PREFETCHED_BATCHES = 2
DISTRIBUTED_BATCHES = 4  # that several devices hold besides, in host and device buffers
TIMED_BATCHES = 20  # of each epoch


class EpochPipeline(ABC):
    """Batches of one training set, an epoch at a time.

    Args:
        count: What it holds.
        seed: The trial's, of the order.
        threads: Of tf.data's private pool; without one, tf.data uses threads beyond those that the cell was given.
        stages: The sizes that images have one after the other.
        times_waiting: Whether to time how long the training waits for its batches. Several devices fetch theirs in the
            background, where waiting delays nobody.
    """

    def __init__(self, *, count: int, seed: int, threads: int, stages: Stages, times_waiting: bool = True) -> None:
        with tf.device("CPU:0"):
            self._epoch = tf.Variable(0, dtype=tf.int64, trainable=False)
            self._waits_s = tf.Variable(tf.zeros(TIMED_BATCHES, tf.float64), trainable=False) if times_waiting else None
        self._count = count
        self._seed = seed
        self._threads = threads
        self.stages = stages

    @abstractmethod
    def _batch(self, indices: tf.Tensor, *, epoch: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """Return what the model trains on in a step, from 0 over all epochs, for the graph."""

    @property
    def batches_ahead(self) -> int:
        """At most so many batches are in the making or wait while a step runs; several devices take some in advance."""
        return PREFETCHED_BATCHES + self._threads + (DISTRIBUTED_BATCHES if self._waits_s is None else 0)

    def training(self, labels: np.ndarray, *, batch_size: int) -> tf.data.Dataset:
        """Return the batches of one epoch: of whichever `begin_epoch` named last when the iteration begins."""
        count, seed = self._count, self._seed
        steps = -(-count // batch_size)
        y = resident(labels)

        def epoch_batches(epoch: tf.Tensor) -> tf.data.Dataset:
            order = tf.random.experimental.stateless_shuffle(tf.range(count), seed=tf.stack([seed, epoch]))
            return tf.data.Dataset.from_tensor_slices(order).batch(batch_size).enumerate(epoch * steps)

        def fetch(step: tf.Tensor, indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return self._batch(indices, epoch=step // steps, step=step), tf.gather(y, indices)

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

    def _in_order(
        self, inputs: Callable[[tf.Tensor], tf.Tensor], labels: np.ndarray, *, batch_size: int
    ) -> tf.data.Dataset:
        """Return the batches of a split, once, in its order.

        Args:
            inputs: From the numbers of some of its images to what the model gets, for the graph.
            labels: int32 (n,), of the split.
            batch_size: Of all batches but the last.
        """
        y = resident(labels)
        dataset = tf.data.Dataset.range(len(labels)).batch(batch_size)
        return self._finish(
            dataset.map(
                lambda indices: (inputs(indices), tf.gather(y, indices)),
                num_parallel_calls=self._threads,
                deterministic=True,
            )
        )

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

    def _finish(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        options = tf.data.Options()
        # One more than work at a time: a batch in the making must not delay the stamps of the waiting for it.
        options.threading.private_threadpool_size = self._threads + 1
        options.threading.max_intra_op_parallelism = 1
        # Nothing is left to tune, and the tuner's thread keeps the end of a training waiting: up to 28 s were seen.
        options.autotune.enabled = False
        return dataset.prefetch(PREFETCHED_BATCHES).with_options(options)


def resident(array: np.ndarray) -> tf.Tensor:
    """Keep an array in host memory, whatever devices there are."""
    with tf.device("CPU:0"):
        return tf.constant(array)
