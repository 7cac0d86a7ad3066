"""How well a trial used its device: what it attained of the device's own peak, and what limited it.

A step has three floors: its FLOPs at the attainable rate, its memory traffic at the attainable bandwidth (Williams et
al., Roofline, CACM 2009), and what any step costs before it computes. What explains most of its time limits it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from bench.peaks import Peak
    from bench.records import Cell, Flops

Verdict = Literal[
    "compute-bound", "memory-bound", "input-bound", "launch-bound", "too small for the device", "slow operations"
]

# Shares of a training's time from which on something is taken to limit it.
WAIT_SHARE = 0.2
LAUNCH_SHARE = 0.4
# Most layers get less than half of what the best one does. Below this, neither floor explains the time: then threads or
# multiprocessors are not kept busy by operations that are this short, or operations are slow for what they compute, as
# depthwise convolutions are on many devices.
FLOOR_SHARE = 0.2
SHORT_OPERATION_S = 1e-4


@dataclass(frozen=True, kw_only=True)
class Use:
    """How well a device was used; None for what is not known.

    Attributes:
        flops_per_s: FLOPs of training over the time that it took.
        attained_fraction: That over the device's peak, 0 to 1.
        bandwidth_fraction: Estimated memory traffic over time and over the device's bandwidth.
        launch_fraction: Share of a step's time that it would take if there were nothing to compute.
        operation_s: Mean time of an operation of a step.
        wait_fraction: Share of the training in which it waited for batches.
        verdict: What limits the training.
    """

    flops_per_s: float | None = None
    attained_fraction: float | None = None
    bandwidth_fraction: float | None = None
    launch_fraction: float | None = None
    operation_s: float | None = None
    wait_fraction: float | None = None
    verdict: Verdict | None = None


def hardware_use(
    cell: Cell, *, images_per_s: float | None, data_wait_share: float | None, flops: Flops | None, peak: Peak | None
) -> Use:
    """Hold a training against what its device attains at best.

    Args:
        cell: What was trained.
        images_per_s: Its rate while training.
        data_wait_share: Share of the training in which it waited for batches; None if that was not seen.
        flops: The arithmetic of its model; None if it was not counted.
        peak: What one of the cell's devices attains; None if it was not measured.
    """
    if not images_per_s:
        return Use(wait_fraction=data_wait_share)
    devices = max(1, len(cell.device.gpu_uuids))
    steps_per_s = images_per_s / cell.images_per_step
    flops_per_s, traffic_per_s, operation_s, launch_fraction = None, None, None, None
    if flops is not None:
        flops_per_s = _times(flops.training, images_per_s)
        traffic_per_s = _times(flops.traffic_bytes, images_per_s)
        operation_s = 1 / (steps_per_s * flops.operations) if flops.operations else None
    if peak is not None:
        operations = (flops.operations or 0) if flops is not None else 0
        launch_fraction = steps_per_s * (peak.dispatch_s / cell.steps_per_execution + operations * peak.operation_s)
    use = Use(
        flops_per_s=flops_per_s,
        attained_fraction=_over(flops_per_s, peak.flops_per_s * devices if peak else None),
        bandwidth_fraction=_over(traffic_per_s, (peak.bandwidth_bytes_per_s or 0.0) * devices if peak else None),
        launch_fraction=launch_fraction,
        operation_s=operation_s,
        wait_fraction=data_wait_share,
    )
    return replace(use, verdict=_verdict(use))


def _verdict(use: Use) -> Verdict | None:
    """Waiting is measured, so it comes first; then what a step costs anyway; then the larger of the two floors."""
    if use.wait_fraction is not None and use.wait_fraction >= WAIT_SHARE:
        return "input-bound"
    if use.launch_fraction is not None and use.launch_fraction >= LAUNCH_SHARE:
        return "launch-bound"
    if use.attained_fraction is None:
        return None
    bandwidth = use.bandwidth_fraction or 0.0
    if max(use.attained_fraction, bandwidth) < FLOOR_SHARE:
        is_short = use.operation_s is not None and use.operation_s < SHORT_OPERATION_S
        return "too small for the device" if is_short else "slow operations"
    return "compute-bound" if use.attained_fraction >= bandwidth else "memory-bound"


def _times(each: int | None, per_s: float) -> float | None:
    return None if each is None else each * per_s


def _over(value: float | None, whole: float | None) -> float | None:
    return None if value is None or not whole else value / whole
