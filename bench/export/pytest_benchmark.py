"""pytest-benchmark: its JSON, which `pytest-benchmark compare` reads and `--benchmark-compare` takes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
from pytest_benchmark import __version__
from pytest_benchmark.stats import Stats

from bench.analysis.machine_info import machine_info
from bench.export.source import slug

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from bench.analysis.rows import Row
    from bench.export.source import Source


def write(source: Source, out: Path) -> list[Path]:
    """Write a file with two groups: training, a round for each seed; epochs, a round for each epoch of each seed."""
    run = source.data.run
    content = {
        "machine_info": machine_info(run.host),
        "commit_info": {
            "id": run.host.revision.commit if run.host.revision else "unversioned",
            "time": None,
            "author_time": None,
            "dirty": run.host.revision.dirty if run.host.revision else False,
            "project": run.name,
            "branch": "(unknown)",
        },
        "benchmarks": list(_benchmarks(source)),
        "datetime": datetime.fromtimestamp(run.created_unix_s, tz=UTC).isoformat(),
        "version": __version__,
    }
    path = out / f"{slug(run.name)}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=4) + b"\n")
    return [path]


def _benchmarks(source: Source) -> Iterator[dict[str, Any]]:
    for cell in source.cells:
        rows = source.ok_trials(cell)
        epochs = [epoch for row in rows for epoch in source.epochs(row)]
        for group, values in (
            ("train", [row["train_s"] for row in rows if row["train_s"]]),
            ("epoch", [epoch["train_s"] for epoch in epochs if epoch["train_s"]]),
        ):
            if values:
                yield _benchmark(source, cell, group, values)


def _benchmark(source: Source, cell: Row, group: str, values: Sequence[float]) -> dict[str, Any]:
    stats = Stats()
    for value in values:
        stats.update(value)
    name = f"{group}[{source.label(cell)}]"
    extra = ("dataset", "batch_size", "recipe", "test_accuracy", "images_per_s", "peak_rss_bytes")
    return {
        "group": group,
        "name": name,
        "fullname": name,
        "params": None,
        "param": None,
        "extra_info": {field: cell[field] for field in extra if cell[field] is not None},
        "options": {"disable_gc": False, "timer": "monotonic", "min_rounds": len(values), "max_time": 0.0},
        "stats": stats.as_dict() | {"iterations": 1, "data": list(values)},
    }
