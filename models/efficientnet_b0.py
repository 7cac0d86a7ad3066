"""EfficientNet-B0 with the weights of ImageNet: mobile inverted bottlenecks, Tan & Le 2019, as Keras Applications.

A fifth of ResNet-50's parameters and a tenth of its arithmetic. Each batch is resized to 224 pixels in the graph. The
recipe keeps the network as it is and fits the last layer to what it puts out, 1,280 numbers an image. Published: 77.1 %
top-1 on ImageNet, and 88.1 % on CIFAR-100 if all of it is trained on (the paper's tables 2 and 5). 5,330,571 parameters
with 1,000 classes, 4,177,671 with 100.

It takes images from 0 to 1 (normalization `unit`). What the weights take beyond that is in the network itself.

`frozen_until` can cut at `avg_pool`, at `top_activation` before it, and after blocks that end a stage, such as
`block5c_add`.

Source: https://arxiv.org/abs/1905.11946
"""

import keras
from keras import layers

from bench.recipe import Recipe
from bench.weights.keras_file import load
from bench.weights.source import Weights

RECIPE = Recipe(weights="imagenet", frozen_until="avg_pool", optimizer="lbfgs", batch_size=64, epochs=9)
WEIGHTS = {
    "imagenet": Weights(
        file="efficientnetb0_notop.h5",
        digest="50bc09e76180e00e4465e1a485ddc09d",
        size_bytes=16_705_208,
        url="https://storage.googleapis.com/keras-applications/efficientnetb0_notop.h5",
        licence="Apache-2.0",  # of github.com/tensorflow/tpu, from whose checkpoint Keras ported them
    )
}
DEVIATION_RGB = (0.229, 0.224, 0.225)  # of ImageNet, from 0 to 1; as Keras has it


def build(
    input_shape: tuple[int, int, int], num_classes: int, *, weights: str | None = None, input_pixels: int = 224
) -> keras.Model:
    """Return the uncompiled network, ending in logits.

    Args:
        input_shape: Height, width, channels of an image; the first two may be None.
        num_classes: Classes to tell apart.
        weights: Path of the weights of all but the last layer, as Keras publishes them without the top. Defaults to
            none, they are drawn.
        input_pixels: Height and width to which images are resized, 32 or more. Defaults to 224.

    Raises:
        ValueError: The file does not hold these weights.
    """
    inputs = keras.Input(input_shape)
    x = layers.Rescaling(255.0, dtype="float32", name="to_255")(inputs)
    if input_shape[:2] != (input_pixels, input_pixels):
        x = layers.Resizing(input_pixels, input_pixels, interpolation="bilinear", dtype="float32", name="resize")(x)
    backbone = keras.applications.EfficientNetB0(include_top=False, weights=None, input_tensor=x, pooling="avg")
    if weights:
        _load(backbone, weights)
    x = layers.Dropout(0.2, name="top_dropout")(backbone.output)
    outputs = layers.Dense(num_classes, dtype="float32", name="predictions")(x)
    return keras.Model(inputs, outputs, name="efficientnet_b0")


def _load(backbone: keras.Model, path: str) -> None:
    load(backbone, path, network="EfficientNet-B0", published=WEIGHTS["imagenet"].file)
    # The file has deviations where this layer takes variances, of which it draws the root. For weights="imagenet" Keras
    # divides by that root once more, and for a path it does not; here the layer itself does (tensorflow#49930).
    (normalization,) = (layer for layer in backbone.layers if isinstance(layer, layers.Normalization))
    normalization.adapt_variance.assign(normalization.adapt_variance * keras.ops.array(DEVIATION_RGB))
    normalization.finalize_state()
