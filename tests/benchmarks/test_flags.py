"""On a quiet machine trials are not flagged as disturbed. Wants a quiet machine, and takes about six minutes."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from bench import catalog
from bench.analysis.frame import frames
from bench.data.loading import load
from bench.hardware.host import detect_host
from bench.hardware.topology import detect_topology
from bench.launch.local import LocalRun
from bench.recipe import Recipe
from bench.records import Cell, Device, Trial, TrialData
from bench.store import TrialFolder
from records_for_tests import run_data
from silent import Silent

TRIALS = 20
MOST_FALSE_FLAGS = 1
# Notes that say something else than that the machine was disturbed.
EXPECTED = ("short:", "sampling took", "the data set is not")


@pytest.mark.tf
def test_quiet_trials_are_not_flagged(benchmark, tmp_path):
    """Of twenty trials on one core of a quiet machine at most one is said to be disturbed."""
    flags = benchmark.pedantic(flags_of_trials, args=(tmp_path,), rounds=1, iterations=1)
    print(*(f"trial {number}: {flag}" for number, found in enumerate(flags) for flag in found or ["-"]), sep="\n")
    benchmark.extra_info["flags"] = flags
    assert sum(bool(found) for found in flags) <= MOST_FALSE_FLAGS, flags


def flags_of_trials(path):
    """Run the trials one after the other and return each one's flags."""
    cell = Cell(
        model=catalog.find("mnist_cnn").spec,
        device=Device(kind="cpu", threads=1, cpus=detect_topology().cores[0][:1]),
        precision="float32",
        jit="off",
        batch_size=128,
        epochs=1,
        dataset=load("synthetic", limit_train=4000, limit_test=100, validation=0.0).spec,
        recipe=Recipe(),
    )
    return [flags_of(Trial(cell=cell, seed=seed), TrialFolder(path / str(seed))) for seed in range(TRIALS)]


def flags_of(trial, folder):
    """Run a trial and return the flags that say that it was disturbed."""
    folder.create(trial)
    result = LocalRun(trial, folder, observer=Silent()).run()
    events, samples = folder.read_events()[0], folder.read_samples()[0]
    data = run_data(TrialData(trial=trial, events=events, samples=samples, result=result))
    here = replace(data, run=replace(data.run, host=detect_host(detect_topology(), ())))
    (row,) = frames(here).trials.to_dict("records")
    return [flag for flag in row["flags"] if not flag.startswith(EXPECTED)]
