"""A fixed piece of work, timed before and after the training: if it takes another time, the machine has changed."""

from __future__ import annotations

import time

import tensorflow as tf

DURATION_S = 0.3
# Large enough to keep all threads or multiprocessors busy, small enough to be repeated dozens of times.
CPU_SIZE = 1024
GPU_SIZE = 2048  # 16 MiB each, less than any model's training takes


def measure_s(device: str) -> float:
    """Multiply two float32 matrices on a device again and again, for a fraction of a second.

    Args:
        device: TensorFlow's name of it.

    Returns:
        The shortest time of one product, in seconds: what disturbs the machine for a moment is not meant here.
    """
    size = GPU_SIZE if "GPU" in device else CPU_SIZE
    with tf.device(device):
        factor = tf.random.stateless_uniform((size, size), seed=(0, 0))
        product = tf.function(tf.matmul, jit_compile=False)
        _timed_s(product, factor)  # traces
        times_s: list[float] = []
        end_s = time.monotonic() + DURATION_S
        while time.monotonic() < end_s:
            times_s.append(_timed_s(product, factor))
    return min(times_s)


def _timed_s(product: tf.types.experimental.PolymorphicFunction, factor: tf.Tensor) -> float:
    start_s = time.monotonic()
    product(factor, factor)
    tf.test.experimental.sync_devices()
    return time.monotonic() - start_s
