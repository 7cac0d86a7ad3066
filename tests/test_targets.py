"""What an accuracy costs, and what accuracy a budget buys."""

from __future__ import annotations

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.analysis.columns import TARGETS
from bench.analysis.curves import median_curves
from bench.analysis.frame import rows_of
from bench.analysis.targets import best_within, bests, cheapest, cost_in_question, soonest, times_to
from points_for_tests import any_curves, curve, forecast, points


def only(found: pd.DataFrame, *names: str) -> tuple:
    """What the only row of a frame has in these columns."""
    (row,) = rows_of(found)
    return tuple(row[name] for name in names)


def names(rows: tuple[dict, ...]) -> list[tuple]:
    """Which cells an answer names."""
    return [(row["cell"], row["kind"]) for row in rows]


def at(times: pd.DataFrame, target: float) -> list[dict]:
    """The rows of one target."""
    return rows_of(times[times["target"] == target])


SPREAD = ("reached", "seeds", "t_s", "t_low_s", "t_high_s", "horizon_s")


def test_the_frame_has_exactly_the_documented_columns() -> None:
    """It has the columns that the table documents, in their order, even when empty."""
    for made in (times_to(points(), [0.5]), times_to(points(curve(1, (1.0, 0.5))), [0.3, 0.5])):
        assert made.dtypes.astype(str).to_dict() == {name: each.dtype for name, each in TARGETS.items()}


def test_a_target_is_reached_at_the_end_of_the_epoch_that_has_it() -> None:
    """One seed has no spread to tell; a target that is met exactly is reached."""
    found = times_to(points(curve(1, (1.0, 0.1), (2.0, 0.3), (3.0, 0.5))), [0.3])
    assert only(found, *SPREAD) == (1, 1, 2.0, 2.0, 2.0, 3.0)


def test_a_target_that_no_seed_reached_has_no_time() -> None:
    """What is known is until when it was not reached."""
    assert only(times_to(points(curve(1, (1.0, 0.1))), [0.3]), *SPREAD) == (0, 1, None, None, None, 1.0)


def test_a_seed_that_never_reached_it_takes_for_ever() -> None:
    """The median is known where most seeds reached it, its upper end only where all did."""
    two = [curve(1, (at_s, 0.5), seed=seed) for seed, at_s in enumerate([4.0, 2.0])]
    never = curve(1, (9.0, 0.1), seed=2)
    assert only(times_to(points(*two), [0.5]), *SPREAD) == (2, 2, 4.0, 2.0, 4.0, 4.0)
    assert only(times_to(points(*two, never), [0.5]), *SPREAD) == (2, 3, 4.0, 2.0, None, 9.0)
    assert only(times_to(points(two[0], never), [0.5]), *SPREAD) == (1, 2, None, 4.0, None, 9.0)


def test_energy_and_money_until_then_are_those_of_that_time() -> None:
    """Money is the price times the time; energy is that of most seeds, whether or not they had reached it by then."""
    seeds = [curve(1, (2.0 + seed, 0.5), (8.0, 0.6), seed=seed) for seed in range(3)]
    metered = [row | {"money": 0.5 * row["t_s"], "joules": 10.0 * row["t_s"]} for rows in seeds for row in rows]
    assert only(times_to(points(metered), [0.5]), "t_s", "money", "joules") == (3.0, 1.5, None)
    assert only(times_to(points(metered), [0.6]), "t_s", "money", "joules") == (8.0, 4.0, 80.0)


def test_a_forecast_reaches_it_within_its_interval() -> None:
    """The earliest time is by its upper ends, the latest by its lower ones."""
    found = times_to(points(forecast(1, (2.0, 0.3, 0.2, 0.5), (4.0, 0.5, 0.3, 0.6), (8.0, 0.6, 0.5, 0.7))), [0.5, 0.6])
    assert [tuple(row[name] for name in ("kind", *SPREAD)) for row in rows_of(found)] == [
        ("forecast", 1, 1, 4.0, 2.0, 8.0, 8.0),
        ("forecast", 1, 1, 8.0, 4.0, None, 8.0),
    ]


def test_a_budget_buys_the_best_that_is_done_by_then() -> None:
    """The best accuracy within the time, where it was reached first; nothing if nothing was that quick."""
    curves = median_curves(points(curve(1, (1.0, 0.2), (3.0, 0.3)), curve(2, (2.0, 0.1), (6.0, 0.6), (7.0, 0.6))))
    assert [(row["cell"], row["t_s"], row["accuracy"]) for row in best_within(rows_of(curves), 5.0)] == [(1, 3.0, 0.3)]
    assert [(row["cell"], row["t_s"], row["accuracy"]) for row in best_within(rows_of(curves), 3600.0)] == [
        (2, 6.0, 0.6)
    ]
    assert best_within(rows_of(curves), 0.5) == ()
    assert [row["t_s"] for row in best_within(rows_of(curves), 1.0)] == [1.0]


def test_a_forecast_never_answers_alone() -> None:
    """Where the best is a forecast, the best that was measured stands beside it."""
    made = points(curve(1, (1.0, 0.2), (3.0, 0.5)), forecast(2, (2.0, 0.5, 0.4, 0.6), (4.0, 0.7, 0.4, 0.8)))
    curves, times = median_curves(made), times_to(made, [0.5, 0.6])
    assert names(best_within(rows_of(curves), 10.0)) == [(2, "forecast"), (1, "measured")]
    assert names(best_within(rows_of(curves), 1.0)) == [(1, "measured")]
    assert names(soonest(at(times, 0.5))) == [(2, "forecast"), (1, "measured")]
    assert names(soonest(at(times, 0.6))) == [(2, "forecast")]


def test_of_equals_the_measured_one_answers() -> None:
    """A forecast of the same accuracy at the same time, or as soon, does not come first."""
    made = points(forecast(1, (1.0, 0.5, 0.4, 0.6)), curve(2, (1.0, 0.5)))
    assert names(best_within(rows_of(median_curves(made)), 2.0)) == [(2, "measured")]
    assert names(soonest(rows_of(times_to(made, [0.5])))) == [(2, "measured")]


def test_the_soonest_need_not_be_the_cheapest() -> None:
    """Cheapest is by the cost in question: money where any device has a price; where it is unknown, no answer."""
    quick = curve(1, (1.0, 0.5), money=3.0, joules=10.0)
    slow = curve(2, (9.0, 0.5), money=1.0, joules=20.0)
    assert names(soonest(rows_of(times_to(points(quick, slow), [0.5])))) == [(1, "measured")]
    assert names(cheapest(rows_of(times_to(points(quick, slow), [0.5])), "money")) == [(2, "measured")]
    unpriced = [[row | {"money": None} for row in rows] for rows in (quick, slow)]
    assert names(cheapest(rows_of(times_to(points(*unpriced), [0.5])), "joules")) == [(1, "measured")]
    unmetered = [[row | {"joules": None} for row in rows] for rows in unpriced]
    assert cheapest(rows_of(times_to(points(*unmetered), [0.5])), "joules") == ()
    assert [cost_in_question(points(*rows)) for rows in ((quick, slow), unpriced)] == ["money", "joules"]
    assert cheapest(rows_of(times_to(points(*unpriced), [0.5])), "money") == ()
    assert soonest(rows_of(times_to(points(quick), [0.9]))) == ()


@settings(max_examples=50, deadline=None)
@given(any_curves(), st.randoms())
def test_what_holds_of_any_target(rows: list[dict], random) -> None:
    """A higher target is not reached sooner, a median lies within its ends, and no order of rows matters."""
    targets = [0.1, 0.2, 0.3]
    found = times_to(points(rows), targets)
    for row in rows_of(found):
        assert (row["t_s"] is not None) == (2 * row["reached"] > row["seeds"])
        if row["t_s"] is not None:
            assert row["t_low_s"] <= row["t_s"] <= (row["t_high_s"] or row["horizon_s"])
    for _, group in found.groupby(["cell", "kind"]):
        assert group["t_s"].dropna().is_monotonic_increasing
        assert group["reached"].is_monotonic_decreasing
    random.shuffle(rows)
    pd.testing.assert_frame_equal(times_to(points(rows), targets), found)


@settings(max_examples=50, deadline=None)
@given(any_curves(), st.integers(0, 13))
def test_a_budget_buys_no_less_than_a_smaller_one(rows: list[dict], budget_s: int) -> None:
    """With more time the answer is at least as accurate, and it is within the budget."""
    curves = median_curves(points(rows))
    answer, later = best_within(rows_of(curves), budget_s), best_within(rows_of(curves), budget_s + 1)
    if answer:
        assert answer[0]["t_s"] <= budget_s
        assert later[0]["accuracy"] >= answer[0]["accuracy"]
    assert len(answer) <= 2
    assert answer[-1:] == () or answer[0]["kind"] == "measured" or len(answer) == 1 or answer[1]["kind"] == "measured"


def test_the_best_of_a_curve_is_where_it_was_reached_first() -> None:
    """Time that brought nothing more does not count; the spread is that of the end."""
    made = [
        *curve(1, (1.0, 0.2), (2.0, 0.4), (3.0, 0.4)),
        *curve(1, (1.0, 0.3), (2.0, 0.4), (4.0, 0.6), seed=1),
        *curve(1, (1.0, 0.1), (2.0, 0.2), (5.0, 0.3), seed=2),
    ]
    (best,) = bests(median_curves(points(made)))
    assert (best["t_s"], best["accuracy"], best["accuracy_low"], best["accuracy_high"]) == (2.0, 0.4, 0.3, 0.6)


@settings(max_examples=50, deadline=None)
@given(any_curves())
def test_a_target_is_reached_when_the_median_is(rows: list[dict]) -> None:
    """Table and best have one definition: most seeds have reached it at the first point of the median that has it."""
    made = points(rows)
    curves = rows_of(median_curves(made))
    for row in rows_of(times_to(made, [0.1, 0.2, 0.3])):
        own = [each for each in curves if (each["cell"], each["kind"]) == (row["cell"], row["kind"])]
        first = next((each["t_s"] for each in own if each["accuracy"] >= row["target"]), None)
        assert row["t_s"] == first


def test_a_forecast_has_reached_what_was_measured() -> None:
    """A target that its cell reached before the forecast begins was reached then, and its best may be from there."""
    made = points(curve(1, (1.0, 0.3), (2.0, 0.5)), forecast(1, (3.0, 0.4, 0.3, 0.45)))
    assert [(row["kind"], row["t_s"]) for row in rows_of(times_to(made, [0.3]))] == [
        ("measured", 1.0),
        ("forecast", 1.0),
    ]
    assert [(best["kind"], best["t_s"], best["accuracy"]) for best in bests(median_curves(made))] == [
        ("measured", 2.0, 0.5),
        ("forecast", 2.0, 0.5),
    ]
