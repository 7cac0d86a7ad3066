"""What a device can attain at best, as it is asked for and answered: between `hardware` and the worker."""

from __future__ import annotations

from bench.config import Jit
from bench.recipe import Positive, Precision
from bench.records import Device, Record

METHOD = 1  # counts the ways in which peaks were measured; one that was measured in an earlier way is forgotten


class PeakRequest(Record, frozen=True):
    """What is asked of `python -P -m bench.worker.peak`.

    Attributes:
        device: Where to measure; at most one GPU.
        precision: The Keras dtype policy of the trials that the peak is for.
        jit: Whether what is timed is compiled by XLA.
        budget_s: Time to measure in, without starting TensorFlow.
        libraries: Paths of CUDA libraries to load before TensorFlow is imported, in this order.
    """

    device: Device
    precision: Precision
    jit: Jit
    budget_s: Positive
    libraries: tuple[str, ...] = ()


class Peak(Record, frozen=True):
    """What one device attains through TensorFlow at best: each figure is the best of several repetitions.

    Attributes:
        flops_per_s: FLOPs a second, 2 a multiply-add: the larger of the two below.
        flops_by: What attained it, such as `3×3 convolution, 256 channels, 16×16, batch 64, forward`.
        bandwidth_bytes_per_s: Memory traffic of a triad, a ← a - s·b, over arrays larger than the caches.
        dispatch_s: Median time of a training step of `fit` in which there is next to nothing to compute.
        precision: The Keras dtype policy.
        jit: Whether XLA compiled what was timed.
        threads: Of TensorFlow's intra-op pool.
        tensorflow: Version.
        measured_unix_s: When.
        cpu_share: CPU time that the process got while `flops_by` ran at its best, of what its threads could have got;
            well below 1 where other processes were busy, and the peak is then too low. None for a GPU.
        matmul_flops_per_s: Of square matrices; None if no product of matrices ran.
        convolution_flops_per_s: Of 3×3 convolutions, with their gradients or without; None if none ran.
    """

    flops_per_s: Positive
    flops_by: str
    bandwidth_bytes_per_s: Positive
    dispatch_s: Positive
    precision: Precision
    jit: Jit
    threads: int
    tensorflow: str
    measured_unix_s: float
    cpu_share: float | None = None
    matmul_flops_per_s: Positive | None = None
    convolution_flops_per_s: Positive | None = None
