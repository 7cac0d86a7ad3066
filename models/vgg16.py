"""VGG-16: thirteen 3×3 convolutions and three dense layers, configuration D of Simonyan & Zisserman 2014.

The large network that the founding report names and could not run: it wants images of 224×224 pixels, and 50,000 of
those are 7.5 GB as uint8 and 30 GB as float32. Here the data set keeps its own size, and each batch is resized in the
graph. The report cites 70.18 % on CIFAR-100 for it; Keras gives its ImageNet weights a top-1 accuracy of 71.3 %.
138,357,544 parameters with 1,000 classes at 224 pixels (138 million in the paper), 134,670,244 with 100.

It takes images from 0 to 1 (normalization `unit`) with or without weights, and makes of them what the weights take:
blue, green, red, each from 0 to 255 less its mean over ImageNet. Without weights the scale matters too, and is the
paper's: there is no batch normalisation, and Glorot's rule halves the variance in each of the thirteen convolutions.

The recipe is the paper's, which trains from scratch: the rate falls three times, there whenever the validation accuracy
stopped improving. Three things differ. The batch is 32, not 256, so that a training step holds about 4 GB, not 18 GB.
Weight decay of 0.005 beside the gradient is worth the paper's 0.0005 inside of it, which a momentum of 0.9 repeats
tenfold. Images are mirrored and shifted, not cropped out of larger ones, and their colours stay.

With weights, the convolutions start with those of ImageNet and the three dense layers are drawn.
`frozen_until` can cut at `block1_pool` to `block5_pool` and `flatten` (25,088 numbers an image), `fc1` and `fc2`.

Source: https://arxiv.org/abs/1409.1556
"""

import keras
from keras import layers

from bench.recipe import Recipe
from bench.weights.keras_file import load
from bench.weights.source import Weights

RECIPE = Recipe(
    optimizer="sgd",
    learning_rate=0.01,
    momentum=0.9,
    weight_decay=0.005,
    schedule="step",
    step_at=(0.5, 0.75, 0.9),
    horizontal_flip=True,
    shift_pixels=4,
    batch_size=32,
    epochs=74,
)
WEIGHTS = {
    "imagenet": Weights(
        file="vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
        digest="6d6bbae143d832006294945121d1f1fc",
        size_bytes=58_889_256,
        url="https://storage.googleapis.com/tensorflow/keras-applications/vgg16/"
        "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
        licence="CC BY 4.0",  # of the Visual Geometry Group, Oxford, from whose weights Keras ported them
    )
}
MEAN_BGR = (103.939, 116.779, 123.68)  # of ImageNet, from 0 to 255; as keras.applications.vgg16.preprocess_input


def build(
    input_shape: tuple[int, int, int], num_classes: int, *, weights: str | None = None, input_pixels: int = 224
) -> keras.Model:
    """Return the uncompiled network, ending in logits.

    Args:
        input_shape: Height, width, channels of an image; the first two may be None.
        num_classes: Classes to tell apart.
        weights: Path of the convolutions' weights, as Keras publishes them without the top. Defaults to none, they
            are drawn.
        input_pixels: Height and width to which images are resized, 32 or more. Defaults to 224.

    Raises:
        ValueError: The file does not hold these weights, or the images are not of three channels.
    """
    if input_shape[-1] != 3:
        raise ValueError(f"vgg16 takes images of 3 channels, red, green, blue; received {input_shape[-1]}")
    inputs = keras.Input(input_shape)
    x = keras.ops.flip(inputs, axis=-1)
    x = layers.Rescaling(255.0, [-mean for mean in MEAN_BGR], dtype="float32", name="normalize")(x)
    if input_shape[:2] != (input_pixels, input_pixels):
        x = layers.Resizing(input_pixels, input_pixels, interpolation="bilinear", dtype="float32", name="resize")(x)
    convolutions = keras.applications.VGG16(include_top=False, weights=None, input_tensor=x)
    if weights:
        load(convolutions, weights, network="VGG-16", published=WEIGHTS["imagenet"].file)
    x = layers.Flatten(name="flatten")(convolutions.output)
    for name in ("fc1", "fc2"):
        x = layers.Dense(4096, activation="relu", name=name)(x)
        x = layers.Dropout(0.5, name=f"{name}_dropout")(x)
    outputs = layers.Dense(num_classes, dtype="float32", name="predictions")(x)
    return keras.Model(inputs, outputs, name="vgg16")
