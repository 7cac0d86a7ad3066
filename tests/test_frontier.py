"""The Pareto frontier over models and devices, and what going on along it costs."""

from __future__ import annotations

from itertools import pairwise
from typing import get_args

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.analysis.columns import FRONTIER, LEGS
from bench.analysis.curves import Axis, Cost, median_curves
from bench.analysis.frame import rows_of
from bench.analysis.frontier import frontier, legs
from points_for_tests import any_curves, curve, forecast, points


def frontier_of(*curves: list[dict], cost: Cost = "t_s") -> pd.DataFrame:
    """The frontier of these rows."""
    return frontier(median_curves(points(*curves), cost))


def columns(frame: pd.DataFrame, *names: str) -> list[tuple]:
    """What a frame has in these columns."""
    return [tuple(row[name] for name in names) for row in rows_of(frame)]


SMALL = curve(1, (1.0, 0.10), (2.0, 0.30), (3.0, 0.30))
LARGE = curve(2, (2.0, 0.05), (4.0, 0.20), (8.0, 0.35), (12.0, 0.55))


def test_the_frames_have_exactly_the_documented_columns() -> None:
    """Frontier and legs have the columns that the tables document, in their order, even when empty."""
    for made in (frontier_of(), frontier_of(SMALL)):
        assert made.dtypes.astype(str).to_dict() == {name: each.dtype for name, each in FRONTIER.items()}
        assert legs(made).dtypes.astype(str).to_dict() == {name: each.dtype for name, each in LEGS.items()}


def test_what_is_worse_and_not_cheaper_is_not_on_it() -> None:
    """Along the frontier cost and accuracy grow; each point says what a further percentage point cost."""
    assert columns(frontier_of(SMALL, LARGE), "model", "t_s", "accuracy", "leg", "seconds_per_point") == [
        ("small", 1.0, 0.10, 1, None),
        ("small", 2.0, 0.30, 1, pytest.approx(0.05)),
        ("large", 8.0, 0.35, 2, pytest.approx(1.2)),
        ("large", 12.0, 0.55, 2, pytest.approx(0.2)),
    ]


def test_legs_are_points_that_follow_each_other_on_one_curve() -> None:
    """A leg is told from the end of the one before, the first from its own first point."""
    names = ("model", "from_t_s", "to_t_s", "from_accuracy", "to_accuracy", "seconds_per_point", "joules_per_point")
    assert columns(legs(frontier_of(SMALL, LARGE)), *names) == [
        ("small", 1.0, 2.0, 0.10, 0.30, pytest.approx(0.05), None),
        ("large", 8.0, 12.0, 0.35, 0.55, pytest.approx(0.4), None),
    ]


def test_a_first_leg_of_one_point_costs_nothing_known() -> None:
    """What the accuracy was before the first point is unknown."""
    (only,) = rows_of(legs(frontier_of(SMALL[:1])))
    assert (only["from_t_s"], only["to_t_s"], only["seconds_per_point"]) == (1.0, 1.0, None)


def test_a_curve_may_come_back() -> None:
    """Two models that overtake each other have a leg for each turn."""
    found = legs(frontier_of(curve(1, (1.0, 0.1), (3.0, 0.3)), curve(2, (2.0, 0.2), (4.0, 0.4))))
    assert columns(found, "model", "from_t_s") == [("small", 1.0), ("large", 2.0), ("small", 3.0), ("large", 4.0)]


def test_of_equals_the_measured_one_stays_then_the_cheaper_then_the_first() -> None:
    """Ties in cost and accuracy are settled in this order."""
    same = (5.0, 0.5)
    assert columns(frontier_of(curve(2, same), forecast(1, (*same, 0.4, 0.6))), "cell", "kind") == [(2, "measured")]
    assert columns(frontier_of(curve(1, same, money=2.0), curve(2, same, money=1.0)), "cell") == [(2,)]
    assert columns(frontier_of(curve(2, same), curve(1, same)), "cell") == [(1,)]


def test_a_forecast_on_the_frontier_is_called_one() -> None:
    """A forecast that continues a measured curve begins a leg of its own."""
    found = frontier_of(curve(1, (1.0, 0.1)), forecast(1, (2.0, 0.3, 0.2, 0.4), (3.0, 0.5, 0.3, 0.6)))
    assert columns(found, "kind", "leg") == [("measured", 1), ("forecast", 2), ("forecast", 2)]
    assert columns(legs(found), "kind", "to_t_s", "seconds_per_point") == [
        ("measured", 1.0, None),
        ("forecast", 3.0, pytest.approx(0.05)),
    ]


def test_the_frontier_by_another_cost_is_another_one() -> None:
    """A device that is slow and frugal is on the frontier by energy, and going on may even save time."""
    fast = [row | {"joules": 100.0 * row["t_s"]} for row in curve(1, (1.0, 0.3), (2.0, 0.5))]
    frugal = [row | {"joules": 1.0 * row["t_s"]} for row in curve(2, (50.0, 0.3))]
    assert columns(frontier_of(fast, frugal), "cell", "t_s") == [(1, 1.0), (1, 2.0)]
    names = ("cell", "joules", "joules_per_point", "seconds_per_point", "money_per_point")
    assert columns(frontier_of(fast, frugal, cost="joules"), *names) == [
        (2, 50.0, None, None, None),
        (1, 200.0, pytest.approx(7.5), pytest.approx(-2.4), None),
    ]


def test_splits_are_never_compared() -> None:
    """An accuracy on test images is not set against one on validation images."""
    found = frontier_of(curve(1, (1.0, 0.5)), curve(2, (2.0, 0.1), split="test"))
    assert columns(found, "split", "accuracy", "leg", "seconds_per_point") == [
        ("validation", 0.5, 1, None),
        ("test", 0.1, 1, None),
    ]
    assert columns(legs(found), "split", "seconds_per_point") == [("validation", None), ("test", None)]


@settings(max_examples=50, deadline=None)
@given(any_curves(), st.sampled_from(get_args(Axis)), st.randoms())
def test_what_holds_of_any_frontier(rows: list[dict], cost: Axis, random) -> None:
    """Cost and accuracy grow strictly, every point is on it or dominated by it, and no order of rows matters."""
    curves = median_curves(points(rows), cost)
    found = frontier(curves)
    kept = columns(found, cost, "accuracy")
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(kept))
    for spent, accuracy in columns(curves, cost, "accuracy"):
        assert any(at <= spent and best >= accuracy for at, best in kept)
    pd.testing.assert_frame_equal(frontier(curves.sample(frac=1.0, random_state=random.randrange(2**31))), found)
    told = rows_of(legs(found))
    assert sum(row[f"from_{cost}"] == at for row in told for at, _ in kept) == len(told)
    assert [row["leg"] for row in rows_of(found)] == sorted(row["leg"] for row in rows_of(found))


def test_two_seeds_do_not_beat_what_one_of_them_has() -> None:
    """Noise in the last digit of a mean made a point of the frontier; the median of two is one of them."""
    two = [*curve(1, (5.0, 500 / 5000)), *curve(1, (5.0, 504 / 5000), seed=1)]
    assert columns(frontier_of(curve(2, (4.0, 502 / 5000)), two), "cell") == [(2,)]


def test_a_marginal_cost_is_as_certain_as_its_ends() -> None:
    """It is a forecast's where either end is; where there is none, it is of no kind."""
    found = frontier_of(curve(1, (1.0, 0.1)), forecast(2, (2.0, 0.2, 0.1, 0.3)), curve(3, (3.0, 0.3), (4.0, 0.4)))
    assert columns(found, "kind", "marginal_kind") == [
        ("measured", None),
        ("forecast", "forecast"),
        ("measured", "forecast"),
        ("measured", "measured"),
    ]
    assert columns(legs(found), "marginal_kind") == [(None,), ("forecast",), ("forecast",)]
