"""ViT: a vision transformer for small images, the plain one of Lee et al. 2021.

Patches of 4×4 pixels and a class token, learned positions, nine blocks of twelve heads on 192 numbers a token. It is
the baseline of "Vision Transformer for Small-Size Datasets", without that paper's own additions. Published: 73.81 % on
CIFAR-100 after 100 epochs from scratch. 2,709,796 parameters for 32×32×3 and 100 classes.

Images of another size than 32×32 are resized in the graph, since each position of a patch has weights of its own.

The recipe is the paper's as far as a recipe has its parts: stochastic depth is in the network, but there is no CutMix,
Mixup, AutoAugment, random erasing or repeated augmentation here. The published accuracy needs them: expect less.

`frozen_until` can cut at `features` (192 numbers an image), and after each block: `block1` to `block9`.

Source: https://github.com/aanna0701/SPT_LSA_ViT
"""

import keras
from keras import layers

from bench.recipe import Recipe

RECIPE = Recipe(
    optimizer="adamw",
    learning_rate=0.001,
    weight_decay=0.05,
    schedule="cosine",
    warmup=0.1,
    label_smoothing=0.1,
    normalization="standard",
    horizontal_flip=True,
    shift_pixels=4,
    batch_size=128,
    epochs=100,
)
PATCH_PIXELS = 4
WIDTH = 192
HEADS = 12
BLOCKS = 9
STOCHASTIC_DEPTH = 0.1


@keras.saving.register_keras_serializable(package="hourglass")
class ClassTokenAndPositions(layers.Layer):
    """Puts a learned token before the patches' and adds a learned position to each.

    From (batch, patches, width) to (batch, 1 + patches, width).
    """

    def build(self, input_shape: tuple[int | None, int, int]) -> None:
        """Make the weights; both are drawn with deviation 1, as in the source."""
        _, patches, width = input_shape
        drawn = keras.initializers.RandomNormal(stddev=1.0)
        self.token = self.add_weight(name="token", shape=(1, 1, width), initializer=drawn)
        drawn = keras.initializers.RandomNormal(stddev=1.0)
        self.positions = self.add_weight(name="positions", shape=(1, 1 + patches, width), initializer=drawn)

    def call(self, patches: keras.KerasTensor) -> keras.KerasTensor:
        """Return the tokens."""
        batch, _, width = keras.ops.shape(patches)
        token = keras.ops.broadcast_to(self.token, (batch, 1, width))
        return keras.ops.concatenate([token, patches], axis=1) + self.positions


def build(input_shape: tuple[int, int, int], num_classes: int, *, input_pixels: int = 32) -> keras.Model:
    """Return the uncompiled network, ending in logits.

    Args:
        input_shape: Height, width, channels of an image; the first two may be None.
        num_classes: Classes to tell apart.
        input_pixels: Height and width to which images of other sizes are resized, whole patches. Defaults to 32.

    Raises:
        ValueError: Patches of 4 pixels do not make up `input_pixels`.
    """
    if input_pixels % PATCH_PIXELS:
        raise ValueError(f"vit takes input_pixels in whole patches of {PATCH_PIXELS}; received {input_pixels}")
    inputs = x = keras.Input(input_shape)
    if input_shape[:2] != (input_pixels, input_pixels):
        x = layers.Resizing(input_pixels, input_pixels, interpolation="bilinear", dtype="float32", name="resize")(x)
    # The source has a dense layer on the numbers of a patch, and draws its weights by Glorot's rule for that.
    deviation = (2 / (PATCH_PIXELS**2 * input_shape[-1] + WIDTH)) ** 0.5
    x = layers.Conv2D(
        WIDTH,
        PATCH_PIXELS,
        strides=PATCH_PIXELS,
        kernel_initializer=keras.initializers.RandomNormal(stddev=deviation),
        name="patches",
    )(x)
    x = layers.Reshape((-1, WIDTH), name="tokens")(x)
    x = ClassTokenAndPositions(name="positions")(x)
    for number in range(1, BLOCKS + 1):
        x = _block(x, f"block{number}")
    x = layers.LayerNormalization(epsilon=1e-5, name="features")(x[:, 0])
    outputs = layers.Dense(num_classes, kernel_initializer="glorot_normal", dtype="float32", name="predictions")(x)
    return keras.Model(inputs, outputs, name="vit")


def _block(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    x = _add(x, _attention(x, f"{name}_attention"), f"{name}_attended")
    return _add(x, _perceptron(x, f"{name}_mlp"), name)


def _attention(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    x = layers.LayerNormalization(epsilon=1e-5, name=f"{name}_norm")(x)
    x = layers.Dense(3 * WIDTH, use_bias=False, kernel_initializer="glorot_normal", name=f"{name}_qkv")(x)
    x = layers.Reshape((-1, 3, HEADS, WIDTH // HEADS), name=f"{name}_heads")(x)
    x = keras.ops.dot_product_attention(x[:, :, 0], x[:, :, 1], x[:, :, 2])
    x = layers.Reshape((-1, WIDTH), name=f"{name}_joined")(x)
    return layers.Dense(WIDTH, kernel_initializer="glorot_normal", name=f"{name}_out")(x)


def _perceptron(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    x = layers.LayerNormalization(epsilon=1e-5, name=f"{name}_norm")(x)
    x = layers.Dense(2 * WIDTH, activation="gelu", kernel_initializer="glorot_normal", name=f"{name}_hidden")(x)
    return layers.Dense(WIDTH, kernel_initializer="glorot_normal", name=f"{name}_out")(x)


def _add(x: keras.KerasTensor, branch: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Add a branch; while training, an image goes without it once in ten."""
    branch = layers.Dropout(STOCHASTIC_DEPTH, noise_shape=(None, 1, 1), name=f"{name}_drop")(branch)
    return layers.Add(name=name)([x, branch])
