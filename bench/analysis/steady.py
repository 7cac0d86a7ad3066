"""Whether a training's steps settled, and from which one on.

The test is that of pyperf's worker for the end of its warm-up, with two changes. pyperf asks that the spreads of both
halves agree within 10 %, which those of a hundred independent values miss by chance in every second case; here the
spread itself must be within 10 % of the median. And pyperf lets the second half be up to twice as slow as the first,
because a warm-up only makes values fall; here a training that slows down, from heat or beside something else, is not
steady either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# Of windows of 5 to 10 s of the reference runs, on a shared machine, up to 28 % were not steady; of 40 windows of 17 s
# and more, one.
FEWEST_STEPS = 20
SHORTEST_S = 15.0
# Of all steps: the first epoch's beginning may be slow, as far as it cannot move what is reported.
LONGEST_WARM_UP = 0.1
# Of the second half's mean, and of the median. Both halves of an epoch (176 steps) of the reference runs of mnist_cnn
# agreed within 10 % in 30 of 30 cases, and a median absolute deviation was 5 % of the median.
LARGEST_DRIFT = 0.1
LARGEST_SPREAD = 0.1


class Steadiness(NamedTuple):
    """Whether steps were steady.

    Attributes:
        steady: None where there are too few steps to tell.
        reason: Why not, in words; empty if they were.
        first_steady: Index of a step from which on all are steady; the steady ones may begin earlier, but not before
            half of it. None if there is none.
    """

    steady: bool | None
    reason: str
    first_steady: int | None


def steady(step_s: Sequence[float]) -> Steadiness:
    """Tell whether all steps but the very first ones took about the same time.

    Args:
        step_s: Duration of each step, in their order, in seconds. Where blocks of steps were timed, a block is one
            value, its mean.
    """
    times_s = np.asarray(step_s, dtype=float)
    if len(times_s) < FEWEST_STEPS or times_s.sum() < SHORTEST_S:
        return Steadiness(None, f"{len(times_s)} steps in {times_s.sum():.1f} s are too few to tell", None)
    candidates = [0, *(2**power for power in range(int(LONGEST_WARM_UP * len(times_s)).bit_length()))]
    for first in candidates:
        problem = _problem(times_s[first:])
        if not problem:
            return Steadiness(steady=True, reason="", first_steady=first)
    return Steadiness(steady=False, reason=problem, first_steady=None)


def _problem(times_s: NDArray[np.float64]) -> str:
    """Why these are not all steady; empty if they are."""
    median_s = float(np.median(times_s))
    spread = float(np.median(np.abs(times_s - median_s))) / median_s
    half = len(times_s) // 2
    drift = float(times_s[half:].mean() / times_s[:half].mean()) - 1
    low_s, high_s = np.percentile(times_s[1:], [25, 75])
    if abs(drift) > LARGEST_DRIFT:
        return f"the second half took {100 * abs(drift):.0f} % {'longer' if drift > 0 else 'less'} than the first"
    if spread > LARGEST_SPREAD:
        return f"half of the steps were more than {100 * spread:.0f} % off their median"
    if times_s[0] > high_s + 1.5 * (high_s - low_s):
        return f"the first ones took {times_s[0] / median_s:.1f} times the median"
    return ""
