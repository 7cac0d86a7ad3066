"""A comparison as JSON, for other programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import msgspec

from bench.report.comparison import label_cells
from bench.report.labels import cell_labels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.analysis.compare import Change, Comparison
    from bench.analysis.gate import Judgement
    from bench.records import Cell, RunData

SCHEMA = 1


def comparison_json(comparisons: Sequence[Comparison], judgements: Sequence[Judgement], *, exit_code: int) -> bytes:
    """What was compared, what was found, and what the process ends with.

    Times are in seconds, memory in bytes, energy in joules; changes are shares of the old value, those of accuracies
    differences of shares of 1.
    """
    content = {
        "schema": SCHEMA,
        "exit_code": exit_code,
        "base": comparisons[0].base.run.name,
        "runs": [_run(comparison) for comparison in comparisons],
        "limits": [asdict(judgement) for judgement in judgements],
    }
    return msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"


def _change(change: Change) -> dict[str, Any]:
    return asdict(change) | {"least_repeats": change.least_repeats, "says": change.word}


def _run(comparison: Comparison) -> dict[str, Any]:
    labels = label_cells(comparison)
    return {
        "name": comparison.new.run.name,
        "machines": asdict(comparison.machines),
        "pace": comparison.pace,
        "paired": comparison.paired,
        "cells": [
            {
                "cell": labels[cell.pair.base],
                "not_comparable": list(cell.obstacles),
                "differences": [*cell.pair.obstacles, *cell.pair.changes],
                "not_compared": dict(cell.refused),
                "base_statuses": list(cell.base_statuses),
                "new_statuses": list(cell.new_statuses),
                "measures": [_change(change) for change in cell.changes],
            }
            for cell in comparison.cells
        ],
        "only_base": [labels[cell] for cell in comparison.only_base],
        "only_new": _labels(comparison.new, comparison.only_new),
    }


def _labels(run: RunData, cells: Sequence[Cell]) -> list[str]:
    labels = cell_labels(trial.cell for trial in run.run.trials)
    return [labels[cell] for cell in cells]
