"""What a forecast says, as text: the terminal and Markdown lay it out as they do a report."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from bench.analysis.cells import cells
from bench.analysis.curves import curve_points
from bench.analysis.forecast import CONFIDENCE
from bench.analysis.forecast_points import forecast_points
from bench.analysis.forecasts import forecast_frame
from bench.analysis.frame import rows_of
from bench.analysis.tradeoff import comparable
from bench.report.answers import place
from bench.report.column import Column, column
from bench.report.format import (
    MISSING,
    duration_about,
    energy,
    exact_duration,
    expected,
    number_about,
    plain,
    share_about,
    size,
    times,
)
from bench.report.labels import epochs_word, setting_labels
from bench.report.question import NOTHING_ASKED, Question
from bench.report.section import Section
from bench.report.summary import Summary, describe_run
from bench.report.tradeoff import tradeoff_section

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Sequence

    from bench.analysis.forecasts import Forecast
    from bench.analysis.frame import Report
    from bench.analysis.rows import Row

# Another interval than the one that was asked for would need other words here.
INTERVAL = f"{100 * CONFIDENCE:.0f} %"
FEW_STEPS = 20


def summarize_forecast(report: Report, forecasts: Sequence[Forecast], question: Question = NOTHING_ASKED) -> Summary:
    """Say what a forecast says, in text from which control characters are removed.

    Args:
        report: The calibrations, or what was measured so far.
        forecasts: What follows from them.
        question: What is to be answered besides.
    """
    frame = forecast_frame(forecasts)
    rows = rows_of(frame)
    setting = setting_labels(rows)
    known = [row for row in rows if row["wall_s"] is not None]
    asked = {trial.cell.epochs for trial in report.run.trials}
    flags = tuple(dict.fromkeys(flag for forecast in forecasts for flag in forecast.row["flags"]))
    numbers = {forecast.row["key"]: _numbers(forecast, flags) for forecast in forecasts}
    points = [curve_points(report.trials, report.epochs, question.prices), forecast_points(forecasts, question.prices)]
    # A calibration's own epochs are no training.
    kept = [part for part in (points[1:] if _are_calibrations(forecasts) else points) if len(part)]
    section = tradeoff_section(pd.concat(kept), cells(report.trials), setting, question) if kept else None
    return Summary(
        title=plain(report.run.name),
        answers=tuple(map(plain, [*_answers(known, asked), *_total(report, rows)])),
        about=describe_run(report),
        names=(
            column("model", known, lambda row: row["model"], is_number=False),
            column("device", known, setting, is_number=False),
            *_seeds(known),
        ),
        measures=tuple(_measures(known)),
        notes=column("notes", known, lambda row: numbers[row["key"]]) if flags else None,
        legend=_legend(known),
        flags=tuple(map(plain, flags)),
        failures=tuple(
            plain(f"{row['model']} on {setting(row)}, seed {row['seed']}: {row['reason']}")
            for row in rows
            if row["wall_s"] is None
        ),
        failures_title="No forecast",
        tradeoffs=(),
        sections=tuple(part for part in [_sources(known, setting), section] if part is not None),
    )


def _seeds(rows: Sequence[Row]) -> Iterator[Column]:
    """Which seed it is, where a cell has several."""
    if len({row["cell"] for row in rows}) < len(rows):
        yield column("seed", rows, lambda row: str(row["seed"]))


def _are_calibrations(forecasts: Sequence[Forecast]) -> bool:
    return all(forecast.pace is None or forecast.pace.is_calibration for forecast in forecasts)


def _numbers(forecast: Forecast, flags: Sequence[str]) -> str:
    return ",".join(str(flags.index(flag) + 1) for flag in forecast.row["flags"])


def _answers(rows: Sequence[Row], asked: Container[int | None]) -> Iterator[str]:
    """The question that was asked before the hours are spent: how long, and for what."""
    first = {row["cell"]: row for row in reversed(rows)}  # of several seeds, the first one
    for device, setting, compared in comparable([*first.values()], first):
        ordered = sorted(compared, key=lambda row: float(row["wall_s"]))
        text = " · ".join(f"{row['model']} {_time(row, asked)} → {_accuracy(row)}" for row in ordered)
        yield f"on {place(device, setting)}: {text}{_difference(ordered)}"


def _total(report: Report, rows: Sequence[Row]) -> Iterator[str]:
    """How long the run would take that was asked about, if it has more than one training."""
    known = [row for row in rows if row["wall_s"] is not None]
    repeats = report.run.config.repeats
    trainings = len(known) * repeats
    if trainings < 2 or not all(row["is_calibration"] for row in known):
        return
    # What makes one slower than foretold, a slower machine, makes all so: their ends are added, not their variances.
    sums = (repeats * sum(row[name] for row in known) for name in ("wall_s", "wall_s_low", "wall_s_high"))
    which = f"all {trainings} trainings" if len(known) == len(rows) else f"the {trainings} trainings that are forecast"
    yield f"{which}: {_sign(duration_about(*sums))}"


def _time(row: Row, asked: Container[int | None]) -> str:
    """How long it takes; for how many epochs, where the run was not asked for these."""
    if row["budget_s"] is None:
        epochs = "" if row["epochs_asked"] in asked else f"for {epochs_word(row['epochs_asked'])} "
        return epochs + _about(row, "wall_s", duration_about)
    return f"in {exact_duration(row['budget_s'])} {_about(row, 'epochs', number_about)} epochs"


def _accuracy(row: Row) -> str:
    if row["test_accuracy"] is not None:
        return _about(row, "test_accuracy", share_about)
    if row["val_accuracy"] is not None:
        return f"{_about(row, 'val_accuracy', share_about)} on the validation images"
    return "accuracy unknown"


def _difference(ordered: Sequence[Row]) -> str:
    """What the slowest model costs and brings against the quickest."""
    small, large = ordered[0], ordered[-1]
    if len(ordered) < 2 or large["budget_s"] is not None:
        return ""
    text = f"; {times(large['wall_s'] / small['wall_s'])} times the time"
    for name in ("test_accuracy", "val_accuracy"):
        if small[name] is not None and large[name] is not None:
            points = 100 * (large[name] - small[name])
            return f"{text} for {abs(points):.0f} points {'more' if points >= 0 else 'less'}"
    return text


def _measures(rows: Sequence[Row]) -> Iterator[Column]:
    yield column("steps seen", rows, lambda row: f"{row['steps_seen']:,}")
    yield column("images/s", rows, lambda row: _about(row, "images_per_s", number_about))
    yield column("epoch", rows, lambda row: _about(row, "epoch_s", duration_about))
    if any(row["budget_s"] is not None for row in rows):
        yield column("epochs", rows, lambda row: _about(row, "epochs", number_about))
    yield column("train", rows, lambda row: _about(row, "train_s", duration_about))
    yield column("fit", rows, lambda row: _about(row, "fit_s", duration_about))
    yield column("wall", rows, lambda row: _about(row, "wall_s", duration_about))
    for name, heading in (("val_accuracy", "validation accuracy"), ("test_accuracy", "test accuracy")):
        if any(row[name] is not None for row in rows):
            yield column(heading, rows, partial(_about, name=name, shown=share_about))
    yield column("peak memory", rows, lambda row: size(row["peak_rss_bytes"]))
    if any(row["peak_gpu_bytes"] is not None for row in rows):
        yield column("GPU memory", rows, lambda row: size(row["peak_gpu_bytes"]))
    if any(row["train_joules"] is not None for row in rows):
        yield column("energy", rows, lambda row: _sign(energy(row["train_joules"])))


def _about(row: Row, name: str, shown: Callable[[float, float | None, float | None], str]) -> str:
    if row[name] is None:
        return MISSING
    return _sign(shown(row[name], row[f"{name}_low"], row[f"{name}_high"]))


def _sign(text: str) -> str:
    return expected({"kind": "forecast"}, text)


def _legend(rows: Sequence[Row]) -> str:
    legend = (
        f"~: a forecast, in brackets its {INTERVAL} interval; train: training alone; fit: with validation; wall: "
        "everything, start-up and test included; peak memory: as far as it was seen"
    )
    if any(row["train_joules"] is not None for row in rows):
        legend += "; energy: of the training"
    if any(row["steps_seen"] < FEW_STEPS for row in rows):
        legend += f"; fewer than {FEW_STEPS} steps seen: the interval is wide"
    return legend


def _sources(rows: Sequence[Row], setting: Callable[[Row], str]) -> Section | None:
    """Where the accuracies come from; the same for a model on all devices is said once."""
    by_source: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        by_source[row["model"], row["accuracy_from"]].append(row)
    several = len({row["model"] for row in rows}) < len(by_source)
    sentences = tuple(
        plain(f"{model}{' on ' + ', '.join(map(setting, told)) if several else ''}: {source}")
        for (model, source), told in by_source.items()
    )
    if not sentences:
        return None
    return Section(title="Where the accuracies come from", tables=(), legend="", sentences=sentences)
