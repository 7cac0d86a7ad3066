"""What the page shows of one trial."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.report.charts.classes import classes_figure
from bench.report.charts.figure import Figure
from bench.report.charts.learning import thinned, trial_chart, trial_rows
from bench.report.charts.resources import resources_figure
from bench.report.format import duration, percent, plain, rate, share, size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from bench.analysis.rows import Row
    from bench.report.charts.cells import CellMarks
    from bench.report.charts.learning import Kind
    from bench.report.pictures import Gallery

PROBE = "Each epoch is a strength of regularisation; the best so far is shown."
_TONES = {"ok": "good", "interrupted": "doubt", "skipped": "doubt", "hopeless": "doubt"}


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One trial.

    Attributes:
        name: Cell and seed.
        outcome: How it ended, and with what.
        tone: `good`, `bad` or `doubt`.
        facts: Names and values.
        notes: What is doubtful, and what could not be measured.
        figures: Charts of this trial alone.
        classes: Charts of its accuracy by class.
        gallery: What it saw in the test images; None where that is not shown.
        log: The end of what its worker said.
    """

    name: str
    outcome: str
    tone: str
    facts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    figures: tuple[Figure, ...]
    classes: tuple[Figure, ...]
    gallery: Gallery | None
    log: str


def panel(
    row: Row,
    *,
    number: int,
    epochs: Sequence[Row],
    samples: Sequence[Row],
    phases: Sequence[Row],
    marks: CellMarks,
    most_points: int,
    gallery: Gallery | None,
    log: str,
) -> Panel:
    """Show a trial.

    Args:
        row: Its row of `Report.trials`.
        number: Of the panel, from 1.
        epochs: Its rows of `Report.epochs`.
        samples: Its rows of `Report.samples`.
        phases: Its rows of `Report.phases`.
        marks: Of the run's cells.
        most_points: Of each line of a chart.
        gallery: What it saw in the test images.
        log: The end of its log.
    """
    return Panel(
        name=plain(f"{marks.names[row['cell']]}, seed {row['seed']}"),
        outcome=plain(_outcome(row)),
        tone=_TONES.get(row["status"], "bad"),
        facts=tuple(_facts(row)),
        notes=tuple(map(plain, (*row["flags"], *(f"not measured: {line}" for line in row["missing"])))),
        figures=tuple(_figures(row, f"trial-{number}", epochs, samples, phases, most_points=most_points)),
        classes=tuple(_classes(gallery, f"trial-{number}")) if gallery else (),
        gallery=gallery,
        log=log,
    )


def _figures(
    row: Row, place: str, epochs: Sequence[Row], samples: Sequence[Row], phases: Sequence[Row], *, most_points: int
) -> Iterator[Figure]:
    if len(epochs) > 1:
        for kind, (title, about) in _CURVES.items():
            yield Figure(
                name=f"{place}-{kind}",
                title=title,
                about=about if epochs[-1]["l2"] is None else PROBE,
                chart=trial_chart(kind),
                datasets={"epochs": trial_rows(row, thinned(epochs, most_points), kind)},
            )
    used = resources_figure(samples, phases, name=f"{place}-resources", most_points=most_points)
    if used is not None:
        yield used


def _classes(gallery: Gallery, place: str) -> Iterator[Figure]:
    if gallery.groups:
        yield classes_figure(gallery.groups, name=f"{place}-groups", title="Accuracy by group of classes")
    yield classes_figure(gallery.classes, name=f"{place}-classes", title="Accuracy by class")


_CURVES: Mapping[Kind, tuple[str, str]] = {
    "accuracy": ("Accuracy by epoch", "Training images dotted, validation images solid."),
    "loss": ("Loss by epoch", "Label smoothing counts on training images."),
}


def _outcome(row: Row) -> str:
    if row["status"] != "ok":
        return f"{row['status']}: {row['reason']}" if row["reason"] else str(row["status"])
    if row["test_accuracy"] is None:
        return f"ok after {duration(row['wall_s'])}, nothing was tested"
    return f"{share(row['test_accuracy'])} of the test images right in {duration(row['wall_s'])}"


_FACTS: Mapping[str, tuple[str, Callable[[float | None], str]]] = {
    "test_accuracy": ("test accuracy", share),
    "test_loss": ("test loss (nats)", lambda value: f"{value:.3f}"),
    "val_accuracy": ("validation accuracy", share),
    "train_s": ("training", duration),
    "fit_s": ("training and validation", duration),
    "wall_s": ("everything", duration),
    "epochs_trained": ("epochs", rate),
    "epoch_s": ("an epoch", duration),
    "step_s": ("a step", duration),
    "images_per_s": ("training images/s", rate),
    "flops_per_s": ("GFLOP/s", lambda value: rate(None if value is None else value / 1e9)),
    "attained_fraction": ("of what the device attains", lambda value: percent(None if value is None else 100 * value)),
    "peak_rss_bytes": ("peak memory", size),
    "estimated_bytes": ("expected before", size),
    "cpu_percent": ("CPU, 100 % is one core", percent),
    "gpu_utilization_percent": ("GPU", percent),
    "peak_gpu_bytes": ("peak GPU memory", size),
}
_PLAIN = {
    "batch_size": "batch size",
    "precision": "precision",
    "parameters": "parameters",
    "recipe": "recipe",
    "verdict": "limited by",
    "key": "folder",
}


def _facts(row: Row) -> Iterator[tuple[str, str]]:
    for name, (title, shown) in _FACTS.items():
        if row[name] is not None:
            yield title, shown(row[name])
    for name, title in _PLAIN.items():
        value = row[name]
        if value:
            yield title, plain(f"{value:,}" if isinstance(value, int) else str(value))
