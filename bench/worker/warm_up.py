"""What runs before the clocks of training, validation and test do, so that they measure these and no compilation."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bench.worker.batches import compiles_every_size

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from bench.records import Cell
    from bench.worker.batches import Batches

LONGEST_LOOK_S = 3.0


def warm_up(model: keras.Model, cell: Cell, batches: Batches, *, still_trains: bool) -> None:
    """Trace and run every function once, for each size of images, and of batches where each is compiled.

    Weights, optimizer and random states are changed: they must be set back afterwards.
    """
    if still_trains:
        warm_up_training(model, cell, batches)
    warm_up_evaluation(model, cell, batches)


def warm_up_training(model: keras.Model, cell: Cell, batches: Batches) -> None:
    """Trace and run the training step alone; see `warm_up`."""
    stages = batches.pipeline.stages
    for number in range(len(stages.sizes)):
        stages.begin_at([0 if stage < number else None for stage in range(len(stages.sizes) - 1)])
        for part in _parts(batches.training, cell):
            model.fit(part, shuffle=False, verbose=0)


def warm_up_evaluation(model: keras.Model, cell: Cell, batches: Batches) -> None:
    """Trace and run validation and test alone; see `warm_up`."""
    if batches.validation is not None:
        for part in _parts(batches.validation, cell):
            model.evaluate(part, verbose=0)
    model.predict(batches.rehearsal, verbose=0)


def _parts(split: tf.data.Dataset, cell: Cell) -> list[tf.data.Dataset]:
    first = split.take(cell.steps_per_execution)
    return [first, split.skip(int(split.cardinality()) - 1)] if compiles_every_size(cell) else [first]


def time_evaluation(model: keras.Model, batches: Batches) -> tuple[int, float]:
    """Evaluate some batches of a model that was warmed up.

    Returns:
        How many batches, and in how many seconds.
    """
    # Training images where there are no others: test images are looked at once, at the end.
    split = batches.training if batches.validation is None else batches.validation
    first_s = _evaluate_s(model, split.take(1))  # traces, where nothing is validated
    if batches.validation is None or first_s < LONGEST_LOOK_S:
        first_s = _evaluate_s(model, split.take(1))
    count = min(max(1, int(LONGEST_LOOK_S / first_s)), int(split.cardinality()))
    return (1, first_s) if count == 1 else (count, _evaluate_s(model, split.take(count)))


def _evaluate_s(model: keras.Model, part: tf.data.Dataset) -> float:
    start_s = time.monotonic()
    model.evaluate(part, verbose=0)
    return time.monotonic() - start_s
