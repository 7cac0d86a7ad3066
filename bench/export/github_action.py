"""github-action-benchmark: two files for its tools `customSmallerIsBetter` and `customBiggerIsBetter`."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any

import msgspec

from bench.analysis.stats import mad
from bench.export.figures import figures

if TYPE_CHECKING:
    from pathlib import Path

    from bench.export.figures import Figure
    from bench.export.source import Source


def write(source: Source, out: Path) -> list[Path]:
    """Write medians over the seeds that ended ok, with their median absolute deviation as the range."""
    files: dict[str, list[dict[str, Any]]] = {"smaller-is-better.json": [], "bigger-is-better.json": []}
    for figure in figures(source):
        name = "bigger-is-better.json" if figure.measure.is_larger_better else "smaller-is-better.json"
        files[name].append(_entry(source, figure))
    for name, entries in files.items():
        (out / name).write_bytes(msgspec.json.format(msgspec.json.encode(entries), indent=2) + b"\n")
    return [out / name for name in files]


def _entry(source: Source, figure: Figure) -> dict[str, Any]:
    spread = mad(figure.values)
    entry = {
        "name": f"{source.label(figure.cell)}: {figure.measure.name}",
        "unit": figure.measure.unit,
        "value": median(figure.values),
        "extra": f"{len(figure.values)} seeds; recipe: {figure.cell['recipe']}",
    }
    return entry if spread is None else entry | {"range": f"± {spread:.4g}"}
