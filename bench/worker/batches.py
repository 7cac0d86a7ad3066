"""A trial's data set, loaded and cut into batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from bench.data.loading import load
from bench.errors import DataError
from bench.worker.pipeline import Pipeline

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

    from bench.data.dataset import Dataset
    from bench.records import Cell, DatasetSpec

FEW = 4


@dataclass(frozen=True, kw_only=True)
class Batches:
    """The splits of a data set as batches.

    Attributes:
        pipeline: What makes them.
        training: One epoch, of whichever `pipeline.begin_epoch` named last.
        validation: None where nothing is held back.
        test: Touched once, at the end.
        test_labels: int32 (n,), in the order of `test`.
        rehearsal: Training images in batches as large as those of `test`, for the warm-up; just a few images where
            nothing is compiled for a size.
        few: A few training images, to see what the model puts out.
    """

    pipeline: Pipeline
    training: tf.data.Dataset
    validation: tf.data.Dataset | None
    test: tf.data.Dataset
    test_labels: np.ndarray
    rehearsal: tf.data.Dataset
    few: tf.data.Dataset


def compiles_every_size(cell: Cell) -> bool:
    """Return whether a batch of a new size costs compilation: under XLA, and where GPU kernels are chosen by size."""
    return cell.jit == "on" or cell.device.kind == "gpu"


def load_batches(cell: Cell, *, seed: int, data_dir: str | None) -> Batches:
    """Load the cell's data set and cut it into batches.

    Raises:
        DataError: The data set is missing, damaged, or not the one that the cell was planned with.
    """
    data = _load(cell.dataset, data_dir)
    size = cell.batch_size
    pipeline = Pipeline(
        cell.recipe,
        data.x_train,
        seed=seed,
        threads=cell.device.threads,
        times_waiting=len(cell.device.gpu_uuids) < 2,
    )
    few = pipeline.evaluation(data.x_train[:FEW], data.y_train[:FEW], batch_size=FEW)
    rehearsed = slice(size + len(data.x_test) % size)
    return Batches(
        pipeline=pipeline,
        training=pipeline.training(data.y_train, batch_size=size),
        validation=(
            pipeline.evaluation(data.x_validation, data.y_validation, batch_size=size)
            if len(data.x_validation)
            else None
        ),
        test=pipeline.evaluation(data.x_test, data.y_test, batch_size=size),
        test_labels=data.y_test,
        rehearsal=(
            pipeline.evaluation(data.x_train[rehearsed], data.y_train[rehearsed], batch_size=size)
            if compiles_every_size(cell)
            else few
        ),
        few=few,
    )


def _load(spec: DatasetSpec, data_dir: str | None) -> Dataset:
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
