"""Why a trial's numbers deserve less trust, in words, from the raw data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.records import Attempt, Runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.records import Cell, Device, TrialData

SHORT_TRAINING_S = 5.0  # below it, the first steps and the clock's jitter are a visible share
SAMPLER_PERCENT = 1.0


def flags(data: TrialData, *, train_s: float | None, sampler_percent: float | None) -> tuple[str, ...]:
    """Say what is doubtful about a trial.

    Args:
        data: All that the run folder holds of the trial.
        train_s: Its training time in seconds; None if no epoch's training ended.
        sampler_percent: CPU time that sampling took; 100 is one core. None if it was not sampled.

    Returns:
        Short sentences without a full stop; empty if nothing is doubtful.
    """
    return tuple(_flags(data, train_s=train_s, sampler_percent=sampler_percent))


def _flags(data: TrialData, *, train_s: float | None, sampler_percent: float | None) -> Iterator[str]:
    runtimes = [event for event in data.events if isinstance(event, Runtime)]
    if runtimes:
        yield from _placement(data.trial.cell.device, runtimes[-1])
        yield from _arithmetic(data.trial.cell, runtimes[-1])
    for attempt in data.events:
        if isinstance(attempt, Attempt) and attempt.number > 1:
            yield _resumed(attempt)
    if data.trial.cell.dataset.official is False:
        yield f"the data set is not the published {data.trial.cell.dataset.name}"
    if data.result is not None and data.result.status == "hopeless":
        yield "a training was stopped as hopeless: what it reached until then stands for it"
    if data.damaged_lines:
        yield f"journal lines that could not be read: {data.damaged_lines}"
    if train_s is not None and train_s < SHORT_TRAINING_S and data.trial.mode == "train":
        yield f"short: {train_s:.1f} s of training"
    if sampler_percent is not None and sampler_percent > SAMPLER_PERCENT:
        yield f"sampling took {sampler_percent:.1f} % of a core"


def _placement(asked: Device, got: Runtime) -> Iterator[str]:
    if asked.kind == "cpu" and got.threads_used is not None and got.threads_used != asked.threads:
        verb = "was" if asked.threads == 1 else "were"
        noun = "thread" if got.threads_used == 1 else "threads"
        yield f"{got.threads_used} {noun} worked, {asked.threads} {verb} asked for"
    if asked.cpus and got.cpus and set(asked.cpus) != set(got.cpus):
        yield f"ran on CPUs {_numbers(got.cpus)}; {_numbers(asked.cpus)} asked for"


def _arithmetic(cell: Cell, got: Runtime) -> Iterator[str]:
    if cell.precision == "float32" and got.tensor_float_32:
        yield "float32 products are rounded to TF32, TensorFlow's default on this GPU"
    if cell.recipe.convolutions == "winograd" and not cell.winograd:
        yield "convolved directly: Winograd's way, which the recipe asks for, is for a CPU in float32 without XLA"
    # Of a GPU's cell only what is left to the CPU would change.
    if cell.device.kind == "cpu" and got.onednn is not None and got.onednn != (cell.onednn == "on"):
        yield (
            "TensorFlow computes with its own kernels: oneDNN, which the cell asks for, is not in this build"
            if cell.onednn == "on"
            else "TensorFlow computes with oneDNN, which the cell asks it not to do"
        )
    if got.xla == "auto":
        yield "TensorFlow compiles what it chooses (auto-clustering is on)"
    for path, problem in got.not_preloaded.items():
        yield f"the installed CUDA library {path} could not be loaded: {problem}"
    for name, value in got.environment.items():
        yield f"the environment sets {name}={value}"


def _resumed(attempt: Attempt) -> str:
    if attempt.epochs_done == 0:
        return f"attempt {attempt.number - 1} did not finish an epoch; started again"
    return f"attempt {attempt.number - 1} did not finish; taken up after epoch {attempt.epochs_done}"


def _numbers(cpus: tuple[int, ...]) -> str:
    return ", ".join(map(str, sorted(cpus)))
