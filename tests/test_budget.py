"""What is told of trainings that a budget ended, and of images that were not all of one size."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace
from rich.console import Console

from bench.analysis.arithmetic import flops_as_trained
from bench.analysis.cells import cells
from bench.analysis.frame import frames, rows_of
from bench.cli.question import parse_question
from bench.cli.report import render
from bench.launch.resume import resume_point
from bench.recipe import Recipe
from bench.recipe_axes import variants
from bench.records import Attempt, Epoch, Event, Flops, PhaseDone, Result, Spent, Steps, Trial, TrialData
from bench.report import summary
from bench.report.labels import cell_labels, setting_labels
from bench.report.progress import Progress
from bench.report.terminal import report_view
from bench.store import TrialFolder
from records_for_tests import end, epoch, run_data, start_up, trial, write_run
from test_launch import write

if TYPE_CHECKING:
    from pathlib import Path


def budget_events(asked: Trial, *, last_images: int = 250, last_s: float = 2.5) -> list[Event]:
    """An epoch of 1,000 images in 10 s, then a part of one, each with a second of validation."""
    first, second = (
        epoch(asked, number, start_s=start_s, train_s=train_s)
        for number, start_s, train_s in ((1, 5.0, 10.0), (2, 16.5, last_s))
    )
    whole = replace(next(e for e in first if isinstance(e, Epoch)), learning_rate=0.1)
    part = replace(next(e for e in second if isinstance(e, Epoch)), images=last_images, last=True, learning_rate=0.001)
    steps = replace(next(e for e in second if isinstance(e, Steps)), counts=(1, 2), images=last_images)
    changed: dict[type, dict[int, Event]] = {Epoch: {1: whole, 2: part}, Steps: {2: steps}}
    return [changed.get(type(event), {}).get(getattr(event, "epoch", 0) or 0, event) for event in [*first, *second]]


def budget_trial(*, clock: Any = "fit", budget_s: float = 14.5, wall_s: float = 25.0, **options: Any) -> TrialData:
    """A trial of 12.5 s of training and 14.5 s with validation."""
    asked = trial(epochs=None, budget_s=budget_s, budget_clock=clock)  # type: ignore[arg-type]
    return TrialData(
        trial=asked,
        events=(*start_up(asked), *budget_events(asked, **options), *end(start_s=21.0)),
        result=Result(key=asked.key, status="ok", wall_s=wall_s, attempts=1),
    )


def row(data: TrialData) -> dict[str, Any]:
    """The trial's row."""
    (found,) = rows_of(frames(run_data(data)).trials)
    return found


def test_a_part_of_an_epoch_counts_as_one() -> None:
    """Whole epochs, what was trained in all, and the median epoch, which a part of one is none of."""
    found = row(budget_trial())
    assert (found["epochs_done"], found["epochs_trained"]) == (1, 1.25)
    assert (found["epochs_asked"], found["budget_s"], found["budget_clock"]) == (None, 14.5, "fit")
    assert (found["train_s"], found["fit_s"], found["epoch_s"]) == (12.5, 14.5, 11.0)
    assert found["images_per_s"] == 100.0
    epochs = rows_of(frames(run_data(budget_trial())).epochs)
    assert [(e["images"], e["learning_rate"]) for e in epochs] == [(1000, 0.1), (250, 0.001)]


@pytest.mark.parametrize(
    ("options", "flag"),
    [
        ({}, None),
        ({"budget_s": 15.4}, None),  # a step takes 0.96 s
        ({"budget_s": 15.6}, "it took 14.5 s for training and validation, its budget was 15.6 s"),
        ({"clock": "train", "budget_s": 12.5}, None),
        ({"clock": "train", "budget_s": 10.0}, "it took 12.5 s for training, its budget was 10 s"),
        ({"clock": "wall", "budget_s": 25.0}, None),
        (
            {"clock": "wall", "budget_s": 20.0},
            "it took 25.0 s for everything, start-up and test included, its budget was 20 s",
        ),
    ],
)
def test_a_trial_that_ended_off_its_budget_says_so(options: Any, flag: str | None) -> None:
    """On the budget's own clock, beyond 1 % and a step."""
    flags = [said for said in row(budget_trial(**options))["flags"] if "budget" in said]
    assert flags == ([flag] if flag else [])


def test_a_trial_that_failed_is_not_blamed_for_its_budget() -> None:
    """A trial that was cut off ended for another reason."""
    data = budget_trial(budget_s=100.0)
    data = replace(data, result=replace(data.result, status="timeout"))  # type: ignore[type-var]
    assert not [said for said in row(data)["flags"] if "budget" in said]


def test_the_table_says_what_the_budget_covers() -> None:
    """The budget's clock in words above the table, the budget in the row's name, the epochs that it bought."""
    console = Console(width=120, file=io.StringIO(), force_terminal=False)
    with console.capture() as capture:
        console.print(report_view(frames(run_data(budget_trial(), budget_trial(budget_s=120.0)))))
    said = capture.get()
    assert "budget 14.5 s, 2 min of training and validation" in said
    assert "cpu:2 for 14.5 s" in said
    assert "cpu:2 for 2 min" in said
    assert "1.25" in said


# Sizes of images.


def counted(height: int | None, training: int, traffic: int | None = 10) -> Flops:
    """The arithmetic for one size."""
    return Flops(forward=training // 3, training=training, operations=7, traffic_bytes=traffic, image_height=height)


def block(images: int, height: int | None) -> Steps:
    """A block of steps with images of one size."""
    return Steps(epoch=1, start_s=0.0, counts=(1,), ends_s=(1.0,), images=images, image_height=height)


def test_flops_are_the_mean_over_the_images_trained_on() -> None:
    """Three quarters of the images at a third of the arithmetic, a quarter at all of it: half."""
    found = flops_as_trained([counted(20, 300), counted(None, 900)], [block(30, 20), block(10, None)])
    assert found == Flops(forward=300, training=450, operations=7, traffic_bytes=10)


def test_flops_of_one_size_are_themselves() -> None:
    """Without stages nothing is averaged; without a count there is none; a later process's count replaces its twin."""
    assert flops_as_trained([counted(None, 900)], []) == counted(None, 900)
    assert flops_as_trained([], [block(1, None)]) is None
    assert flops_as_trained([counted(None, 1), counted(None, 900)], []) == counted(None, 900)


def test_flops_of_a_size_that_was_not_counted_are_unknown() -> None:
    """A mean over some of the images would pass for the mean over all."""
    found = flops_as_trained([counted(20, 300), counted(None, 900, traffic=None)], [block(30, 24), block(10, None)])
    assert found is not None
    assert (found.training, found.traffic_bytes) == (None, None)


def test_smaller_images_do_not_make_a_training_unsteady() -> None:
    """Steps of smaller images take less time, which is no drift; a training that slows down in a stage is one."""

    def data(step_s: dict[int | None, float], slower: float = 1.0) -> TrialData:
        asked = trial(epochs=1)
        now_s, blocks = 5.0, []
        for number, height in enumerate([20] * 10 + [24] * 10 + [None] * 10):
            ends_s = tuple(now_s + step_s[height] * (slower if number >= 15 else 1.0) * (step + 1) for step in range(5))
            blocks.append(Steps(epoch=1, start_s=now_s, counts=(1,) * 5, ends_s=ends_s, images=10, image_height=height))
            now_s = ends_s[-1]
        done = PhaseDone(phase="train", start_s=5.0, end_s=now_s, epoch=1)
        ended = Epoch(epoch=1, end_s=now_s, images=1000, loss=1.0, accuracy=0.1)
        return TrialData(
            trial=asked,
            events=(*start_up(asked), *blocks, done, ended, *end(start_s=now_s)),
            result=Result(key=asked.key, status="ok", wall_s=now_s + 3, attempts=1),
        )

    staged = row(data({20: 0.1, 24: 0.13, None: 0.2}))
    assert staged["steady"] is True
    assert staged["step_s"] == pytest.approx(0.2)
    assert row(data({20: 0.2, 24: 0.2, None: 0.2}, slower=1.6))["steady"] is False


# Names.


def test_cells_are_called_by_what_tells_them_apart() -> None:
    """Recipe fields that differ among a model's cells, batch sizes that differ, and budgets."""
    plain, smooth = (trial(recipe=r).cell for r in variants(Recipe(warmup=0.1), {"label_smoothing": (0, 0.2)}))
    other = trial("other", recipe=Recipe(label_smoothing=0.1)).cell
    assert list(cell_labels([plain, smooth, other]).values()) == [
        "small cpu:2, label_smoothing=0",
        "small cpu:2, label_smoothing=0.2",
        "other cpu:2",
    ]
    brief = budget_trial(budget_s=120.0).trial.cell
    assert list(cell_labels([brief, replace(brief, batch_size=7)]).values()) == [
        "small cpu:2, batch 100, for 2 min",
        "small cpu:2, batch 7, for 2 min",
    ]
    usual = trial().cell
    assert list(
        cell_labels([usual, replace(usual, steps_per_execution=10), replace(usual, onednn="off")]).values()
    ) == [
        "small cpu:2, 1 step a call",
        "small cpu:2, 10 steps a call",
        "small cpu:2 no oneDNN, 1 step a call",
    ]
    report = frames(run_data(*(replace(budget_trial(), trial=replace(trial(), cell=cell)) for cell in (plain, smooth))))
    assert list(report.trials["recipe_axes"]) == ["label_smoothing=0", "label_smoothing=0.2"]
    assert list(report.trials["recipe"]) == ["warmup=0.1", "warmup=0.1, label_smoothing=0.2"]


def test_cells_are_called_alike_while_they_run_and_in_their_report() -> None:
    """One rule names them: numbers of epochs where a model has several, budgets with all their seconds."""
    brief, long = (trial(epochs=number) for number in (1, 3))
    other = trial("other", epochs=5)
    hour, more = budget_trial(budget_s=3600.0).trial, budget_trial(budget_s=3720.0).trial
    for trials, names in (
        ((brief, long, other), ["small cpu:2, 1 epoch", "small cpu:2, 3 epochs", "other cpu:2"]),
        ((hour, more), ["small cpu:2, for 1 h", "small cpu:2, for 1 h 2 min"]),
    ):
        assert list(cell_labels(asked.cell for asked in trials).values()) == names
        rows = rows_of(frames(run_data(*(TrialData(trial=asked) for asked in trials))).trials)
        named = setting_labels(rows)
        assert [f"{row['model']} {named(row)}" for row in rows] == [name.replace(",", "") for name in names]


def test_a_budget_is_answered_by_what_was_trained_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the run folder to terminal and file, which share one summary: the cell that --budget made answers."""
    calls: list[object] = []
    monkeypatch.setattr(summary, "cells", lambda trials: calls.append(trials) or cells(trials))
    data = run_data(budget_trial(clock="train", budget_s=12.5), budget_trial(clock="train", budget_s=120.0))
    folder = write_run(tmp_path / "run", data)
    console = Console(width=400, file=io.StringIO())
    with console.capture() as capture:
        render(folder.path, console, parse_question(budgets=["12.5s", "2m"], targets=(), prices=(), by=None))
    trained = "small on cpu:2, 28.0 % on the validation images (wall 25.0 s), 38.1 % on the test images"
    for said in (
        f"  trained for 12.5 s: {trained}; in 12.5 s of wall time: nothing yet\n",
        f"; it ended with 38.1 % on the test images; trained for 2 min: {trained}\n",
    ):
        assert said in capture.get()
        assert said.strip().strip("; ") in (folder.report / "report.md").read_text("utf-8")
    assert len(calls) == 1


# While it runs.


def test_the_time_left_is_what_the_budget_has_left() -> None:
    """On the budget's own clock, what earlier processes spent included; none is left at its end."""
    for clock, left_s in (("train", 30.0), ("fit", 29.0)):
        asked = trial(epochs=None, budget_s=40.0, budget_clock=clock)  # type: ignore[arg-type]
        progress = Progress(asked)
        progress.start(1)
        assert progress.left_s is None
        for event in budget_events(asked)[:5]:
            progress.event(event)
        assert progress.left_s == left_s
        assert progress.phase == "train"
        resumed = Progress(asked)
        resumed.start(2, Spent(began_s=5.0, train_s=10.0, fit_s=11.0))
        for event in budget_events(asked)[5:]:
            resumed.event(event)
        assert resumed.left_s == {"train": 27.5, "fit": 25.5}[clock]
        assert resumed.phase == "test"


def test_what_finished_epochs_spent_is_found_in_the_journal(tmp_path: Path) -> None:
    """Training and validation of the epochs that are taken up; not of one whose checkpoint is missing."""
    asked = budget_trial().trial
    begun: list[Event] = [Attempt(number=1, unix_s=1.8e9)]
    for checkpoints, expected in (
        ((), None),
        ((1,), Spent(began_s=5.0, train_s=10.0, fit_s=11.0, checkpoint_s=0.5)),
        ((1, 2), Spent(began_s=5.0, train_s=12.5, fit_s=14.5, checkpoint_s=0.5, ended=True)),
    ):
        folder = TrialFolder(tmp_path / str(len(checkpoints)))
        folder.create(asked)
        write(folder, begun + budget_events(asked), checkpoints=checkpoints)
        assert resume_point(folder).spent == expected


def test_an_epoch_that_was_made_again_is_spent_once(tmp_path: Path) -> None:
    """Of an epoch that two processes made, the later one's time counts, and whether the budget ended with it."""
    asked = budget_trial().trial
    folder = TrialFolder(tmp_path / "trial")
    folder.create(asked)
    events: list[Event] = [
        Attempt(number=1, unix_s=1.8e9),
        *budget_events(asked),
        Attempt(number=2, unix_s=1.8e9, offset_s=16.5, epochs_done=1),
        PhaseDone(phase="train", start_s=20.0, end_s=24.0, epoch=2),
        Epoch(epoch=2, end_s=24.0, images=400, loss=1.0, accuracy=0.5),
    ]
    write(folder, events, checkpoints=(2,))
    spent = resume_point(folder).spent
    assert spent is not None
    assert (spent.train_s, spent.ended) == (14.0, False)
