"""Sprint: a small network that learns fast on a CPU, after Jordan's networks for record runs on small images.

Its first layer whitens patches of 2×2 pixels and is not trained: `prepare` computes it from training images. Three
groups follow, of two, three and three 3×3 convolutions with batch normalisation and SiLU, the first of each with a
max-pooling; what comes after it in the second and the third group is added to it. Then the maximum over all pixels,
and a linear layer without bias whose outputs are made smaller. Kernels begin as identities, as far as there are
channels, and keep their length, so that the learning rate alone says how fast they turn. 5,650,240 parameters for
32×32×3 and 100 classes.

What it leaves out is what a CPU is slow at: large images first of all (`stages`), many channels at full size, layers
that move numbers without multiplying many. All 3×3 convolutions but the first have channels enough to be computed
with fewer multiplications (`convolutions`). It takes images of any size, in colour or grey.

`frozen_until` can cut at `whiten_act`, after each group, `group1`, `group2` and `group3`, and at `pool`.

Source: https://github.com/KellerJordan/cifar10-airbench (Jordan 2024, arXiv 2404.00498)
"""

import math

import keras
import numpy as np
from keras import layers, ops

from bench.recipe import Recipe

RECIPE = Recipe(
    optimizer="muon",
    learning_rate=0.1,
    momentum=0.6,
    nesterov=True,
    adam_lr_ratio=0.3,
    schedule="linear",
    warmup=0.1,
    label_smoothing=0.2,
    normalization="standard",
    stages=((22, 0.4), (26, 0.8)),
    horizontal_flip="alternating",
    shift_pixels=4,
    batch_size=512,
    convolutions="winograd",
)

GROUPS = ((64, 2), (224, 3), (448, 3))  # channels and convolutions
PATCH = 2  # pixels
SMALLEST_VARIANCE = 5e-4  # below which a direction of patches is noise, and whitening it would be all noise
LOGIT_SCALE = 1 / 8


def build(input_shape: tuple[int, int, int], num_classes: int) -> keras.Model:
    """Return the uncompiled network, ending in logits."""
    inputs = keras.Input(input_shape)
    patch_values = PATCH * PATCH * input_shape[-1]
    x = layers.Conv2D(2 * patch_values, PATCH, use_bias=False, trainable=False, name="whiten")(inputs)
    x = layers.Activation("silu", name="whiten_act")(x)
    for number, (filters, convolutions) in enumerate(GROUPS, start=1):
        x = _group(x, filters, convolutions, f"group{number}")
    x = layers.GlobalMaxPooling2D(name="pool")(x)
    x = layers.Dense(num_classes, use_bias=False, dtype="float32", name="predictions")(x)
    return keras.Model(inputs, layers.Rescaling(LOGIT_SCALE, dtype="float32", name="scale")(x), name="sprint")


def prepare(model: keras.Model, x_train: np.ndarray) -> None:
    """Set the first layer to the whitening of patches of these images, each direction with both signs.

    Args:
        model: As `build` makes it.
        x_train: float32 training images (n, height, width, channels), normalised.
    """
    windows = np.lib.stride_tricks.sliding_window_view(x_train, (PATCH, PATCH), axis=(1, 2))
    channels = x_train.shape[-1]
    patches = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, PATCH * PATCH * channels)
    variances, directions = np.linalg.eigh(patches.T @ patches / len(patches))
    whitening = directions / np.sqrt(variances + SMALLEST_VARIANCE)
    kernel = np.concatenate([whitening, -whitening], axis=1).reshape(PATCH, PATCH, channels, -1)
    model.get_layer("whiten").set_weights([kernel])


def _group(x: keras.KerasTensor, filters: int, convolutions: int, name: str) -> keras.KerasTensor:
    """Pool, and convolve; of three convolutions, what comes after the first one is added to what it puts out."""
    has_shortcut = convolutions > 2
    first = x = _convolution(x, filters, f"{name}_1", pools=True)
    for number in range(2, convolutions + 1):
        is_output = number == convolutions and not has_shortcut
        x = _convolution(x, filters, f"{name}_{number}", output=name if is_output else "")
    return layers.Add(name=name)([first, x]) if has_shortcut else x


def _convolution(
    x: keras.KerasTensor, filters: int, name: str, *, pools: bool = False, output: str = ""
) -> keras.KerasTensor:
    x = layers.Conv2D(
        filters,
        3,
        padding="same",
        use_bias=False,
        kernel_initializer=Identity(),
        kernel_constraint=UnitLength(),
        name=f"{name}_conv",
    )(x)
    if pools:  # before the normalisation, which has a quarter of the pixels then
        x = layers.MaxPooling2D(name=f"{name}_pool")(x)
    x = layers.BatchNormalization(momentum=0.7, epsilon=1e-5, scale=False, name=f"{name}_bn")(x)
    return layers.Activation("silu", name=output or f"{name}_act")(x)


class Identity(keras.initializers.Initializer):
    """Let as many channels through as there are on both sides; the others are drawn (He et al. 2015).

    Known as the Dirac initialisation.
    """

    def __init__(self, seed: int | None = None) -> None:
        self._drawn = keras.initializers.HeNormal(seed=seed)

    def __call__(self, shape: tuple[int, ...], dtype: str | None = None) -> keras.KerasTensor:
        """Return a kernel (height, width, in, out)."""
        height, width, inputs, outputs = shape
        through = min(inputs, outputs)
        kernel = np.zeros((height, width, inputs, through), np.float32)
        kernel[height // 2, width // 2] = np.eye(inputs, through)
        drawn = self._drawn(shape, dtype)
        return ops.concatenate([ops.cast(kernel, drawn.dtype), drawn[..., through:]], axis=-1)


class UnitLength(keras.constraints.Constraint):
    """Keep a kernel's outputs at length 1 in the mean of their squares.

    Batch normalisation follows, so the network computes the same whatever the length.
    """

    def __call__(self, w: keras.KerasTensor) -> keras.KerasTensor:
        """Return the kernel (height, width, in, out) at that length."""
        return w * (math.sqrt(w.shape[-1]) / ops.sqrt(ops.sum(ops.square(w))))
