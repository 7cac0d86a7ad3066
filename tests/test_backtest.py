"""Replayed trainings: forecasts from what was seen, what happened, and how that is told."""

from __future__ import annotations

import io
from pathlib import Path
from statistics import median

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.console import Console

from bench.analysis.backtest import backtest, left_out
from bench.analysis.backtest_errors import find_errors, find_errors_by_cell
from bench.analysis.columns import BACKTEST
from bench.analysis.forecast import END_S
from bench.analysis.frame import frames, rows_of, typed
from bench.cli.backtest import backtest as replay
from bench.errors import BenchError, StoreError, UsageError
from bench.recipe import Recipe
from bench.records import Attempt, Done, Epoch, Evaluated, Sentinel, Steps
from bench.report.backtest import backtest_findings
from bench.report.terminal import findings_view
from bench.store import read_run
from records_for_tests import (
    CHECKPOINT_S,
    HOST,
    VALIDATE_S,
    ended_trial,
    epoch,
    ok_trial,
    run_data,
    start_up,
    trial,
    write_run,
)

REFERENCE = sorted(path.parent for path in (Path(__file__).parent.parent / "reports" / "reference").glob("*/run.json"))
# Of a frozen part, whose first half is features, no step can be foretold.
FOUNDING = [path for path in REFERENCE if path.name.startswith("cifar100-m")]
START_S = 5.0  # the first step of `ok_trial`


def steady(*, epochs=10, train_s=30.0, **changes):
    """A trial whose steps all take as long, and whose end takes what a forecast expects of one."""
    data = ok_trial(trial(epochs=epochs, **changes), train_s=train_s)
    return replace(data, result=replace(data.result, wall_s=data.result.wall_s - 1.0 + END_S))


def calibration_of(data, *, step_s, unix_s=1.8e9, machine=""):
    """A calibration of a trial's cell: its start-up, a timed evaluation, and ten steps of so many seconds."""
    asked = replace(data.trial, mode="calibrate")
    steps = Steps(
        epoch=1,
        start_s=START_S,
        counts=(1,) * 10,
        ends_s=tuple(START_S + step_s * number for number in range(1, 11)),
        images=1000,
    )
    _, *started = start_up(asked)
    attempt = Attempt(number=1, unix_s=unix_s, machine=machine)
    events = (attempt, *started, Evaluated(images=100, seconds=VALIDATE_S), steps, Done(end_s=START_S + 10 * step_s))
    return replace(data, trial=asked, events=events, samples=(), result=replace(data.result, key=asked.key))


def picked(frame, **values):
    """The rows of a backtest that have these values."""
    return [row for row in rows_of(frame) if all(row[name] == value for name, value in values.items())]


def rows_for_tests(*errors_percent, quantity="wall_s", seen="90 s", disturbed=(), **changes):
    """A backtest with a row for each error; what happened was 100 s, and intervals reach 10 % to both sides."""
    is_accuracy = quantity == "val_accuracy"
    actual = 0.5 if is_accuracy else 100.0
    rows = []
    for number, error in enumerate(errors_percent):
        forecast = actual + error / 100 * (1.0 if is_accuracy else actual)
        rows.append(
            {
                "run": "example",
                "machine": "Example CPU",
                "key": f"small-{number}",
                "model": "small",
                "device": "cpu:2",
                "dataset": "cifar100",
                "seed": number,
                "quantity": quantity,
                "seen": seen,
                "seen_s": 90.0,
                "epochs_seen": 1,
                "forecast": forecast,
                "low": 0.9 * forecast,
                "high": 1.1 * forecast,
                "actual": actual,
                "error_percent": None if is_accuracy else error,
                "error_points": error if is_accuracy else None,
                "covered": 0.9 * forecast <= actual <= 1.1 * forecast,
                "disturbed": number in disturbed,
            }
            | changes
        )
    return typed(BACKTEST, rows)


def shown(frame, lines=()):
    """What a terminal of 80 columns shows of a backtest."""
    console = Console(width=80, file=io.StringIO(), no_color=True, force_terminal=False)
    with console.capture() as capture:
        console.print(findings_view(backtest_findings(frame, lines)))
    return capture.get()


def unfolded(text):
    """The text on one line, wherever the terminal broke it."""
    return " ".join(text.split())


def test_the_reference_runs_are_forecast_from_90_s():
    """From 90 s, the total time of the committed runs is off by less than 5 % in the median."""
    errors = [
        abs(row["error_percent"])
        for row in picked(backtest([read_run(path) for path in REFERENCE]), quantity="wall_s", seen="90 s")
    ]
    assert len(errors) == 3
    assert median(errors) < 5.0


def test_what_happened_is_what_the_report_says():
    """Actual times and accuracies are those of the run's own tables."""
    for data in map(read_run, FOUNDING):
        measured = {row["key"]: row for row in rows_of(frames(data).trials)}
        found = rows_of(backtest([data]))
        assert found
        assert all(row["actual"] == measured[row["key"]][row["quantity"]] for row in found)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 30), st.floats(1.0, 500.0))
def test_steady_steps_are_forecast_without_error(epochs, train_s):
    """Where all steps take as long, training has no error, and nothing has one once an epoch was seen whole."""
    found = rows_of(backtest([run_data(steady(epochs=epochs, train_s=train_s))]))
    whole_s = START_S + train_s + VALIDATE_S + CHECKPOINT_S
    for row in found:
        if row["quantity"] == "train_s" or (row["quantity"] in {"fit_s", "wall_s"} and row["seen_s"] >= whole_s):
            assert row["error_percent"] == pytest.approx(0.0, abs=1e-6)
            assert row["covered"]
    assert {row["quantity"] for row in found} >= {"train_s", "fit_s", "wall_s"}


def test_what_came_later_does_not_enter_a_forecast():
    """A training that becomes slower is forecast from its first 90 s as if it had not."""
    even = steady(epochs=10)
    asked = even.trial
    slow = tuple(
        event
        for number in range(4, 11)
        for event in epoch(asked, number, start_s=START_S + 3 * 31.5 + (number - 4) * 91.5, train_s=90.0)
    )
    early = tuple(event for event in even.events if getattr(event, "epoch", None) in {None, 1, 2, 3})
    slower = replace(even, events=early + slow, result=replace(even.result, wall_s=even.result.wall_s + 420.0))
    before, after = (picked(backtest([run_data(data)]), seen="90 s", quantity="train_s") for data in (even, slower))
    assert before[0]["forecast"] == after[0]["forecast"] == pytest.approx(300.0)
    assert (before[0]["actual"], after[0]["actual"]) == (pytest.approx(300.0), pytest.approx(720.0))
    assert after[0]["error_percent"] == pytest.approx(-100 * 420 / 720)
    assert not after[0]["covered"]


def test_a_step_in_progress_counts_once():
    """A share that ends within a step forecasts no more than one that ends with it."""
    found = rows_of(backtest([run_data(steady(epochs=4, train_s=1000.0))]))
    assert [row["error_percent"] for row in found if row["quantity"] == "wall_s" and row["epochs_seen"]] == (
        pytest.approx([0.0, 0.0], abs=1e-6)
    )


def test_90_s_are_no_forecast_of_less_than_three_minutes():
    """The first 90 s are looked at only where they are less than half of the training."""
    longer, shorter = (backtest([run_data(steady(epochs=epochs, train_s=10.0))]) for epochs in (20, 10))
    assert picked(longer, seen="90 s")
    assert not picked(shorter, seen="90 s")
    assert picked(shorter, seen="50 %")


def test_what_has_been_seen_is_not_forecast():
    """Where most of the time went into the test, half of it shows all of the training: only the whole is forecast."""
    data = steady(epochs=1, train_s=10.0)
    tested = replace(data, result=replace(data.result, wall_s=100.0))
    assert [row["quantity"] for row in picked(backtest([run_data(tested)]), seen="50 %")] == ["wall_s"]


def test_accuracy_is_forecast_from_four_epochs_on():
    """Of 9 epochs, half are 4 and enough; of 10, 30 % are 3 and too few; the truth is the last epoch's."""
    data = steady(epochs=10)
    rising = tuple(
        replace(event, val_accuracy=0.5 - 0.3 / event.epoch) if isinstance(event, Epoch) else event
        for event in data.events
    )
    found = picked(backtest([run_data(replace(data, events=rising))]), quantity="val_accuracy")
    assert [(row["seen"], row["epochs_seen"]) for row in found] == [("50 %", 5)]
    assert found[0]["actual"] == pytest.approx(0.47)
    assert found[0]["error_points"] == pytest.approx(100 * (found[0]["forecast"] - 0.47))
    assert found[0]["error_percent"] is None
    assert found[0]["seen_s"] == pytest.approx(START_S + 4 * 31.5 + 31.0)
    nine = picked(backtest([run_data(steady(epochs=9))]), quantity="val_accuracy")
    assert [row["epochs_seen"] for row in nine] == [4]


def test_an_accuracy_that_cannot_be_told_is_left_out():
    """Under a learning-rate schedule there are times and no accuracy, and the reason is said."""
    run = run_data(steady(epochs=20, recipe=Recipe(schedule="cosine")))
    found = backtest([run])
    assert picked(found, quantity="wall_s")
    assert not picked(found, quantity="val_accuracy")
    (line,) = left_out(run)
    assert line.startswith("small cpu:2, seed 0: no accuracy, schedule=cosine")


def test_the_times_of_a_training_that_was_taken_up_again_are_left_out():
    """Nobody can foresee a second start-up; accuracy per epoch does not depend on it."""
    data = steady(epochs=20)
    resumed = replace(data, events=(*data.events, Attempt(number=2, unix_s=1.8e9, offset_s=1e6, epochs_done=20)))
    run = run_data(resumed)
    assert {row["quantity"] for row in rows_of(backtest([run]))} == {"val_accuracy"}
    (line,) = left_out(run)
    assert line.endswith("no times, since it was interrupted and taken up again")


def test_only_trainings_that_ended_well_are_replayed():
    """Failures, what has not ended and what saw no whole epoch are left out, each with its reason.

    Calibrations are what trainings are told from; where there is nothing else, they say that they are none.
    """
    short = steady(epochs=2, seed=4)
    cut = tuple(replace(event, images=10) if isinstance(event, Epoch) else event for event in short.events)
    run = run_data(
        calibration_of(steady(), step_s=1.0),
        ended_trial(trial(seed=2), status="oom_host", reason="killed"),
        replace(steady(seed=3), result=None),
        replace(short, events=cut),
    )
    assert backtest([run]).empty
    assert [line.partition(": ")[2] for line in left_out(run)] == [
        "it ended oom_host",
        "it has not ended",
        "it finished no whole epoch",
    ]
    (why,) = left_out(run_data(calibration_of(steady(), step_s=1.0)))
    assert why.endswith("it is a calibration, which ends before it could be compared")


def test_a_calibration_is_held_against_the_training_of_its_cell():
    """Of calibrations in any run, the nearest in time counts, of the same cell on the same machine."""
    training = steady(epochs=10, train_s=30.0)  # 3 s a step
    good = calibration_of(training, step_s=3.0, unix_s=1.8e9 - 100)
    early = calibration_of(training, step_s=9.0, unix_s=1.8e9 - 9000)
    elsewhere = calibration_of(training, step_s=9.0, unix_s=1.8e9, machine="another")
    other = calibration_of(steady(epochs=11), step_s=9.0, unix_s=1.8e9)
    found = backtest([run_data(early, elsewhere, other, good), run_data(training, name="later")])
    (row,) = picked(found, seen="calibration", quantity="train_s")
    assert row["forecast"] == row["actual"] == pytest.approx(300.0)
    assert (row["run"], row["key"]) == ("later", training.trial.key)
    assert row["seen_s"] == pytest.approx(START_S + 30.0)
    (wall,) = picked(found, seen="calibration", quantity="wall_s")
    assert wall["forecast"] == pytest.approx(wall["actual"] - 10 * CHECKPOINT_S)  # it wrote no checkpoint
    slower = replace(HOST, usable_cores=1)
    assert not picked(backtest([run_data(good, host=slower), run_data(training)]), seen="calibration")


def test_a_budget_fixes_its_own_clock():
    """Of a training for a time, that time is no forecast; how many epochs it reaches is."""
    data = steady(epochs=10)
    asked = replace(data.trial, cell=replace(data.trial.cell, epochs=None, budget_s=310.0, budget_clock="fit"))
    found = backtest([run_data(replace(data, trial=asked))])
    assert {row["quantity"] for row in rows_of(found)} == {"train_s", "wall_s", "epochs", "val_accuracy"}
    half = picked(found, quantity="epochs", seen="50 %")
    assert half[0]["forecast"] == half[0]["actual"] == pytest.approx(10.0)


def test_a_disturbed_training_is_marked():
    """What disturbed the machine is; what else is doubtful about a trial, such as a limited data set, is not."""
    data = steady(epochs=10)
    sentinels = (Sentinel(when="before", seconds=1.0), Sentinel(when="after", seconds=1.5))
    limited = replace(data.trial.cell.dataset, official=False)
    quiet = replace(data, trial=replace(data.trial, cell=replace(data.trial.cell, dataset=limited)))
    disturbed = replace(data, events=(*data.events, *sentinels))
    assert frames(run_data(quiet)).trials["flags"][0]
    assert not backtest([run_data(quiet)])["disturbed"].any()
    assert backtest([run_data(disturbed)])["disturbed"].all()


def test_errors_are_summed_up():
    """Median, mean and largest are of amounts, the bias has a sign, and quiet trainings are told apart."""
    frame = rows_for_tests(-2.0, 4.0, -20.0, 1.0, -3.0, disturbed={2})
    (found,) = find_errors(frame)
    assert (found.quantity, found.seen, found.trainings, found.undisturbed) == ("wall_s", "90 s", 5, 4)
    assert found.median_percent == pytest.approx(3.0)
    assert found.undisturbed_median_percent == pytest.approx(2.5)
    assert found.mean_percent == pytest.approx(6.0)
    assert found.largest_percent == pytest.approx(20.0)
    assert found.bias_percent == pytest.approx(-2.0)
    assert found.covered == 4


def test_errors_are_kept_apart():
    """Quantities, what was seen, models and devices are not mixed; the whole time comes first."""
    parts = [
        rows_for_tests(1.0, quantity="val_accuracy", seen="30 %"),
        rows_for_tests(2.0, quantity="train_s"),
        rows_for_tests(3.0, 5.0, seen="10 %", model="large"),
        rows_for_tests(4.0, device="cpu:1"),
    ]
    frame = pd.concat(parts, ignore_index=True)
    assert [(found.quantity, found.seen, found.median_percent) for found in find_errors(frame)] == [
        ("wall_s", "90 s", pytest.approx(4.0)),
        ("wall_s", "10 %", pytest.approx(4.0)),
        ("train_s", "90 s", pytest.approx(2.0)),
        ("val_accuracy", "30 %", pytest.approx(1.0)),
    ]
    by_cell = find_errors_by_cell(frame)
    assert list(by_cell) == [("small", "cpu:2"), ("large", "cpu:2"), ("small", "cpu:1")]
    assert [found.trainings for found in by_cell["large", "cpu:2"]] == [2]


def test_the_answer_comes_first():
    """One sentence says how far time and accuracy are off, with and without disturbed trainings."""
    times = rows_for_tests(-2.0, 4.0, -20.0, disturbed={2})
    accuracies = rows_for_tests(1.0, -3.0, quantity="val_accuracy", seen="30 %")
    text = unfolded(shown(pd.concat([times, accuracies], ignore_index=True)))
    assert text.startswith(
        "time from 90 s: off by 4.0 % in the median of 3 trainings, by 3.0 % in that of the 2 that nothing disturbed, "
        "90 % intervals held 2 of 3; accuracy from 30 % of the epochs: off by 2.0 points in the median of 2 trainings, "
        "90 % intervals held 2 of 2 3 trainings of 1 run (example), 1 of them disturbed"
    )


def test_few_do_not_look_precise():
    """Below 5 trainings there is no mean, and below 20 intervals are counted; then there is a share of them."""
    few, several, many = (shown(rows_for_tests(*[-1.0, 30.0] * number)) for number in (2, 3, 10))
    assert "2 of 4" in few
    assert not any("bias" in line for line in few.splitlines())
    assert "3 of 6" in several
    assert any("mean" in line and "bias" in line and "held" in line for line in several.splitlines())
    assert "50 % of 20" in many


def test_misses_are_listed():
    """What lies outside its interval stands there with the interval, what happened, and the error."""
    text = shown(rows_for_tests(1.0, -25.0, disturbed={1}))
    assert all(len(line) <= 80 for line in text.splitlines())
    _, _, below = text.partition("Outside their intervals\n")
    first, second, *_ = below.splitlines()[2:]
    assert " ".join(first.split()) == "example: small cpu:2, wall 90 s 1 min 8 s – 1 min 22 s 1 min 40 s"
    assert second.strip() == "seed 1"
    assert "\N{MINUS SIGN}25.0 %" in below
    assert "seed 0" not in below
    assert "Outside" not in shown(rows_for_tests(1.0))


def test_models_are_told_apart():
    """With several cells, the terminal has a sentence for each, and Markdown a table."""
    frame = pd.concat([rows_for_tests(1.0), rows_for_tests(9.0, model="large")], ignore_index=True)
    assert "large on cpu:2: time from 90 s: off by 9.0 % in one training" in unfolded(shown(frame))
    assert [section.title for section in backtest_findings(frame).details] == ["small on cpu:2", "large on cpu:2"]


def test_a_folder_is_written(tmp_path, capsys, monkeypatch):
    """The command prints the answer and writes Markdown, CSV and Parquet; what is no run is named, the rest goes on."""
    monkeypatch.setenv("COLUMNS", "80")
    run = write_run(tmp_path / "a", run_data(steady(epochs=10))).path
    (tmp_path / "none").mkdir()
    replay([run, tmp_path / "none", run], out=str(tmp_path / "out"), name=None)
    said = unfolded(capsys.readouterr().out)
    assert said.startswith("time from 90 s: off by 0.0 % in one training, 90 % intervals held 1 of 1")
    assert "none is no run folder" in said
    (folder,) = (tmp_path / "out").iterdir()
    assert folder.name.endswith("-backtest")
    assert {path.name for path in folder.iterdir()} == {f"backtest.{ending}" for ending in ("md", "csv", "parquet")}
    expected = backtest([read_run(run)])
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "backtest.parquet"), expected, check_dtype=False)
    assert list(pd.read_csv(folder / "backtest.csv").columns) == list(BACKTEST)
    text = (folder / "backtest.md").read_text()
    assert "off by 0.0 % in one training" in text
    assert "## Left out" in text


def test_a_folder_is_not_written_over(tmp_path, monkeypatch):
    """A second backtest of the same name and second is refused, and the first one stays."""
    monkeypatch.setattr("time.strftime", lambda _: "20260101T000000")
    run = write_run(tmp_path / "a", run_data(steady(epochs=10))).path
    replay([run], out=str(tmp_path), name="mine")
    with pytest.raises(StoreError, match="20260101T000000-mine is there already"):
        replay([run], out=str(tmp_path), name="mine")


def test_nothing_to_replay_is_an_error(tmp_path):
    """Where no training can be replayed, the error says why of each folder."""
    failed = write_run(tmp_path / "failed", run_data(ended_trial(trial(), status="timeout", reason="out of time"))).path
    (tmp_path / "none").mkdir()
    with pytest.raises(BenchError) as caught:
        replay([failed, tmp_path / "none"], out=str(tmp_path / "out"), name=None)
    assert f"{failed}: small cpu:2, seed 0: it ended timeout" in str(caught.value)
    assert "none is no run folder" in str(caught.value)
    assert not (tmp_path / "out").exists()
    with pytest.raises(UsageError, match="received none"):
        replay([], out=str(tmp_path), name=None)
