"""Where the time of each trial went: its phases, and what is left over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from bench.records import Phase
from bench.report.column import column
from bench.report.format import duration
from bench.report.labels import setting_labels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.report.column import Column

SHOWN = (*get_args(Phase), "other", "wall")


def phase_columns(trials: Sequence[dict[str, Any]]) -> tuple[Column, ...]:
    """A row for each trial that began, a column for each phase; empty if none began.

    Args:
        trials: Rows of `Report.trials`.
    """
    began = [row for row in trials if row["wall_s"] is not None]
    if not began:
        return ()
    return (
        column("model", began, lambda row: row["model"], is_number=False),
        column("device", began, setting_labels(trials), is_number=False),
        column("seed", began, lambda row: str(row["seed"])),
        *(_duration_column(name, began) for name in SHOWN),
    )


def _duration_column(name: str, rows: Sequence[dict[str, Any]]) -> Column:
    return column(name, rows, lambda row: duration(row[f"{name}_s"]))
