"""DCNN as generic feature extractor: the convolutions of an ImageNet network, frozen, and a new classifier.

Hertel et al. 2017 trained a network like AlexNet on ImageNet, kept its convolutions and trained the classifier alone:
67.68 % on CIFAR-100. Here the convolutions are those of torchvision's AlexNet (56.522 % top-1 on ImageNet): one tower,
without local response normalisation. Whether they come as far was not measured. The paper's abstract does not say how
the classifier was trained: the recipe has AlexNet's batch, rate and momentum, and a decay of 0.005 apart from the
momentum, which weighs as AlexNet's 0.0005 inside it does. 61,100,840 parameters with 1,000 classes, 57,413,540 with
100; the convolutions have 2,469,696 of them.

Where it can be frozen: `pool5` (6×6×256 numbers an image), `pool1`, `pool2`, or behind any of `conv1` to `conv5`.

Source: https://arxiv.org/abs/1710.02286
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
from keras import layers

from bench.recipe import Recipe
from bench.weights.source import Weights
from bench.weights.torch_file import read_state, take

if TYPE_CHECKING:
    from collections.abc import Mapping

RECIPE = Recipe(
    weights="imagenet",
    frozen_until="pool5",
    optimizer="sgd",
    learning_rate=0.01,
    momentum=0.9,
    weight_decay=0.005,
    schedule="step",
    batch_size=128,
    epochs=20,
    precision="float32",
)

# The address is torchvision's; the SHA-256 begins as the file's name says, and is that of several public repositories.
WEIGHTS = {
    "imagenet": Weights(
        file="alexnet-owt-7be5be79.pth",
        digest="7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
        size_bytes=244_408_911,
        url="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
    )
}

_PUBLISHED = {
    "conv1": "features.0",
    "conv2": "features.3",
    "conv3": "features.6",
    "conv4": "features.8",
    "conv5": "features.10",
}
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pixels from 0 to 1


def build(
    input_shape: tuple[int, int, int], num_classes: int, *, weights: str | None = None, input_pixels: int = 227
) -> keras.Model:
    """Return the uncompiled network, ending in logits.

    Args:
        input_shape: Height, width, channels.
        num_classes: Classes.
        weights: The published `.pth` file, of which the convolutions are taken. Defaults to none, they are drawn.
        input_pixels: Height and width that images are resized to. Defaults to 227.
    """
    inputs = keras.Input(input_shape, name="images")
    x = inputs
    if tuple(input_shape[:2]) != (input_pixels, input_pixels):
        x = layers.Resizing(input_pixels, input_pixels, interpolation="bilinear", name="resized")(x)
    if weights:
        if input_shape[-1] == 1:
            x = layers.Concatenate(name="rgb")([x, x, x])
        scales = [1 / deviation for deviation in _DEVIATION]
        offsets = [-mean / deviation for mean, deviation in zip(_MEAN, _DEVIATION, strict=True)]
        x = layers.Rescaling(scales, offset=offsets, name="rescaled")(x)
    x = layers.ZeroPadding2D(2, name="pad1")(x)
    x = layers.Conv2D(64, 11, strides=4, activation="relu", name="conv1")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool1")(x)
    x = layers.Conv2D(192, 5, padding="same", activation="relu", name="conv2")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool2")(x)
    x = layers.Conv2D(384, 3, padding="same", activation="relu", name="conv3")(x)
    x = layers.Conv2D(256, 3, padding="same", activation="relu", name="conv4")(x)
    x = layers.Conv2D(256, 3, padding="same", activation="relu", name="conv5")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool5")(x)
    x = layers.Flatten(name="flat")(x)
    for name in ("fc6", "fc7"):
        x = layers.Dropout(0.5, name=f"{name}_dropout")(x)
        x = layers.Dense(4096, activation="relu", name=name)(x)
    outputs = layers.Dense(num_classes, name="predictions", dtype="float32")(x)
    model = keras.Model(inputs, outputs, name="dcnn_gfe")
    if weights:
        _load(model, read_state(Path(weights), prefix="features."))
    return model


def _load(model: keras.Model, state: Mapping[str, Any]) -> None:
    """Copy the published convolutions, which have their axes in PyTorch's order."""
    for name, published in _PUBLISHED.items():
        layer = model.get_layer(name)
        height, width, channels, filters = layer.kernel.shape
        kernel = take(state, f"{published}.weight", (filters, channels, height, width))
        layer.set_weights([kernel.transpose(2, 3, 1, 0), take(state, f"{published}.bias", (filters,))])
