"""ResNet-50 with the weights of ImageNet: fifty layers of bottleneck blocks, He et al. 2015, as Keras Applications.

Each batch is resized to 224 pixels in the graph. The recipe keeps the network as it is and fits the last layer to what
it puts out, 2,048 numbers an image. Published: 74.9 % top-1 on ImageNet (Keras, these weights); 78.3 % on CIFAR-100
for such a linear layer on a ResNet-50 of other ImageNet weights, and 86.4 % if all of it is trained on (Chen et al.
2020, arXiv 2002.05709, as Grill et al. 2020 cite it, arXiv 2006.07733, table 3). 25,636,712 parameters with 1,000
classes, 23,792,612 with 100.

It takes images from 0 to 1 (normalization `unit`) with or without weights, and makes of them what the weights take:
blue, green, red, each from 0 to 255 less its mean over ImageNet.

`frozen_until` can cut at `avg_pool`, and after each block: `conv2_block1_out` to `conv5_block3_out`.

Source: https://arxiv.org/abs/1512.03385
"""

import keras
from keras import layers

from bench.recipe import Recipe
from bench.weights.keras_file import load
from bench.weights.source import Weights

RECIPE = Recipe(weights="imagenet", frozen_until="avg_pool", optimizer="lbfgs", batch_size=64, epochs=9)
WEIGHTS = {
    "imagenet": Weights(
        file="resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
        digest="4d473c1dd8becc155b73f8504c6f6626",
        size_bytes=94_765_736,
        url="https://storage.googleapis.com/tensorflow/keras-applications/resnet/"
        "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
        licence="MIT",  # of Kaiming He, from whose weights Keras ported them
    )
}
MEAN_BGR = (103.939, 116.779, 123.68)  # of ImageNet, from 0 to 255; as keras.applications.resnet.preprocess_input


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
        ValueError: The file does not hold these weights, or the images are not of three channels.
    """
    if input_shape[-1] != 3:
        raise ValueError(f"resnet50 takes images of 3 channels, red, green, blue; received {input_shape[-1]}")
    inputs = keras.Input(input_shape)
    x = keras.ops.flip(inputs, axis=-1)
    x = layers.Rescaling(255.0, [-mean for mean in MEAN_BGR], dtype="float32", name="normalize")(x)
    if input_shape[:2] != (input_pixels, input_pixels):
        x = layers.Resizing(input_pixels, input_pixels, interpolation="bilinear", dtype="float32", name="resize")(x)
    backbone = keras.applications.ResNet50(include_top=False, weights=None, input_tensor=x, pooling="avg")
    if weights:
        load(backbone, weights, network="ResNet-50", published=WEIGHTS["imagenet"].file)
    outputs = layers.Dense(num_classes, dtype="float32", name="predictions")(backbone.output)
    return keras.Model(inputs, outputs, name="resnet50")
