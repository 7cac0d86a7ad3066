"""From when on the larger model is ahead of the smaller one, and stays ahead."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.analysis.break_even import BreakEven, break_evens
from points_for_tests import any_curves, cells_of, curve, forecast, points


def found_in(*curves: list[dict]) -> list[BreakEven]:
    """The break-evens of these rows."""
    made = points(*curves)
    return list(break_evens(made, cells_of(made)))


def ends(found: BreakEven) -> tuple[float | None, float | None, float | None]:
    """Its estimate and its interval."""
    return found.estimate_s, found.low_s, found.high_s


SMALL = curve(1, (1.0, 0.10), (2.0, 0.30), (3.0, 0.35))
LARGE = curve(2, (2.0, 0.05), (4.0, 0.20), (8.0, 0.40), (12.0, 0.55))


def test_the_larger_model_gets_ahead_after_the_smaller_one_has_stopped() -> None:
    """It is ahead at the end of the epoch that first has more; it may have been since the epoch before."""
    (found,) = found_in(LARGE, SMALL)
    assert (found.small["model"], found.large["model"], found.device) == ("small", "large", "cpu:2")
    assert ends(found) == (8.0, 4.0, 8.0)
    assert (found.horizon_s, found.small_end["t_s"], found.large_end["t_s"]) == (12.0, 3.0, 12.0)
    assert (found.basis, found.seeds) == ("epochs", 1)
    assert (found.small["kind"], found.large["kind"]) == ("measured", "measured")


def test_it_may_not_be_reached() -> None:
    """A larger model that is not ahead when both have stopped has no break-even; as accurate is not ahead."""
    for last in (0.34, 0.35):
        (found,) = found_in(SMALL, curve(2, (2.0, 0.05), (9.0, last)))
        assert ends(found) == (None, None, None)
        assert found.horizon_s == 9.0


def test_a_lead_that_is_lost_does_not_count() -> None:
    """Break-even is after the last moment at which the smaller model was not behind."""
    (found,) = found_in(curve(1, (2.0, 0.1), (6.0, 0.5)), curve(2, (1.0, 0.2), (3.0, 0.3), (9.0, 0.6)))
    assert ends(found) == (9.0, 0.0, 9.0)  # it may have had its 60 % before the smaller one had its 50 %


def test_an_early_lead_may_last_from_the_start() -> None:
    """A larger model that is ahead at its first point is ahead from then on, perhaps from the start."""
    (found,) = found_in(SMALL, curve(2, (0.5, 0.4)))
    assert ends(found) == (0.5, 0.0, 0.5)


def test_while_the_smaller_one_runs_it_may_be_further_than_known() -> None:
    """Between the ends of its epochs the smaller model may already have what it has at the next."""
    (found,) = found_in(curve(1, (1.0, 0.1), (5.0, 0.5)), curve(2, (2.0, 0.3), (4.0, 0.6), (9.0, 0.7)))
    assert ends(found) == (2.0, 0.0, 4.0)


def test_the_larger_model_is_the_one_whose_images_cost_more() -> None:
    """Where no rate is known, parameters tell, then the training time; the same model is not compared with itself."""
    made = points(SMALL, LARGE, curve(3, (20.0, 0.9)))
    assert [(found.small["cell"], found.large["cell"]) for found in break_evens(made, cells_of(made))] == [
        (1, 2),
        (1, 3),
    ]
    rated = cells_of(made)
    rated["images_per_s"] = rated["cell"].map({1: 50.0, 2: 900.0, 3: 100.0}).astype("Float64")
    assert [(found.small["cell"], found.large["cell"]) for found in break_evens(made, rated)] == [(2, 3), (2, 1)]
    cells = cells_of(made, parameters=7)
    cells["train_s"] = cells["train_s"].mask(cells["cell"] == 1, 99.0)
    assert [(found.small["cell"], found.large["cell"]) for found in break_evens(made, cells)] == [(2, 3), (2, 1)]
    assert found_in(SMALL, [row | {"model": "small"} for row in LARGE]) == []


def test_devices_are_not_mixed() -> None:
    """A pair is on one device; a cell that finished no epoch is in none."""
    made = points(SMALL, LARGE)
    cells = cells_of(made)
    assert found_in(SMALL, [row | {"device": "gpu:0", "device_kind": "gpu"} for row in LARGE]) == []
    assert break_evens(points(SMALL), cells) == ()
    assert break_evens(points(), cells) == ()


def test_an_axis_of_the_matrix_parts_the_pairs() -> None:
    """Where a model was run with several batch sizes, like is compared with like."""
    other = [row | {"cell": 3, "model": "small", "batch_size": 64} for row in SMALL]
    (found,) = found_in(SMALL, LARGE, other)
    assert found.setting == (("batch_size", 100),)
    assert (found.small["cell"], found.large["cell"]) == (1, 2)


def three(cell: int, *ends_s: tuple[float, float], shifts_s: tuple[float, ...] = (0.0, 1.0, -1.0)) -> list[dict]:
    """Three seeds of a cell, each later or earlier by so much."""
    return [
        row
        for seed, shift_s in enumerate(shifts_s)
        for row in curve(cell, *((t_s + shift_s, accuracy) for t_s, accuracy in ends_s), seed=seed)
    ]


def test_from_three_common_seeds_on_pairs_are_resampled() -> None:
    """The interval is of the medians over resampled pairs of seeds, and holds what the epochs leave open."""
    small = three(1, (5.0, 0.1), (10.0, 0.3))
    large = three(2, (10.0, 0.1), (20.0, 0.2), (30.0, 0.4), shifts_s=(0.0, 4.0, -4.0))
    (found,) = found_in(small, large)
    assert (found.basis, found.seeds) == ("seeds", 3)
    assert ends(found) == (30.0, 16.0, 34.0)
    (again,) = found_in(large, small)
    assert ends(again) == ends(found)


def test_seeds_may_disagree_on_whether_it_is_reached() -> None:
    """If a seed in three never gets ahead, the break-even has no latest time."""
    small = three(1, (5.0, 0.3))
    large = [*curve(2, (30.0, 0.4)), *curve(2, (31.0, 0.4), seed=1), *curve(2, (32.0, 0.2), seed=2)]
    (found,) = found_in(small, large)
    assert ends(found) == (31.0, 0.0, None)


def test_only_common_seeds_are_paired() -> None:
    """Two common seeds are too few: the medians over all seeds are compared, by the ends of the epochs."""
    large = [*curve(2, (30.0, 0.4)), *curve(2, (30.0, 0.4), seed=7)]
    (found,) = found_in(three(1, (5.0, 0.3)), large)
    assert (found.basis, found.seeds, found.estimate_s) == ("epochs", 2, 30.0)


def test_a_forecast_is_compared_besides() -> None:
    """What was measured is compared as measured; with a forecast once more, within the forecast's interval."""
    longer = forecast(2, (16.0, 0.30, 0.20, 0.38), (20.0, 0.45, 0.30, 0.50), (30.0, 0.50, 0.40, 0.60))
    short = LARGE[:2]
    measured, expected = found_in(SMALL, short, longer)
    assert (measured.large["kind"], measured.estimate_s, measured.horizon_s) == ("measured", None, 4.0)
    assert (expected.small["kind"], expected.large["kind"], expected.basis) == ("measured", "forecast", "forecast")
    assert ends(expected) == (20.0, 4.0, 30.0)
    (alone,) = found_in(SMALL, longer)
    assert ends(alone) == (20.0, 0.0, 30.0)


def test_splits_are_never_compared() -> None:
    """An accuracy on test images is not set against one on validation images."""
    assert found_in(SMALL, [row | {"split": "test"} for row in LARGE]) == []


@settings(max_examples=50, deadline=None)
@given(any_curves(), st.randoms())
def test_what_holds_of_any_break_even(rows: list[dict], random) -> None:
    """The estimate lies within its ends and the horizon, and no order of rows matters."""
    made = points(rows)
    cells = cells_of(made.sort_values("cell"))
    found = break_evens(made, cells)
    for pair in found:
        if pair.estimate_s is not None:
            assert pair.low_s is not None
            assert pair.low_s <= pair.estimate_s <= (pair.high_s or pair.horizon_s) <= pair.horizon_s
        assert pair.low_s is None or pair.low_s <= (pair.high_s or pair.horizon_s)
        assert max(pair.small_end["t_s"], pair.large_end["t_s"]) == pair.horizon_s
    random.shuffle(rows)
    assert break_evens(points(rows), cells) == found


def test_resampling_gives_the_same_interval_again() -> None:
    """The bootstrap is seeded."""
    rows = [three(1, (5.0, 0.1), (10.0, 0.3)), three(2, (12.0, 0.2), (30.0, 0.4))]
    assert found_in(*rows) == found_in(*rows)
    assert found_in(*rows)[0].low_s == pytest.approx(11.0)


def test_an_axis_parts_the_pairs_even_where_nothing_ran_on_it() -> None:
    """A small model at 2 min is not set against a large one at 5 min because its own 5 min failed."""
    made = points([row | {"budget_s": 120.0} for row in SMALL], [row | {"budget_s": 300.0} for row in LARGE])
    failed = curve(3, (1.0, 0.1), model="small", budget_s=300.0)
    cells = cells_of(points(SMALL, LARGE, failed).assign(budget_s=[120.0] * 3 + [300.0] * 5))
    assert break_evens(made, cells) == ()


def test_noise_in_a_mean_is_no_lead() -> None:
    """Two seeds of the larger model at 500 and 502 of 5,000 images are not ahead of 501."""
    two = [*curve(2, (5.0, 500 / 5000)), *curve(2, (5.0, 502 / 5000), seed=1)]
    (found,) = found_in(curve(1, (1.0, 501 / 5000)), two)
    assert found.estimate_s is None


def test_each_split_has_a_break_even() -> None:
    """What was tested does not take the place of what was validated."""
    tested = [[row | {"split": "test", "t_s": row["t_s"] + 100} for row in rows] for rows in (SMALL, LARGE)]
    assert [(found.small["split"], found.estimate_s) for found in found_in(SMALL, LARGE, *tested)] == [
        ("test", 108.0),
        ("validation", 8.0),
    ]


def test_no_resample_takes_away_what_the_epochs_leave_open() -> None:
    """Where the lead rests on every one of seven seeds, nearly all resamples lose it: the earliest time stays."""
    majorities = list(combinations(range(7), 4))
    small = [row for seed in range(7) for row in curve(1, (1.0, 0.5), seed=seed)]
    large = [
        row
        for seed in range(7)
        for row in curve(
            2,
            *((2.0 + i, 0.6 if seed in majority else 0.4) for i, majority in enumerate(majorities)),
            (99.0, 0.6),
            seed=seed,
        )
    ]
    (found,) = found_in(small, large)
    assert (found.estimate_s, found.low_s, found.high_s) == (2.0, 0.0, 99.0)
