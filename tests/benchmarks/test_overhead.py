"""Training through the harness takes no longer than the same bare `fit`. Wants a quiet machine."""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from bench import catalog
from bench.analysis.frame import frames
from bench.data.loading import load
from bench.hardware.environment import child_environment
from bench.hardware.topology import detect_topology
from bench.launch.local import LocalRun
from bench.recipe import Recipe
from bench.records import Cell, Device, Trial, TrialData
from bench.store import TrialFolder
from records_for_tests import run_data
from silent import Silent

BARE_FIT = Path(__file__).with_name("bare_fit.py")
PAIRS = 5
EPOCHS = 2
MOST = 1.01


@pytest.mark.tf
def test_training_through_the_harness_takes_no_longer_than_bare_fit(benchmark, tmp_path):
    """The median of `train_s` over the seconds of a bare fit, in interleaved pairs, is at most 1.01."""
    topology = detect_topology()
    cpus = tuple(core[0] for core in topology.cores[: topology.usable_cores] if core)
    dataset = load("synthetic", limit_train=10_000, limit_test=256, validation=0.0).spec
    cell = Cell(
        model=catalog.find("mnist_cnn").spec,
        device=Device(kind="cpu", threads=topology.usable_cores, cpus=cpus),
        precision="float32",
        jit="off",
        batch_size=256,
        epochs=EPOCHS,
        dataset=dataset,
        recipe=Recipe(),
    )
    ratios: list[float] = []

    def pair() -> None:
        trial = Trial(cell=cell, seed=len(ratios))
        folder = TrialFolder(tmp_path / trial.key)
        folder.create(trial)
        measured = [bare_fit_s, harness_s] if len(ratios) % 2 else [harness_s, bare_fit_s]
        seconds = {measure: measure(trial, folder) for measure in measured}
        ratios.append(seconds[harness_s] / seconds[bare_fit_s])

    benchmark.pedantic(pair, rounds=PAIRS, iterations=1)
    benchmark.extra_info["train_s over bare fit"] = ratios
    assert statistics.median(ratios) <= MOST, ratios


def bare_fit_s(trial: Trial, folder: TrialFolder) -> float:
    """Return the seconds of `model.fit` alone."""
    done = subprocess.run(
        [sys.executable, "-P", BARE_FIT, folder.request],
        env=child_environment(trial.cell.device),
        capture_output=True,
        check=True,
        text=True,
    )
    return float(done.stdout.split()[-1])


def harness_s(trial: Trial, folder: TrialFolder) -> float:
    """Return `train_s` of a whole trial, sampler and all."""
    result = LocalRun(trial, folder, observer=Silent()).run()
    assert result.status == "ok", result.reason
    events, _ = folder.read_events()
    report = frames(run_data(TrialData(trial=trial, events=events, result=result)))
    return float(report.trials["train_s"].iloc[0])
