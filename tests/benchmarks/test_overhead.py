"""Training through the harness takes no longer than the same bare `fit`. Wants a quiet machine."""

from __future__ import annotations

import select
import statistics
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from bench import catalog
from bench.data.loading import load
from bench.hardware.environment import child_environment
from bench.hardware.topology import detect_topology
from bench.meter.sampler import Sampler
from bench.recipe import Recipe
from bench.records import Cell, Device, PhaseDone, Trial
from bench.store import Journal, TrialFolder

FITS = Path(__file__).with_name("interleaved_fits.py")
PAIRS = 5
MOST = 1.01


@pytest.mark.tf
@pytest.mark.parametrize("cores", [1, detect_topology().usable_cores])
def test_training_through_the_harness_takes_no_longer_than_bare_fit(benchmark, tmp_path, cores):
    """The median of `train_s`, recorded and sampled, over the seconds of a bare fit is at most 1.01.

    On all cores the sampler has no core to itself.
    """
    cell = Cell(
        model=catalog.find("mnist_cnn").spec,
        device=Device(
            kind="cpu", threads=cores, cpus=tuple(core[0] for core in detect_topology().cores[:cores] if core)
        ),
        precision="float32",
        jit="off",
        batch_size=256,
        epochs=1,
        dataset=load("synthetic", limit_train=10_000, limit_test=256, validation=0.0).spec,
        recipe=Recipe(),
    )
    folder = TrialFolder(tmp_path / "trial")
    folder.create(Trial(cell=cell, seed=0))
    bare_s = benchmark.pedantic(fit_in_turn, args=(folder, cell.device), rounds=1, iterations=1)
    phases = [event for event in folder.read_events()[0] if isinstance(event, PhaseDone)]
    train_s = [phase.end_s - phase.start_s for phase in phases if phase.phase == "train"]
    assert len(folder.read_samples()[0]) > PAIRS
    ratios = [train / bare for train, bare in zip(train_s, bare_s, strict=True)]
    benchmark.extra_info["train_s over bare fit"] = ratios
    print(f"{cores} cores: train_s over bare fit {ratios}, median {statistics.median(ratios):.4f}")
    assert statistics.median(ratios) <= MOST, ratios


def fit_in_turn(folder: TrialFolder, device: Device) -> list[float]:
    """Let a child fit bare and recorded in turn, sample it while it records, return the bare fits' seconds."""
    with subprocess.Popen(
        [sys.executable, "-P", FITS, folder.path, str(PAIRS)],
        env=child_environment(device),
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        samples = Journal(folder.samples)
        sampler: Sampler | None = None
        while True:
            if not select.select([child.stdout], [], [], sampler.due_in() if sampler else None)[0]:
                sample = sampler.poll()
                if sample is not None:
                    samples.append(sample)
                continue
            match child.stdout.readline().strip():
                case "watch":
                    sampler = Sampler(
                        pid=child.pid, gpu_uuids=(), cpus=device.cpus, interval_s=0.2, clock=time.monotonic
                    )
                case "rest":
                    sampler.close()
                    sampler = None
                case said:
                    samples.close()
                    return msgspec.json.decode(said, type=list[float])
