"""The committed runs stay readable: a schema that can no longer read them is a new schema."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bench
from bench.store import RunFolder

RUNS = sorted(path.parent for path in (Path(__file__).parent.parent / "reports" / "reference").glob("*/run.json"))


def test_there_are_reference_runs():
    """The founding experiment's runs are in the checkout."""
    assert {"cifar100-mnist-cnn", "cifar100-mbn-fifth-of-an-epoch"} <= {path.name for path in RUNS}


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.name)
def test_a_reference_run_reads_back(path):
    """Every trial is ok, its accuracy is that of its predictions, and its phases fit into its wall time."""
    report = bench.load(path)
    assert (report.trials["status"] == "ok").all()
    ends_within_an_epoch = report.trials["budget_s"].notna() & (report.trials["epochs_trained"] % 1 > 0)
    assert len(report.epochs) == report.trials["epochs_done"].sum() + ends_within_an_epoch.sum()
    assert len(report.samples) > 0
    for row in report.trials.itertuples():
        with np.load(RunFolder(path).trial(row.key).predictions) as predictions:
            assert (predictions["label"] == predictions["predicted"]).mean() == row.test_accuracy
        # Nothing but training is between the first step and the last of a run that holds no images back.
        assert row.train_s < row.fit_s if pd.notna(row.validate_s) else row.train_s == row.fit_s
        assert row.fit_s < row.wall_s
