"""What a trial is expected to need, and what is said of one that cannot fit."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bench import memory
from bench.catalog import ModelDescription, StepDescription
from bench.memory import Room, estimate, explain_shortage, optimizer_slots
from bench.recipe import Recipe
from bench.records import Device, MemoryEstimate
from records_for_tests import CPU, GPU, trial

GB = 10**9
SGD = Recipe(optimizer="sgd")
# 10 MB an image, 8 MB whatever the batch.
STEP = StepDescription(operations=1000, fixed_bytes=8_000_000, image_bytes=10_000_000)
MODEL = ModelDescription(
    name="small",
    parameters=2_000_000,
    trainable_parameters=1_000_000,
    step=STEP,
)


def needed(described: ModelDescription = MODEL, *, loading_bytes: int = 0, **cell: Any) -> MemoryEstimate:
    """The estimate of a cell of a hundred images a step."""
    found = estimate(trial(**cell).cell, described, loading_bytes=loading_bytes)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("recipe", "slots"),
    [
        (Recipe(optimizer="adam"), 2),
        (Recipe(optimizer="adamw"), 2),
        (Recipe(optimizer="rmsprop"), 1),
        (Recipe(optimizer="rmsprop", momentum=0.9), 2),
        (Recipe(optimizer="sgd"), 0),
        (Recipe(optimizer="sgd", momentum=0.9), 1),
        (Recipe(optimizer="sgd", momentum=0.9, ema_momentum=0.99), 2),
        (Recipe(optimizer="muon", momentum=0.6), 1),
    ],
)
def test_an_optimizer_keeps_its_values_for_each_trained_parameter(recipe: Recipe, slots: int) -> None:
    """Adam keeps two moments, RMSprop one, momentum one more, plain SGD nothing; averaged weights are one more."""
    assert optimizer_slots(recipe) == slots


def test_parameters_are_weights_optimizer_values_and_what_a_step_makes_of_them() -> None:
    """Frozen weights have no optimizer values; all are float32, under mixed precision too."""
    assert needed(recipe=SGD).parameters_bytes == 4 * 2_000_000 + 8_000_000
    assert needed(recipe=Recipe(optimizer="adam")).parameters_bytes == 4 * (2_000_000 + 2 * 1_000_000) + 8_000_000
    assert needed(recipe=SGD, precision="mixed_bfloat16").parameters_bytes == 4 * 2_000_000 + 8_000_000


def test_activations_are_what_an_image_takes_times_the_batch() -> None:
    """They are proportional to the images of a step."""
    assert needed(batch_size=100).activations_bytes == GB
    assert needed(batch_size=50).activations_bytes == GB // 2


def test_the_process_holds_the_sum_of_the_parts() -> None:
    """The allocator's share comes on top of parameters and activations, runtime and data beside them."""
    found = needed(batch_size=100, recipe=SGD)
    model_bytes = 16_000_000 + GB
    assert found.allocator_bytes == pytest.approx((memory.ALLOCATOR_RATIO - 1) * model_bytes)
    assert found.total_bytes == found.runtime_bytes + found.data_bytes + model_bytes + found.allocator_bytes
    assert found.gpu_total_bytes is None


def test_a_larger_graph_needs_more_whatever_the_batch() -> None:
    """TensorFlow's own share grows with the operations of a training step."""
    larger = replace(MODEL, step=replace(STEP, operations=11_000))
    assert needed(larger).runtime_bytes == needed().runtime_bytes + 10_000 * memory.OPERATION_BYTES


def test_data_are_pixels_batches_and_outputs() -> None:
    """Images as bytes, batches on their way as float32, the test's outputs as float64."""
    pixels, batch = 1300 * 3072, 100 * 3072 * 4
    assert needed(batch_size=100, device=CPU).data_bytes == pixels + (2 + 2 * 2) * batch + 4 * 200 * 100 * 8


def test_stages_keep_the_training_images_in_each_size() -> None:
    """A stage of 16×16 takes a quarter of what whole training images take."""
    staged = needed(recipe=Recipe(optimizer="sgd", stages=((16, 0.5),))).data_bytes
    assert staged - needed(recipe=SGD).data_bytes == 1000 * 16 * 16 * 3


def test_a_data_set_that_is_large_while_it_is_read_counts_as_it_was_then() -> None:
    """Of a file of which few images are taken, reading it is the fullest moment of a small model's trial."""
    small = replace(MODEL, step=StepDescription(operations=0, fixed_bytes=0, image_bytes=0))
    assert needed(small, loading_bytes=5 * GB).total_bytes == memory.RUNTIME_BYTES + 5 * GB
    assert needed(loading_bytes=GB // 2) == needed()


def test_xla_needs_more_on_a_cpu() -> None:
    """Its compiler stands in memory, and its convolutions take more; on a GPU the compiler alone is counted."""
    plain, compiled = needed(jit="off"), needed(jit="on")
    assert compiled.runtime_bytes == plain.runtime_bytes + memory.XLA_BYTES
    assert compiled.allocator_bytes - plain.allocator_bytes == pytest.approx(
        (memory.XLA_CPU_RATIO - memory.ALLOCATOR_RATIO) * plain.activations_bytes
    )
    assert needed(jit="on", device=GPU).gpu_total_bytes == needed(jit="off", device=GPU).gpu_total_bytes


def test_on_a_gpu_the_model_lies_there() -> None:
    """The process keeps runtime and data; the GPU holds parameters, activations and CUDA's own."""
    found = needed(device=GPU)
    assert found.total_bytes == found.runtime_bytes + found.data_bytes
    model_bytes = found.parameters_bytes + found.activations_bytes + found.allocator_bytes
    assert found.gpu_total_bytes == memory.CUDA_GPU_BYTES + model_bytes


def test_gpus_that_train_together_share_the_batch() -> None:
    """Each of two has the whole model and half of the images, the larger half of an odd number."""
    pair = Device(kind="gpu", threads=2, gpu_uuids=("GPU-1", "GPU-2"), gpu_indices=(0, 1))
    assert needed(device=pair, batch_size=101).activations_bytes == 51 * 10_000_000
    assert needed(device=pair).parameters_bytes == needed(device=GPU).parameters_bytes


def test_a_step_that_could_not_be_traced_is_not_estimated() -> None:
    """Then there is no figure, rather than a wrong one, and nothing is said of a shortage."""
    untraced = replace(MODEL, step=None)
    cell = trial().cell
    assert estimate(cell, untraced, loading_bytes=0) is None
    assert explain_shortage(cell, untraced, Room(host_bytes=0), loading_bytes=0) is None


def test_a_shortage_is_told_with_its_figures_and_the_next_step() -> None:
    """What it needs and for what, what there is, how to run it anyway, and which batch would fit."""
    cell = trial(batch_size=1000, recipe=SGD).cell
    assert explain_shortage(cell, MODEL, Room(host_bytes=8 * GB), loading_bytes=0) == (
        "needs about 13.9 GB (runtime 0.8 GB, data 0.1 GB, parameters 0.0 GB, activations 10.0 GB, allocator 3.0 GB), "
        "8.0 GB available; --force runs it anyway, a batch size of 500 would need about 7.3 GB"
    )


def test_a_gpu_s_shortage_is_told_of_the_gpu() -> None:
    """The host may have plenty; where neither suffices, the GPU is named."""
    cell = trial(batch_size=1000, device=GPU, recipe=SGD).cell
    said = explain_shortage(cell, MODEL, Room(host_bytes=64 * GB, gpu_bytes=8 * GB), loading_bytes=0)
    assert said == (
        "needs about 13.6 GB (CUDA 0.6 GB, parameters 0.0 GB, activations 10.0 GB, allocator 3.0 GB), 8.0 GB free on "
        "the GPU; --force runs it anyway, a batch size of 500 would need about 7.1 GB"
    )


def test_a_gpu_whose_memory_cannot_be_read_is_not_refused() -> None:
    """Without a figure for what is free, only the host can be short."""
    cell = trial(batch_size=1000, device=GPU).cell
    assert explain_shortage(cell, MODEL, Room(host_bytes=64 * GB), loading_bytes=0) is None
    said = explain_shortage(cell, MODEL, Room(host_bytes=GB), loading_bytes=0)
    assert said is not None
    assert "1.0 GB available" in said
    assert "activations" not in said  # they would lie on the GPU


def test_a_smaller_batch_is_not_proposed_where_it_would_not_help() -> None:
    """A model whose weights alone do not fit cannot be helped so."""
    wide = replace(MODEL, parameters=10**10)
    said = explain_shortage(trial().cell, wide, Room(host_bytes=8 * GB), loading_bytes=0)
    assert said is not None
    assert said.endswith("--force runs it anyway, a smaller batch would not help")


@given(batch_size=st.integers(2, 4096), host_bytes=st.integers(0, 50 * GB))
def test_the_batch_that_is_proposed_fits_and_its_double_does_not(batch_size: int, host_bytes: int) -> None:
    """The advice can be followed at once."""
    room = Room(host_bytes=host_bytes)
    cell = trial(batch_size=batch_size).cell
    said = explain_shortage(cell, MODEL, room, loading_bytes=0)
    if said is None:
        assert needed(batch_size=batch_size).total_bytes <= host_bytes
    elif "a batch size of" in said:
        proposed = int(said.partition("a batch size of ")[2].split()[0])
        assert proposed < batch_size
        assert needed(batch_size=proposed).total_bytes <= host_bytes < needed(batch_size=2 * proposed + 1).total_bytes
    else:
        assert needed(batch_size=1).total_bytes > host_bytes
