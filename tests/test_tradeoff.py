"""Trials of a cell taken together, and small models against large ones."""

from __future__ import annotations

import pandas as pd
import pytest

from bench.analysis.cells import SPREADS, cells
from bench.analysis.columns import CELLS
from bench.analysis.frame import frames, rows_of, typed
from bench.analysis.tradeoff import TradeOff, tradeoffs
from bench.records import TrialData
from bench.report.answers import tradeoff_sentence
from records_for_tests import GPU, ended_trial, ok_trial, run_data, start_up, trial


def cells_of(*trials: TrialData) -> pd.DataFrame:
    """The cells of a run of these trials."""
    return cells(frames(run_data(*trials)).trials)


def tradeoffs_of(*trials: TrialData) -> tuple[TradeOff, ...]:
    """The trade-offs of a run of these trials."""
    return tradeoffs(cells_of(*trials))


def three_seeds(model: str, *, train_s: float, accuracy: float) -> list[TrialData]:
    """Three seeds whose times and accuracies lie around the given ones."""
    return [
        ok_trial(trial(model, seed=seed), train_s=train_s + seed - 1, accuracy=accuracy + 0.01 * (seed - 1))
        for seed in range(3)
    ]


def test_cells_have_exactly_the_documented_columns() -> None:
    """The frame has the columns that the table documents, even when empty."""
    for table in (cells_of(), cells_of(ok_trial(trial()))):
        documented = {column: described.dtype for column, described in CELLS.items()}
        assert table.dtypes.astype(str).to_dict() == documented


def test_seeds_are_taken_together() -> None:
    """Accuracy, times and rates are medians over seeds, with their spread and an interval that holds them."""
    (cell,) = rows_of(cells_of(*three_seeds("small", train_s=10.0, accuracy=0.5)))
    assert (cell["n_ok"], cell["n_trials"], cell["statuses"]) == (3, 3, "3 ok")
    assert cell["train_s"] == 20.0
    assert cell["test_accuracy"] == pytest.approx(0.5)
    assert (cell["train_s_mad"], cell["train_s_low"], cell["train_s_high"]) == (2.0, 18.0, 22.0)
    assert cell["test_accuracy_mad"] == pytest.approx(0.01)
    for name in SPREADS:
        assert cell[f"{name}_low"] <= cell[name] <= cell[f"{name}_high"]


def test_two_seeds_have_a_spread_and_no_interval() -> None:
    """Two trials say how far apart they lie, not where the median may be."""
    (cell,) = rows_of(cells_of(*three_seeds("small", train_s=10.0, accuracy=0.5)[:2]))
    assert (cell["train_s"], cell["train_s_mad"], cell["train_s_low"], cell["train_s_high"]) == (19.0, 1.0, None, None)


def test_one_seed_has_no_spread() -> None:
    """A single trial has a median and no deviation from it, not one of 0."""
    (cell,) = rows_of(cells_of(ok_trial(trial())))
    assert cell["test_accuracy"] == 0.381
    assert cell["test_accuracy_mad"] is None
    assert cell["statuses"] == "ok"


def test_a_failed_seed_does_not_reach_the_numbers() -> None:
    """Times and accuracy are of the trials that ended ok; the others are counted by their status."""
    asked = trial(seed=1)
    failed = ended_trial(asked, status="oom_host", reason="out of memory", events=start_up(asked))
    (cell,) = rows_of(cells_of(ok_trial(trial(seed=0), train_s=10.0, accuracy=0.5), failed))
    assert (cell["n_ok"], cell["n_trials"], cell["statuses"]) == (1, 2, "1 ok, 1 oom_host")
    assert cell["train_s"] == 20.0
    assert cell["wall_s"] == 31.0


def test_a_cell_without_an_ok_trial_keeps_its_row() -> None:
    """A cell that failed throughout has its status and no numbers."""
    (cell,) = rows_of(cells_of(ended_trial(trial(), status="skipped", reason="no such device")))
    assert (cell["n_ok"], cell["statuses"]) == (0, "skipped")
    assert cell["train_s"] is None
    assert cell["test_accuracy"] is None


def test_a_cell_has_each_flag_once() -> None:
    """Flags of several seeds are joined without repetition."""
    (cell,) = rows_of(cells_of(*(ok_trial(trial(seed=seed), train_s=1.0) for seed in range(2))))
    assert cell["flags"] == ("short: 2.0 s of training",)


def test_the_large_model_is_set_against_the_small_one() -> None:
    """The trade-off is how many times the time for how many points, whatever the order of the trials."""
    (found,) = tradeoffs_of(
        *three_seeds("large", train_s=640.0, accuracy=0.61), *three_seeds("small", train_s=10.0, accuracy=0.381)
    )
    assert (found.device, found.setting) == ("cpu:2", ())
    assert (found.small.model, found.large.model) == ("small", "large")
    assert found.times == pytest.approx(64.0)
    assert found.points == pytest.approx(22.9)
    assert (found.large.train_s, found.large.n) == (1280.0, 3)
    assert found.large.accuracy_mad == pytest.approx(0.01)


def test_the_smallest_is_set_against_each_larger_one() -> None:
    """Three models give two trade-offs, by growing time; a larger model may well be worse."""
    found = tradeoffs_of(
        ok_trial(trial("middle"), train_s=20.0, accuracy=0.3),
        ok_trial(trial("small"), train_s=10.0, accuracy=0.4),
        ok_trial(trial("large"), train_s=80.0, accuracy=0.5),
    )
    assert [(pair.small.model, pair.large.model, pair.times) for pair in found] == [
        ("small", "middle", 2.0),
        ("small", "large", 8.0),
    ]
    assert [pair.points for pair in found] == pytest.approx([-10.0, 10.0])


def test_devices_are_not_mixed() -> None:
    """Time on one device is never compared with time on another."""
    found = tradeoffs_of(
        ok_trial(trial("small"), train_s=10.0),
        ok_trial(trial("large"), train_s=80.0),
        ok_trial(trial("small", device=GPU), train_s=2.0),
        ok_trial(trial("large", device=GPU), train_s=4.0),
    )
    assert [(pair.device, pair.times) for pair in found] == [("cpu:2", 8.0), ("gpu:0", 2.0)]


def test_only_ok_trials_are_compared() -> None:
    """A model that failed, or is alone on its device, is in no trade-off."""
    asked = trial("large")
    failed = ended_trial(asked, status="timeout", reason="out of time", events=start_up(asked))
    assert tradeoffs_of(ok_trial(trial("small")), failed, ok_trial(trial("large", device=GPU))) == ()
    assert tradeoffs_of() == ()


def test_an_axis_of_the_matrix_parts_the_comparison() -> None:
    """Where models were run with several batch sizes, those of the same batch size are compared."""
    found = tradeoffs_of(
        ok_trial(trial("small", batch_size=64), train_s=10.0),
        ok_trial(trial("small", batch_size=128), train_s=8.0),
        ok_trial(trial("large", batch_size=64), train_s=20.0),
        ok_trial(trial("large", batch_size=128), train_s=40.0),
    )
    assert [(pair.setting, pair.times) for pair in found] == [
        ((("batch_size", 64),), 2.0),
        ((("batch_size", 128),), 5.0),
    ]


def test_a_recipes_own_choice_does_not_part_the_comparison() -> None:
    """Where each model's recipe chose its batch size, the models are compared as their recipes have them."""
    (found,) = tradeoffs_of(
        ok_trial(trial("small", batch_size=256), train_s=10.0), ok_trial(trial("large", batch_size=64), train_s=20.0)
    )
    assert found.setting == ()
    assert found.times == 2.0


def test_within_a_budget_times_are_not_compared() -> None:
    """Both take as long as the budget: what is said is which is more accurate, the one with fewer parameters first."""
    rows = [
        {"cell": 1, "model": "large", "parameters": 20, "train_s": 119.0, "test_accuracy": 0.612},
        {"cell": 2, "model": "small", "parameters": 10, "train_s": 120.0, "test_accuracy": 0.562},
    ]
    common = {"device": "cpu:2", "n_ok": 1, "budget_s": 120.0, "budget_clock": "fit", "flags": ()}
    made = typed(CELLS, [dict.fromkeys(CELLS) | common | row for row in rows])
    (found,) = tradeoffs(made)
    assert (found.small.model, found.large.model, found.budget_s) == ("small", "large", 120.0)
    said = "on cpu:2, in a budget of 2 min: large reaches 5.0 points more than small (61.2 % against 56.2 %)"
    assert tradeoff_sentence(found) == said
    worse = made.assign(test_accuracy=made["test_accuracy"][::-1].to_list())
    assert "large reaches 5.0 points less than small" in tradeoff_sentence(*tradeoffs(worse))
    # Where models ran for several budgets, the one that they share is said once.
    other = dict.fromkeys(CELLS) | common | rows[1] | {"cell": 3, "budget_s": 60.0}
    assert tradeoff_sentence(*tradeoffs(typed(CELLS, [*rows_of(made), other]))) == said


def test_cells_of_different_budgets_are_not_compared_because_one_failed() -> None:
    """An axis of the matrix is one too where the cells on it failed."""
    common = {"device": "cpu:2", "train_s": 60.0, "test_accuracy": 0.5, "budget_clock": "fit", "flags": ()}
    made = [("small", 60.0, 1), ("small", 120.0, 0), ("large", 120.0, 1), ("large", 60.0, 0)]
    rows = [
        dict.fromkeys(CELLS) | common | {"cell": cell, "model": model, "budget_s": budget_s, "n_ok": n_ok}
        for cell, (model, budget_s, n_ok) in enumerate(made, start=1)
    ]
    assert tradeoffs(typed(CELLS, rows)) == ()


def test_numbers_of_epochs_are_an_axis() -> None:
    """A model that ran for 2 and for 3 epochs is not set against itself."""
    found = tradeoffs_of(
        ok_trial(trial("small", epochs=2)),
        ok_trial(trial("small", epochs=3)),
        ok_trial(trial("large", epochs=2), train_s=20.0),
    )
    assert [(pair.setting, pair.small.model, pair.large.model) for pair in found] == [
        ((("epochs_asked", 2),), "small", "large")
    ]
