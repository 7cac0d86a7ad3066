"""Asks a worker what models look like: building one needs TensorFlow, which this process does not import."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec

from bench.catalog import Build, ModelDescription
from bench.errors import ModelError
from bench.hardware.environment import child_environment
from bench.records import Device

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.recipe import Precision

TIMEOUT_S = 300


def describe_models(
    builds: Sequence[Build],
    *,
    input_shape: tuple[int, int, int],
    num_classes: int,
    precision: Precision = "float32",
) -> tuple[ModelDescription, ...]:
    """Build models in a process of their own and describe them.

    Args:
        builds: The model files, and how each is built.
        input_shape: Height, width, channels of an image.
        num_classes: Classes to tell apart.
        precision: The Keras dtype policy that they are built under. Defaults to `"float32"`.

    Returns:
        One description a model; one that cannot be built has a `problem`.

    Raises:
        ModelError: The process itself failed.
    """
    request = msgspec.json.encode((tuple(builds), input_shape, num_classes, precision)).decode()
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "bench.worker.describe", request],
            env=child_environment(Device(kind="cpu", threads=1)),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ModelError(f"building the models took more than {TIMEOUT_S} s; try them one by one") from None
    try:
        # A model file may print; what counts is the last line.
        return msgspec.json.decode(done.stdout.strip().rpartition(b"\n")[2], type=tuple[ModelDescription, ...])
    except msgspec.DecodeError:
        said = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise ModelError(f"building the models ended with exit code {done.returncode}: {said}") from None
