"""Pins this process to its device's CPUs; comes before TensorFlow, which starts its threads inside the mask."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from bench.errors import DeviceError

if TYPE_CHECKING:
    from bench.records import Device


def pin(device: Device) -> None:
    """Pin this process to the device's CPUs, where the device names some and the system can pin.

    Raises:
        DeviceError: The CPUs may not be used.
    """
    if device.cpus and hasattr(os, "sched_setaffinity"):
        try:
            os.sched_setaffinity(0, device.cpus)
        except OSError as error:
            raise DeviceError(
                f"cannot be pinned to CPUs {', '.join(map(str, device.cpus))}: {error.strerror}; "
                "the CPUs that may be used have changed since the run was planned"
            ) from error
