"""A machine as pytest-benchmark's `machine_info` has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.analysis.machines import fingerprint

if TYPE_CHECKING:
    from bench.machine import Host


def machine_info(host: Host) -> dict[str, Any]:
    """What tells two machines apart, as far as times depend on it; no host name, no user name.

    Args:
        host: The machine.
    """
    return {
        "fingerprint": fingerprint(host),
        "cpu": host.cpu,
        "usable_cores": host.usable_cores,
        "physical_cores": host.physical_cores,
        "memory_bytes": host.memory_bytes,
        "gpus": [gpu.name for gpu in host.gpus],
        "os": host.os,
        "python": host.python,
        "packages": host.packages,
    }
