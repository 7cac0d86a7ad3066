"""How far repeats lie apart, and how well they place their median."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.analysis.stats import contrast_interval, mad, median_interval, ratio_interval, sign_interval

RATES = st.floats(min_value=0.01, max_value=1e5)
REPEATS = st.lists(RATES, min_size=3, max_size=12)
BY_SEED = st.dictionaries(st.integers(0, 9), RATES, min_size=3)


@pytest.mark.parametrize(
    ("values", "expected"), [([], None), ([5.0], None), ([1.0, 3.0], 1.0), ([1.0, 2.0, 4.0, 100.0], 1.5)]
)
def test_the_median_absolute_deviation_is_not_scaled(values: list[float], expected: float | None) -> None:
    """It is the median distance from the median, whatever lies far out, and unknown for a single value."""
    assert mad(values) == expected


@settings(max_examples=40)
@given(REPEATS)
def test_an_interval_holds_the_median_and_stays_within_the_values(values: list[float]) -> None:
    """The median lies between the ends, which no resampling takes beyond what was measured."""
    found = median_interval(values)
    assert found is not None
    assert found.estimate == np.median(values)
    assert found.estimate in found
    assert min(values) <= found.low <= found.high <= max(values)
    assert found.repeats == len(values)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 2.0]])
def test_two_repeats_have_no_interval(values: list[float]) -> None:
    """Fewer than three values say too little about where the median may lie."""
    assert median_interval(values) is None


def test_ties_have_an_interval() -> None:
    """Where values are equal, which leaves the bias correction undefined, the interval is that of percentiles."""
    same = median_interval([7.0] * 4)
    assert same is not None
    assert (same.low, same.high) == (7.0, 7.0)
    found = median_interval([1.0, 1.0, 1.0, 5.0])
    assert found is not None
    assert (found.low, found.high) == (1.0, 5.0)


def test_an_interval_is_the_same_every_time() -> None:
    """A report that is made again says the same."""
    values = np.random.default_rng(1).normal(50.0, 1.0, 9).tolist()
    assert median_interval(values) == median_interval(values)


def test_less_confidence_is_a_narrower_interval() -> None:
    """The confidence that is asked for is that of the ends."""
    values = np.random.default_rng(2).normal(50.0, 1.0, 20).tolist()
    wide, narrow = median_interval(values, confidence=0.99), median_interval(values, confidence=0.5)
    assert wide is not None
    assert narrow is not None
    assert wide.low < narrow.low < narrow.high < wide.high


def test_an_interval_holds_the_true_median_about_as_often_as_it_says() -> None:
    """Of 10 repeats, nine in ten 95 % intervals or more hold the true median; of 3, three in four, as documented."""
    rng = np.random.default_rng(3)

    def coverage(repeats: int) -> float:
        found = [median_interval(rng.lognormal(0.0, 0.5, repeats).tolist()) for _ in range(200)]
        return float(np.mean([interval is not None and 1.0 in interval for interval in found]))

    assert coverage(10) > 0.88
    assert 0.65 < coverage(3) < 0.85


@given(BY_SEED, BY_SEED)
def test_a_ratio_turned_round_is_its_reciprocal(a: dict[int, float], b: dict[int, float]) -> None:
    """It does not matter which of two cells is set against which, and only seeds that both have count."""
    found, turned = ratio_interval(a, b), ratio_interval(b, a)
    common = a.keys() & b.keys()
    if len(common) < 3:
        assert found is turned is None
        return
    assert found is not None
    assert turned is not None
    assert found.repeats == len(common)
    assert (1 / found.estimate, 1 / found.high, 1 / found.low) == pytest.approx(
        (turned.estimate, turned.low, turned.high)
    )


def test_the_sign_tests_interval_is_exact() -> None:
    """Five values bound their median in 94 % of all cases: too few; of more, it holds the true one in 95 % or more."""
    rng = np.random.default_rng(5)
    assert sign_interval([1.0, 2.0, 3.0, 4.0, 5.0]) is None
    assert sign_interval([]) is None
    found = sign_interval([3.0, 1.0, 2.0, 6.0, 5.0, 4.0])
    assert found is not None
    assert (found.low, found.estimate, found.high) == (1.0, 3.5, 6.0)
    held = [sign_interval(rng.standard_t(2, size=12).tolist()) for _ in range(400)]
    assert np.mean([interval is not None and 0.0 in interval for interval in held]) > 0.93


def test_a_contrast_of_medians_is_their_difference() -> None:
    """Its interval holds the true difference about as often as it says, and fewer than three repeats give none."""
    rng = np.random.default_rng(6)
    assert contrast_interval([[1.0, 2.0], [1.0, 2.0, 3.0]], [1.0, -1.0]) is None
    exact = contrast_interval([[5.0] * 3, [2.0] * 4], [1.0, -1.0])
    assert exact is not None
    assert (exact.low, exact.estimate, exact.high, exact.repeats) == (3.0, 3.0, 3.0, 3)
    held = [contrast_interval(rng.normal(size=(2, 5)).tolist(), [1.0, -1.0]) for _ in range(100)]
    assert np.mean([interval is not None and 0.0 in interval for interval in held]) > 0.88


def test_what_drifts_cancels_in_a_paired_ratio() -> None:
    """A machine that becomes twice as slow during a run changes the rates and not their ratio."""
    b = {seed: 100.0 / (1 + seed) for seed in range(5)}
    a = {seed: 1.5 * value for seed, value in b.items()}
    found = ratio_interval(a, b)
    assert found is not None
    assert (found.low, found.estimate, found.high) == pytest.approx((1.5, 1.5, 1.5))
