"""A run while it runs: a picture in a terminal, a few plain lines in a pipe.

The parent measures, so it must stay idle: an event only changes a value, and nothing is drawn more than once a second.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from bench.records import Epoch, Extracting, Steps
from bench.report.format import MISSING, duration, plain, rate, share, size, span
from bench.report.labels import cell_labels
from bench.report.progress import Progress, rest_s

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from rich.console import Console, RenderableType

    from bench.analysis.extrapolation import Extrapolation
    from bench.records import Cell, Event, Result, Sample, Spent, Trial

REFRESH_S = 1.0
EPOCH_LINE_S = 10.0  # in a pipe: between two lines about epochs
FORECAST_S = 10.0  # between two forecasts: the parent stays idle however short the epochs are
STEP_LINE_S = 60.0  # in a pipe: an epoch may take an hour, and a silent job is soon taken for dead
MARGIN_ROWS = 8  # rows of a terminal that are left for what is not the matrix


class LiveView:
    """Shows a run while it runs; one of the launcher's observers.

    Args:
        console: Where to.
        trials: The trials that will run, in their order; what a resumed run keeps is not among them.
        clock: Seconds that never go back. Defaults to `time.monotonic`.

    Example:
        >>> from rich.console import Console
        >>> with LiveView(Console(), []) as view:
        ...     pass  # run_trials(folder, run, observer=view)
    """

    def __init__(
        self, console: Console, trials: Sequence[Trial], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console = console
        self._clock = clock
        self._trials = {trial: Progress(trial) for trial in trials}
        self._labels = cell_labels(trial.cell for trial in trials)
        self._numbers = {trial: number for number, trial in enumerate(trials, start=1)}
        self._shown_s = float("-inf")
        self._looked_ahead_s = float("-inf")
        is_screen = console.is_terminal and not console.is_dumb_terminal
        self._live = Live(console=console, auto_refresh=False) if is_screen else None

    def __enter__(self) -> Self:
        if any(progress.may_forecast for progress in self._trials.values()):
            # 80 ms and 13 MB of NumPy, now that nothing is measured yet.
            import bench.analysis.learning_curves  # noqa: F401, PLC0415 -- a run of a few epochs does without
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.update(self.picture(), refresh=True)
            self._live.stop()

    def trial_started(self, trial: Trial, attempt: int, spent: Spent | None, epochs: Sequence[Epoch]) -> None:
        """A worker was started."""
        progress = self._trials[trial]
        progress.start(attempt, spent, epochs)
        progress.look_ahead()
        self._speak(trial, "started" if attempt == 1 else f"taken up again, attempt {attempt}")
        self._refresh(at_once=True)

    def event(self, trial: Trial, event: Event) -> None:
        """The worker wrote an event."""
        progress = self._trials[trial]
        progress.event(event)
        if isinstance(event, Epoch) and (event.last or self._clock() - self._looked_ahead_s >= FORECAST_S):
            self._looked_ahead_s = self._clock()
            progress.look_ahead()
        if self._live is None:
            pause_s = EPOCH_LINE_S if isinstance(event, Epoch) else STEP_LINE_S
            if isinstance(event, Epoch | Steps | Extracting) and self._clock() - self._shown_s >= pause_s:
                self._speak(trial, _figures(progress))
        self._refresh()

    def sampled(self, trial: Trial, sample: Sample) -> None:
        """A sample was taken."""
        self._trials[trial].sampled(sample)
        self._refresh()

    def trial_ended(self, trial: Trial, result: Result) -> None:
        """The trial's result is on disk."""
        progress = self._trials[trial]
        progress.end(result)
        self._speak(trial, _ended(progress, result))
        self._refresh(at_once=True)

    def picture(self) -> RenderableType:
        """The run as it stands."""
        trials = list(self._trials.values())
        first, shown = _window(trials, max(self._console.height - MARGIN_ROWS, 1))
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(no_wrap=True, justify="right")
        table.add_column(overflow="fold")
        table.add_column(overflow="fold", ratio=1)
        for number, progress in enumerate(shown, start=first + 1):
            style = "bold" if progress.is_running else ""
            table.add_row(Text(str(number)), Text(self._name(progress.trial)), Text(_state(progress)), style=style)
        hidden = len(trials) - len(shown)
        parts: list[RenderableType] = [table]
        if hidden:
            parts.append(Text(f"and {hidden} more", style="dim"))
        parts += [Text(_running(progress)) for progress in trials if progress.is_running]
        parts.append(Text(_time_left(trials)))
        return Group(*parts)

    def _name(self, trial: Trial) -> str:
        return plain(f"{self._labels[trial.cell]}, seed {trial.seed}")

    def _speak(self, trial: Trial, text: str) -> None:
        if self._live is None:
            self._shown_s = self._clock()
            line = f"[{self._numbers[trial]}/{len(self._numbers)}] {self._name(trial)}: {text}"
            self._console.print(Text(line), soft_wrap=True, highlight=False)

    def _refresh(self, *, at_once: bool = False) -> None:
        if self._live is not None and (at_once or self._clock() - self._shown_s >= REFRESH_S):
            self._shown_s = self._clock()
            self._live.update(self.picture(), refresh=True)


def _window(trials: Sequence[Progress], rows: int) -> tuple[int, Sequence[Progress]]:
    """The trials around the one that runs, as many as there are rows for, and the index of the first."""
    running = next((i for i, progress in enumerate(trials) if progress.result is None), len(trials))
    first = max(min(running - rows // 2, len(trials) - rows), 0)
    return first, trials[first : first + rows]


def _state(progress: Progress) -> str:
    if progress.result is not None:
        return _ended(progress, progress.result)
    return "running" if progress.is_running else "waiting"


def _ended(progress: Progress, result: Result) -> str:
    if result.status != "ok":
        return plain(f"{result.status}: {result.reason}" if result.reason else result.status)
    if progress.trial.mode == "calibrate":
        return f"calibrated in {duration(result.wall_s)}"
    return f"ok after {duration(result.wall_s)}, test accuracy {share(progress.test_accuracy)}"


def _running(progress: Progress) -> str:
    figures = _figures(progress)
    return f"{progress.phase}: {figures}" if figures else progress.phase


def _figures(progress: Progress) -> str:
    cell = progress.trial.cell
    parts = []
    if progress.extracting is not None:
        found = progress.extracting
        parts.append(f"{share(found.images / found.of)} of the {found.split} images")
    if progress.epoch and progress.trial.mode == "train":
        passes = progress.epoch_images / cell.dataset.num_train
        done = f"{passes:g} passes" if cell.recipe.optimizer == "lbfgs" else share(passes)
        whole = f"{progress.epoch} of {cell.epochs}" if cell.epochs else f"{progress.epoch}"
        parts.append(f"epoch {whole} ({done})")
    if progress.images_per_s is not None:
        parts.append(f"{rate(progress.images_per_s)} images/s")
    if progress.accuracy is not None:
        parts.append(f"train {share(progress.accuracy)}")
    if progress.val_accuracy is not None:
        parts.append(f"validation {share(progress.val_accuracy)}")
    if progress.forecast is not None and progress.forecast.epochs > progress.epochs_done:
        parts.append(_expected(progress.forecast, cell))
    if progress.rss_bytes is not None:
        parts.append(size(progress.rss_bytes))
    if progress.left_s:
        parts.append(f"{duration(progress.left_s)} left")
    return ", ".join(parts)


def _expected(forecast: Extrapolation, cell: Cell) -> str:
    """What is expected of the last epoch; which one that is of a budget is expected too."""
    last = f"{forecast.epochs:g}" if cell.epochs else f"~{forecast.epochs:.1f}"
    return f"{last} epochs: ~{span(share(forecast.low), share(forecast.high))}"


def _time_left(trials: Sequence[Progress]) -> str:
    known_s, unknown = rest_s(trials)
    if not known_s and not unknown:
        return "nothing waits"
    text = f"after this trial: {duration(known_s) if known_s else MISSING}"
    return f"{text} and {unknown} trials that have not been measured yet" if unknown else text
