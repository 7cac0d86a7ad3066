"""Best accuracy so far against what it cost, of trials and of cells; prices of devices."""

from __future__ import annotations

from typing import get_args

import msgspec
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.analysis.cells import cells
from bench.analysis.columns import COLUMNS, CURVES, POINTS
from bench.analysis.curves import Axis, curve_points, median_curves
from bench.analysis.frame import frames, rows_of
from bench.analysis.prices import price_per_hour, priceable
from bench.records import Device, Epoch, TrialData
from points_for_tests import any_curves, curve, forecast, points
from records_for_tests import DATASET, GPU, end, ended_trial, epoch, ok_trial, run_data, start_up, trial


def points_of(*trials: TrialData, **prices: float) -> list[dict]:
    """The points of a run of these trials."""
    report = frames(run_data(*trials))
    return rows_of(curve_points(report.trials, report.epochs, prices))


def columns(frame: pd.DataFrame, *names: str) -> list[tuple]:
    """What a frame has in these columns."""
    return [tuple(row[name] for name in names) for row in rows_of(frame)]


def with_accuracies(*accuracies: float, status: str = "ok", **cell: object) -> TrialData:
    """A trial whose epochs of 10 s reach these validation accuracies."""
    asked = trial(epochs=len(accuracies), **cell)
    events = [
        event
        for number, accuracy in enumerate(accuracies, start=1)
        for event in epoch(asked, number, start_s=5.0 + 11.5 * (number - 1), train_s=10.0, accuracy=accuracy + 0.02)
    ]
    if status != "ok":
        return ended_trial(asked, status=status, reason="stopped", events=[*start_up(asked), *events])
    return ok_trial(asked, events=(*start_up(asked), *events, *end(start_s=5.0 + 11.5 * len(accuracies))))


def test_the_frames_have_exactly_the_documented_columns() -> None:
    """Points and curves have the columns that the tables document, in their order, even when empty."""
    for made in (points(), points(curve(1, (1.0, 0.1)))):
        assert made.dtypes.astype(str).to_dict() == {name: each.dtype for name, each in POINTS.items()}
        curves = median_curves(made).dtypes.astype(str).to_dict()
        assert curves == {name: each.dtype for name, each in CURVES.items()}
    assert points_of() == []
    assert {"points", "curves", "frontier", "legs", "targets"} <= set(COLUMNS)


def test_a_trial_has_a_point_at_the_end_of_each_epoch() -> None:
    """The time is the trial's clock with start-up, the accuracy the best of the validation images so far."""
    found = points_of(with_accuracies(0.2, 0.4, 0.3))
    assert [(row["epoch"], row["t_s"]) for row in found] == [(1, 16.0), (2, 27.5), (3, 39.0)]
    assert [row["accuracy"] for row in found] == pytest.approx([0.2, 0.4, 0.4])
    assert {(row["kind"], row["split"], row["status"], row["seed"]) for row in found} == {
        ("measured", "validation", "ok", 0)
    }
    assert (found[0]["recipe_axes"], found[0]["budget_s"], found[0]["money"]) == (None, None, None)


def test_an_interrupted_trial_was_measured_too() -> None:
    """Its finished epochs are points; a trial that finished none has no point."""
    assert [row["epoch"] for row in points_of(with_accuracies(0.2, 0.4, status="interrupted"))] == [1, 2]
    asked = trial()
    assert points_of(ended_trial(asked, status="failed", reason="boom", events=start_up(asked))) == []


def test_without_validation_the_only_point_is_the_test_at_the_end() -> None:
    """No image was held back, so accuracy is known once, of the test images, and says so."""
    asked = trial(dataset=msgspec.structs.replace(DATASET, num_validation=0))
    data = ok_trial(asked)
    events = tuple(
        msgspec.structs.replace(event, val_accuracy=None, val_loss=None) if isinstance(event, Epoch) else event
        for event in data.events
    )
    (row,) = points_of(msgspec.structs.replace(data, events=events), cpu=3.6)
    assert (row["split"], row["epoch"], row["t_s"], row["accuracy"]) == ("test", 2, 31.0, 0.381)
    assert row["money"] == pytest.approx(0.031)


def test_energy_adds_up_over_epochs_and_money_over_time() -> None:
    """A GPU at 100 W spends 1,100 J an epoch; on a CPU without a counter energy is missing, not 0."""
    gpu = points_of(ok_trial(trial(device=GPU)), gpu=36.0)
    assert [row["joules"] for row in gpu] == pytest.approx([1100.0, 2200.0])
    assert [row["money"] for row in gpu] == pytest.approx([0.16, 0.275])
    assert {row["joules"] for row in points_of(ok_trial(trial()))} == {None}


@pytest.mark.parametrize(
    ("device", "prices", "expected"),
    [
        ("cpu:2", {"cpu": 0.05}, 0.05),
        ("cpu:2", {"cpu": 0.05, "cpu:2": 0.04}, 0.04),
        ("cpu:2", {"cpu:4": 0.04, "gpu": 1.0}, None),
        ("cpu:8smt", {"cpu:8smt": 0.3}, 0.3),
        ("gpu:0", {"gpu:0": 2.1}, 2.1),
        ("gpu:0", {"gpu": 0.0}, 0.0),
        ("gpu", {"gpu": 2.0}, 2.0),
        ("gpu:0+1", {"gpu": 2.0}, 4.0),
        ("gpu:0+1", {"gpu:0": 2.0, "gpu:1": 3.0}, 5.0),
        ("gpu:0+1", {"gpu:0": 2.0, "gpu": 3.0}, 5.0),
        ("gpu:0+1", {"gpu:0+1": 1.0, "gpu": 3.0}, 1.0),
        ("gpu:0+1", {"gpu:0": 2.0}, None),
        ("gpu:0", {}, None),
    ],
)
def test_the_most_exact_price_counts(device: str, prices: dict[str, float], expected: float | None) -> None:
    """A label wins over its kind, and GPUs that train together cost the sum of theirs."""
    assert price_per_hour(device, prices) == expected


def test_a_device_can_be_priced_by_several_names() -> None:
    """By its label, by each of its GPUs, and by its kind."""
    assert priceable("gpu:0+1") == ("gpu:0+1", "gpu:0", "gpu:1", "gpu")
    assert priceable("cpu:2") == ("cpu:2", "cpu")
    assert priceable("gpu") == ("gpu",)


def test_a_cells_curve_is_the_median_over_its_seeds() -> None:
    """It rises where any seed does, begins where most have a point, and its band is from the worst to the best seed."""
    found = median_curves(
        points(
            curve(1, (1.0, 0.1), (3.0, 0.3), seed=0),
            curve(1, (2.0, 0.2), (4.0, 0.4), seed=1),
            curve(1, (2.5, 0.6), (5.0, 0.9), seed=2),
        )
    )
    assert columns(found, "t_s", "accuracy", "accuracy_low", "accuracy_high", "begun", "seeds") == [
        (2.0, 0.1, 0.1, 0.2, 2, 3),
        (2.5, 0.2, 0.1, 0.6, 3, 3),
        (3.0, 0.3, 0.2, 0.6, 3, 3),
        (4.0, 0.4, 0.3, 0.6, 3, 3),
        (5.0, 0.4, 0.3, 0.9, 3, 3),
    ]
    assert set(found["cost"]) == {"t_s"}


def test_a_curve_over_energy_has_the_median_time() -> None:
    """The time is that by which most seeds had spent as much, linear between epochs; points without energy are out."""
    a, b = curve(1, (1.0, 0.1), (2.0, 0.2)), curve(1, (3.0, 0.2), (6.0, 0.3), seed=1)
    for row, joules in zip([*a, *b], [10.0, 20.0, 10.0, 30.0], strict=True):
        row["joules"] = joules
    found = median_curves(points(a, b, curve(2, (1.0, 0.9))), "joules")
    assert columns(found, "cell", "joules", "t_s", "accuracy") == [
        (1, 10.0, 3.0, 0.1),
        (1, 20.0, 4.5, 0.2),
        (1, 30.0, 6.0, 0.2),
    ]
    assert len(median_curves(points(a, b), "money")) == 0


def test_a_seed_that_was_cut_short_does_not_stand_for_one_that_was_not() -> None:
    """Where a seed ended ok, or diverged, interrupted ones do not count; where none did, they are what there is."""
    ended = curve(1, (1.0, 0.1), (2.0, 0.4))
    stopped = curve(1, (1.0, 0.2), seed=1, status="interrupted")
    diverged = curve(1, (1.0, 0.2), seed=1, status="diverged")
    assert columns(median_curves(points(ended, stopped)), "accuracy", "seeds") == [(0.1, 1), (0.4, 1)]
    assert columns(median_curves(points(ended, diverged)), "accuracy", "seeds") == [
        (0.1, 2),
        (0.2, 2),
    ]
    assert columns(median_curves(points(stopped)), "accuracy", "seeds") == [(0.2, 1)]


def test_a_cell_that_was_given_up_has_rates_and_a_note() -> None:
    """How fast it trained was measured, though it was stopped; its totals are of no training."""
    report = frames(run_data(with_accuracies(0.2, 0.3, status="hopeless")))
    (row,) = rows_of(cells(report.trials))
    assert row["images_per_s"] == pytest.approx(100.0)
    assert row["epoch_s"] is not None
    assert (row["train_s"], row["test_accuracy"]) == (None, None)
    assert any("stopped as hopeless" in flag for flag in row["flags"])


def test_a_hopeless_seed_counts_with_what_it_had() -> None:
    """It is one of the seeds that have not reached more, so that the lucky ones do not stand for the cell."""
    seeds = [with_accuracies(0.2, 0.6), with_accuracies(0.2, 0.3, status="hopeless", seed=1)]
    report = frames(run_data(*seeds, with_accuracies(0.2, 0.25, status="hopeless", seed=2)))
    curves = rows_of(median_curves(curve_points(report.trials, report.epochs, {})))
    assert {row["seeds"] for row in curves} == {3}
    assert curves[-1]["accuracy"] == pytest.approx(0.3)


def test_a_forecast_is_a_curve_of_its_own() -> None:
    """It goes on from what was measured of its cell, is called a forecast, and keeps its own interval."""
    found = median_curves(points(forecast(1, (5.0, 0.6, 0.5, 0.65)), curve(1, (1.0, 0.1))))
    assert columns(found, "kind", "t_s", "accuracy", "accuracy_low", "accuracy_high") == [
        ("measured", 1.0, 0.1, 0.1, 0.1),
        ("forecast", 1.0, 0.1, 0.1, 0.1),
        ("forecast", 5.0, 0.6, 0.5, 0.65),
    ]


@settings(max_examples=50, deadline=None)
@given(any_curves(), st.sampled_from(get_args(Axis)), st.randoms())
def test_what_holds_of_any_curve(rows: list[dict], cost: Axis, random) -> None:
    """Curves grow, lie within their band, and do not depend on the order of the points."""
    found = median_curves(points(rows), cost)
    for _, group in found.groupby(["cell", "kind"]):
        assert group[cost].is_monotonic_increasing
        assert group[cost].is_unique
        assert group["accuracy"].is_monotonic_increasing
        assert (group["accuracy_low"] <= group["accuracy"] + 1e-9).all()
        assert (group["accuracy"] <= group["accuracy_high"] + 1e-9).all()
    random.shuffle(rows)
    pd.testing.assert_frame_equal(median_curves(points(rows), cost), found)


def test_several_gpus_are_one_device() -> None:
    """Their energy is summed and so are their prices."""
    both = Device(kind="gpu", threads=2, gpu_uuids=("GPU-1", "GPU-2"), gpu_indices=(0, 1))
    first, _ = points_of(ok_trial(trial(device=both)), gpu=3.6)
    assert first["device"] == "gpu:0+1"
    assert first["joules"] == pytest.approx(2200.0)
    assert first["money"] == pytest.approx(0.032)


def test_an_accuracy_is_what_was_counted() -> None:
    """A share of images that TensorFlow told in 32 bits is rounded once, so that 3,500 of 5,000 is 0.7."""
    widened = msgspec.structs.replace(DATASET, num_validation=0)
    told = 0.699999988079071
    assert [row["accuracy"] for row in points_of(with_accuracies(told))] == [0.7]
    data = ok_trial(trial(dataset=widened), accuracy=told)
    events = tuple(
        msgspec.structs.replace(event, val_accuracy=None) if isinstance(event, Epoch) else event
        for event in data.events
    )
    assert [row["accuracy"] for row in points_of(msgspec.structs.replace(data, events=events))] == [0.7]


def test_the_median_of_two_seeds_is_what_one_of_them_has() -> None:
    """A mean of two counts is neither: 501 of 5,000 would lie above the mean of 500 and 502, in its last digit."""
    two = [*curve(1, (1.0, 500 / 5000)), *curve(1, (1.0, 502 / 5000), seed=1)]
    assert columns(median_curves(points(two)), "accuracy") == [(0.1,)]


def test_energy_and_money_beside_a_time_are_those_of_that_time() -> None:
    """Money is of the time, energy linear between the ends of epochs, and none is known before a seed's first end."""
    seeds = [
        curve(1, (10.0, 0.1), (30.0, 0.2), seed=0),
        curve(1, (20.0, 0.2), (40.0, 0.3), seed=1),
        curve(1, (5.0, 0.1), (15.0, 0.3), seed=2),
    ]
    metered = [row | {"joules": 2.0 * row["t_s"], "money": 0.5 * row["t_s"]} for rows in seeds for row in rows]
    found = median_curves(points(metered))
    assert columns(found, "t_s", "joules", "money") == [
        (10.0, None, 5.0),
        (15.0, None, 7.5),
        (20.0, 40.0, 10.0),
        (30.0, 60.0, 15.0),
        (40.0, 60.0, 20.0),
    ]
    by_money = median_curves(points(metered), "money")
    assert columns(by_money, "cost", "money", "t_s", "accuracy") == [
        ("money", row["money"], row["t_s"], row["accuracy"]) for row in rows_of(found)
    ]
    unknown = [row | {"joules": None if row["t_s"] == 30.0 else row["joules"]} for row in metered]
    assert columns(median_curves(points(unknown)), "joules") == [(None,), (None,), (None,), (None,), (None,)]


def test_a_forecast_does_not_forget_what_was_measured() -> None:
    """It goes on from the same seed, or from the median where it is of none, and never falls below their best."""
    measured = [*curve(1, (1.0, 0.2), (2.0, 0.4)), *curve(1, (1.0, 0.1), (2.0, 0.3), seed=1)]
    ahead = forecast(1, (2.0, 0.1, 0.0, 0.2), (3.0, 0.15, 0.1, 0.9))
    found = median_curves(points(measured, ahead))
    assert columns(found[found["kind"] == "forecast"], "t_s", "accuracy", "accuracy_low", "accuracy_high") == [
        (1.0, 0.1, 0.1, 0.1),
        (2.0, 0.1, 0.1, 0.2),
        (3.0, 0.15, 0.1, 0.9),
    ]
    other = [row | {"seed": 1} for row in forecast(1, (4.0, 0.2, 0.1, 0.5))]
    found = median_curves(points(measured, other))
    assert columns(found[found["kind"] == "forecast"], "t_s", "accuracy", "accuracy_high") == [
        (1.0, 0.1, 0.1),
        (2.0, 0.3, 0.3),
        (4.0, 0.3, 0.5),
    ]
    assert columns(median_curves(points(ahead, curve(1, (1.0, 0.9), split="test"))), "split", "kind", "t_s") == [
        ("test", "measured", 1.0),
        ("validation", "forecast", 2.0),
        ("validation", "forecast", 3.0),
    ]
