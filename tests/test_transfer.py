"""What a reference curve says of a training that is still to come."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.transfer import USUAL_DEVIATION, Expected, Transferred, transfer
from bench.recipe import Recipe
from bench.reference.curve import ReferenceCurve
from bench.reference.matching import Match
from curves_for_tests import measured, published, seeds

NORMAL_90 = 1.6449  # half the width of 90 % of a normal distribution, in deviations


def transferred(curve: ReferenceCurve, epochs: int = 3, *, same_order: bool = True) -> Transferred:
    """What a curve says where it holds."""
    return transfer(Match(curve=curve, same_order=same_order, notes=("a note",)), epochs)


def half_widths(found: Transferred) -> list[float]:
    """Half the widths of the intervals, by epoch."""
    return [(one.high - one.low) / 2 for one in found.by_epoch]  # type: ignore[union-attr, operator]


def images(count: int) -> dict[str, Any]:
    """A curve's fields with so many images to validate and to test on."""
    return {"num_validation": count, "num_test": count}


def test_the_median_of_the_best_so_far_is_expected() -> None:
    """A seed's best stays when it falls back; an even number of seeds has its lower middle one, as in a report."""
    three = measured(*seeds((0.1, 0.3, 0.2), (0.2, 0.1, 0.4), (0.3, 0.3, 0.5)))
    assert [one.accuracy for one in transferred(three).by_epoch] == [0.2, 0.3, 0.4]  # type: ignore[union-attr]
    two = measured(*seeds((0.1, 0.3, 0.2), (0.2, 0.1, 0.4)))
    assert [one.accuracy for one in transferred(two).by_epoch] == [0.1, 0.2, 0.3]  # type: ignore[union-attr]


def test_a_shorter_training_has_the_first_epochs_and_no_test() -> None:
    """The test accuracy after fewer epochs was never measured; beyond its end the curve says nothing."""
    curve = measured(*seeds((0.1, 0.2, 0.3)))
    assert [len(transferred(curve, epochs).by_epoch) for epochs in (1, 2, 3, 4)] == [1, 2, 3, 3]
    assert [transferred(curve, epochs).test is None for epochs in (1, 2, 3, 4)] == [True, True, False, True]
    assert "the curve ends after 3 epochs; of later ones nothing is known" in transferred(curve, 4).notes
    assert transferred(curve).notes[0] == "a note"
    with pytest.raises(ValueError, match="at least 1 epoch"):
        transferred(curve, 0)


def test_an_epoch_that_is_not_known_is_none() -> None:
    """A gap is not filled before every seed has begun; after it the best so far goes on."""
    found = transferred(measured(*seeds((None, 0.2, None), (0.1, 0.3, 0.4))))
    assert [one and one.accuracy for one in found.by_epoch] == [None, 0.2, 0.2]
    assert transferred(measured(*seeds((), test=0.3), num_validation=0)).by_epoch == ()
    assert transferred(measured(*seeds((0.1, 0.2, 0.3), test=None))).test is None


def test_one_seed_has_the_usual_deviation() -> None:
    """Of many images: 0.6 points for the curve's training and the new one each."""
    curve = measured(*seeds((0.5,) * 3, test=0.5), **images(1_000_000))
    expected = NORMAL_90 * USUAL_DEVIATION * math.sqrt(2)
    assert half_widths(transferred(curve)) == pytest.approx([expected] * 3, rel=1e-3)
    test = transferred(curve).test
    assert test == Expected(accuracy=0.5, low=pytest.approx(0.5 - expected), high=pytest.approx(0.5 + expected))
    assert "one training: the interval rests on what seeds usually differ by" in transferred(curve).notes


def test_few_images_widen_the_interval() -> None:
    """With 100 of them an accuracy of 50 % has a binomial deviation of 5 points, whatever the seeds say."""
    curve = measured(*seeds((0.5,) * 3, (0.5,) * 3, (0.5,) * 3), **images(100))
    assert half_widths(transferred(curve)) == pytest.approx([NORMAL_90 * 0.05 * math.sqrt(4 / 3)] * 3, rel=1e-3)
    reordered = transferred(curve, same_order=False)
    both_draws = NORMAL_90 * 0.05 * math.sqrt(4 / 3 + 2)
    assert half_widths(reordered) == pytest.approx([both_draws] * 3, rel=1e-3)
    assert reordered.test == transferred(curve).test  # the test images are the same in whatever order


def test_three_seeds_that_lie_apart_widen_it_by_students_t() -> None:
    """Deviation 10 points, 2 degrees of freedom: t is 2.92; seeds that agree by chance leave the usual deviation."""
    apart = measured(*seeds((0.4,) * 3, (0.5,) * 3, (0.6,) * 3), **images(1_000_000))
    assert half_widths(transferred(apart)) == pytest.approx([2.920 * 0.1 * math.sqrt(4 / 3)] * 3, rel=1e-3)
    assert transferred(apart).notes == ("a note",)
    two = measured(*seeds((0.4,) * 3, (0.6,) * 3), **images(1_000_000))
    assert half_widths(transferred(two)) == pytest.approx([NORMAL_90 * 0.1 * math.sqrt(2 * 1.5)] * 3, rel=1e-3)
    equal = measured(*seeds((0.5,) * 3, (0.5,) * 3, (0.5,) * 3), **images(1_000_000))
    assert half_widths(transferred(equal)) == pytest.approx([NORMAL_90 * 0.006 * math.sqrt(4 / 3)] * 3, rel=1e-3)


def test_nine_of_ten_further_trainings_lie_in_the_interval() -> None:
    """Of a thousand curves of 3 to 5 seeds that differ by the usual deviation or more: at least so many."""
    random = np.random.default_rng(0)
    inside = []
    for _ in range(1000):
        deviation = random.uniform(0.006, 0.03)
        drawn = random.normal(0.5, deviation, random.integers(3, 6) + 1).round(7)
        curve = measured(*seeds(*((value,) * 3 for value in drawn[1:].tolist())), **images(1_000_000))
        (first, *_) = transferred(curve).by_epoch
        inside.append(first.low <= drawn[0] <= first.high)  # type: ignore[union-attr, operator]
    assert 0.88 <= np.mean(inside) <= 0.97


accuracies = st.floats(0, 1).map(lambda value: round(value, 7))


@given(
    st.lists(st.tuples(*[st.none() | accuracies] * 3).filter(any), min_size=1, max_size=5),
    st.integers(1, 100_000),
    st.booleans(),
)
def test_intervals_hold_their_accuracy_and_never_fall(
    trainings: list[tuple[float | None, ...]], count: int, same_order: bool
) -> None:
    """Whatever the seeds, accuracies stay shares of 1, lie in their intervals, and both ends grow."""
    found = transferred(measured(*seeds(*trainings), **images(count)), same_order=same_order)
    known = [one for one in found.by_epoch if one is not None]
    for one in known:
        assert one.low is not None
        assert one.high is not None
        assert 0 <= one.low <= one.accuracy + 1e-12
        assert one.accuracy - 1e-12 <= one.high <= 1
    assert [one.low for one in known] == sorted(one.low for one in known)  # type: ignore[type-var]
    assert [one.high for one in known] == sorted(one.high for one in known)  # type: ignore[type-var]


def test_a_published_curve_has_its_end_alone() -> None:
    """Without an interval, because nobody knows how far a second training would have ended from it."""
    found = transferred(published())
    assert (found.by_epoch, found.test) == ((), Expected(accuracy=0.4))
    assert "one published training: how far others lie from it is not known" in found.notes


def test_a_schedule_changes_nothing_of_a_curve_of_its_own_length() -> None:
    """What a curve says depends on its numbers alone; whether it holds was asked before."""
    assert transferred(measured(recipe=Recipe(schedule="linear"))).by_epoch == transferred(measured()).by_epoch
