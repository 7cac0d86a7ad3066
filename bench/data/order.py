"""The order in which a data set's images are taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def permutation(count: int) -> NDArray[np.intp]:
    """The order in which `count` images are taken: mixed, and always the same, whatever a trial's seed.

    Files are often sorted by class, so their first images would not do. NumPy promises to keep the bit generator's
    stream (NEP 19), and a stable sort has one result: the order is the same with every version.
    """
    return np.argsort(np.random.SFC64(np.random.SeedSequence(count)).random_raw(count), kind="stable")
