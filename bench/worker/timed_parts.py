"""The parts of a training that are timed one by one: a step, a prediction, the making of a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from bench.errors import ModelError
from bench.worker import building, runtime
from bench.worker.batches import FEW, Batches, image_batches, load_data
from bench.worker.pipeline import normalizer
from bench.worker.setting_up import PREPARED_IMAGES

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from bench.records import Cell
    from bench.timings import Part


class Timed(Protocol):
    """Something that is timed over and over.

    Attributes:
        batches: That a round is of; its time is divided by them.
    """

    batches: float

    def prepare(self) -> None:
        """Do what is not to be timed, before each round."""

    def run(self) -> None:
        """A round."""


def timed_parts(cell: Cell, *, data_dir: str | None) -> dict[Part, Timed]:
    """Build a cell's model and batches.

    Args:
        cell: What is trained; images have their full size, whatever its recipe's stages are.
        data_dir: Where data sets lie, if not in the usual places.

    Raises:
        BenchError: Model, data or device are not what the cell needs, or a part of its model is frozen.
    """
    if cell.recipe.frozen_until or cell.recipe.optimizer == "lbfgs":
        raise ModelError(f"{cell.model.name} is trained on features of a frozen part, which has no such parts to time")
    if len(cell.device.gpu_uuids) > 1:
        raise ModelError(f"parts are timed on one device; {cell.device.label} trains on several together")
    devices = runtime.training_devices(cell)
    scope = runtime.strategy_scope(devices)
    data = load_data(cell, data_dir=data_dir)
    normalize = normalizer(cell.recipe, data.x_train)
    batches = image_batches(cell, data, seed=0)
    batches.pipeline.stages.begin_at([0] * (len(batches.pipeline.stages.sizes) - 1))
    with scope():
        model = building.build_for(
            cell,
            class_names=data.class_names,
            sample=lambda: normalize(data.x_train[:PREPARED_IMAGES]).numpy(),
        )
        output = building.ask_output(model, normalize(data.x_train[:FEW]))
        building.compile_model(model, cell, output=output)
    images, labels = next(iter(batches.training))
    pipeline = InputPipeline(batches, per_epoch=len(data.x_train) / cell.batch_size)
    return {
        "training_step": TrainingStep(model, images, labels),
        "prediction": Prediction(model, images),
        "input_pipeline": pipeline,
    }


class TrainingStep:
    """Forward, backward, update and metrics, on a batch that is there."""

    batches = 1.0

    def __init__(self, model: keras.Model, images: tf.Tensor, labels: tf.Tensor) -> None:
        self._model, self._images, self._labels = model, images, labels

    def prepare(self) -> None:
        """Nothing."""

    def run(self) -> None:
        """Make a step; its loss is fetched, so it is done."""
        self._model.train_on_batch(self._images, self._labels)


class Prediction:
    """The forward pass of a batch that is there, its outputs fetched."""

    batches = 1.0

    def __init__(self, model: keras.Model, images: tf.Tensor) -> None:
        self._model, self._images = model, images

    def prepare(self) -> None:
        """Nothing."""

    def run(self) -> None:
        """Predict."""
        self._model.predict_on_batch(self._images)


class InputPipeline:
    """Making an epoch of training images: gathered, augmented and normalised, by the pipeline's own threads.

    Batches are made ahead and several at a time, so how long one of them is waited for says little.

    Args:
        batches: Has the pipeline.
        per_epoch: Batches in an epoch; a fraction where the last one is smaller.
    """

    def __init__(self, batches: Batches, *, per_epoch: float) -> None:
        self._batches = batches
        self.batches = per_epoch
        self._epoch = 0

    def prepare(self) -> None:
        """Another epoch has another order."""
        self._epoch += 1
        self._batches.pipeline.begin_epoch(self._epoch)

    def run(self) -> None:
        """Take all batches."""
        for _ in self._batches.training:
            pass
