"""The times of training steps, one by one, from the blocks in which they were stamped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bench.records import Steps


def step_times_s(steps: Sequence[Steps]) -> NDArray[np.float64]:
    """The seconds of each step, in order; a block of n steps stands for n steps of its mean time."""
    if not any(block.counts for block in steps):
        return np.empty(0)
    times_s = [np.diff(block.ends_s, prepend=block.start_s) for block in steps]
    counts = np.concatenate([block.counts for block in steps])
    return np.repeat(np.concatenate(times_s) / counts, counts)


def of_whole_images(steps: Sequence[Steps]) -> Sequence[Steps]:
    """The blocks whose images have their own size; all of them if none has."""
    return [block for block in steps if block.image_height is None] or steps


def as_of_one_size(steps: Sequence[Steps]) -> NDArray[np.float64]:
    """The seconds of steps as if all images were of one size: smaller ones take less, which is no disturbance."""
    heights = {block.image_height for block in steps}
    if len(heights) < 2:
        return step_times_s(steps)
    times_s = [step_times_s([block]) for block in steps]
    medians_s = {
        height: float(np.median(step_times_s([block for block in steps if block.image_height == height])))
        for height in heights
    }
    whole_s = max(medians_s.values())
    return np.concatenate(
        [times * whole_s / medians_s[block.image_height] for block, times in zip(steps, times_s, strict=True)]
    )
