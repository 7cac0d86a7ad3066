"""What a machine's name does not tell of it, and what its times depend on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.machine import Host


def circumstances(host: Host) -> str:
    """A line such as `under KVM, in a docker container, frequency governor powersave`; empty where nothing is special.

    Args:
        host: The machine.
    """
    return ", ".join(_circumstances(host))


def _circumstances(host: Host) -> Iterator[str]:
    if system := host.operating_system:
        if system.virtualization:
            yield f"under {system.virtualization}"
        if system.container:
            yield f"in a {system.container} container"
    if host.quota_cores is not None:
        yield f"{host.quota_cores:g} cores of CPU time granted"
    if host.processor:
        scaling = host.processor.scaling
        if scaling.governor not in {None, "performance"}:
            yield f"frequency governor {scaling.governor}{f' ({scaling.driver})' if scaling.driver else ''}"
        if scaling.boost is False:
            yield "no boost of the frequency"
