"""How well a trial used its device: what it attained of the device's own peak, and what limited it.

A step has three floors: its FLOPs at the attainable rate, its memory traffic at the attainable bandwidth (Williams et
al., Roofline, CACM 2009), and what any step costs before it computes. What explains most of its time limits it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from bench.peaks import Peak
    from bench.records import Cell, Flops

Verdict = Literal["compute-bound", "memory-bound", "input-bound", "launch-bound", "too small for the device"]

# Shares of a training's time from which on something is taken to limit it.
WAIT_SHARE = 0.2
LAUNCH_SHARE = 0.4
# A layer rarely gets more than half of what the best one does; below this, neither floor explains the time.
FLOOR_SHARE = 0.2


@dataclass(frozen=True, kw_only=True)
class Use:
    """How well a device was used; None for what is not known.

    Attributes:
        flops_per_s: FLOPs of training over the time that it took.
        attained_fraction: That over the device's peak, 0 to 1.
        bandwidth_fraction: Estimated memory traffic over time and over the device's bandwidth.
        launch_fraction: Share of a step's time that a step costs in which there is nothing to compute.
        wait_fraction: Share of the training in which it waited for batches.
        verdict: What limits the training.
    """

    flops_per_s: float | None = None
    attained_fraction: float | None = None
    bandwidth_fraction: float | None = None
    launch_fraction: float | None = None
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
    training = flops.training if flops else None
    traffic = flops.traffic_bytes if flops else None
    flops_per_s = None if training is None else training * images_per_s
    use = Use(
        flops_per_s=flops_per_s,
        attained_fraction=_over(flops_per_s, peak.flops_per_s * devices if peak else None),
        bandwidth_fraction=_over(
            None if traffic is None else traffic * images_per_s, peak.bandwidth_bytes_per_s * devices if peak else None
        ),
        launch_fraction=None
        if peak is None
        else peak.dispatch_s / cell.steps_per_execution * images_per_s / cell.batch_size,
        wait_fraction=data_wait_share,
    )
    return Use(**{**vars(use), "verdict": _verdict(use)})


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
        return "too small for the device"
    return "compute-bound" if use.attained_fraction >= bandwidth else "memory-bound"


def _over(value: float | None, whole: float | None) -> float | None:
    return None if value is None or not whole else value / whole
