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
        Itself, each GPU of several that train together, and its kind.
    """
    kind, _, indices = device.partition(":")
    return tuple(dict.fromkeys([device, *(f"{kind}:{index}" for index in indices.split("+") if indices), kind]))


def price_per_hour(device: str, prices: Mapping[str, float]) -> float | None:
    """The price of an hour on a device.

    Args:
        device: Its label.
        prices: An hour's price by label or kind. A label wins over its kind; GPUs that train together cost the sum of
            theirs.

    Returns:
        The price, in the user's currency; None if there is none for the device, or for one of its GPUs.
    """
    if device in prices:
        return prices[device]
    kind, _, indices = device.partition(":")
    each = [prices.get(f"{kind}:{index}", prices.get(kind)) for index in indices.split("+")]
    known = [price for price in each if price is not None]
    return sum(known) if len(known) == len(each) else None
