"""What an hour on a device costs, by what a user said of devices."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def priceable(device: str) -> tuple[str, ...]:
    """Names by which a device may be given a price, the most exact first.

    Args:
        device: Its label, such as `cpu:2` or `gpu:0+1`.

    Returns:
        Itself, each GPU of several that train together, and its kind: on its host, if it has one, then on any.
    """
    local, at, host = device.partition("@")
    kind, _, indices = local.partition(":")
    names = [local, *(f"{kind}:{index}" for index in indices.split("+") if indices), kind]
    return tuple(dict.fromkeys(f"{name}{end}" for end in (at + host, "") for name in names))


def price_per_hour(device: str, prices: Mapping[str, float]) -> float | None:
    """The price of an hour on a device.

    Args:
        device: Its label.
        prices: An hour's price by label or kind. A label wins over its kind, and one with the host over one without;
            GPUs that train together cost the sum of theirs.

    Returns:
        The price, in the user's currency; None if there is none for the device, or for one of its GPUs.
    """
    local, at, host = device.partition("@")
    kind, _, indices = local.partition(":")
    for end in dict.fromkeys((at + host, "")):
        if local + end in prices:
            return prices[local + end]
        each = [prices.get(f"{kind}:{index}{end}", prices.get(kind + end)) for index in indices.split("+")]
        known = [price for price in each if price is not None]
        if len(known) == len(each):
            return sum(known)
    return None
