"""Fits mnist_cnn with and without augmentation in turn: `python -P augmented_fits.py [RECIPE,DEVICE] PAIRS`.

Prints the ratios of the seconds of each pair. Both take the same batches of 256 images, one after the other in one
process, so that what the machine does to one it does to the other.
"""

from __future__ import annotations

import os
import sys
import time

import msgspec
import numpy as np

from bench import catalog
from bench.recipe import Recipe
from bench.records import Cell, DatasetSpec, Device

recipe, device = msgspec.json.decode(sys.argv[1], type=tuple[Recipe, Device])
if device.cpus:
    os.sched_setaffinity(0, device.cpus)

from bench.worker import building, runtime  # noqa: E402 -- TensorFlow must start its threads inside the mask
from bench.worker.pipeline import Pipeline  # noqa: E402

IMAGES, SHAPE, BATCH_SIZE = 2560, (32, 32, 3), 256
cell = Cell(
    model=catalog.find("mnist_cnn").spec,
    device=device,
    precision="float32",
    jit="off",
    batch_size=BATCH_SIZE,
    epochs=1,
    dataset=DatasetSpec(
        name="noise", sha256="", num_train=IMAGES, num_validation=0, num_test=0, input_shape=SHAPE, num_classes=100
    ),
    recipe=Recipe(),
)
runtime.configure(device, "float32", seed=0)
model = building.build(cell.model, SHAPE, 100)
building.compile_model(model, cell, output="softmax")
rng = np.random.default_rng(0)
images = rng.integers(0, 256, (IMAGES, *SHAPE), dtype=np.uint8)
labels = rng.integers(0, 100, IMAGES, dtype=np.int32)
batches = {
    name: Pipeline(asked, images, seed=0, threads=device.threads).training(labels, batch_size=BATCH_SIZE)
    for name, asked in {"augmented": recipe, "plain": Recipe()}.items()
}


def fit_s(name: str) -> float:
    """Return the seconds of one epoch."""
    start_s = time.perf_counter()
    model.fit(batches[name], shuffle=False, verbose=0)
    return time.perf_counter() - start_s


for name in batches:
    fit_s(name)
ratios = []
for pair in range(int(sys.argv[2])):
    taken_s = {name: fit_s(name) for name in (batches if pair % 2 else reversed(batches))}
    ratios.append(taken_s["augmented"] / taken_s["plain"])
sys.stdout.write(msgspec.json.encode(ratios).decode())
sys.stdout.flush()
os._exit(0)
