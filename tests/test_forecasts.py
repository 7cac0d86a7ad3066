"""What trials will take and reach, from calibrations and from what they have behind them, and how that is told."""

from __future__ import annotations

import io
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace
from rich.console import Console

from bench.analysis.expectation import expect
from bench.analysis.forecast_points import forecast_points
from bench.analysis.forecasts import forecast_frame, make_forecasts
from bench.analysis.frame import frames, rows_of
from bench.cli.report import render, render_forecast
from bench.config import RunConfig
from bench.recipe import Recipe
from bench.records import Attempt, Epoch, Result, TrialData
from bench.report.forecast import summarize_forecast
from bench.report.format import duration_about, number_about, share_about
from bench.report.question import Question
from bench.report.terminal import summary_view
from calibrations_for_tests import calibration
from curves_for_tests import measured, published, seeds
from records_for_tests import GPU, ended_trial, epoch, ok_trial, run_data, start_up, trial, write_run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bench.analysis.forecasts import Forecast
    from bench.reference.curve import ReferenceCurve


THREE = seeds((0.1, 0.2, 0.3), (0.12, 0.22, 0.32), (0.11, 0.21, 0.31))


def forecasts(*data: TrialData, references: Sequence[ReferenceCurve] = (), **options: Any) -> list[Forecast]:
    """What a run of these trials lets expect."""
    run = run_data(*data)
    return make_forecasts(run, frames(run), references, **options)


def rows(*data: TrialData, **options: Any) -> list[dict[str, Any]]:
    """The same as rows."""
    return rows_of(forecast_frame(forecasts(*data, **options)))


def view(*data: TrialData, references: Sequence[ReferenceCurve] = (), question: Question | None = None) -> str:
    """What is printed of it on 80 columns."""
    report = frames(run_data(*data))
    found = forecasts(*data, references=references)
    terminal = Console(file=io.StringIO(), width=80, no_color=True)
    terminal.print(summary_view(summarize_forecast(report, found, question or Question())))
    return terminal.file.getvalue()  # type: ignore[attr-defined]


def partial(accuracies: Sequence[float], *, epochs: int = 10, seed: int = 0, **cell: Any) -> TrialData:
    """A trial that was cut off after epochs of these accuracies, of 10 s each."""
    asked = trial(epochs=epochs, seed=seed, **cell)
    events = [
        replace(event, val_accuracy=accuracy) if isinstance(event, Epoch) else event
        for number, accuracy in enumerate(accuracies, start=1)
        for event in epoch(asked, number, start_s=5.0 + 11.5 * (number - 1), train_s=10.0)
    ]
    result = Result(key=asked.key, status="interrupted", reason="stopped by the user", wall_s=60.0, attempts=1)
    return TrialData(trial=asked, events=(*start_up(asked), *events), result=result)


# What is expected of a training


def test_a_model_that_was_never_trained_here_reaches_what_it_reached_elsewhere() -> None:
    """Accuracy by epoch comes from the reference, and with it the test accuracy at the end."""
    found = expect(trial(epochs=3).cell, 3.0, (), [measured(*THREE)])
    assert [value.accuracy for value in found.by_epoch.values()] == [0.11, 0.21, 0.31]
    assert found.val is not None
    assert found.test is not None
    assert (found.val.accuracy, found.test.accuracy) == (0.31, 0.3)
    assert found.source.startswith("measured in 3 trainings elsewhere")


def test_a_shorter_training_ends_on_the_curve_and_has_no_test_accuracy() -> None:
    """After two of three epochs the curve is known, and how the test ends there is not."""
    found = expect(trial(epochs=2).cell, 2.0, (), [measured(*THREE)])
    assert found.val is not None
    assert found.val.accuracy == 0.21
    assert found.test is None


def test_without_a_curve_no_accuracy_is_invented() -> None:
    """What is missing is said, and nothing else."""
    found = expect(trial(epochs=3).cell, 3.0, (), [])
    assert (found.by_epoch, found.val, found.test) == ({}, None, None)
    assert "there is no reference curve of small" in found.source
    assert "bench reference add" in found.source


def test_a_published_end_point_has_no_interval() -> None:
    """One training that somebody published says nothing of how far others lie from it."""
    found = expect(trial(epochs=3).cell, 3.0, (), [published()])
    assert found.test is not None
    assert (found.test.accuracy, found.test.low, found.test.high) == (0.4, None, None)
    assert found.by_epoch == {}
    assert found.source.startswith("published by a report")


def own_epochs(count: int) -> list[Epoch]:
    """Finished epochs of a curve that rises ever more slowly."""
    return [
        Epoch(epoch=number, end_s=10.0 * number, images=1000, loss=1.0, accuracy=0.5, val_accuracy=0.5 - 0.4 / number)
        for number in range(1, count + 1)
    ]


def test_a_trial_s_own_epochs_say_more_than_another_s() -> None:
    """From four epochs on they are extrapolated, though there is a reference; with fewer the reference is used."""
    cell, reference = trial(epochs=10).cell, measured(seeds(tuple(0.05 * n for n in range(1, 11)))[0], epochs=10)
    own = expect(cell, 10.0, own_epochs(5), [reference])
    assert own.source == "extrapolated from its own 5 epochs"
    assert list(own.by_epoch) == [6, 7, 8, 9, 10]
    assert own.val is not None
    assert own.val.low is not None
    assert own.val.high is not None
    assert own.val.low < 0.46 < own.val.high
    few = expect(cell, 10.0, own_epochs(3), [reference])
    assert few.source.startswith("measured in 1 training elsewhere")
    assert list(few.by_epoch) == [4, 5, 6, 7, 8, 9, 10]


def test_a_schedule_is_not_extrapolated() -> None:
    """Where accuracy follows the learning rate, its own epochs tell nothing, and that is said."""
    found = expect(trial(epochs=10, recipe=Recipe(schedule="linear")).cell, 10.0, own_epochs(5), [])
    assert found.val is None
    assert found.source.startswith("schedule=linear")


def test_a_budget_that_ends_within_an_epoch_is_extrapolated_to_that_moment() -> None:
    """The last point is of a part of an epoch."""
    found = expect(trial(epochs=None, budget_s=99.0).cell, 7.5, own_epochs(5), [])  # type: ignore[arg-type]
    assert list(found.by_epoch) == [6, 7, 8]
    assert found.val is found.by_epoch[8]


def test_a_budget_that_is_spent_with_the_last_epoch_has_no_further_point() -> None:
    """Nothing is told of an epoch that will not end."""
    found = expect(trial(epochs=None, budget_s=99.0).cell, 4.9, own_epochs(5), [])  # type: ignore[arg-type]
    assert found.by_epoch == {}
    assert "from 5 of 4.9 epochs" in found.source


# Rows


def test_a_calibration_becomes_a_row() -> None:
    """Time with its interval, memory as it was seen, accuracy with its source, and what it rests on."""
    (row,) = rows(calibration(trial(epochs=3)), references=[measured(*THREE)])
    assert row["status"] == "ok"
    assert (row["reason"], row["is_calibration"], row["steps_seen"]) == ("", True, 11)
    assert row["train_s"] == pytest.approx(30.0)
    assert row["wall_s_low"] < row["wall_s"] < row["wall_s_high"]
    assert row["peak_rss_bytes"] == 1_420_000_000
    assert (row["val_accuracy"], row["test_accuracy"]) == (0.31, 0.3)


def test_a_calibration_that_had_no_time_says_how_to_give_it_more() -> None:
    """One that was ended before its first step is no forecast, and names the flag."""
    data = calibration(trial(epochs=3), (), status="timeout", reason="not finished within 3 s")
    (row,) = rows(data)
    assert row["wall_s"] is None
    assert "--calibrate" in row["reason"]
    assert "no step ended" in row["reason"]


def test_one_that_failed_has_its_reason() -> None:
    """A model that cannot be built cannot be forecast."""
    asked = replace(trial(), mode="calibrate")
    (row,) = rows(ended_trial(asked, status="failed", reason="no such layer"))
    assert (row["status"], row["reason"], row["wall_s"]) == ("failed", "no such layer", None)


def test_a_trial_that_was_cut_off_is_forecast_to_its_end() -> None:
    """What is behind it is counted as it was, the rest as it was seen."""
    (row,) = rows(partial([0.1, 0.3, 0.36, 0.4, 0.42]))
    assert row["is_calibration"] is False
    assert row["train_s"] == pytest.approx(100.0)
    assert row["fit_s"] == pytest.approx(110.0)
    assert 0.42 < row["val_accuracy"] < 0.6
    assert row["accuracy_from"] == "extrapolated from its own 5 epochs"


def test_of_a_finished_trial_nothing_is_left_unless_more_is_asked_for() -> None:
    """It says so; with more epochs it is forecast from all that it has."""
    done = ok_trial(trial(epochs=5))
    (row,) = rows(done)
    assert row["wall_s"] is None
    assert "it has ended after 5 epochs; --epochs N" in row["reason"]
    (more,) = rows(done, epochs=20)
    assert more["epochs_asked"] == 20
    assert more["train_s"] == pytest.approx(200.0)


@pytest.mark.parametrize("status", ["diverged", "hopeless", "failed"])
def test_one_that_ended_badly_has_no_future(status: Any) -> None:
    """Neither a training, with more epochs or without, nor a calibration."""
    done = replace(ok_trial(trial(epochs=5)), result=Result(key="k", status=status, reason="why", attempts=1))
    for options in ({}, {"epochs": 8}):
        (row,) = rows(done, **options)
        assert (row["reason"], row["wall_s"]) == (f"it ended {status}: why", None)
    (row,) = rows(calibration(trial(epochs=3), status=status, reason="why"), references=[measured(*THREE)])
    assert (row["wall_s"], row["val_accuracy"]) == (None, None)


def test_a_calibration_that_was_not_begun_says_how_to_give_it_time() -> None:
    """Where the others took all the time, the row names the flag."""
    (row,) = rows(TrialData(trial=replace(trial(), mode="calibrate")))
    assert row["reason"] == "no time was left for its calibration; give more by --calibrate"


def test_a_budget_that_ends_before_an_epoch_does_has_no_accuracy() -> None:
    """What a whole epoch would reach is not told of a part of one; of 2.5, it is told after which."""
    cell = trial(epochs=None, budget_s=99.0).cell  # type: ignore[arg-type]
    part = expect(cell, 0.4, (), [measured(*THREE)])
    assert (part.val, part.test, part.by_epoch) == (None, None, {})
    more = expect(cell, 2.5, (), [measured(*THREE)])
    assert more.val is not None
    assert more.val.accuracy == 0.21
    assert more.source.endswith("after epoch 2 of 2.5")


def test_what_one_curve_does_not_know_another_may() -> None:
    """The validation accuracy is of a longer curve with more seeds, the test accuracy of the one that ends there."""
    long = measured(*seeds(*[(0.1, 0.2, 0.3, 0.4)] * 3), epochs=4)
    found = expect(trial(epochs=3).cell, 3.0, (), [long, published()])
    assert found.val is not None
    assert found.test is not None
    assert (found.val.accuracy, found.test.accuracy) == (0.3, 0.4)
    assert "on the test images: published by a report" in found.source


def test_a_net_that_overfits_has_its_best_behind_it() -> None:
    """Curves are told as best so far: the end is not below what was reached."""
    done = [
        replace(epoch, val_accuracy=value)
        for epoch, value in zip(own_epochs(6), (0.3, 0.5, 0.6, 0.58, 0.55, 0.52), strict=True)
    ]
    found = expect(trial(epochs=10).cell, 10.0, done, [])
    assert found.val is not None
    assert found.val.low is not None
    assert found.val.low >= 0.6


def test_of_many_epochs_some_are_told() -> None:
    """A curve of a thousand epochs to come has some points, the last among them."""
    found = expect(trial(epochs=1000).cell, 1000.0, own_epochs(6), [])
    assert 40 <= len(found.by_epoch) <= 60
    assert max(found.by_epoch) == 1000


def test_epochs_of_a_lost_process_are_not_behind_it() -> None:
    """A trial that was taken up after its first epoch has one, whatever was begun before."""
    data = partial([0.1, 0.3, 0.36, 0.4, 0.42])
    again = Attempt(number=2, unix_s=1.8e9, offset_s=16.5, epochs_done=1)
    (found,) = forecasts(replace(data, events=(*data.events, again)))
    assert found.epochs_done == 1


def test_energy_is_what_an_image_took_times_the_images() -> None:
    """GPU counters of a part of a training tell the whole's."""
    data = partial([0.1, 0.3, 0.36, 0.4, 0.42], device=GPU)
    whole = ok_trial(trial(epochs=10, device=GPU))
    (found,) = forecasts(replace(data, samples=whole.samples))
    per_image = found.row["joules_per_image"]
    (row,) = rows(replace(data, samples=whole.samples))
    assert row["train_joules"] == pytest.approx(10 * 1000 * per_image)


# Points of curves


def test_points_go_on_from_the_start_up_to_the_end_of_the_last_epoch() -> None:
    """Each epoch ends a third of the way later, and the test comes after the last."""
    (found,) = forecasts(calibration(trial(epochs=3)), references=[measured(*THREE)])
    points = rows_of(forecast_points([found], {"cpu": 3600.0}))
    assert [point["epoch"] for point in points] == [1, 2, 3]
    assert {point["kind"] for point in points} == {"forecast"}
    assert found.pace is not None
    assert found.time is not None
    steps_s = [b["t_s"] - a["t_s"] for a, b in pairwise(points)]
    assert steps_s == pytest.approx([steps_s[0]] * 2)
    assert points[-1]["t_s"] == pytest.approx(found.time.wall_s.estimate - found.time.test_s)
    assert points[0]["t_s"] - steps_s[0] == pytest.approx(found.pace.start_s)
    assert points[1]["money"] == pytest.approx(points[1]["t_s"])


def test_where_one_knows_test_images_alone_the_others_have_a_point_on_them_too() -> None:
    """A published end point can be compared with what was measured on the same images."""
    small = calibration(trial("small", epochs=3))
    large = calibration(trial("large", epochs=3, batch_size=50))
    both = forecasts(small, large, references=[measured(*THREE), published(batch_size=50)])
    tested = [point for point in rows_of(forecast_points(both, {})) if point["split"] == "test"]
    assert [(point["model"], point["accuracy"]) for point in tested] == [("small", 0.3), ("large", 0.4)]
    alone = rows_of(forecast_points(both[:1], {}))
    assert {point["split"] for point in alone} == {"validation"}


# In words


def test_the_answer_comes_first_in_the_words_of_the_question() -> None:
    """How long, for what, and what the large one costs and brings against the small one."""
    small = calibration(trial("small", epochs=3))
    large = calibration(trial("large", epochs=3, batch_size=50), (60.0,) * 12)
    text = " ".join(view(small, large, references=[measured(*THREE), published(batch_size=50)]).split())
    assert text.startswith("example on cpu:2")
    assert "small ~47.7 s (" in text
    assert " → ~30.0 % (" in text
    assert "large ~60.3 min (" in text
    assert "→ ~40.0 %" in text
    assert "times the time for 10 points more" in text
    assert "small: measured in 3 trainings elsewhere" in text
    assert "large: published by a report" in text


def test_the_epochs_that_were_asked_for_afterwards_are_named() -> None:
    """With --epochs the answer is of another training than the run's title says."""
    run = run_data(ok_trial(trial(epochs=5)))
    found = make_forecasts(run, frames(run), (), epochs=20)
    assert "small for 20 epochs ~" in summarize_forecast(frames(run), found).answers[0]


def test_seeds_are_told_apart() -> None:
    """Two trials of one cell have their seeds beside them."""
    text = view(partial([0.1, 0.3, 0.36, 0.4]), partial([0.1, 0.3, 0.36, 0.4], seed=4))
    assert "seed" in text.splitlines()[5]


def test_the_whole_run_is_summed_up() -> None:
    """All seeds of all cells, one after the other; a single training needs no sum."""
    data = run_data(calibration(trial("small", epochs=3)), calibration(trial("large", epochs=3)))
    data = replace(data, run=replace(data.run, config=RunConfig(repeats=2)))
    report = frames(data)
    assert summarize_forecast(report, make_forecasts(data, report, ())).answers[-1] == (
        "all 4 trainings: ~3.18 min (2.96–3.42)"
    )
    assert "trainings" not in view(calibration(trial(epochs=3))).partition("Example CPU")[0]


def test_every_number_of_a_forecast_has_its_sign() -> None:
    """None can be taken for a measurement, and without a curve no accuracy is there."""
    text = view(calibration(trial(epochs=3)))
    assert "accuracy unknown" in text
    assert "%  " not in text
    assert "no reference curve" in " ".join(text.split())
    assert "~" in text


def test_a_narrow_terminal_holds_it() -> None:
    """No line is longer than 80 columns."""
    several = [calibration(trial(name, epochs=3)) for name in ("small", "large", "another_name_of_some_length")]
    text = view(*several, references=[measured(*THREE)], question=Question(budgets_s=(20.0,), targets=(0.25,)))
    assert max(map(len, text.splitlines())) <= 80


def test_what_was_asked_is_answered_from_the_forecast() -> None:
    """The best within a time, and the soonest to an accuracy."""
    question = Question(budgets_s=(30.0,), targets=(0.25,))
    text = " ".join(view(calibration(trial(epochs=3)), references=[measured(*THREE)], question=question).split())
    assert "in 30 s of wall time: forecast of small on cpu:2, ~11.0 %" in text
    assert "25 % on the validation images: soonest forecast of small on cpu:2 after ~" in text


def test_a_budget_is_told_by_how_far_it_reaches() -> None:
    """In a minute, so many epochs, with their interval."""
    asked = trial(epochs=None, budget_s=60.0, budget_clock="fit")  # type: ignore[arg-type]
    text = " ".join(view(calibration(asked)).split())
    assert "small in 1 min ~5.00 (" in text


def test_few_steps_are_named() -> None:
    """Where an interval is wide for lack of steps, the legend says what would help."""
    assert "fewer than 20 steps seen" in " ".join(view(calibration(trial(epochs=3))).split())
    assert "fewer than" not in " ".join(view(calibration(trial(epochs=3), (1.0,) * 30)).split())


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (duration_about(12.34, 11.0, 13.0), "12.3 s (11.0–13.0)"),
        (duration_about(660, 600, 720), "11.0 min (10.0–12.0)"),
        (duration_about(11.7 * 3600, 11.1 * 3600, 12.9 * 3600), "11.7 h (11.1–12.9)"),
        (duration_about(150 * 3600, 140 * 3600, 160 * 3600), "150 h (140–160)"),
        (duration_about(90, 90, 90), "90.0 s"),
        (share_about(0.381, 0.37, 0.392), "38.1 % (37.0–39.2)"),
        (share_about(0.61, None, None), "61.0 %"),
        (number_about(1138, 1090, 1190), "1,138 (1,090–1,190)"),
        (number_about(5.8, 5.5, 6.1), "5.80 (5.50–6.10)"),
        (duration_about(0.004, 0.003, 0.005), "4.00 ms (3.00–5.00)"),
    ],
)
def test_what_is_expected_is_shown_with_its_interval(shown: str, text: str) -> None:
    """Both ends in the unit of the middle."""
    assert shown == text


# Files


def test_a_folder_of_calibrations_is_rendered_as_a_forecast(tmp_path: Path) -> None:
    """`report` on it prints and writes the forecast, and no table of results."""
    folder = write_run(tmp_path / "run", run_data(calibration(trial(epochs=3))))
    terminal = Console(file=io.StringIO(), width=80, no_color=True)
    render(folder.path, terminal)
    names = {path.name for path in folder.report.iterdir()}
    assert names == {"forecast.html", "forecast.md", "forecasts.csv", "forecasts.parquet"}
    assert "steps seen" in (folder.report / "forecast.md").read_text()
    assert "wall_s_low" in (folder.report / "forecasts.csv").read_text()


def test_whether_anything_was_forecast_is_told(tmp_path: Path) -> None:
    """Nothing was where every trial has ended."""
    terminal = Console(file=io.StringIO(), width=80, no_color=True)
    for name, data, found in (("a", partial([0.1]), True), ("b", ok_trial(trial()), False)):
        write_run(tmp_path / name, run_data(data))
        assert render_forecast(tmp_path / name, terminal) is found
