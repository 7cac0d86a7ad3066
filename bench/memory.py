"""What a trial will need in memory, estimated before it runs.

    runtime      Python, TensorFlow's libraries, its graphs and threads
    data         the images as uint8, batches on their way, what the test puts out
    parameters   weights, the optimizer's values, gradients
    activations  what a training step holds for each image × images a step
    allocator    what TensorFlow's allocator holds beyond what is in use

On a GPU the last three lie there, beside CUDA's own. docs/memory.md compares estimates with measured peaks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace

from bench.records import MemoryEstimate
from bench.schedule import image_sizes

if TYPE_CHECKING:
    from bench.catalog import ModelDescription
    from bench.recipe import Recipe
    from bench.records import Cell

FLOAT32_BYTES = 4  # of weights and optimizer values, under every dtype policy
FLOAT64_BYTES = 8

# Measured on Linux, x86-64, TensorFlow 2.21: 0.66 GB after the import, the rest in the first steps of small models; and
# what grows with the graphs of training, validation and test, as models of 56 to 12,793 operations show.
RUNTIME_BYTES = 700_000_000
OPERATION_BYTES = 80_000
XLA_BYTES = 300_000_000  # its compiler; measured likewise
# Round figures, not measured: the CUDA libraries in the process, and a context with cuDNN and cuBLAS on the GPU.
CUDA_HOST_BYTES = 1_700_000_000
CUDA_GPU_BYTES = 600_000_000

# TensorFlow's allocator gives nothing back to the system, and hands out pieces of up to twice the size that was asked
# for (BFC; with oneDNN on the CPU too). Measured: the process grew by 1.0 to 1.6 times what the step holds.
ALLOCATOR_RATIO = 1.3
# XLA on the CPU lays convolutions out as matrices: 1.8 to 2.5 times what the step holds without it.
XLA_CPU_RATIO = 2.3

PREFETCHED_BATCHES = 2  # of bench.worker.epochs, which besides makes as many at a time as there are threads
BATCH_COPIES = 2  # of a batch in the making: before and after a step of its normalisation
# Of the largest variable, while the optimizer updates it; and a checkpoint is read back with as many. Measured with
# VGG-16, whose largest one is 0.4 GB, and dcnn_gfe: without them their peaks were 19 and 58 % above the estimate.
UPDATE_COPIES = 2
LBFGS_COPIES = 25  # of the weights: ten steps and ten gradients, and what it works with
MAPPED_BYTES = 256_000_000  # of features on the disk, as bench.worker.feature_store lets them stand in memory
OUTPUT_COPIES = 4  # of the test set's outputs, as float64, while loss and confidences are computed


@dataclass(frozen=True, kw_only=True)
class Room:
    """Memory that a trial can take.

    Attributes:
        host_bytes: Of the machine and its control groups.
        gpu_bytes: Of the fullest of the trial's GPUs; None on a CPU, and where it cannot be read.
    """

    host_bytes: int
    gpu_bytes: int | None = None

    def fits(self, needed: MemoryEstimate) -> bool:
        """Whether a trial fits, as far as can be told."""
        return needed.total_bytes <= self.host_bytes and self.fits_gpu(needed)

    def fits_gpu(self, needed: MemoryEstimate) -> bool:
        """Likewise, the GPU's memory alone."""
        return needed.gpu_total_bytes is None or self.gpu_bytes is None or needed.gpu_total_bytes <= self.gpu_bytes


def estimate(cell: Cell, described: ModelDescription, *, loading_bytes: int) -> MemoryEstimate | None:
    """Estimate the peak memory of a cell's trials.

    Args:
        cell: The cell.
        described: Its model, as built for the cell's images and precision.
        loading_bytes: What its data set takes while it is loaded.

    Returns:
        The estimate, or None for a model whose training step could not be traced.
    """
    if described.step is None or (described.features and described.frozen is None):
        return None
    data, device, step = cell.dataset, cell.device, described.step
    on_gpu = device.kind == "gpu"
    compiles_for_cpu = cell.jit == "on" and not on_gpu
    # Several GPUs share a batch; each has the whole model.
    images_a_step = -(-cell.batch_size // max(1, len(device.gpu_uuids)))
    values = described.parameters + optimizer_slots(cell.recipe) * described.trainable_parameters
    parameters_bytes = values * FLOAT32_BYTES + step.fixed_bytes
    parameters_bytes += UPDATE_COPIES * described.largest_weights * FLOAT32_BYTES
    if cell.recipe.optimizer == "lbfgs":
        parameters_bytes += LBFGS_COPIES * described.trainable_parameters * FLOAT64_BYTES
    activations_bytes = step.image_bytes * images_a_step
    if described.frozen is not None:
        # The frozen part is gone through before the rest is trained, and its weights stand in its graph once more.
        parameters_bytes += (described.parameters - described.trainable_parameters) * FLOAT32_BYTES
        activations_bytes = max(activations_bytes, described.frozen.image_bytes * cell.batch_size)
    held_bytes = ALLOCATOR_RATIO * parameters_bytes
    held_bytes += (XLA_CPU_RATIO if compiles_for_cpu else ALLOCATOR_RATIO) * activations_bytes
    model_bytes = 0 if on_gpu else round(held_bytes)

    image_values = math.prod(data.input_shape)
    pixels_bytes = (data.num_train + data.num_validation + data.num_test) * image_values
    height, width, channels = data.input_shape
    *smaller, _ = image_sizes(cell.recipe, height, width)
    pixels_bytes += data.num_train * channels * sum(map(math.prod, smaller))
    batches = PREFETCHED_BATCHES + BATCH_COPIES * device.threads
    batches_bytes = batches * cell.batch_size * (described.features or image_values) * FLOAT32_BYTES
    if described.features:
        stored_bytes = (data.num_train + data.num_validation) * described.features * FLOAT32_BYTES
        batches_bytes += stored_bytes if stored_bytes <= MAPPED_BYTES else 0  # of a larger file, rows are read
    outputs_bytes = OUTPUT_COPIES * data.num_test * data.num_classes * FLOAT64_BYTES
    runtime_bytes = RUNTIME_BYTES + OPERATION_BYTES * step.operations
    return MemoryEstimate(
        runtime_bytes=runtime_bytes + (CUDA_HOST_BYTES if on_gpu else 0) + (XLA_BYTES if cell.jit == "on" else 0),
        # Loading is over when the model is built: the larger of the two moments counts.
        data_bytes=max(pixels_bytes + batches_bytes + outputs_bytes, loading_bytes - model_bytes),
        parameters_bytes=parameters_bytes,
        activations_bytes=activations_bytes,
        allocator_bytes=round(held_bytes) - parameters_bytes - activations_bytes,
        gpu_runtime_bytes=CUDA_GPU_BYTES if on_gpu else None,
    )


def optimizer_slots(recipe: Recipe) -> int:
    """Values that a recipe's optimizer keeps for each trained parameter, beside the parameter and its gradient."""
    match recipe.optimizer:
        case "adam" | "adamw":
            own = 2
        case "rmsprop":
            own = 1 + bool(recipe.momentum)
        case "sgd":
            own = int(bool(recipe.momentum))
        case "muon":
            own = 1  # two for what AdamW trains, which is little
        case "lbfgs":
            own = 0  # what SciPy keeps is not in float32
    return own + bool(recipe.ema_momentum)


def explain_shortage(cell: Cell, described: ModelDescription, room: Room, *, loading_bytes: int) -> str | None:
    """Say that a cell cannot fit, with the figures and the next step; None if it can, or if nobody can tell.

    Args:
        cell: The cell.
        described: Its model, as for `estimate`.
        room: The memory that there is.
        loading_bytes: As for `estimate`.
    """
    needed = estimate(cell, described, loading_bytes=loading_bytes)
    if needed is None or room.fits(needed):
        return None
    parts = {"runtime": needed.runtime_bytes, "data": needed.data_bytes}
    model = {
        "parameters": needed.parameters_bytes,
        "activations": needed.activations_bytes,
        "allocator": needed.allocator_bytes,
    }
    if room.gpu_bytes is not None and not room.fits_gpu(needed):
        figures = f"{_needs({'CUDA': needed.gpu_runtime_bytes or 0} | model)}, {_size(room.gpu_bytes)} free on the GPU"
    else:
        on_host = parts if needed.gpu_total_bytes is not None else parts | model
        figures = f"{_needs(on_host)}, {_size(room.host_bytes)} available"
    return f"{figures}; --force runs it anyway, {_advice(cell, described, room, loading_bytes=loading_bytes)}"


def _needs(parts: dict[str, int]) -> str:
    listed = ", ".join(f"{name} {_size(size_bytes)}" for name, size_bytes in parts.items())
    return f"needs about {_size(sum(parts.values()))} ({listed})"


def _advice(cell: Cell, described: ModelDescription, room: Room, *, loading_bytes: int) -> str:
    """The largest half, quarter and so on of the batch that would fit."""
    batch_size = cell.batch_size // 2
    while batch_size:
        needed = estimate(replace(cell, batch_size=batch_size), described, loading_bytes=loading_bytes)
        if needed is not None and room.fits(needed):
            total_bytes = needed.total_bytes if needed.gpu_total_bytes is None else needed.gpu_total_bytes
            return f"a batch size of {batch_size} would need about {_size(total_bytes)}"
        batch_size //= 2
    return "a smaller batch would not help"


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.1f} GB"
