"""What limits a training: from its figures, and from real trainings that were made to be limited by one thing."""

from __future__ import annotations

import numpy as np
import pytest

import bench
from bench.analysis.use import hardware_use
from bench.records import Device, Flops
from records_for_tests import PEAK, trial
from test_cli import hourglass

CELL = trial().cell  # a batch of 100


def use(images_per_s=1000.0, *, wait=0.0, training=10**8, traffic=10**6, operations=200, peak=PEAK, cell=CELL):
    """How well the device was used with these figures."""
    flops = Flops(forward=training // 3, training=training, operations=operations, traffic_bytes=traffic)
    return hardware_use(cell, images_per_s=images_per_s, data_wait_share=wait, flops=flops, peak=peak)


@pytest.mark.parametrize(
    ("figures", "verdict"),
    [
        ({"training": 5 * 10**8}, "compute-bound"),
        ({"training": 10**8, "traffic": 5 * 10**7}, "memory-bound"),
        ({"training": 10**8, "operations": 2000}, "too small for the device"),
        ({"training": 10**8}, "slow operations"),
        ({"training": 10**8, "images_per_s": 50_000.0}, "launch-bound"),
        ({"training": 5 * 10**8, "wait": 0.3}, "input-bound"),
        ({"wait": 0.3, "peak": None}, "input-bound"),
        ({"peak": None}, None),
        ({"images_per_s": None}, None),
    ],
)
def test_verdicts(figures, verdict):
    """What explains most of a step's time limits it; without a peak only waiting can be told."""
    assert use(**figures).verdict == verdict


def test_fractions_are_of_all_gpus():
    """A trial on two GPUs is held against the peak of two."""
    pair = Device(kind="gpu", threads=2, gpu_uuids=("GPU-a", "GPU-b"), gpu_indices=(0, 1))
    assert use().attained_fraction == pytest.approx(0.1)
    assert use(cell=trial(device=pair).cell).attained_fraction == pytest.approx(0.05)


def test_a_model_that_cannot_be_counted_has_no_fraction():
    """Where FLOPs are unknown, neither rate nor fraction are made up."""
    found = hardware_use(CELL, images_per_s=1000.0, data_wait_share=None, flops=Flops(problem="a loop"), peak=PEAK)
    assert (found.flops_per_s, found.attained_fraction, found.verdict) == (None, None, None)


LAYERS = {
    "large_convolution": "*[L.Conv2D(128, 3, padding='same', activation='relu') for _ in range(4)], "
    "L.GlobalMaxPooling2D()",
    "rectifiers": "L.Conv2D(64, 1), *[L.ReLU() for _ in range(24)], L.GlobalMaxPooling2D()",
    "short_operations": "L.MaxPooling2D(2), *[L.Conv2D(4, 3, padding='same') for _ in range(12)], L.Flatten()",
    "next_to_nothing": "L.MaxPooling2D(8), L.Flatten()",
    "glance": "L.Cropping2D(190), L.Flatten()",
}
MODEL = '''"""A model for a test."""
import keras
L = keras.layers

def build(input_shape, num_classes):
    return keras.Sequential([keras.Input(input_shape), {layers}, L.Dense(num_classes)])
'''


@pytest.fixture(scope="module")
def verdict_of(tmp_path_factory):
    """Train a model for real and return the verdict on it; the peak is measured once."""
    folder = tmp_path_factory.mktemp("verdicts")
    environment = {"HOURGLASS_CACHE_DIR": str(folder / "cache")}

    def verdict(name, *, side, batch_size, images):
        generator = np.random.default_rng(0)
        splits = {"train": images, "test": 10}
        pixels = {f"x_{s}": generator.integers(0, 256, (n, side, side, 3), np.uint8) for s, n in splits.items()}
        labels = {f"y_{s}": np.arange(n) % 10 for s, n in splits.items()}
        np.savez(folder / f"{name}.npz", **pixels, **labels)
        (folder / f"{name}.py").write_text(MODEL.format(layers=LAYERS[name]))
        done = hourglass(
            *("run", "--model", folder / f"{name}.py", "--dataset", folder / f"{name}.npz", "--device", "cpu:1"),
            *("--epochs", "2", "--batch-size", batch_size, "--validation", "0", "--out", folder / name),
            **environment,
        )
        assert done.returncode == 0, done.stderr
        (run,) = (folder / name).iterdir()
        row = bench.load(run).trials.iloc[0]
        figures = row[["attained_fraction", "bandwidth_fraction", "launch_fraction", "data_wait_fraction"]]
        return row["verdict"], figures.to_dict()

    return verdict


@pytest.mark.tf
@pytest.mark.parametrize(
    ("name", "made_of", "expected"),
    [
        ("large_convolution", {"side": 32, "batch_size": 16, "images": 128}, "compute-bound"),
        # 8 MB a layer: the C library gives blocks above 32 MB back at once, and page faults would limit the training.
        ("rectifiers", {"side": 64, "batch_size": 8, "images": 240}, "memory-bound"),
        ("short_operations", {"side": 32, "batch_size": 8, "images": 800}, "too small for the device"),
        ("next_to_nothing", {"side": 16, "batch_size": 1, "images": 2000}, "launch-bound"),
        ("glance", {"side": 384, "batch_size": 16, "images": 320}, "input-bound"),
    ],
)
def test_a_training_that_one_thing_limits(verdict_of, name, made_of, expected):
    """A real training that was made to be limited by one thing is found to be."""
    verdict, figures = verdict_of(name, **made_of)
    assert verdict == expected, figures
