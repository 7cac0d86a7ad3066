"""A trial's data set, loaded and cut into batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from bench.data.loading import load
from bench.errors import DataError
from bench.worker.pipeline import Pipeline

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    import tensorflow as tf

    from bench.data.dataset import Dataset
    from bench.records import Cell
    from bench.worker.epochs import EpochPipeline
    from bench.worker.feature_store import Rows
    from bench.worker.frozen import Sample

FEW = 4  # images, to see what a model puts out


@dataclass(frozen=True, kw_only=True)
class Features:
    """What a frozen part puts out, not in batches.

    Attributes:
        variants: Of training images, (n, …) each: as they are, and if the recipe mirrors any, of their mirror images.
        labels: int32 (n,), of the training images.
    """

    variants: Sequence[Rows | Sample]
    labels: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Batches:
    """The splits of a data set as batches of what the trained model gets.

    Attributes:
        pipeline: What makes them.
        training: One epoch, of whichever `pipeline.begin_epoch` named last.
        validation: None where nothing is held back.
        test: Makes those of the test split; touched once, at the end.
        test_labels: int32 (n,), in the order of `test`.
        test_count: How many there will be of `test`.
        rehearsal: As large as those of `test`, for the warm-up; just a few images where nothing is compiled for a size.
        features: What the batches are made of where a part of the model is frozen.
    """

    pipeline: EpochPipeline
    training: tf.data.Dataset
    validation: tf.data.Dataset | None
    test: Callable[[], tf.data.Dataset]
    test_labels: np.ndarray
    test_count: int
    rehearsal: tf.data.Dataset
    features: Features | None = None


def compiles_every_size(cell: Cell) -> bool:
    """Return whether a batch of a new size costs compilation: under XLA, and where GPU kernels are chosen by size."""
    return cell.jit == "on" or cell.device.kind == "gpu"


def rehearsed(cell: Cell) -> slice:
    """The training images that stand for the test split in the warm-up."""
    size = cell.batch_size
    return slice(size + cell.dataset.num_test % size if compiles_every_size(cell) else FEW)


def image_batches(cell: Cell, data: Dataset, *, seed: int) -> Batches:
    """Cut a data set into batches of images."""
    size = cell.batch_size
    pipeline = Pipeline(
        cell.recipe,
        data.x_train,
        seed=seed,
        threads=cell.device.threads,
        times_waiting=len(cell.device.gpu_uuids) < 2,
    )
    test = pipeline.evaluation(data.x_test, data.y_test, batch_size=size)
    some = rehearsed(cell)
    return Batches(
        pipeline=pipeline,
        training=pipeline.training(data.y_train, batch_size=size),
        validation=(
            pipeline.evaluation(data.x_validation, data.y_validation, batch_size=size)
            if len(data.x_validation)
            else None
        ),
        test=lambda: test,
        test_labels=data.y_test,
        test_count=int(test.cardinality()),
        rehearsal=pipeline.evaluation(data.x_train[some], data.y_train[some], batch_size=size),
    )


def load_data(cell: Cell, *, data_dir: str | None) -> Dataset:
    """Load the cell's data set.

    Raises:
        DataError: It is missing, damaged, or not the one that the cell was planned with.
    """
    spec = cell.dataset
    total = spec.num_train + spec.num_validation
    data = load(
        spec.name,
        data_dir=data_dir,
        limit_train=total,
        limit_test=spec.num_test,
        validation=spec.num_validation / total,
    )
    if data.spec != msgspec.structs.replace(spec, content=""):  # which its digest implies
        raise DataError(
            f"the data set {spec.name!r} has changed since this run was planned (SHA-256 {data.sha256[:12]}…, not "
            f"{spec.sha256[:12]}…); start a new run, or bring the old files back"
        )
    return data
