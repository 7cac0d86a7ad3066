"""A run folder as DataFrames; `bench.analysis.columns` says what each column means."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from msgspec.structs import replace

from bench.analysis.columns import EPOCHS, SAMPLES, TRIALS, Column
from bench.analysis.machines import fingerprint
from bench.analysis.rows import Row, TrialRows
from bench.analysis.span_columns import PHASES, STEP_TIMES
from bench.analysis.spans import phase_rows, step_time_rows
from bench.recipe import differing_by
from bench.records import Attempt, Device
from bench.store import read_run

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bench.peaks import DevicePeak
    from bench.records import Cell, Run, RunData, TrialData

ANYWHERE = Device(kind="cpu", threads=0)  # stands for any device


@dataclass(frozen=True, kw_only=True, eq=False)
class Report:
    """What was measured in a run.

    Attributes:
        run: What was asked for.
        trials: A row for each trial, in the order in which they were planned.
        epochs: A row for each finished epoch of each trial.
        samples: A row for each moment at which a trial was sampled.
        phases: A row for each phase of each trial.
        step_times: How long training steps took, a row for each trial and size of images; none of those on GPUs.
        peaks: What its devices attain at best; empty where that was not measured.
    """

    run: Run
    trials: pd.DataFrame
    epochs: pd.DataFrame
    samples: pd.DataFrame
    phases: pd.DataFrame
    step_times: pd.DataFrame
    peaks: tuple[DevicePeak, ...] = ()


def load_report(folder: str | Path) -> Report:
    """Read a run folder as DataFrames.

    Args:
        folder: A run folder, as `python -m bench run` writes it below `reports/`.

    Raises:
        StoreError: The folder is no run folder, or one of a newer version.
    """
    return frames(read_run(Path(folder)))


def frames(data: RunData) -> Report:
    """Turn a run's raw data into DataFrames; what a later attempt did again is left out."""
    peaks: dict[tuple[str, ...], DevicePeak] = {
        (found.host, found.machine, found.device, found.precision, found.jit): found for found in data.peaks
    }
    planned_on = {name: fingerprint(host) for name, host in {"": data.run.host, **data.run.hosts}.items()}
    cells: dict[Cell, int] = {}
    workloads: dict[Cell, int] = {}
    axes = differing_by((trial.trial.cell.model, trial.trial.cell.recipe) for trial in data.trials)
    trials = [
        TrialRows(
            trial,
            cell=cells.setdefault(cell, len(cells) + 1),
            workload=workloads.setdefault(_anywhere(cell), len(workloads) + 1),
            peak=_peak(peaks, cell, machine),
            moved=machine not in {"", planned_on[cell.device.host]},
            estimate=data.run.estimates.get(trial.trial.key),
            virtualized=data.run.host_of(cell.device).is_virtual,
            recipe_axes=axes[cell.model],
        )
        for trial, cell, machine in ((trial, trial.trial.cell, _machine(trial)) for trial in data.trials)
    ]
    return Report(
        run=data.run,
        trials=typed(TRIALS, (rows.trial() for rows in trials)),
        epochs=typed(EPOCHS, chain.from_iterable(rows.epochs() for rows in trials)),
        samples=typed(SAMPLES, chain.from_iterable(rows.samples() for rows in trials)),
        phases=typed(PHASES, chain.from_iterable(map(phase_rows, data.trials))),
        step_times=typed(STEP_TIMES, chain.from_iterable(map(step_time_rows, data.trials))),
        peaks=data.peaks,
    )


def _peak(peaks: Mapping[tuple[str, ...], DevicePeak], cell: Cell, machine: str) -> DevicePeak | None:
    place = (machine, cell.device.local_label, cell.precision, cell.jit)
    # Runs that were merged before peaks had the name of their machine have them without.
    return peaks.get((cell.device.host, *place)) or peaks.get(("", *place))


def _anywhere(cell: Cell) -> Cell:
    """The same cell on any device of its machine."""
    return replace(cell, device=replace(ANYWHERE, host=cell.device.host))


def _machine(trial: TrialData) -> str:
    """Digest of the machine that a trial ended on; empty where that was not recorded."""
    return next((event.machine for event in reversed(trial.events) if isinstance(event, Attempt)), "")


def typed(columns: Mapping[str, Column], rows: Iterable[Row]) -> pd.DataFrame:
    """Make a DataFrame with exactly these columns; None becomes `<NA>`."""
    listed = list(rows)
    return pd.DataFrame(
        {name: pd.Series([row[name] for row in listed], dtype=column.dtype) for name, column in columns.items()}
    )


def rows_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A DataFrame's rows as plain Python values; `<NA>` becomes None."""
    return [
        {str(name): None if value is pd.NA else value for name, value in record.items()}
        for record in frame.to_dict("records")
    ]
