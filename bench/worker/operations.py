"""Operations that show whether TensorFlow can compute on a device that it lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import tensorflow as tf

if TYPE_CHECKING:
    from collections.abc import Callable

Operation = Literal["convolution", "compiled"]

_NAMES: dict[Operation, str] = {"convolution": "a convolution", "compiled": "a jit-compiled operation"}


def try_operations(device: str) -> tuple[Operation, str] | None:
    """Run a convolution and a jit-compiled operation on a device.

    Args:
        device: TensorFlow's name of it, such as `/GPU:0`.

    Returns:
        None if both worked, else which one failed and why.
    """
    tf.config.set_soft_device_placement(False)  # what cannot run on the device must fail, not move to the CPU
    return _try(device, "convolution", _convolve) or _try(device, "compiled", _run_compiled)


def _try(device: str, operation: Operation, compute: Callable[[], tf.Tensor]) -> tuple[Operation, str] | None:
    """Every value must be 72, exact in every precision, so that wrong answers are found as well."""
    try:
        with tf.device(device):
            values = compute().numpy()
    except Exception as error:  # noqa: BLE001 -- whatever TensorFlow raises is the answer
        return operation, f"{_NAMES[operation]} on {device} failed: {_first_line(error)}"
    if (values == 72).all():
        return None
    return operation, f"{_NAMES[operation]} on {device} gave {values.flat[0]} instead of 72"


def _convolve() -> tf.Tensor:
    """Sums of 3 x 3 x 8 ones."""
    return tf.nn.conv2d(tf.ones((4, 16, 16, 8)), tf.ones((3, 3, 8, 16)), strides=1, padding="VALID")


def _run_compiled() -> tf.Tensor:
    """Sums of 71 ones, plus 1."""
    return tf.function(lambda x: tf.matmul(x, x, transpose_b=True) + 1.0, jit_compile=True)(tf.ones((16, 71)))


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
