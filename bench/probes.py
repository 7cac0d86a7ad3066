"""What the parent asks of a child that imports TensorFlow besides training, and what it answers."""

from __future__ import annotations

from typing import Literal

import msgspec

from bench.config import Jit
from bench.recipe import Positive, Precision
from bench.record import Record
from bench.records import Device


class ProbeRequest(Record, frozen=True):
    """What to look at.

    Attributes:
        libraries: Paths of CUDA libraries to load before TensorFlow is imported.
        operations: Whether to run operations on the first GPU that TensorFlow lists.
    """

    libraries: tuple[str, ...] = ()
    operations: bool = False


class ProbeAnswer(Record, frozen=True):
    """What TensorFlow said.

    Attributes:
        version: TensorFlow's.
        cuda_build: Whether this build can use NVIDIA GPUs at all.
        gpus: Names of the GPUs that it lists.
        failed_operation: The operation that failed; None if none did or none was run.
        problem: Why it failed.
        not_loaded: Libraries of the request that could not be loaded, and why.
    """

    version: str
    cuda_build: bool
    gpus: tuple[str, ...]
    failed_operation: Literal["convolution", "compiled"] | None = None
    problem: str | None = None
    not_loaded: dict[str, str] = msgspec.field(default_factory=dict)


class PeakRequest(Record, frozen=True):
    """What is asked of `python -P -m bench.worker.peak`.

    Attributes:
        device: Where to measure; at most one GPU.
        precision: The Keras dtype policy of the trials that the peak is for.
        jit: Whether what is timed is compiled by XLA.
        budget_s: Time to measure in, without starting TensorFlow.
        memory_bytes: Memory that the process could take.
        libraries: Paths of CUDA libraries to load before TensorFlow is imported, in this order.
    """

    device: Device
    precision: Precision
    jit: Jit
    budget_s: Positive
    memory_bytes: int
    libraries: tuple[str, ...] = ()
