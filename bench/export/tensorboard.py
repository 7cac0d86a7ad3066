"""TensorBoard: a log folder for each trial, with its curves over epochs and what it used over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tensorboardX import SummaryWriter

from bench.analysis.frame import rows_of
from bench.export.source import BY_EPOCH

if TYPE_CHECKING:
    from pathlib import Path

    from bench.export.source import Source

BY_TIME = ("rss_bytes", "cpu_percent", "gpu_utilization_percent", "gpu_memory_used_bytes", "gpu_power_watts")


def write(source: Source, out: Path) -> list[Path]:
    """Write event files; an epoch is a step, and of what was sampled a second is one, at the time of day it was."""
    folders = []
    for row in source.trials:
        folder = out / source.trial_name(row)
        with SummaryWriter(str(folder)) as events:
            for epoch in source.epochs(row):
                at_s = source.unix_s(row, epoch["end_s"])
                for name in BY_EPOCH:
                    if epoch[name] is not None:
                        events.add_scalar(f"epoch/{name}", epoch[name], epoch["epoch"], walltime=at_s)
            for sample in rows_of(source.report.samples[source.report.samples["key"] == row["key"]]):
                at_s = source.unix_s(row, sample["t_s"])
                for name in BY_TIME:
                    if sample[name] is not None:
                        events.add_scalar(f"machine/{name}", sample[name], round(sample["t_s"]), walltime=at_s)
            if row["test_accuracy"] is not None:
                at_s = source.unix_s(row, row["wall_s"] or 0.0)
                for name in ("test_accuracy", "test_loss"):
                    events.add_scalar(f"test/{name}", row[name], row["epochs_done"], walltime=at_s)
        for file in folder.iterdir():  # events.out.tfevents.TIME.HOST: the machine's network name is not asked for
            file.rename(file.with_name(".".join(file.name.split(".")[:4])))
        folders.append(folder)
    return folders
