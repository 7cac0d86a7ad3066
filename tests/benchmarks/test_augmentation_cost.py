"""All augmentation together adds at most a tenth to a step of a small network. Wants a quiet machine."""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from bench.hardware.environment import child_environment
from bench.hardware.topology import detect_topology
from bench.recipe import Recipe
from bench.records import Device

FITS = Path(__file__).with_name("augmented_fits.py")
PAIRS = 7
MOST = 1.10

RECIPES = {
    "alternating flips": Recipe(horizontal_flip="alternating"),
    "flips, shifts, cutout": Recipe(horizontal_flip=True, shift_pixels=2, cutout_pixels=8),
    "rotation": Recipe(rotation_degrees=15),
    "all": Recipe(horizontal_flip="alternating", shift_pixels=2, cutout_pixels=8, rotation_degrees=15),
}


@pytest.mark.tf
@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_augmentation_adds_at_most_a_tenth_to_a_step_of_mnist_cnn(benchmark, recipe):
    """The median ratio of an augmented to a plain epoch of mnist_cnn, on two cores or all that there are."""
    cores = [core[0] for core in detect_topology().cores if core][: min(2, detect_topology().usable_cores)]
    device = Device(kind="cpu", threads=len(cores), cpus=tuple(cores))
    ratios = benchmark.pedantic(fit_in_turn, args=(recipe, device), rounds=1, iterations=1)
    benchmark.extra_info["augmented over plain"] = ratios
    print(f"augmented over plain {ratios}, median {statistics.median(ratios):.4f}")
    assert statistics.median(ratios) <= MOST, ratios


def fit_in_turn(recipe: Recipe, device: Device) -> list[float]:
    """Let a child fit with and without augmentation in turn; return the ratios of their seconds."""
    done = subprocess.run(
        [sys.executable, "-P", FITS, msgspec.json.encode((recipe, device)).decode(), str(PAIRS)],
        env=child_environment(device),
        stdout=subprocess.PIPE,
        check=True,
    )
    return msgspec.json.decode(done.stdout, type=list[float])
