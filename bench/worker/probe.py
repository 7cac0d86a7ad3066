"""Whether TensorFlow can compute on the GPU that this process sees: `python -m bench.worker.probe` prints one line.

A GPU that TensorFlow lists may still fail at its first operation (cuDNN too old, code for another architecture, no
compiler for XLA), so a convolution and a compiled operation are run. The line is JSON: `{"problem": null}` or
`{"problem": "why not"}`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import msgspec
import tensorflow as tf

if TYPE_CHECKING:
    from collections.abc import Callable


def find_problem() -> str | None:
    """Try the first GPU that TensorFlow lists; None if it works, else the reason in words."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        if not tf.test.is_built_with_cuda():
            return "TensorFlow lists no GPU: this build has no CUDA support"
        return "TensorFlow lists no GPU; the CUDA libraries that it needs come with the extra `hourglass-bench[gpu]`"
    tf.config.experimental.set_memory_growth(gpus[0], enable=True)
    return try_operations("/GPU:0")


def try_operations(device: str) -> str | None:
    """Run a convolution and a jit-compiled operation on a device.

    Args:
        device: TensorFlow's name of it, such as `/GPU:0`.

    Returns:
        None if both worked, else what failed and why.
    """
    tf.config.set_soft_device_placement(False)  # what cannot run on the device must fail, not move to the CPU
    return _try(device, "a convolution", _convolve) or _try(device, "a jit-compiled operation", _run_compiled)


def _try(device: str, what: str, compute: Callable[[], tf.Tensor]) -> str | None:
    """Every value must be 72, exact in every precision, so that wrong answers are found as well."""
    try:
        with tf.device(device):
            values = compute().numpy()
    except Exception as error:  # noqa: BLE001 -- whatever TensorFlow raises is the answer
        return f"{what} on {device} failed: {_first_line(error)}"
    return None if (values == 72).all() else f"{what} on {device} gave {values.flat[0]} instead of 72"


def _convolve() -> tf.Tensor:
    """Sums of 3 x 3 x 8 ones."""
    return tf.nn.conv2d(tf.ones((4, 16, 16, 8)), tf.ones((3, 3, 8, 16)), strides=1, padding="VALID")


def _run_compiled() -> tf.Tensor:
    """Sums of 71 ones, plus 1."""
    return tf.function(lambda x: tf.matmul(x, x, transpose_b=True) + 1.0, jit_compile=True)(tf.ones((16, 71)))


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


if __name__ == "__main__":
    sys.stdout.write(msgspec.json.encode({"problem": find_problem()}).decode() + "\n")
