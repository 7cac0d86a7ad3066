"""Whether steps settled: a quiet training does, one that drifts, scatters or never warms up does not."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.steady import steady


def quiet(steps: int, *, seed: int = 0, spread: float = 0.05) -> np.ndarray:
    """Steps of about 0.2 s, with a tail of slow ones as there always is."""
    rng = np.random.default_rng(seed)
    return 0.2 * (1 + spread * rng.standard_normal(steps) + spread * rng.exponential(size=steps))


def test_quiet_steps_are_called_unsteady_at_most_once_in_twenty():
    """Of trainings whose steps differ by chance alone, at least 95 % are steady, short ones and long ones."""
    verdicts = [steady(quiet(steps, seed=seed)).steady for steps in (80, 200, 2000) for seed in range(100)]

    assert verdicts.count(True) >= 0.95 * len(verdicts)


@given(warm_up=st.integers(1, 20), factor=st.floats(2, 50))
def test_a_slow_beginning_is_left_out(warm_up, factor):
    """Slow first steps leave the rest steady; the step from which on it is comes after them, not twice as late."""
    times_s = np.full(200, 0.2)
    times_s[1::2] *= 1.01
    times_s[:warm_up] *= factor
    verdict = steady(times_s)

    if warm_up <= 16:
        assert verdict.steady
        assert verdict.first_steady <= 2 * warm_up
    if verdict.steady:
        assert verdict.first_steady >= warm_up or times_s.mean() < 0.2 * 1.1


@pytest.mark.parametrize(
    ("times_s", "reason"),
    [
        (np.where(np.arange(200) < 100, 0.2, 0.3), r"the second half took (4[4-9]|50) % longer than the first"),
        (np.where(np.arange(200) < 100, 0.3, 0.2), r"the second half took 3[0-3] % less than the first"),
        (0.1 + np.arange(200) % 10 / 50, r"half of the steps were more than 2\d % off their median"),
        (
            np.where(np.isin(np.arange(200), [0, 1, 2, 4, 8, 16]), 0.5, 0.2),
            r"the first ones took 2\.5 times the median",
        ),
    ],
)
def test_what_is_not_steady_has_a_reason(times_s, reason):
    """A training that slows down, speeds up after its beginning or scatters is not steady, and says by how much."""
    verdict = steady(times_s)

    assert (verdict.steady, verdict.first_steady) == (False, None)
    assert re.match(reason, verdict.reason)


@pytest.mark.parametrize("step_s", [[], [0.2], [1.0] * 19, [0.01] * 500])
def test_too_few_steps_are_no_verdict(step_s):
    """Neither a handful of steps nor a few seconds of them tell whether a training was steady."""
    verdict = steady(step_s)

    assert verdict.steady is None
    assert "too few to tell" in verdict.reason
