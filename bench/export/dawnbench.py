"""DAWNBench (Coleman et al. 2017): accuracy against hours of training, a TSV and a JSON file for each trial."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from bench.analysis.referencing import machine_name

if TYPE_CHECKING:
    from pathlib import Path

    from bench.analysis.rows import Row
    from bench.export.source import Source

SECONDS = 3600.0


def write(source: Source, out: Path) -> list[Path]:
    """Write a TSV of epochs and what it is about.

    DAWNBench's clock counts training alone. Its accuracies are on the test images, after each epoch; these are looked
    at once here, so the last row has theirs, if there is a test, and the others those on validation images.
    """
    paths = []
    for row in source.trials:
        base = out / source.trial_name(row)
        tsv, told = base.with_name(f"{base.name}.tsv"), base.with_name(f"{base.name}.json")
        tsv.write_text("\n".join(_lines(source, row)) + "\n", encoding="utf-8")
        told.write_bytes(msgspec.json.format(msgspec.json.encode(_about(source, row)), indent=4) + b"\n")
        paths += [tsv, told]
    return paths


def _lines(source: Source, row: Row) -> list[str]:
    lines = ["epoch\thours\ttop1Accuracy"]
    trained_s = row["features_s"] or 0.0
    epochs = source.epochs(row)
    for epoch in epochs:
        trained_s += epoch["train_s"] or 0.0
        is_last = epoch is epochs[-1]
        accuracy = row["test_accuracy"] if is_last and row["test_accuracy"] is not None else epoch["val_accuracy"]
        if accuracy is not None:
            lines.append(f"{epoch['epoch']}\t{trained_s / SECONDS:.6f}\t{100 * accuracy:.2f}")
    return lines


def _about(source: Source, row: Row) -> dict[str, Any]:
    run, trial = source.data.run, source.trial_data(row).trial
    created = datetime.fromtimestamp(run.created_unix_s, tz=UTC)
    return {
        "version": "v1.0",
        "author": "",
        "authorEmail": "",
        "framework": f"TensorFlow {run.host_of(trial.cell.device).packages.get('tensorflow', '')}".strip(),
        "codeURL": "",
        "model": row["model"],
        "hardware": machine_name(run.host_of(trial.cell.device), trial.cell.device),
        "timestamp": f"{created:%Y-%m-%d}",
        "misc": {
            "dataset": row["dataset"],
            "batchSize": row["batch_size"],
            "recipe": row["recipe"],
            "seed": row["seed"],
            "status": row["status"],
            "accuracy": "the last row on the test images, if they were tested; the others on validation images",
            "command": " ".join(run.command),
        },
    }
