"""The arithmetic of a training whose images were not all of one size."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from msgspec.structs import replace

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.records import Flops, Steps


def flops_as_trained(counted: Iterable[Flops], steps: Iterable[Steps]) -> Flops | None:
    """Take the counts for several sizes of images together, by how many images of each were trained on.

    Args:
        counted: One for each size; of several for the same, the last one counts.
        steps: The training.

    Returns:
        The forward pass for a whole image; of training steps the means. None if nothing was counted.
    """
    by_height = {flops.image_height: flops for flops in counted}
    whole = by_height.get(None)
    if whole is None or len(by_height) == 1:
        return whole
    images: Counter[int | None] = Counter()
    for block in steps:
        images[block.image_height] += block.images
    training = _mean({height: flops.training for height, flops in by_height.items()}, images)
    traffic = _mean({height: flops.traffic_bytes for height, flops in by_height.items()}, images)
    problems = dict.fromkeys(flops.problem for flops in by_height.values() if flops.problem)
    return replace(whole, training=training, traffic_bytes=traffic, problem="; ".join(problems) or None)


def _mean(values: dict[int | None, int | None], images: Counter[int | None]) -> int | None:
    """The mean over images; None where the value for some of them is unknown."""
    weighed = [(values.get(height), count) for height, count in images.items() if count]
    known = [value * count for value, count in weighed if value is not None]
    return round(sum(known) / images.total()) if known and len(known) == len(weighed) else None
