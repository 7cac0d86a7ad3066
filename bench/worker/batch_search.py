"""How many images a call works on best, found while it works.

A CPU is fast when what a call computes stays in its caches, and when a call is long enough to keep all cores busy.
Measured on 2 cores with 32 MB of cache beside other work, MobileNetV2 at 224 pixels: 80 images a second with 4 to 8 a
call, 25 to 43 with 64; EfficientNet-Lite0 at 160 pixels and nothing beside it: 150 with 128, 110 with 32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

TRY_S = 0.5  # each size is tried for so long, and the better ones twice: something else may have run meanwhile
FEWEST_CALLS = 2  # that are counted; the first one of a size prepares kernels
HOPELESS = 0.7  # of the best rate: sizes beyond one that is as slow are not tried, and none as slow is tried again


class BatchSearch:
    """Tries sizes of batches, from the smallest and back again, and stays with the one that was fastest.

    Args:
        sizes: Images a call.
    """

    def __init__(self, sizes: Iterable[int]) -> None:
        self._untried = sorted(set(sizes))
        self._size = self._untried.pop(0)
        self._images = self._seconds = 0.0
        self._calls = 0
        self._rates: dict[int, float] = {}
        self._rounds_left = 2

    @property
    def size(self) -> int:
        """Images for the next call."""
        return self._size

    def took(self, images: int, seconds: float) -> None:
        """Say how long a call took; smaller ones, at the end of a data set, do not count."""
        if not self._rounds_left or images != self._size:
            return
        self._calls += 1
        if self._calls == 1:
            return
        self._images += images
        self._seconds += seconds
        if self._calls > FEWEST_CALLS and self._seconds >= TRY_S:
            self._rates[self._size] = max(self._images / self._seconds, self._rates.get(self._size, 0.0))
            self._images = self._seconds = 0.0
            self._calls = 0
            self._go_on()

    def _go_on(self) -> None:
        best = max(self._rates, key=lambda size: self._rates[size])
        promising = [size for size in self._rates if self._rates[size] >= HOPELESS * self._rates[best]]
        if self._rounds_left == 2 and self._size not in promising:
            self._untried.clear()
        if not self._untried:
            self._rounds_left -= 1
            # The last one was tried just now.
            self._untried = [size for size in reversed(promising) if size != self._size] if self._rounds_left else []
        if not self._untried:
            self._rounds_left = 0
        self._size = self._untried.pop(0) if self._untried else best
