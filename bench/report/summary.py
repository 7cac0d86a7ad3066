"""What a report says, as text: the terminal and Markdown only lay it out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.analysis.budget import COVERS
from bench.analysis.cells import cells
from bench.analysis.curves import curve_points
from bench.analysis.epoch_medians import median_accuracies
from bench.analysis.frame import rows_of
from bench.analysis.tradeoff import tradeoffs
from bench.report.answer import answer_sentence
from bench.report.answers import tradeoff_sentence
from bench.report.column import Column, column
from bench.report.format import (
    GIGA,
    MISSING,
    duration,
    duration_spread,
    exact_duration,
    percent,
    plain,
    rate,
    share,
    size,
    span,
)
from bench.report.labels import setting_labels
from bench.report.machine import circumstances
from bench.report.question import NOTHING_ASKED, Question
from bench.report.scaling import scaling_section
from bench.report.sparkline import sparkline
from bench.report.tradeoff import tradeoff_section

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from bench.analysis.frame import Report
    from bench.analysis.rows import Row
    from bench.machine import Host
    from bench.records import Trial
    from bench.report.column import Tone
    from bench.report.section import Section


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a report says.

    Attributes:
        title: The run's name.
        failures_title: Above the failures.
        answers: What matters most, in sentences; none where the tables say it.
        about: The machine, the data and what was asked for, a line each.
        names: Columns that say which cell it is.
        measures: Columns of what was measured, the most important first.
        notes: Column of the numbers of the notes that concern a cell; None if there are none.
        legend: How to read the columns.
        flags: What is doubtful; note n is `flags[n - 1]`.
        failures: Trials that did not end ok, each with its reason.
        tradeoffs: Small against large, a sentence each.
        sections: What has tables of its own, such as what more threads bought; only those that have something to say.
    """

    title: str
    about: tuple[str, ...]
    names: tuple[Column, ...]
    measures: tuple[Column, ...]
    notes: Column | None
    legend: str
    flags: tuple[str, ...]
    failures: tuple[str, ...]
    tradeoffs: tuple[str, ...]
    sections: tuple[Section, ...]
    answers: tuple[str, ...] = ()
    failures_title: str = "Not ok"


def summarize(report: Report, question: Question = NOTHING_ASKED) -> Summary:
    """Say what a report says, in text from which control characters are removed.

    Args:
        report: What was measured.
        question: What is to be answered besides.
    """
    by_cell = cells(report.trials)
    rows = rows_of(by_cell)
    setting = setting_labels(rows)
    flags = tuple(dict.fromkeys(flag for row in rows for flag in row["flags"]))
    points = curve_points(report.trials, report.epochs, question.prices)
    curves = median_accuracies(report.trials, report.epochs)
    sections = [tradeoff_section(points, by_cell, setting, question), scaling_section(report, rows, setting)]
    return Summary(
        title=plain(report.run.name),
        about=describe_run(report),
        names=(
            column("model", rows, lambda row: row["model"], is_number=False),
            *([column("host", rows, lambda row: row["host"] or MISSING, is_number=False)] if report.run.hosts else []),
            column("device", rows, lambda row: setting(row | {"device": _local(row)}), is_number=False),
        ),
        measures=_measures(rows, curves),
        notes=column(
            "notes",
            rows,
            lambda row: ",".join(str(flags.index(flag) + 1) for flag in row["flags"]),
            tone=lambda row: "doubt" if row["flags"] else "",
        )
        if flags
        else None,
        legend=_legend(rows, has_curves=any(len(curve) > 1 for curve in curves.values())),
        flags=tuple(map(plain, flags)),
        failures=tuple(plain(_failure(row, setting(row))) for row in rows_of(report.trials) if row["status"] != "ok"),
        tradeoffs=tuple(plain(tradeoff_sentence(tradeoff)) for tradeoff in tradeoffs(by_cell)),
        sections=tuple(section for section in sections if section is not None),
        answers=(answer_sentence(rows, setting),) if rows else (),
    )


def _local(row: Row) -> str:
    """A device without its host, which has a column of its own."""
    return str(row["device"]).removesuffix(f"@{row['host']}")


def _failure(row: Row, setting: str) -> str:
    how = f"{row['status']}: {row['reason']}" if row["reason"] else row["status"]
    return f"{row['model']} on {setting}, seed {row['seed']}: {how}"


def _status_tone(row: Row) -> Tone:
    return "" if row["n_ok"] == row["n_trials"] else "doubt" if row["n_ok"] else "bad"


def _measures(rows: Sequence[Row], curves: Mapping[int, Sequence[float]]) -> tuple[Column, ...]:
    best = max((row["test_accuracy"] for row in rows if row["test_accuracy"] is not None), default=None)
    columns = [
        column("status", rows, lambda row: row["statuses"], is_number=False, tone=_status_tone),
        column(
            "test accuracy",
            rows,
            lambda row: share(row["test_accuracy"], row["test_accuracy_mad"]),
            key="test_accuracy",
            tone=lambda row: "good" if row["test_accuracy"] is not None and row["test_accuracy"] == best else "",
        ),
        *_interval("accuracy interval", rows, "test_accuracy", share),
        column("train", rows, lambda row: duration_spread(row["train_s"], row["train_s_mad"]), key="train_s"),
        *_interval("train interval", rows, "train_s", duration),
        column("fit", rows, lambda row: duration(row["fit_s"]), key="fit_s"),
        column("wall", rows, lambda row: duration(row["wall_s"]), key="wall_s"),
        *_epochs(rows),
        column("epoch", rows, lambda row: duration(row["epoch_s"]), key="epoch_s"),
        *_sparklines(rows, curves),
        column("images/s", rows, lambda row: rate(row["images_per_s"]), key="images_per_s"),
        *_use(rows),
        column("peak memory", rows, lambda row: size(row["peak_rss_bytes"]), key="peak_rss_bytes"),
        column("CPU", rows, lambda row: percent(row["cpu_percent"]), key="cpu_percent"),
    ]
    if any(row["device_kind"] == "gpu" for row in rows):
        columns += [
            column("GPU", rows, lambda row: percent(row["gpu_utilization_percent"]), key="gpu_utilization_percent"),
            column("GPU memory", rows, lambda row: size(row["peak_gpu_bytes"]), key="peak_gpu_bytes"),
        ]
    return tuple(columns)


def _epochs(rows: Sequence[Row]) -> list[Column]:
    """How far budgets reached, where there are any."""
    if all(row["budget_s"] is None for row in rows):
        return []
    return [column("epochs", rows, lambda row: rate(row["epochs_trained"]), key="epochs_trained")]


def _sparklines(rows: Sequence[Row], curves: Mapping[int, Sequence[float]]) -> list[Column]:
    """Accuracy by epoch, all on one scale, where there are several epochs."""
    if all(len(curve) < 2 for curve in curves.values()):
        return []
    values = [value for curve in curves.values() for value in curve]
    low, high = min(values), max(values)
    return [
        column(
            "curve",
            rows,
            lambda row: sparkline(curves.get(row["cell"], ()), low=low, high=high) or MISSING,
            is_number=False,
        )
    ]


def _use(rows: Sequence[Row]) -> list[Column]:
    """How well devices were used, where anything tells."""
    columns = []
    if any(row["flops_per_s"] is not None for row in rows):
        columns.append(column("GFLOP/s", rows, lambda row: rate(_giga(row["flops_per_s"])), key="flops_per_s"))
    if any(row["attained_fraction"] is not None for row in rows):
        columns.append(
            column("of peak", rows, lambda row: percent(_hundred(row["attained_fraction"])), key="attained_fraction")
        )
    if any(row["verdict"] is not None for row in rows):
        columns.append(column("limited by", rows, lambda row: row["verdict"] or MISSING, is_number=False))
    return columns


def _giga(value: float | None) -> float | None:
    return None if value is None else value / GIGA


def _hundred(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _interval(heading: str, rows: Sequence[Row], name: str, shown: Callable[[float | None], str]) -> list[Column]:
    """The column of an interval, if any cell has one."""
    if all(row[f"{name}_low"] is None for row in rows):
        return []
    return [column(heading, rows, lambda row: span(shown(row[f"{name}_low"]), shown(row[f"{name}_high"])))]


def _legend(rows: Sequence[Row], *, has_curves: bool) -> str:
    legend = "train: training alone; fit: with validation; wall: everything, start-up included; CPU: 100 % is one core"
    if has_curves:
        legend += "; curve: accuracy by epoch, on validation images where some were held back"
    if any("frozen_until=" in row["recipe"] for row in rows):
        legend += "; fit and wall: with what a frozen part puts out"
    if any(row["device_kind"] == "gpu" for row in rows):
        legend += "; GPU: time in which any kernel ran; GPU memory: TensorFlow's peak"
    if any(row["attained_fraction"] is not None for row in rows):
        legend += "; of peak: GFLOP/s over what the device attains at best"
    if any(row["n_trials"] > 1 for row in rows):
        legend += "; over seeds: median ± median absolute deviation, memory highest"
    if any(row["train_s_low"] is not None for row in rows):
        legend += (
            "; interval: 95 % bootstrap of the median; of 3 seeds it holds the true one in 75 % at most, of 5 in 94 %"
        )
    return legend


def describe_run(report: Report) -> tuple[str, ...]:
    """The machine, the data and what was asked for, a line each."""
    machines = [
        f"{name}: {line}" if name else line
        for name, host in (report.run.hosts or {"": report.run.host}).items()
        for line in _machine(host)
    ]
    data = dict.fromkeys(trial.cell.dataset for trial in report.run.trials)
    images = [
        f"{spec.name}: {spec.num_train:,} training, {spec.num_validation:,} validation, {spec.num_test:,} test images; "
        f"{spec.num_classes:,} classes"
        for spec in data
    ]
    return tuple(map(plain, [*machines, *_peaks(report), *images, _asked(report.run.trials)]))


def _machine(host: Host) -> Iterator[str]:
    machine = f"{host.cpu}, {host.usable_cores} of {host.physical_cores} cores usable, {size(host.memory_bytes)} memory"
    if host.memory_limit_bytes is not None:
        machine += f" ({size(host.memory_limit_bytes)} allowed)"
    yield machine
    if special := circumstances(host):
        yield special
    yield from (gpu.name if gpu.memory_bytes is None else f"{gpu.name}, {size(gpu.memory_bytes)}" for gpu in host.gpus)


def _peaks(report: Report) -> Iterator[str]:
    for found in report.peaks:
        setting = found.precision + (" compiled by XLA" if found.jit == "on" else "")
        if found.peak is None:
            yield f"what {found.label} attains at best in {setting} is unknown: {found.problem}"
        else:
            peak = found.peak
            share_percent = 100 * (peak.cpu_share or 0)
            doubt = "" if found.is_reliable else f"; too low, since it got {share_percent:.0f} % of its CPU time"
            yield (
                f"{found.label} attains {rate(peak.flops_per_s / GIGA)} GFLOP/s in {setting} ({peak.flops_by}) and "
                f"{rate(_giga(peak.bandwidth_bytes_per_s))} GB/s{doubt}"
            )


def _asked(trials: Sequence[Trial]) -> str:
    values = {
        "epochs": {trial.cell.epochs for trial in trials if trial.cell.epochs is not None},
        "batch size": {trial.cell.batch_size for trial in trials},
        "seeds": {trial.seed for trial in trials},
    }
    asked = [f"{name} {', '.join(map(str, sorted(several)))}" for name, several in values.items() if several]
    budgets = {(trial.cell.budget_clock, trial.cell.budget_s) for trial in trials if trial.cell.budget_s is not None}
    clocks = dict.fromkeys(clock for clock, _ in sorted(budgets))
    return "; ".join(
        [
            *(
                f"budget {', '.join(exact_duration(seconds) for of, seconds in sorted(budgets) if of == clock)} of "
                f"{COVERS[clock]}"
                for clock in clocks
            ),
            *asked,
        ]
    )
