"""What the harness is measured against: `model.fit` and nothing else, in a process of its own.

`python -P bare_fit.py TRIAL.json` trains the trial's cell and prints the seconds that `fit` took.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import msgspec

from bench.records import Trial

trial = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Trial)
cell = trial.cell
if cell.device.cpus:
    os.sched_setaffinity(0, cell.device.cpus)

from bench.data.loading import load  # noqa: E402 -- TensorFlow must start its threads inside the mask
from bench.worker import building, runtime  # noqa: E402
from bench.worker.pipeline import Pipeline  # noqa: E402

runtime.configure(cell, trial.seed)
data = load(cell.dataset.name, limit_train=cell.dataset.num_train, limit_test=cell.dataset.num_test, validation=0.0)
pipeline = Pipeline(cell.recipe, data.x_train, threads=cell.device.threads)
batches = pipeline.training(data.x_train, data.y_train, batch_size=cell.batch_size, seed=trial.seed)
model = building.build(cell.model, cell.dataset.input_shape, cell.dataset.num_classes)
building.compile_model(model, cell, output="softmax")
model.fit(batches.take(1), shuffle=False, verbose=0)
start_s = time.perf_counter()
model.fit(batches, epochs=cell.epochs, shuffle=False, verbose=0)
print(time.perf_counter() - start_s)
