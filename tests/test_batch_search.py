"""How many images a call works on: the search finds the best size of simulated devices, and looks where it pays."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.worker.batch_search import FEWEST_CALLS, HOPELESS, TRY_S, BatchSearch
from test_imports import modules_after

SIZES = (2, 4, 8, 16, 32, 64)
FIRST_CALL_S = 30.0  # what the first call of a size takes besides


def work(search, rates, *, calls=4000):
    """Make calls of a device with these images a second for each size; return the sizes in the order they were tried.

    The first call of each size takes much longer than its rate says.
    """
    tried = []
    for _ in range(calls):
        size = search.size
        prepares = size not in tried
        if prepares:
            tried.append(size)
        search.took(size, size / rates[size] + FIRST_CALL_S * prepares)
    return tried


def test_the_search_needs_no_tensorflow():
    """The search is plain arithmetic: it imports neither TensorFlow nor NumPy."""
    assert not modules_after("import bench.worker.batch_search") & {"tensorflow", "keras", "numpy"}


@pytest.mark.parametrize("best", SIZES)
def test_the_fastest_size_is_found(best):
    """Whichever size is fastest, the search ends with it, though each size's first call is slow."""
    rates = {size: 100.0 - 5 * abs(SIZES.index(size) - SIZES.index(best)) for size in SIZES}
    search = BatchSearch(SIZES)
    assert work(search, rates) == list(SIZES)
    assert search.size == best


def test_sizes_may_come_in_any_order_and_twice():
    """Sizes are tried from the smallest, each once."""
    search = BatchSearch([64, 2, 2, 16, 64])
    assert work(search, {2: 1.0, 16: 3.0, 64: 2.5}) == [2, 16, 64]
    assert search.size == 16


def test_a_single_size_is_kept():
    """Where there is no choice, every call is of that size."""
    search = BatchSearch([8])
    assert work(search, {8: 5.0}) == [8]
    assert search.size == 8


def test_sizes_beyond_a_hopeless_one_are_not_tried():
    """One that is far slower than the best ends the search; one that is only somewhat slower does not."""
    rates = {2: 50.0, 4: 100.0, 8: 100 * (HOPELESS + 0.02), 16: 100 * (HOPELESS - 0.02), 32: 1000.0, 64: 1000.0}
    search = BatchSearch(SIZES)
    assert work(search, rates) == [2, 4, 8, 16]
    assert search.size == 4


def test_small_batches_do_not_count():
    """The last call of a data set is of fewer images: however long it took, it neither counts nor ends a trial."""
    rates = {2: 10.0, 4: 20.0, 8: 15.0}
    search = BatchSearch(rates)
    for _ in range(2000):
        search.took(search.size, search.size / rates[search.size])
        search.took(1, 1000.0)
        search.took(1, 0.0)
    assert search.size == 4


def test_nothing_is_decided_by_a_call_or_two():
    """A size is left after enough calls and enough time beside the first call, and no sooner."""
    slow = BatchSearch([2, 4])
    slow.took(2, 100.0)
    for _ in range(FEWEST_CALLS):
        assert slow.size == 2
        slow.took(2, 100.0)
    assert slow.size == 4

    quick = BatchSearch([2, 4])
    quick.took(2, 100.0)
    for _ in range(9):
        quick.took(2, TRY_S / 10)
        assert quick.size == 2
    quick.took(2, 0.11 * TRY_S)
    assert quick.size == 4


def test_what_was_found_stays():
    """Once all sizes were tried, a device that changes its mind changes nothing."""
    search = BatchSearch([2, 4])
    work(search, {2: 10.0, 4: 20.0})
    work(search, {2: 10.0, 4: 0.001}, calls=100)
    assert search.size == 4


@given(st.dictionaries(st.integers(1, 256), st.floats(0.5, 500.0), min_size=1, max_size=8))
def test_what_is_found_is_the_best_of_what_was_tried(rates):
    """For any rates: sizes are tried from the smallest, none beyond a hopeless one, and the best of them is kept."""
    search = BatchSearch(rates)
    tried = work(search, rates)
    assert tried == sorted(rates)[: len(tried)]
    assert rates[search.size] == pytest.approx(max(rates[size] for size in tried))
    ended_early = len(tried) < len(rates)
    for number, (_, size) in enumerate(pairwise(tried), start=2):
        best = max(rates[earlier] for earlier in tried[:number])
        is_last = number == len(tried)
        assert rates[size] >= HOPELESS * best * 0.999 or is_last
        assert not (ended_early and is_last) or rates[size] <= HOPELESS * best * 1.001
