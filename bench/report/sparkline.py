"""Curves as a word: a block for each stretch of epochs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

BLOCKS = "▁▂▃▄▅▆▇█"
WIDTH = 10


def sparkline(values: Sequence[float], *, low: float, high: float) -> str:
    """Draw values as blocks, from the lowest one for `low` to a full one for `high`.

    Args:
        values: In their order; of more than ten, the last of each of ten stretches is drawn.
        low: What has the lowest block.
        high: What has the full one.
    """
    if len(values) > WIDTH:
        values = [values[(index + 1) * len(values) // WIDTH - 1] for index in range(WIDTH)]
    spread = high - low
    steps = len(BLOCKS) - 1
    return "".join(BLOCKS[round(steps * (value - low) / spread) if spread > 0 else steps] for value in values)
