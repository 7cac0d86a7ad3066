"""What comes before a trial's first step: devices, data, the model, built and compiled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bench.records import Built, Flops
from bench.schedule import image_sizes
from bench.worker import building, runtime
from bench.worker.batches import Batches, load_batches
from bench.worker.flops import count_flops
from bench.worker.traffic import traffic_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import keras

    from bench.records import Assignment, Cell, Trial
    from bench.store import Journal
    from bench.worker.clock import Phases


@dataclass(frozen=True, kw_only=True)
class Ready:
    """A trial that could begin to train.

    Attributes:
        model: Compiled.
        batches: Its data.
        devices: TensorFlow's names of the devices that it trains on.
        output: What the model puts out.
    """

    model: keras.Model
    batches: Batches
    devices: Sequence[str]
    output: building.Output


def set_up(assignment: Assignment, trial: Trial, journal: Journal, phases: Phases) -> Ready:
    """Go through the phases from `import` to `compile`, and write what was found.

    Raises:
        BenchError: Model, data or device are not what the trial needs.
    """
    cell = trial.cell
    runtime.configure(cell.device, cell.precision, seed=trial.seed)
    devices = runtime.training_devices(cell)
    strategy_scope = runtime.strategy_scope(devices)
    phases.done("import", start_s=assignment.offset_s)

    with phases.phase("data"):
        batches = load_batches(cell, seed=trial.seed, data_dir=assignment.data_dir)
    with phases.phase("build"), strategy_scope():
        model = building.build(
            cell.model, cell.dataset.input_shape, cell.dataset.num_classes, any_size=bool(cell.recipe.stages)
        )
        output = building.ask_output(model, next(iter(batches.few))[0])
    journal.append(
        Built(
            parameters=model.count_params(),
            trainable_parameters=sum(int(np.prod(v.shape)) for v in model.trainable_variables),
            output=output,
        )
    )
    with phases.phase("compile"), strategy_scope():
        building.compile_model(model, cell, output=output)
    with phases.phase("probe"):
        journal.append(runtime.describe(cell, devices))
    return Ready(model=model, batches=batches, devices=devices, output=output)


def count_arithmetic(model: keras.Model, cell: Cell) -> Iterator[Flops]:
    """Count for each size of images. After the warm-up: with several devices, Keras's metrics exist only then."""
    height, width, channels = cell.dataset.input_shape
    # What XLA fuses never reaches memory.
    traffic = traffic_bytes(model) if cell.jit == "off" else None
    for size in dict.fromkeys(image_sizes(cell.recipe, height, width)):
        counted = count_flops(model, input_shape=(*size, channels), batch_size=cell.batch_size)
        yield Flops(
            forward=counted.forward_per_image,
            training=counted.training_per_image,
            operations=counted.operations,
            problem=counted.problem,
            traffic_bytes=traffic,
            image_height=None if size == (height, width) else size[0],
        )
