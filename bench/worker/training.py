"""One trial, phase by phase: data, build, compile, warm-up, train and validate, test."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np

from bench.data.loading import load
from bench.errors import DataError
from bench.records import Assignment, Built, Done, Tested, Trial
from bench.store import Journal, TrialFolder
from bench.worker import building, checkpoint, runtime
from bench.worker.clock import Clock, Phases
from bench.worker.pipeline import Pipeline
from bench.worker.recorder import DivergedError, Recorder

if TYPE_CHECKING:
    import tensorflow as tf

    from bench.data.dataset import Dataset
    from bench.records import Cell, DatasetSpec


@dataclass(frozen=True, kw_only=True)
class Batches:
    """The splits of a data set as batches; `validation` is None where nothing is held back.

    `first` holds a few training images: what the model is asked before training must not be the test split.
    """

    pipeline: Pipeline
    training: tf.data.Dataset
    validation: tf.data.Dataset | None
    test: tf.data.Dataset
    first: tf.data.Dataset


def train(assignment: Assignment, trial: Trial, journal: Journal, clock: Clock) -> None:
    """Carry out a trial in this process and write its events.

    Raises:
        BenchError: Model, data or device are not what the trial needs, or its loss diverged.
    """
    cell = trial.cell
    folder = TrialFolder(Path(assignment.folder))
    phases = Phases(clock, journal, runtime.synchronize)
    runtime.configure(cell, trial.seed)
    devices = runtime.training_devices(cell)
    strategy_scope = runtime.strategy_scope(devices)
    phases.done("import", start_s=assignment.offset_s)

    with phases.phase("data"):
        data = _load(cell.dataset, assignment.data_dir)
        batches = _batches(data, trial)
    with phases.phase("build"), strategy_scope():
        model = building.build(cell.model, cell.dataset.input_shape, cell.dataset.num_classes)
        output = building.ask_output(model, next(iter(batches.first))[0])
    journal.append(
        Built(
            parameters=model.count_params(),
            trainable_parameters=sum(int(np.prod(v.shape)) for v in model.trainable_variables),
            output=output,
        )
    )
    with phases.phase("compile"), strategy_scope():
        building.compile_model(model, cell, output=output)
    with phases.phase("warmup"):
        journal.append(runtime.describe(cell, devices))
        _warm_up(model, cell, batches, folder.checkpoint, assignment.epochs_done)

    if assignment.epochs_done < cell.epochs:
        _fit(
            model,
            cell,
            batches,
            Recorder(
                model,
                journal=journal,
                phases=phases,
                steps_per_epoch=steps_per_epoch(cell),
                images_per_epoch=cell.dataset.num_train,
                batch_size=cell.batch_size,
                begin_epoch=batches.pipeline.begin_epoch,
                save=lambda epoch: checkpoint.save(folder.checkpoint, model, epoch=epoch),
            ),
            assignment.epochs_done,
        )
    with phases.phase("test"):
        tested = _test(model, batches.test, data.y_test, output, folder)
    journal.append(tested)
    journal.append(runtime.peak_memory(devices))
    journal.append(Done(end_s=phases.now()))
    journal.sync()
    shutil.rmtree(folder.checkpoint, ignore_errors=True)


def steps_per_epoch(cell: Cell) -> int:
    """Return how many steps an epoch has; the last one may be of a smaller batch."""
    return -(-cell.dataset.num_train // cell.batch_size)


def _load(spec: DatasetSpec, data_dir: str | None) -> Dataset:
    total = spec.num_train + spec.num_validation
    data = load(
        spec.name,
        data_dir=data_dir,
        limit_train=total,
        limit_test=spec.num_test,
        validation=spec.num_validation / total,
    )
    if data.spec != spec:
        raise DataError(
            f"the data set {spec.name!r} has changed since this run was planned (SHA-256 {data.sha256[:12]}…, not "
            f"{spec.sha256[:12]}…); start a new run, or bring the old files back"
        )
    return data


def _batches(data: Dataset, trial: Trial) -> Batches:
    cell = trial.cell
    pipeline = Pipeline(cell.recipe, data.x_train, threads=cell.device.threads)
    held_back = len(data.x_validation) > 0
    return Batches(
        pipeline=pipeline,
        training=pipeline.training(data.x_train, data.y_train, batch_size=cell.batch_size, seed=trial.seed),
        validation=(
            pipeline.evaluation(data.x_validation, data.y_validation, batch_size=cell.batch_size) if held_back else None
        ),
        test=pipeline.evaluation(data.x_test, data.y_test, batch_size=cell.batch_size),
        first=pipeline.evaluation(data.x_train[:4], data.y_train[:4], batch_size=4),
    )


def _warm_up(model: keras.Model, cell: Cell, batches: Batches, folder: Path, epochs_done: int) -> None:
    """Trace and run every function once, then set every variable back to what it was.

    So the training clock measures training, and the warm-up leaves no trace in the weights. The state goes through
    the disk, not through memory: a copy in memory would stand in the peak that is measured.
    """
    if not epochs_done:
        checkpoint.save(folder, model, epoch=0)
    if epochs_done < cell.epochs:
        model.fit(batches.training.take(cell.steps_per_execution), shuffle=False, verbose=0)
    if batches.validation is not None:
        model.evaluate(batches.validation.take(cell.steps_per_execution), verbose=0)
    model.predict(batches.first, verbose=0)
    checkpoint.restore(folder, model, epoch=epochs_done)


def _fit(model: keras.Model, cell: Cell, batches: Batches, recorder: Recorder, epochs_done: int) -> None:
    model.fit(
        batches.training,
        validation_data=batches.validation,
        initial_epoch=epochs_done,
        epochs=cell.epochs,
        callbacks=recorder,
        shuffle=False,
        verbose=0,
    )


def _test(
    model: keras.Model, batches: tf.data.Dataset, labels: np.ndarray, output: building.Output, folder: TrialFolder
) -> Tested:
    outputs = model.predict(batches, verbose=0).astype(np.float64)
    log_probabilities = _log_probabilities(outputs, output)
    predicted = outputs.argmax(axis=-1)
    loss = -log_probabilities[np.arange(len(labels)), labels].mean()
    if not np.isfinite(loss):
        raise DivergedError(f"the test loss is {loss}")
    np.savez_compressed(
        folder.predictions,
        label=labels.astype(np.int32),
        predicted=predicted.astype(np.int32),
        confidence=np.exp(log_probabilities.max(axis=-1)).astype(np.float32),
    )
    return Tested(images=len(labels), loss=float(loss), accuracy=float((predicted == labels).mean()))


def _log_probabilities(outputs: np.ndarray, output: building.Output) -> np.ndarray:
    if output == "softmax":
        return np.log(np.clip(outputs, 1e-7, 1.0))  # the bound that Keras's cross-entropy uses
    shifted = outputs - outputs.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
