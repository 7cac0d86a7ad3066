"""Prometheus: medians of each cell as gauges, in the text format that node_exporter collects from files."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from bench.export.figures import figures

if TYPE_CHECKING:
    from pathlib import Path

    from bench.export.source import Source

# Base units and names as Prometheus wants them: https://prometheus.io/docs/practices/naming
NAMES = {
    "train_s": ("train_seconds", "Training alone"),
    "images_per_s": ("images_per_second", "Training images over training time"),
    "attained": ("attained_ratio", "FLOPs of training over what the device attains at best"),
    "accuracy": ("test_accuracy_ratio", "Share of the test images that were labelled right"),
    "val_accuracy": ("validation_accuracy_ratio", "Share of the validation images that were labelled right"),
    "peak_rss": ("peak_resident_memory_bytes", "Highest resident set of the worker"),
    "peak_gpu": ("peak_gpu_memory_bytes", "Highest memory of TensorFlow's allocator on a GPU, or of the GPU"),
    "energy": ("energy_joules", "Energy of the trial's GPUs, or of all processor packages"),
    "fit_s": ("fit_seconds", "Training and validation"),
    "wall_s": ("wall_seconds", "Everything, start-up included"),
    "step_s": ("step_seconds", "One training step"),
}
LABELS = ("run", "model", "setting", "dataset", "batch_size", "host")


def write(source: Source, out: Path) -> list[Path]:
    """Write the gauges of a run, and how many of each cell's trials ended ok."""
    registry = CollectorRegistry()
    gauges: dict[str, Gauge] = {}
    for figure in figures(source):
        name, about = NAMES[figure.measure.name]
        if name not in gauges:
            gauges[name] = Gauge(f"hourglass_{name}", f"{about}; median over seeds", LABELS, registry=registry)
        gauges[name].labels(*_labels(source, figure.cell)).set(median(figure.values))
    ok = Gauge("hourglass_trials_ok", "Trials that ended ok", LABELS, registry=registry)
    asked = Gauge("hourglass_trials", "Trials", LABELS, registry=registry)
    for cell in source.cells:
        ok.labels(*_labels(source, cell)).set(cell["n_ok"])
        asked.labels(*_labels(source, cell)).set(cell["n_trials"])
    path = out / "hourglass.prom"
    write_to_textfile(str(path), registry)
    return [path]


def _labels(source: Source, cell: dict[str, object]) -> tuple[str, ...]:
    setting, host = source.setting(cell), cell["host"] or ""
    return (
        source.data.run.name,
        str(cell["model"]),
        setting,
        str(cell["dataset"]),
        str(cell["batch_size"]),
        str(host),
    )
