"""Fits one model again and again, bare and recorded in turn: `python -P interleaved_fits.py FOLDER PAIRS`.

Before a recorded fit it prints `watch`, after it `rest`, so that its parent samples it just then; at the end it prints
the seconds of the bare fits. Within one process a ratio is free of what differs between processes, which on a shared
machine is several percent.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import msgspec

from bench.records import Assignment
from bench.store import Journal, TrialFolder

folder = TrialFolder(Path(sys.argv[1]))
trial = folder.read_trial()
cell = trial.cell
if cell.device.cpus:
    os.sched_setaffinity(0, cell.device.cpus)

from bench.worker import building, runtime, training  # noqa: E402 -- TensorFlow must start its threads inside the mask
from bench.worker.batches import image_batches, load_data  # noqa: E402
from bench.worker.clock import Clock, Phases  # noqa: E402
from bench.worker.course import StepCourse  # noqa: E402
from bench.worker.setting_up import Ready  # noqa: E402

runtime.configure(cell.device, cell.precision, seed=trial.seed)
batches = image_batches(cell, load_data(cell, data_dir=None), seed=trial.seed)
model = building.build(cell.model, cell.dataset.input_shape, cell.dataset.num_classes)
building.compile_model(model, cell, output="softmax")
ready = Ready(model=model, batches=batches, devices=runtime.training_devices(cell), output="softmax")
journal = Journal(folder.events)
clock = Clock(Assignment(folder=str(folder.path), started_s=time.monotonic()))
phases = Phases(clock, journal, runtime.synchronize)
bare_s: list[float] = []


def fit_bare() -> None:
    """Time `model.fit` and nothing else."""
    start_s = time.perf_counter()
    model.fit(batches.training, epochs=cell.epochs, shuffle=False, verbose=0)
    bare_s.append(time.perf_counter() - start_s)


def fit_recorded() -> None:
    """Fit as a trial does; checkpoints are left out, since they are a phase of their own."""
    course = StepCourse(cell.epochs * cell.steps_per_epoch)
    print("watch", flush=True)
    training.fit(ready, cell, course, journal=journal, phases=phases, save=lambda _: None, validates=False)
    print("rest", flush=True)


model.fit(batches.training, shuffle=False, verbose=0)
for pair in range(int(sys.argv[2])):
    for fit in (fit_bare, fit_recorded) if pair % 2 else (fit_recorded, fit_bare):
        fit()
print(msgspec.json.encode(bare_s).decode(), flush=True)
os._exit(0)
