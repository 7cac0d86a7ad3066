"""The forecast that the live display shows while a trial trains."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich.console import Console

from bench.analysis.extrapolation import extrapolate
from bench.analysis.outlook import Outlook
from bench.recipe import Recipe
from bench.records import Epoch, Trial
from bench.report.live import LiveView
from records_for_tests import epoch, trial

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now_s


def watch(asked: Trial, clock: Clock) -> LiveView:
    """A view of one trial in a wide terminal."""
    console = Console(width=200, height=40, file=io.StringIO(), force_terminal=True)
    return LiveView(console, [asked], clock=clock)


def picture(view: LiveView) -> str:
    """What the view shows, on one line."""
    console = Console(width=200, file=io.StringIO())
    with console.capture() as capture:
        console.print(view.picture())
    return " ".join(capture.get().split())


def learn(view: LiveView, asked: Trial, clock: Clock, accuracies: Sequence[float], *, every_s: float = 11.5) -> None:
    """Tell a view of epochs with these accuracies, each `every_s` after the other."""
    for number, accuracy in enumerate(accuracies, start=1):
        for event in epoch(asked, number, start_s=5.0 + 11.5 * (number - 1), train_s=10.0, accuracy=accuracy + 0.02):
            view.event(asked, event)
        clock.now_s += every_s


LEARNT = (0.19, 0.26, 0.31, 0.32, 0.336, 0.342)


def test_the_picture_shows_the_running_forecast_from_the_fourth_epoch_on() -> None:
    """It says for which epoch, is marked as a forecast, and stands beside what was measured."""
    asked, clock = trial(epochs=15), Clock()
    view = watch(asked, clock)
    view.trial_started(asked, 1, None, ())
    learn(view, asked, clock, LEARNT[:3])
    assert "~" not in picture(view)
    learn(view, asked, clock, LEARNT)
    expected = extrapolate(LEARNT, 15, num_images=100)
    assert expected is not None
    said = f"15 epochs: ~{100 * expected.low:.1f}–{100 * expected.high:.1f} %"
    assert said in picture(view)


def test_the_epochs_of_a_budget_are_a_forecast_too() -> None:
    """Under a budget the epoch that it reaches is expected as well, and says so."""
    asked, clock = trial(epochs=None, budget_s=110.0), Clock()
    view = watch(asked, clock)
    view.trial_started(asked, 1, None, ())
    learn(view, asked, clock, LEARNT)
    assert "~10.0 epochs: ~" in picture(view)


def test_a_trial_with_a_schedule_shows_no_forecast() -> None:
    """Where a curve cannot be extrapolated, none is shown."""
    asked, clock = trial(epochs=15, recipe=Recipe(schedule="cosine")), Clock()
    view = watch(asked, clock)
    view.trial_started(asked, 1, None, ())
    learn(view, asked, clock, LEARNT)
    assert "~" not in picture(view)


def test_a_resumed_trial_shows_its_forecast_at_once() -> None:
    """The epochs that earlier processes finished are enough."""
    asked = trial(epochs=15)
    finished = [
        Epoch(epoch=number, end_s=10.0 * number, images=1, loss=1.0, accuracy=0.3, val_accuracy=accuracy)
        for number, accuracy in enumerate(LEARNT, start=1)
    ]
    view = watch(asked, Clock())
    view.trial_started(asked, 2, None, finished)
    assert "15 epochs: ~" in picture(view)


def test_forecasts_are_made_at_most_every_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """However short the epochs are, the parent stays idle; and it makes none between two epochs."""
    made: list[float] = []
    clock = Clock()
    monkeypatch.setattr(Outlook, "forecast", lambda _: made.append(clock.now_s))
    asked = trial(epochs=100)
    view = watch(asked, clock)
    learn(view, asked, clock, [0.3] * 50, every_s=1.0)
    assert made == [0.0, 10.0, 20.0, 30.0, 40.0]


def test_a_forecast_ends_with_the_training() -> None:
    """After the last epoch nothing is expected any more, even within ten seconds of the last forecast."""
    asked, clock = trial(epochs=6), Clock()
    view = watch(asked, clock)
    view.trial_started(asked, 1, None, ())
    learn(view, asked, clock, LEARNT, every_s=5.0)
    assert "~" not in picture(view)
