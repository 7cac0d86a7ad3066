"""ResNet-20: residual blocks of 3×3 convolutions for small images, the CIFAR form of He et al. 2015.

Three stages of three blocks with 16, 32 and 64 filters. Shortcuts have no parameters: where a stage begins, they take
every second pixel and add channels of zeros (option A). Published: 8.75 % error on CIFAR-10 (the paper's table 6), and
69.06 % accuracy on CIFAR-100 (Tian et al. 2020, arXiv 1910.10699, with another recipe). 269,722 trained parameters with
10 classes (0.27 million in the paper), 275,572 with 100; with batch normalisation's averages 271,098 and 276,948.

It takes images of any size. The recipe is the paper's: 64,000 steps of 128 images, of 45,000, are 182 epochs. Weight
decay of 0.001 beside the gradient is worth the paper's 0.0001 inside of it, which a momentum of 0.9 repeats tenfold.
Shifted images are mirrored at their edges, not padded with zeros.

`frozen_until` can cut at `avg_pool`, and after each block: `stage1_block1` to `stage3_block3`.

Source: https://arxiv.org/abs/1512.03385
"""

import keras
from keras import layers

from bench.recipe import Recipe

RECIPE = Recipe(
    optimizer="sgd",
    learning_rate=0.1,
    momentum=0.9,
    weight_decay=0.001,
    schedule="step",
    normalization="standard",
    horizontal_flip=True,
    shift_pixels=4,
    batch_size=128,
    epochs=182,
)


def build(input_shape: tuple[int, int, int], num_classes: int) -> keras.Model:
    """Return the uncompiled network, ending in logits."""
    inputs = keras.Input(input_shape)
    x = _convolution(inputs, 16, 1, "stem")
    x = layers.Activation("relu", name="stem_relu")(x)
    for stage, filters in enumerate((16, 32, 64), start=1):
        for block in (1, 2, 3):
            x = _block(x, filters, 2 if stage > 1 and block == 1 else 1, f"stage{stage}_block{block}")
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    outputs = layers.Dense(num_classes, kernel_initializer="he_normal", dtype="float32", name="predictions")(x)
    return keras.Model(inputs, outputs, name="resnet20")


def _block(x: keras.KerasTensor, filters: int, stride: int, name: str) -> keras.KerasTensor:
    shortcut = x
    if stride > 1:
        added = filters - x.shape[-1]
        shortcut = keras.ops.pad(x[:, ::stride, ::stride], ((0, 0), (0, 0), (0, 0), (added // 2, added - added // 2)))
    x = _convolution(x, filters, stride, f"{name}_1")
    x = layers.Activation("relu", name=f"{name}_1_relu")(x)
    x = _convolution(x, filters, 1, f"{name}_2")
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.Activation("relu", name=name)(x)


def _convolution(x: keras.KerasTensor, filters: int, stride: int, name: str) -> keras.KerasTensor:
    # TensorFlow's "same" would put a stride's windows around the pixels that the shortcut leaves out.
    x = layers.ZeroPadding2D(name=f"{name}_pad")(x)
    x = layers.Conv2D(filters, 3, strides=stride, use_bias=False, kernel_initializer="he_normal", name=f"{name}_conv")(
        x
    )
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)
