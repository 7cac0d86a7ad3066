"""TensorFlow as a cell asks for it: threads, precision, devices; and what it really got."""

from __future__ import annotations

import os
import platform
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Literal

import keras
import numpy as np
import psutil
import tensorflow as tf

from bench.errors import DeviceError
from bench.private import hide_home
from bench.records import Cell, Memory, Runtime
from bench.worker import preload

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from bench.recipe import Precision
    from bench.records import Device

PROBE_S = 0.4
# What a shell may hold that changes results or speed and is left as the user set it; it is recorded.
TELLING_VARIABLES = (
    "DNNL_MAX_CPU_ISA",
    "LD_PRELOAD",
    "NVIDIA_TF32_OVERRIDE",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
    "TF_CUDNN_DETERMINISTIC",
    "TF_DETERMINISTIC_OPS",
    "TF_GPU_ALLOCATOR",
    "XLA_FLAGS",
)


def configure(device: Device, precision: Precision, *, seed: int) -> None:
    """Set threads, devices, precision and seeds; must come before TensorFlow does anything.

    Raises:
        DeviceError: TensorFlow does not see the device's GPUs.
    """
    tf.config.threading.set_intra_op_parallelism_threads(device.threads)
    tf.config.threading.set_inter_op_parallelism_threads(device.threads)
    gpus = tf.config.list_physical_devices("GPU")
    if len(gpus) != len(device.gpu_uuids) or (device.kind == "gpu" and not gpus):
        raise DeviceError(
            f"TensorFlow sees {len(gpus)} of the {len(device.gpu_uuids)} GPUs of {device.label}; "
            "`python -m bench doctor` finds out why, worker.log says what TensorFlow could not load"
        )
    for gpu in gpus:
        # Without growth TensorFlow takes all memory at once, and "used" means nothing.
        tf.config.experimental.set_memory_growth(gpu, enable=True)
    if gpus:
        # An operation that has no GPU kernel must fail, not move to the CPU and be timed as the GPU's.
        tf.config.set_soft_device_placement(False)
    # What ~/.keras/keras.json says must not change what is measured.
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy(precision)
    keras.utils.set_random_seed(seed)


def training_devices(cell: Cell) -> tuple[str, ...]:
    """Return TensorFlow's names of the logical devices that the cell trains on."""
    kind = "GPU" if cell.device.kind == "gpu" else "CPU"
    return tuple(device.name for device in tf.config.list_logical_devices(kind))


def strategy_scope(devices: Sequence[str]) -> Callable[[], AbstractContextManager[object]]:
    """Return what makes the scope to build and compile in: several devices are trained on together, one needs none."""
    if len(devices) > 1:
        return tf.distribute.MirroredStrategy(devices).scope
    return nullcontext


def synchronize() -> None:
    """Wait until every device has done what was asked of it."""
    tf.test.experimental.sync_devices()


def describe(cell: Cell, devices: tuple[str, ...]) -> Runtime:
    """Return what TensorFlow really got; runs a convolution for a fraction of a second."""
    affinity = getattr(os, "sched_getaffinity", None)
    return Runtime(
        versions={
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "numpy": np.__version__,
        },
        intra_threads=tf.config.threading.get_intra_op_parallelism_threads(),
        inter_threads=tf.config.threading.get_inter_op_parallelism_threads(),
        cpus=tuple(sorted(affinity(0))) if affinity else (),
        threads_used=_threads_used() if cell.device.kind == "cpu" else None,
        devices=devices,
        tensor_float_32=_rounds_to_tf32(),
        environment={name: hide_home(os.environ[name]) for name in TELLING_VARIABLES if name in os.environ},
        preloaded=tuple(map(hide_home, preload.loaded())),
        not_preloaded={hide_home(path): hide_home(problem) for path, problem in preload.failed().items()},
        onednn=_uses_onednn(),
        xla=_compiled_by_xla(),
    )


def peak_memory(devices: Sequence[str]) -> Memory:
    """Return the worker's own peaks; a figure that cannot be read is None."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 -- no Path for a kernel file
            # VmHWM, not ru_maxrss: that one starts at the size of the parent at the fork.
            peak_kib = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        peak_kib = None
    return Memory(
        peak_rss_bytes=None if peak_kib is None else peak_kib * 1024,
        peak_gpu_bytes=max(filter(None, map(_peak_gpu_bytes, devices)), default=None),
    )


def _peak_gpu_bytes(device: str) -> int | None:
    """Return the allocator's peak; None for a CPU, and where the allocator keeps no count."""
    kind, number = device.rsplit(":", 2)[-2:]
    if kind != "GPU":  # a CPU's allocator may keep a count too, once something has been profiled
        return None
    try:
        return tf.config.experimental.get_memory_info(f"{kind}:{number}")["peak"]
    except (ValueError, tf.errors.OpError):
        return None


def _rounds_to_tf32() -> bool:
    """TF32 exists from compute capability 8.0 on; TensorFlow uses it for float32 unless it is switched off."""
    details = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]
    capable = any(detail.get("compute_capability", (0, 0)) >= (8, 0) for detail in details)
    allowed = os.environ.get("NVIDIA_TF32_OVERRIDE") != "0"
    return capable and allowed and tf.config.experimental.tensor_float_32_execution_enabled()


def _uses_onednn() -> bool | None:
    """Whether oneDNN's kernels are on: what the processor offers and `TF_ENABLE_ONEDNN_OPTS` come to."""
    try:
        from tensorflow.python.util import _pywrap_util_port  # noqa: PLC0415 -- not public, so it may be gone

        return bool(_pywrap_util_port.IsMklEnabled())  # oneDNN's former name
    except (ImportError, AttributeError):
        return None


def _compiled_by_xla() -> Literal["absent", "asked", "auto"]:
    """What XLA may compile; the flag for auto-clustering is kept from workers, but a model file can turn it on."""
    if not tf.test.is_built_with_xla():
        return "absent"
    return "auto" if tf.config.optimizer.get_jit() else "asked"


def _threads_used() -> int | None:
    """Count the threads that do the work of a convolution, by their own CPU time.

    oneDNN runs in TensorFlow's pool, whose size says what was asked for; CPU time per thread says what happened.
    """
    images = tf.random.stateless_normal((32, 32, 32, 64), seed=(0, 0))
    kernel = tf.random.stateless_normal((3, 3, 64, 64), seed=(0, 1))

    @tf.function(jit_compile=False)
    def convolve(x: tf.Tensor) -> tf.Tensor:
        return tf.nn.conv2d(x, kernel, 1, "SAME")

    convolve(images)
    process = psutil.Process()
    try:
        before = {thread.id: thread.user_time + thread.system_time for thread in process.threads()}
    except psutil.Error:  # macOS may refuse it
        return None
    end_s = time.monotonic() + PROBE_S
    while time.monotonic() < end_s:
        convolve(images)
    spent = [thread.user_time + thread.system_time - before.get(thread.id, 0.0) for thread in process.threads()]
    # The thread that only dispatches uses a few percent of what a working one uses.
    return sum(seconds > max(spent) / 5 for seconds in spent)
