"""MBN, "main batch normalization": the large network of the founding report, by Leo Tung Anh.

Eight 3×3 convolutions in four pairs, each with batch normalisation, and one hidden layer. It reached 61 % on CIFAR-100
after 15 epochs of Adam at batch 256 (about 8 hours on the report's CPU); its author's own 350 × 100 steps of RMSprop
at 0.0001, batch 64, with rotations and flips, reached 66.15 %. 15,795,556 parameters for 32×32×3 and 100 classes.

Source: https://github.com/LeoTungAnh/CNN-CIFAR-100
"""

import keras
from keras import layers


def build(input_shape: tuple[int, int, int], num_classes: int) -> keras.Model:
    """Return the uncompiled network, ending in softmax."""
    inputs = keras.Input(input_shape)
    x = inputs
    for filters in (256, 512, 512, 512):
        x = _pair(x, filters)
    x = layers.Flatten()(x)
    x = layers.Dense(1024, activation="relu")(x)
    x = layers.Dropout(0.2)(x)
    x = layers.BatchNormalization(
        momentum=0.95,
        epsilon=0.005,
        beta_initializer=keras.initializers.RandomNormal(mean=0.0, stddev=0.05),
        gamma_initializer=keras.initializers.Constant(0.9),
    )(x)
    outputs = layers.Dense(num_classes, activation="softmax", dtype="float32")(x)
    return keras.Model(inputs, outputs, name="mbn")


def _pair(x: keras.KerasTensor, filters: int) -> keras.KerasTensor:
    for _ in range(2):
        x = layers.Conv2D(filters, 3, padding="same")(x)
        x = layers.BatchNormalization()(x)
        x = layers.Activation("relu")(x)
    x = layers.MaxPooling2D()(x)
    return layers.Dropout(0.2)(x)
