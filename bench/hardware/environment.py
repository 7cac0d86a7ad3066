"""What a worker process finds in its environment, so that it runs on the device that was asked for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import bench

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from bench.config import Onednn
    from bench.records import Device

ONEDNN_SWITCH = "TF_ENABLE_ONEDNN_OPTS"  # the axis `onednn` sets it in trials; elsewhere it is the user's
_SWITCHES: dict[Onednn, str] = {"on": "1", "off": "0"}

# What the user's shell may hold and what would quietly change what a cell of the matrix says of itself.
_OVERRIDES = frozenset(
    {
        # Thread counts and pinning are the device's.
        "TF_NUM_INTRAOP_THREADS",
        "TF_NUM_INTEROP_THREADS",
        "OMP_NUM_THREADS",
        "OMP_PLACES",
        "OMP_PROC_BIND",
        "GOMP_CPU_AFFINITY",
        "KMP_AFFINITY",
        "MKL_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        # Compiling everything (--tf_xla_auto_jit) is the axis `jit`. XLA_FLAGS stays: it decides how code is compiled
        # and not whether, and may name the CUDA folder without which XLA cannot compile for a GPU at all.
        "TF_XLA_FLAGS",
        # Its value beats set_memory_growth, without which GPU memory in use means nothing.
        "TF_FORCE_GPU_ALLOW_GROWTH",
    }
)


def tensorflow_environment() -> dict[str, str]:
    """The environment of a process that imports TensorFlow on whatever this process may use.

    `bench`'s parent comes first on the path, so that `python -P -m bench.worker` finds this `bench` whatever the
    current folder holds. Keras runs on TensorFlow. GPUs are numbered by PCI bus, as NVML does. Variables that would
    override threads, compilation or memory growth are dropped.
    """
    environment = {name: value for name, value in os.environ.items() if name not in _OVERRIDES}
    inherited = environment.get("PYTHONPATH", "").split(os.pathsep)
    parent = str(Path(bench.__file__).resolve().parent.parent)
    environment["PYTHONPATH"] = os.pathsep.join([parent, *filter(None, inherited)])
    environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    environment["KERAS_BACKEND"] = "tensorflow"
    return environment


def child_environment(device: Device, *, onednn: Onednn = "on") -> dict[str, str]:
    """The environment of a process that works on a device: it sees the device's GPUs and no other, a CPU's none.

    Args:
        device: Where the process is to work.
        onednn: Whether TensorFlow is to compute with oneDNN's kernels on the CPU, also on processors for which it would
            not choose them by itself; a build without them computes with its own. Defaults to `"on"`.
    """
    visible = "-1" if device.kind == "cpu" else ",".join(device.gpu_uuids)
    return {**tensorflow_environment(), "CUDA_VISIBLE_DEVICES": visible, ONEDNN_SWITCH: _SWITCHES[onednn]}


def overruled_onednn(asked: Collection[Onednn], environ: Mapping[str, str] = os.environ) -> str | None:
    """What is said of a `TF_ENABLE_ONEDNN_OPTS` of the user's that asks for something else than the cells do.

    Args:
        asked: What cells ask for.
        environ: The user's environment. Defaults to this process's.

    Returns:
        One line; None if the variable is not set, or says what all cells say.
    """
    value = environ.get(ONEDNN_SWITCH)
    if value is None or {value} == {_SWITCHES[onednn] for onednn in asked}:
        return None
    return (
        f"{ONEDNN_SWITCH}={value} does not count here: trials run with oneDNN {' and '.join(asked)}, "
        "as --onednn says or leaves it"
    )
