"""What a device can attain at best: what the trials of a run are held against."""

from __future__ import annotations

from bench.config import Jit
from bench.recipe import Positive, Precision
from bench.record import Record

UNDISTURBED = 0.9  # of the CPU time that the threads could have got; a peak below it is too low
METHOD = 1  # counts the ways in which peaks were measured; one that was measured in an earlier way is forgotten


class Peak(Record, frozen=True):
    """What one device attains through TensorFlow at best: each figure is the best of several repetitions.

    Attributes:
        flops_per_s: FLOPs a second, 2 a multiply-add: the larger of the two below.
        flops_by: What attained it, such as `3×3 convolution, 256 channels, 16×16, batch 64, forward`.
        bandwidth_bytes_per_s: Memory traffic of a triad, a ← a - s·b, over arrays larger than the caches; None where
            there was no memory for them.
        dispatch_s: Median time of a training step of `fit` in which there is next to nothing to compute.
        operation_s: What each operation of a graph costs in which there is next to nothing to compute.
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
    bandwidth_bytes_per_s: Positive | None
    dispatch_s: Positive
    operation_s: float
    precision: Precision
    jit: Jit
    threads: int
    tensorflow: str
    measured_unix_s: float
    cpu_share: float | None = None
    matmul_flops_per_s: Positive | None = None
    convolution_flops_per_s: Positive | None = None

    @property
    def is_undisturbed(self) -> bool:
        """Whether nothing else kept the device busy meanwhile, as far as that can be seen."""
        return self.cpu_share is None or self.cpu_share >= UNDISTURBED


class DevicePeak(Record, frozen=True):
    """What was found out about one device of a run.

    Attributes:
        machine: Digest of the machine that it belongs to.
        device: Its label, as `Device.local_label` has it.
        precision: The Keras dtype policy.
        jit: Whether XLA compiled what was timed.
        peak: Of one of its GPUs, where it has several; None if it could not be measured.
        problem: Why not.
        host: Name of the machine, in a run that was merged from several; empty otherwise.
    """

    machine: str
    device: str
    precision: Precision
    jit: Jit
    peak: Peak | None = None
    problem: str | None = None
    host: str = ""

    @property
    def label(self) -> str:
        """The device with its machine, as `Device.label` has it."""
        return f"{self.device}@{self.host}" if self.host else self.device

    @property
    def is_reliable(self) -> bool:
        """Whether it was measured, and undisturbed."""
        return self.peak is not None and self.peak.is_undisturbed
