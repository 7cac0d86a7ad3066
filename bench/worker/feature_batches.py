"""Batches of features: what the trained part of a model gets where the part before it is frozen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from bench.worker.augmentation import Flips
from bench.worker.batches import Batches, Features, rehearsed
from bench.worker.epochs import EpochPipeline
from bench.worker.frozen import Sample
from bench.worker.stages import Stages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bench.data.dataset import Dataset
    from bench.recipe import Recipe
    from bench.records import Cell
    from bench.worker.feature_store import Rows
    from bench.worker.frozen import FrozenPart


def feature_batches(
    cell: Cell, data: Dataset, frozen: FrozenPart, *, seed: int, trains: bool = True, sample_s: float | None = None
) -> Batches:
    """Compute the features of training and validation images, or find them, and cut them into batches.

    Those of test images are made when they are asked for.

    Args:
        cell: What is trained.
        data: Its images.
        frozen: What makes features of them.
        seed: The trial's.
        trains: Whether training and validation images are needed at all; numbers stand for their features if not.
            Defaults to True.
        sample_s: Compute only some, for so many seconds, which stand for all others. Defaults to None: all of them.

    Raises:
        StoreError: They cannot be written.
    """
    variants: tuple[Rows | Sample, ...]
    validation: Rows | Sample | None = None
    if sample_s is None and trains:
        frozen.make_room(len(data.x_train), len(data.x_validation), len(data.x_test))
        variants = frozen.extract("training", data.x_train)
        if len(data.x_validation):
            (validation,) = frozen.extract("validation", data.x_validation)
    else:
        nothing = np.zeros((1, *frozen.shape), np.float32)
        rows = nothing if sample_s is None else frozen.sample(data.x_train, limit_s=sample_s)
        variants = tuple(Sample(rows, len(data.x_train)) for _ in frozen.variants())
        validation = Sample(rows, len(data.x_validation)) if len(data.x_validation) else None
    size = cell.batch_size
    pipeline = FeaturePipeline(
        cell.recipe,
        variants,
        seed=seed,
        threads=cell.device.threads,
        times_waiting=len(cell.device.gpu_uuids) < 2,
    )

    x_test, y_test = data.x_test, data.y_test  # what is trained on need not stay in memory as images

    def test() -> tf.data.Dataset:
        (rows,) = frozen.extract("test", x_test)
        return pipeline.evaluation(rows, y_test, batch_size=size)

    some = len(range(*rehearsed(cell).indices(len(data.x_train))))
    return Batches(
        pipeline=pipeline,
        training=pipeline.training(data.y_train, batch_size=size),
        validation=None if validation is None else pipeline.evaluation(validation, data.y_validation, batch_size=size),
        test=test,
        test_labels=data.y_test,
        test_count=-(-len(data.x_test) // size),
        rehearsal=pipeline.evaluation(variants[0], data.y_train[:some], batch_size=size),
        features=Features(variants=variants, labels=data.y_train),
    )


class FeaturePipeline(EpochPipeline):
    """Batches of the features of training images, which may be those of their mirror images.

    Args:
        recipe: Says which images are mirrored.
        variants: Features of the images, and if the recipe mirrors any, of their mirror images.
        seed: The trial's.
        threads: See `EpochPipeline`.
        times_waiting: See `EpochPipeline`.
    """

    def __init__(
        self,
        recipe: Recipe,
        variants: Sequence[Rows | Sample],
        *,
        seed: int,
        threads: int,
        times_waiting: bool = True,
    ) -> None:
        count = len(variants[0])
        stages = Stages.of_one_size()
        super().__init__(count=count, seed=seed, threads=threads, stages=stages, times_waiting=times_waiting)
        self._variants = tuple(variants)
        self._flips = Flips(recipe.horizontal_flip, count=count, seed=seed)

    def evaluation(self, rows: Rows | Sample, labels: np.ndarray, *, batch_size: int) -> tf.data.Dataset:
        """Return the batches of a split, once, in its order."""

        def features(indices: tf.Tensor) -> tf.Tensor:
            return _shaped(tf.numpy_function(rows.take, [indices], tf.float32), rows)

        return self._in_order(features, labels, batch_size=batch_size)

    def _batch(self, indices: tf.Tensor, *, epoch: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        plain, *_ = self._variants
        if len(self._variants) == 1:
            return _shaped(tf.numpy_function(plain.take, [indices], tf.float32), plain)
        draws = tf.random.stateless_uniform((tf.size(indices),), seed=tf.stack([self._seed, step]))
        mirrored = self._flips.mirrored(draws, indices, epoch=epoch)
        return _shaped(tf.numpy_function(self._chosen, [indices, mirrored], tf.float32), plain)

    def _chosen(self, indices: NDArray[np.int64], mirrored: NDArray[np.bool_]) -> NDArray[np.float32]:
        plain, other = self._variants
        rows = plain.take(indices)
        rows[mirrored] = other.take(indices[mirrored])
        return rows


def _shaped(rows: tf.Tensor, like: Rows | Sample) -> tf.Tensor:
    """Tell the graph what NumPy knows."""
    return tf.ensure_shape(rows, (None, *like.shape[1:]))
