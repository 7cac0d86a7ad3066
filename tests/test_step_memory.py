"""What a training step holds in memory, counted from its graph."""

from __future__ import annotations

import pytest

from bench import catalog
from bench.launch.describing import describe_models

pytestmark = pytest.mark.tf

FLOAT32_BYTES = 4
HEAD = '''
"""A model whose tensors can be counted by hand."""
import keras
from keras import layers


'''
# 8×8×3 images: 192 values; the convolution puts out 6×6×4, 144 values; 108 and 720 weights.
PLAIN = """
def build(input_shape, num_classes):
    return keras.Sequential([
        keras.Input(input_shape),
        layers.Conv2D(4, 3, use_bias=False{option}),
        layers.ReLU(),
        layers.Flatten(),
        layers.Dense(num_classes, use_bias=False, dtype="float32"),
    ])
"""
WIDE = """
def build(input_shape, num_classes):
    return keras.Sequential([
        keras.Input(input_shape),
        layers.Conv2D(64, 1, use_bias=False),
        layers.Conv2D(64, 3, padding="same", use_bias=False),
        layers.GlobalMaxPooling2D(),
        layers.Dense(num_classes, use_bias=False),
    ])
"""
SUBCLASSED = """
class Net(keras.Model):
    def __init__(self, num_classes):
        super().__init__()
        self.steps = [layers.Conv2D(4, 3, use_bias=False), layers.ReLU(), layers.Flatten(),
                      layers.Dense(num_classes, use_bias=False)]

    def call(self, x):
        for step in self.steps:
            x = step(x)
        return x


def build(input_shape, num_classes):
    return Net(num_classes)
"""
ATTENTION = """
def build(input_shape, num_classes):
    inputs = keras.Input(input_shape)
    x = layers.Reshape((64, 3))(inputs)
    x = layers.MultiHeadAttention(2, 3)(x, x)
    return keras.Model(inputs, layers.Dense(num_classes)(layers.GlobalAveragePooling1D()(x)))
"""
UNTRACEABLE = """
class Net(keras.Model):
    def __init__(self, num_classes):
        super().__init__()
        self.dense = layers.Dense(num_classes)

    def call(self, x, training=False):
        if training:
            raise RuntimeError("not this way")
        return self.dense(layers.Flatten()(x))


def build(input_shape, num_classes):
    return Net(num_classes)
"""
MODELS = {
    "plain": PLAIN.format(option=""),
    "frozen": PLAIN.format(option=", trainable=False"),
    "subclassed": SUBCLASSED,
    "attention": ATTENTION,
    "untraceable": UNTRACEABLE,
    "wide": WIDE,
}


@pytest.fixture(scope="module")
def specs(tmp_path_factory):
    """The models' files, by name."""
    folder = tmp_path_factory.mktemp("models")
    for name, code in MODELS.items():
        (folder / f"{name}.py").write_text(HEAD + code)
    return {name: catalog.find(str(folder / f"{name}.py")).spec for name in MODELS}


@pytest.fixture(scope="module")
def described(specs):
    """The models as they were built in float32, by name."""
    found = describe_models(
        [catalog.Build(spec=spec) for spec in specs.values()], input_shape=(8, 8, 3), num_classes=20
    )
    return {model.name: model for model in found}


def test_convolutions_with_fewer_multiplications_hold_more(specs, described):
    """A tile of 4 × 4 outputs holds 6 × 6 transformed inputs until its kernel's gradient is computed."""
    (fewer,) = describe_models(
        [catalog.Build(spec=specs["wide"], winograd=True)], input_shape=(8, 8, 3), num_classes=20
    )
    assert fewer.step.image_bytes > described["wide"].step.image_bytes + 12 * 12 * 64 * FLOAT32_BYTES


def test_a_step_holds_what_the_backward_pass_reads(described):
    """At its fullest: images, activated outputs, their gradient, and that of the convolution's outputs."""
    counted = (192 + 144 + 144 + 144) * FLOAT32_BYTES
    logits = 20 * FLOAT32_BYTES
    assert counted <= described["plain"].step.image_bytes <= counted + 3 * logits


def test_a_step_holds_a_gradient_for_each_trained_weight(described):
    """Whatever the batch; besides there are only a few small constants."""
    gradients = (108 + 2880) * FLOAT32_BYTES
    assert gradients <= described["plain"].step.fixed_bytes <= gradients + 500


def test_frozen_layers_need_no_memory_for_gradients(described):
    """Where the backward pass ends before them, images are given up as soon as the convolution has read them."""
    counted = (192 + 144) * FLOAT32_BYTES
    assert described["frozen"].step.image_bytes == counted
    assert described["frozen"].step.fixed_bytes < described["plain"].step.fixed_bytes
    assert described["frozen"].trainable_parameters < described["frozen"].parameters


def test_a_subclassed_model_needs_what_its_layers_need(described):
    """The count does not depend on how a model is written, though its layers tell nothing of their outputs."""
    assert described["subclassed"].activations == 0
    assert described["subclassed"].step.image_bytes == described["plain"].step.image_bytes


def test_what_a_layer_hides_is_counted(described):
    """Two heads over 64 places make 64×64 weights each, which no layer puts out."""
    hidden = 2 * 64 * 64
    assert hidden > 10 * described["attention"].activations
    assert described["attention"].step.image_bytes > hidden * FLOAT32_BYTES


def test_a_model_that_cannot_be_traced_has_no_figure(described):
    """That is no reason to call it broken: its trial will say."""
    assert described["untraceable"].problem is None
    assert described["untraceable"].step is None


def test_a_lower_precision_holds_less(specs, described):
    """Under mixed_bfloat16 the same tensors are half as large, save the images, which are there in both."""
    (mixed,) = describe_models(
        [catalog.Build(spec=specs["plain"])], input_shape=(8, 8, 3), num_classes=20, precision="mixed_bfloat16"
    )
    assert mixed.step.image_bytes < 0.8 * described["plain"].step.image_bytes
