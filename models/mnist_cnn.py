"""MNIST CNN: the small network of the founding report, from the Keras example `mnist_cnn`.

Two convolutions and one hidden layer. It reached 92 % on MNIST after 3 epochs, and 38.1 % on CIFAR-100 after 15 epochs
of Adam at batch 256 (about 30 minutes on the report's CPU). 1,199,882 parameters for 28×28×1 and 10 classes, 1,638,052
for 32×32×3 and 100.

Source: https://github.com/keras-team/keras/blob/2.3.1/examples/mnist_cnn.py
"""

import keras
from keras import layers


def build(input_shape: tuple[int, int, int], num_classes: int) -> keras.Model:
    """Return the uncompiled network, ending in softmax."""
    return keras.Sequential(
        [
            keras.Input(input_shape),
            layers.Conv2D(32, 3, activation="relu"),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Dropout(0.25),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(num_classes, activation="softmax", dtype="float32"),
        ],
        name="mnist_cnn",
    )
