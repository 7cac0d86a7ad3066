"""What comes before a trial's first step: devices, data, the model, built and compiled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.records import Built, Flops
from bench.schedule import image_sizes
from bench.worker import building, runtime
from bench.worker.batches import FEW, Batches, image_batches, load_data
from bench.worker.cutting import cut
from bench.worker.feature_batches import feature_batches
from bench.worker.flops import count_flops
from bench.worker.frozen import FrozenPart
from bench.worker.linear_probe import only_layer
from bench.worker.pipeline import normalizer
from bench.worker.traffic import traffic_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import keras

    from bench.records import Assignment, Cell, Trial
    from bench.store import Journal
    from bench.worker.clock import Phases

PREPARED_IMAGES = 5000  # that a model's `prepare` gets


@dataclass(frozen=True, kw_only=True)
class Ready:
    """A trial that could begin to train.

    Attributes:
        model: Compiled: what is trained, without the part that is frozen.
        batches: What it gets.
        devices: TensorFlow's names of the devices that it trains on.
        output: What the model puts out.
        features_s: What this process spent on what a frozen part puts out; 0 without one.
        test_features_s: What it will spend on that for the test images.
    """

    model: keras.Model
    batches: Batches
    devices: Sequence[str]
    output: building.Output
    features_s: float = 0.0
    test_features_s: float = 0.0


def set_up(
    assignment: Assignment,
    trial: Trial,
    journal: Journal,
    phases: Phases,
    *,
    trains: bool = True,
    sample_s: float | None = None,
) -> Ready:
    """Go through the phases from `import` to `compile`, and to `features` if a part is frozen; write what was found.

    Args:
        assignment: Of this process.
        trial: What is trained.
        journal: Where events go.
        phases: The clock.
        trains: Whether it is to be trained, not only tested. Defaults to True.
        sample_s: See `feature_batches`.

    Raises:
        BenchError: Model, data or device are not what the trial needs.
    """
    cell = trial.cell
    runtime.configure(cell.device, cell.precision, seed=trial.seed)
    devices = runtime.training_devices(cell)
    strategy_scope = runtime.strategy_scope(devices)
    phases.done("import", start_s=assignment.offset_s)

    with phases.phase("data"):
        data = load_data(cell, data_dir=assignment.data_dir)
        normalize = normalizer(cell.recipe, data.x_train)
        few = normalize(data.x_train[:FEW])
        batches = None if cell.recipe.frozen_until else image_batches(cell, data, seed=trial.seed)
    with phases.phase("build"), strategy_scope():
        whole = building.build_for(
            cell,
            class_names=data.class_names,
            sample=lambda: normalize(data.x_train[:PREPARED_IMAGES]).numpy(),
        )
        frozen, model = None, whole
        if cell.recipe.frozen_until:
            whole, frozen, model = cut(whole, cell.recipe.frozen_until)
        output = building.ask_output(whole, few)
    if cell.recipe.optimizer == "lbfgs":
        only_layer(model)  # refused now, and not when all features are there
    journal.append(
        Built(
            parameters=whole.count_params(),
            trainable_parameters=sum(int(np.prod(v.shape)) for v in model.trainable_variables),
            output=output,
        )
    )
    with phases.phase("compile"), strategy_scope():
        building.compile_model(model, cell, output=output)
    with phases.phase("probe"):
        journal.append(runtime.describe(cell, devices))
    if batches is not None:
        return Ready(model=model, batches=batches, devices=devices, output=output)
    cache = Path(assignment.features_dir or f"{assignment.folder}/features")
    part = FrozenPart(frozen, cell, normalize=normalize, cache=cache, journal=journal)
    start_s = phases.now()
    batches = feature_batches(cell, data, part, seed=trial.seed, trains=trains, sample_s=sample_s)
    return Ready(
        model=model,
        batches=batches,
        devices=devices,
        output=output,
        features_s=phases.done("features", start_s=start_s) - start_s,
        test_features_s=0.0 if sample_s is not None else part.expected_s("test", len(data.x_test)),
    )


def count_arithmetic(model: keras.Model, cell: Cell) -> Iterator[Flops]:
    """Count for each size of images. After the warm-up: with several devices, Keras's metrics exist only then."""
    # What XLA fuses never reaches memory.
    traffic = traffic_bytes(model) if cell.jit == "off" else None
    if cell.recipe.frozen_until:
        yield _counted(model, model.input_shape[1:], cell, traffic_bytes=traffic)
        return
    height, width, channels = cell.dataset.input_shape
    for size in dict.fromkeys(image_sizes(cell.recipe, height, width)):
        image_height = None if size == (height, width) else size[0]
        yield _counted(model, (*size, channels), cell, traffic_bytes=traffic, image_height=image_height)


def _counted(
    model: keras.Model,
    input_shape: tuple[int, ...],
    cell: Cell,
    *,
    traffic_bytes: int | None,
    image_height: int | None = None,
) -> Flops:
    counted = count_flops(model, input_shape=input_shape, batch_size=cell.batch_size)
    return Flops(
        forward=counted.forward_per_image,
        training=counted.training_per_image,
        operations=counted.operations,
        problem=counted.problem,
        traffic_bytes=traffic_bytes,
        image_height=image_height,
    )
