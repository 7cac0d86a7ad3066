"""One trial, phase by phase: data, build, compile, warm-up, train and validate, test."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np

from bench.records import Assignment, Done, Sentinel, Tested, Trial
from bench.store import Journal, TrialFolder
from bench.worker import building, checkpoint, runtime, sentinel
from bench.worker.clock import Clock, Phases
from bench.worker.course import Aftermath, BudgetCourse, Course, StepCourse
from bench.worker.epochs import TIMED_BATCHES
from bench.worker.probing import fit_probe
from bench.worker.recorder import DivergedError, Recorder
from bench.worker.setting_up import count_arithmetic, set_up
from bench.worker.steering import Steering
from bench.worker.warm_up import time_evaluation, warm_up

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import tensorflow as tf

    from bench.records import Cell, Spent
    from bench.worker.batches import Batches
    from bench.worker.setting_up import Ready

ENDLESS = 2**31 - 1  # epochs, where a budget ends the training


def train(assignment: Assignment, trial: Trial, journal: Journal, clock: Clock) -> None:
    """Carry out a trial in this process and write its events.

    Raises:
        BenchError: Model, data or device are not what the trial needs, or its loss diverged.
    """
    cell = trial.cell
    folder = TrialFolder(Path(assignment.folder))
    phases = Phases(clock, journal, runtime.synchronize)
    still_trains = _still_trains(assignment, cell)
    ready = set_up(assignment, trial, journal, phases, trains=still_trains)
    model, batches, devices = ready.model, ready.batches, ready.devices

    # The warm-up leaves no trace in the weights. The state goes through the disk, not through memory: a copy in memory
    # would stand in the peak that is measured.
    checkpoint_s = assignment.spent.checkpoint_s if assignment.spent else 0.0
    if not assignment.epochs_done:
        with phases.phase("checkpoint"):
            began_s = phases.now()
            checkpoint.save(folder.checkpoint, model, epoch=0)
            checkpoint_s = phases.now() - began_s
    with phases.phase("warmup"):
        warm_up(model, cell, batches, still_trains=still_trains and cell.recipe.optimizer != "lbfgs")
        if still_trains:
            course = _make_course(cell, ready, checkpoint_s=checkpoint_s, spent=assignment.spent)
    with phases.phase("probe"):
        for counted in count_arithmetic(model, cell):
            journal.append(counted)
    with phases.phase("checkpoint"):
        checkpoint.restore(folder.checkpoint, model, epoch=assignment.epochs_done)

    if still_trains:
        with phases.phase("probe"):
            journal.append(Sentinel(when="before", seconds=sentinel.measure_s(devices[0])))

        def save(epoch: int) -> None:
            checkpoint.save(folder.checkpoint, model, epoch=epoch)

        if cell.recipe.optimizer == "lbfgs":
            fit_probe(
                ready, cell, folder=folder, journal=journal, phases=phases, save=save, done=assignment.epochs_done
            )
        else:
            fit(
                ready,
                cell,
                course,
                journal=journal,
                phases=phases,
                save=save,
                epochs_done=assignment.epochs_done,
            )
    model.optimizer.finalize_variable_values(model.trainable_variables)  # the averages, where there are any
    with phases.phase("test"):
        tested = _test(model, batches, ready.output, folder)
    journal.append(tested)
    journal.append(runtime.peak_memory(devices))  # before the sentinel, whose matrices are not the model's
    with phases.phase("probe"):
        journal.append(Sentinel(when="after", seconds=sentinel.measure_s(devices[0])))
    journal.append(Done(end_s=phases.now()))
    journal.sync()


def fit(
    ready: Ready,
    cell: Cell,
    course: Course,
    *,
    journal: Journal,
    phases: Phases,
    save: Callable[[int], None],
    epochs_done: int = 0,
    validates: bool = True,
) -> None:
    """Train a model that was warmed up until its course is over, and record it.

    Args:
        ready: What is trained.
        cell: How.
        course: When it is over.
        journal: Where the events go.
        phases: The clock.
        save: Called with the number of finished epochs at the end of each.
        epochs_done: Finished epochs, of earlier processes.
        validates: Whether epochs end with the validation images.
    """
    model, batches = ready.model, ready.batches
    recorder = Recorder(
        model,
        journal=journal,
        phases=phases,
        cell=cell,
        course=course,
        steering=Steering(model, cell, course, batches.pipeline),
        begin_epoch=batches.pipeline.begin_epoch,
        waited_s=batches.pipeline.waited_s,
        validate=partial(_evaluate, model, batches.validation)
        if validates and batches.validation is not None
        else None,
        synchronized_steps=TIMED_BATCHES if len(cell.device.gpu_uuids) == 1 else 0,
        save=save,
        callbacks=[keras.callbacks.SwapEMAWeights()] if cell.recipe.ema_momentum else [],
    )
    model.fit(
        batches.training,
        initial_epoch=epochs_done,
        epochs=ENDLESS if cell.epochs is None else cell.epochs,
        callbacks=recorder,
        shuffle=False,
        verbose=0,
    )


def _evaluate(
    model: keras.Model, split: tf.data.Dataset, callbacks: keras.callbacks.CallbackList
) -> Mapping[str, float]:
    figures: Mapping[str, float] = model.evaluate(split, callbacks=callbacks, return_dict=True, verbose=0)
    return figures


def _still_trains(assignment: Assignment, cell: Cell) -> bool:
    if cell.epochs is not None:
        return assignment.epochs_done < cell.epochs
    return assignment.spent is None or not assignment.spent.ended


def _make_course(cell: Cell, ready: Ready, *, checkpoint_s: float, spent: Spent | None) -> Course:
    """Return the course of a cell's training; under a budget that covers more than the training, look at the rest.

    Args:
        cell: What is trained.
        ready: Its model, warmed up, and its data.
        checkpoint_s: What a checkpoint takes, as far as that is known; seconds.
        spent: What earlier processes spent; None for a new trial.
    """
    if cell.budget_s is None:
        total_steps = (cell.epochs or 0) * cell.steps_per_epoch
        return StepCourse(total_steps, steps_per_execution=cell.steps_per_execution)
    model, batches = ready.model, ready.batches
    validate_s = test_s = 0.0
    if cell.budget_clock == "wall" or (cell.budget_clock == "fit" and batches.validation is not None):
        count, seconds = time_evaluation(model, batches)
        validation = 0 if batches.validation is None else int(batches.validation.cardinality())
        validate_s, test_s = (number * seconds / count for number in (validation, batches.test_count))
    after = Aftermath(
        validate_s=validate_s,
        test_s=test_s,
        checkpoint_s=checkpoint_s,
        test_features_s=ready.test_features_s,
    )
    return BudgetCourse(
        cell.budget_s,
        cell.budget_clock,
        aftermath=after,
        spent=spent,
        steps_per_execution=cell.steps_per_execution,
        features_s=ready.features_s,
    )


def _test(model: keras.Model, batches: Batches, output: building.Output, folder: TrialFolder) -> Tested:
    labels = batches.test_labels
    outputs = model.predict(batches.test(), verbose=0).astype(np.float64)
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
