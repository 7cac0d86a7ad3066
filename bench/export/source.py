"""What every export starts from: a run folder, read once."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

from bench.analysis.cells import cells
from bench.analysis.frame import frames, rows_of
from bench.errors import UsageError
from bench.records import Attempt
from bench.report.labels import setting_labels
from bench.store import RunFolder, TrialFolder, read_run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bench.analysis.frame import Report
    from bench.analysis.rows import Row
    from bench.records import RunData, TrialData


BY_EPOCH = ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "images_per_s", "train_s")


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """A run, as exports need it.

    Attributes:
        folder: Where it lies.
        data: All that its folder holds.
        report: The same as DataFrames.
        trials: Rows of its trials that were begun.
        cells: Rows of its cells.
    """

    folder: Path
    data: RunData
    report: Report
    trials: Sequence[Row]
    cells: Sequence[Row]
    setting: Callable[[Row], str]

    def label(self, row: Row) -> str:
        """What the cell of a row is called: its model, its device, and what else is not the plain case."""
        return f"{row['model']} {self.setting(row)}"

    def doubles(self) -> list[str]:
        """What two cells or more are called; merged runs may differ in what no label tells, such as the model file."""
        return [label for label, number in Counter(map(self.label, self.cells)).items() if number > 1]

    def ok_trials(self, cell: Row) -> list[Row]:
        """Rows of a cell's trials that ended ok."""
        return [row for row in self.trials if row["cell"] == cell["cell"] and row["status"] == "ok"]

    def trial_name(self, row: Row) -> str:
        """What a trial is called, as a name for files: no two of a run have the same."""
        return f"{slug(self.label(row))}-s{row['seed']}-{row['key'][-6:]}"

    def trial_data(self, row: Row) -> TrialData:
        """What its folder holds of a trial."""
        return next(data for data in self.data.trials if data.trial.key == row["key"])

    def trial_folder(self, row: Row) -> TrialFolder:
        """Where a trial lies."""
        return RunFolder(self.folder).trial(row["key"])

    def epochs(self, row: Row) -> Sequence[Row]:
        """Rows of a trial's finished epochs."""
        return rows_of(self.report.epochs[self.report.epochs["key"] == row["key"]])

    def unix_s(self, row: Row, t_s: float) -> float:
        """The time of day at which a trial's clock stood somewhere, in seconds since 1970."""
        attempts = [event for event in self.trial_data(row).events if isinstance(event, Attempt)]
        if not attempts:
            return self.data.run.created_unix_s + t_s
        begun = [attempt for attempt in attempts if attempt.offset_s <= t_s] or attempts[:1]
        return begun[-1].unix_s + t_s - begun[-1].offset_s


def read_source(folder: Path) -> Source:
    """Read a run folder.

    Raises:
        StoreError: It is none.
        UsageError: It holds no training that was begun.
    """
    data = read_run(folder)
    report = frames(data)
    begun = [
        _placeless(row)
        for row, trial in zip(rows_of(report.trials), data.trials, strict=True)
        if trial.trial.mode == "train" and trial.events
    ]
    if not begun:
        raise UsageError(f"{folder} holds no training that was begun; there is nothing to export")
    by_cell = [_placeless(row) for row in rows_of(cells(report.trials))]
    return Source(folder=folder, data=data, report=report, trials=begun, cells=by_cell, setting=setting_labels(by_cell))


def _placeless(row: Row) -> Row:
    """A row whose data set has no path: what is exported is for others to see."""
    return row | {"dataset": PurePath(row["dataset"]).name}


def slug(text: str) -> str:
    """Text as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9._@+-]+", "-", text).strip("-.")[:80]
