"""TensorBoard: a log folder for each trial, with its curves over epochs and what it used over time."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from tensorboardX.proto.event_pb2 import Event
from tensorboardX.record_writer import RecordWriter
from tensorboardX.summary import scalar

from bench.analysis.frame import rows_of
from bench.export.source import BY_EPOCH

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.analysis.rows import Row
    from bench.export.source import Source

BY_TIME = ("rss_bytes", "cpu_percent", "gpu_utilization_percent", "gpu_memory_used_bytes", "gpu_power_watts")
VERSION = "brain.Event:2"  # what an event file begins with


def write(source: Source, out: Path) -> list[Path]:
    """Write event files; an epoch is a step, and of what was sampled a second is one, at the time of day it was.

    Raises:
        OSError: The place does not take them.
    """
    folders = []
    for row in source.trials:
        folder = out / source.trial_name(row)
        folder.mkdir()
        began_s = source.unix_s(row, 0.0)
        # Written here, not by a SummaryWriter: its thread ends at a full disk, and then its queue is waited for for
        # ever. It also names files after the machine.
        with closing(RecordWriter(str(folder / f"events.out.tfevents.{began_s:.0f}"))) as records:
            records.write(Event(wall_time=began_s, file_version=VERSION).SerializeToString())
            for event in _events(source, row):
                records.write(event.SerializeToString())
        folders.append(folder)
    return folders


def _events(source: Source, row: Row) -> Iterator[Event]:
    for epoch in source.epochs(row):
        at_s = source.unix_s(row, epoch["end_s"])
        for name in BY_EPOCH:
            if epoch[name] is not None:
                yield _event(f"epoch/{name}", epoch[name], epoch["epoch"], at_s)
    for sample in rows_of(source.report.samples[source.report.samples["key"] == row["key"]]):
        at_s = source.unix_s(row, sample["t_s"])
        for name in BY_TIME:
            if sample[name] is not None:
                yield _event(f"machine/{name}", sample[name], round(sample["t_s"]), at_s)
    if row["test_accuracy"] is not None:
        at_s = source.unix_s(row, row["wall_s"] or 0.0)
        for name in ("test_accuracy", "test_loss"):
            yield _event(f"test/{name}", row[name], row["epochs_done"], at_s)


def _event(tag: str, value: float, step: int, at_s: float) -> Event:
    return Event(wall_time=at_s, step=step, summary=scalar(tag, value))
