"""MLflow: an experiment with a run for each trial, its settings, its metrics by epoch, and its files.

The store is a SQLite file, as MLflow's own default is: since version 3 it refuses its store of plain files.
"""

from __future__ import annotations

import logging
import os
import warnings
from typing import TYPE_CHECKING

import alembic  # noqa: F401 -- mlflow-skinny leaves out what its own store takes: told before anything is written
from sqlalchemy.exc import DBAPIError

from bench.export.source import BY_EPOCH

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # writing a file is nothing to report to its makers

from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.analysis.rows import Row
    from bench.export.source import Source

SETTINGS = (
    *(
        "model",
        "weights",
        "device",
        "host",
        "precision",
        "jit",
        "onednn",
        "steps_per_execution",
        "batch_size",
        "recipe",
    ),
    *("epochs_asked", "budget_s", "budget_clock", "dataset", "seed"),
)
AT_THE_END = (
    *("test_accuracy", "test_loss", "train_s", "fit_s", "wall_s", "images_per_s", "attained_fraction"),
    *("peak_rss_bytes", "peak_gpu_bytes", "energy_joules", "parameters"),
)
LONGEST = 6000  # characters of a parameter that MLflow takes
BATCH = 1000  # metrics that it takes at once


def write(source: Source, out: Path) -> list[Path]:
    """Write the store `mlflow.db` and the files beside it.

    Raises:
        OSError: The place does not take them.
    """
    store = out.resolve() / "mlflow.db"
    logging.getLogger("mlflow").setLevel(logging.CRITICAL)  # it tells each table, and of a failure twice
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of how it uses SQLAlchemy
        try:
            client = MlflowClient(tracking_uri=f"sqlite:///{store}")
            experiment = client.create_experiment(
                source.data.run.name, artifact_location=(out.resolve() / "artifacts").as_uri()
            )
            for row in source.trials:
                _write_trial(source, row, client, experiment)
        except (DBAPIError, MlflowException) as error:  # MLflow passes on, or tells as its own, what SQLite says
            failed = error if isinstance(error, DBAPIError) else error.__cause__
            if isinstance(failed, DBAPIError):
                raise OSError(str(failed.orig)) from error
            raise
    return [store]


def _write_trial(source: Source, row: Row, client: MlflowClient, experiment: str) -> None:
    tags = {"status": row["status"], "reason": row["reason"], "key": row["key"], "run": source.data.run.name}
    run = client.create_run(
        experiment, start_time=_ms(source, row, 0.0), run_name=source.trial_name(row), tags=tags
    ).info.run_id
    params = [Param(name, str(row[name])[:LONGEST]) for name in SETTINGS if row[name] is not None]
    client.log_batch(run, params=params)
    metrics = list(_metrics(source, row))
    for first in range(0, len(metrics), BATCH):
        client.log_batch(run, metrics=metrics[first : first + BATCH])
    folder = source.trial_folder(row)
    for file in (folder.request, folder.result, folder.log, folder.events, folder.predictions):
        if file.exists():
            client.log_artifact(run, str(file))
    ended = "FINISHED" if row["status"] == "ok" else "KILLED" if row["status"] == "interrupted" else "FAILED"
    client.set_terminated(run, ended, end_time=_ms(source, row, row["wall_s"] or 0.0))


def _metrics(source: Source, row: Row) -> Iterator[Metric]:
    for epoch in source.epochs(row):
        at_ms = _ms(source, row, epoch["end_s"])
        yield from (
            Metric(f"epoch_{name}", float(epoch[name]), at_ms, epoch["epoch"])
            for name in BY_EPOCH
            if epoch[name] is not None
        )
    at_ms = _ms(source, row, row["wall_s"] or 0.0)
    yield from (Metric(name, float(row[name]), at_ms, 0) for name in AT_THE_END if row[name] is not None)


def _ms(source: Source, row: Row, t_s: float) -> int:
    return round(1000 * source.unix_s(row, t_s))
