"""One trial, phase by phase: data, build, compile, warm-up, train and validate, test."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.records import Assignment, Built, Done, Flops, Sentinel, Tested, Trial
from bench.store import Journal, TrialFolder
from bench.worker import building, checkpoint, runtime, sentinel
from bench.worker.batches import Batches, compiles_every_size, load_batches
from bench.worker.clock import Clock, Phases
from bench.worker.flops import count_flops
from bench.worker.pipeline import TIMED_BATCHES
from bench.worker.recorder import DivergedError, Recorder
from bench.worker.traffic import traffic_bytes

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from bench.records import Cell


def train(assignment: Assignment, trial: Trial, journal: Journal, clock: Clock) -> None:
    """Carry out a trial in this process and write its events.

    Raises:
        BenchError: Model, data or device are not what the trial needs, or its loss diverged.
    """
    cell = trial.cell
    folder = TrialFolder(Path(assignment.folder))
    phases = Phases(clock, journal, runtime.synchronize)
    runtime.configure(cell.device, cell.precision, seed=trial.seed)
    devices = runtime.training_devices(cell)
    strategy_scope = runtime.strategy_scope(devices)
    phases.done("import", start_s=assignment.offset_s)

    with phases.phase("data"):
        batches = load_batches(cell, seed=trial.seed, data_dir=assignment.data_dir)
    with phases.phase("build"), strategy_scope():
        model = building.build(cell.model, cell.dataset.input_shape, cell.dataset.num_classes)
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

    # The warm-up leaves no trace in the weights. The state goes through the disk, not through memory: a copy in memory
    # would stand in the peak that is measured.
    if not assignment.epochs_done:
        with phases.phase("checkpoint"):
            checkpoint.save(folder.checkpoint, model, epoch=0)
    with phases.phase("warmup"):
        _warm_up(model, cell, batches, still_trains=assignment.epochs_done < cell.epochs)
    with phases.phase("probe"):
        journal.append(_count_flops(model, cell))
    with phases.phase("checkpoint"):
        checkpoint.restore(folder.checkpoint, model, epoch=assignment.epochs_done)

    if assignment.epochs_done < cell.epochs:
        with phases.phase("probe"):
            journal.append(Sentinel(when="before", seconds=sentinel.measure_s(devices[0])))
        recorder = Recorder(
            model,
            journal=journal,
            phases=phases,
            cell=cell,
            begin_epoch=batches.pipeline.begin_epoch,
            waited_s=batches.pipeline.waited_s,
            synchronized_steps=TIMED_BATCHES if len(cell.device.gpu_uuids) == 1 else 0,
            save=lambda epoch: checkpoint.save(folder.checkpoint, model, epoch=epoch),
        )
        model.fit(
            batches.training,
            validation_data=batches.validation,
            initial_epoch=assignment.epochs_done,
            epochs=cell.epochs,
            callbacks=recorder,
            shuffle=False,
            verbose=0,
        )
    with phases.phase("test"):
        tested = _test(model, batches, output, folder)
    journal.append(tested)
    journal.append(runtime.peak_memory(devices))  # before the sentinel, whose matrices are not the model's
    with phases.phase("probe"):
        journal.append(Sentinel(when="after", seconds=sentinel.measure_s(devices[0])))
    journal.append(Done(end_s=phases.now()))
    journal.sync()


def _count_flops(model: keras.Model, cell: Cell) -> Flops:
    """Count after the warm-up: with several devices, Keras's metrics exist only then."""
    counted = count_flops(model, input_shape=cell.dataset.input_shape, batch_size=cell.batch_size)
    # What XLA fuses never reaches memory.
    traffic = traffic_bytes(model) if cell.jit == "off" else None
    return Flops(
        forward=counted.forward_per_image,
        training=counted.training_per_image,
        operations=counted.operations,
        problem=counted.problem,
        traffic_bytes=traffic,
    )


def _warm_up(model: keras.Model, cell: Cell, batches: Batches, *, still_trains: bool) -> None:
    """Trace and run every function once, and for every size of batch where each is compiled.

    So the clocks of training, validation and test measure these, not compilation.
    """

    def parts(split: tf.data.Dataset) -> list[tf.data.Dataset]:
        first = split.take(cell.steps_per_execution)
        return [first, split.skip(int(split.cardinality()) - 1)] if compiles_every_size(cell) else [first]

    if still_trains:
        for part in parts(batches.training):
            model.fit(part, shuffle=False, verbose=0)
    if batches.validation is not None:
        for part in parts(batches.validation):
            model.evaluate(part, verbose=0)
    model.predict(batches.rehearsal, verbose=0)


def _test(model: keras.Model, batches: Batches, output: building.Output, folder: TrialFolder) -> Tested:
    labels = batches.test_labels
    outputs = model.predict(batches.test, verbose=0).astype(np.float64)
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
