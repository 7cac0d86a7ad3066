"""The main job on a real GPU; skipped, with the reason, where there is none."""

from __future__ import annotations

import pytest

import bench
from bench.hardware.gpus import detect_gpus
from test_cli import hourglass

SURVEY = detect_gpus()

pytestmark = [pytest.mark.gpu, pytest.mark.tf, pytest.mark.skipif(not SURVEY.gpus, reason=f"no GPU: {SURVEY.problem}")]


def test_a_gpu_is_trained_on_and_metered(tmp_path):
    """A GPU cell trains on the GPU alone, and its utilization, memory and energy are in its row."""
    done = hourglass(
        *("run", "--model", "mnist_cnn", "--device", "gpu:0", "--epochs", "3", "--out", tmp_path),
        *("--limit-train", "20000", "--limit-test", "1000"),
    )
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.iterdir()
    row = bench.load(path).trials.iloc[0]
    assert row["device"] == "gpu:0"
    assert row["peak_gpu_bytes"] > 0
    assert row["gpu_memory_used_bytes"] > 0
