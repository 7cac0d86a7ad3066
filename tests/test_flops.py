"""FLOPs of models, counted without running them."""
# ruff: noqa: TID251 -- the models that are counted are made here, in functions: collecting tests imports no TensorFlow

from __future__ import annotations

import random
import subprocess
import sys

import numpy as np
import pytest

from bench.hardware.environment import child_environment
from bench.records import Device

pytestmark = pytest.mark.tf

CIFAR = (32, 32, 3)
SMALL = (8, 8, 4)
PIXELS = 64
FEATURES = 256
CLASSES = 10
HEAD = 2 * FEATURES * CLASSES  # of a dense layer on all features of a small image


def compiled(model, **options):
    """The model, ready to train."""
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], **options)
    model.optimizer.build(model.trainable_variables)
    return model


def classifier(*layers, cls=None):
    """A compiled model of small images: these layers, then a dense one on all features."""
    import keras

    inputs = x = keras.Input(SMALL)
    for layer in layers:
        x = layer(x)
    x = keras.layers.Flatten()(x)
    return compiled((cls or keras.Model)(inputs, keras.layers.Dense(CLASSES, activation="softmax")(x)))


def count(model, *, input_shape=SMALL, batch_size=256):
    """The FLOPs of a model."""
    from bench.worker.flops import count_flops

    return count_flops(model, input_shape=input_shape, batch_size=batch_size)


@pytest.mark.parametrize(("name", "forward", "training"), [("mnist_cnn", 33.8e6, 110.4e6), ("mbn", 3796e6, 11398e6)])
def test_the_founding_reports_models(name, forward, training):
    """The two models of the founding report cost what is known of them, for an image of CIFAR-100 at batch 256."""
    import importlib

    flops = count(compiled(importlib.import_module(f"models.{name}").build(CIFAR, 100)), input_shape=CIFAR)
    assert flops.problem is None
    assert flops.forward_per_image == pytest.approx(forward, rel=0.005)
    assert flops.training_per_image == pytest.approx(training, rel=0.005)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_precision_and_compilation_change_little(precision):
    """The same arithmetic in another precision, compiled, counts the same but for the scaling of the loss."""
    import keras

    from models import mnist_cnn

    plain = count(compiled(mnist_cnn.build(CIFAR, 100)), input_shape=CIFAR)
    try:
        keras.config.set_dtype_policy(precision)
        mixed = count(compiled(mnist_cnn.build(CIFAR, 100), jit_compile=True), input_shape=CIFAR)
    finally:
        keras.config.set_dtype_policy("float32")
    assert mixed.problem is None
    assert mixed.forward_per_image == plain.forward_per_image
    assert mixed.training_per_image == pytest.approx(plain.training_per_image, rel=0.005)


def test_the_optimizers_work_is_shared_by_the_batch():
    """The forward pass costs an image the same in every batch; a step's cost falls as the optimizer's share does."""
    small, large = (count(classifier(), batch_size=size) for size in (2, 256))
    assert small.forward_per_image == large.forward_per_image == pytest.approx(HEAD, rel=0.02)
    assert small.training_per_image > large.training_per_image > 2 * HEAD


def test_attention_is_counted():
    """The products of attention, which the profiler does not know, are counted: projections, scores and values."""
    import keras

    class Attend(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.attention = keras.layers.MultiHeadAttention(num_heads=2, key_dim=8)

        def call(self, images):
            tokens = keras.ops.reshape(images, (-1, PIXELS, 4))
            return self.attention(tokens, tokens)

    flops = count(classifier(Attend()))
    projections = 4 * 2 * PIXELS * 4 * 16
    scores_and_values = 2 * 2 * PIXELS * PIXELS * 16
    softmax = 5 * 2 * PIXELS * PIXELS
    assert flops.forward_per_image == pytest.approx(projections + scores_and_values + softmax + HEAD, rel=0.05)
    assert flops.training_per_image > 2.5 * flops.forward_per_image


def test_depthwise_convolution_is_counted():
    """A depthwise convolution costs its window for each output, and the same again for each gradient."""
    import keras

    plain = count(classifier())
    first = count(classifier(keras.layers.DepthwiseConv2D(3, padding="same", use_bias=False)))
    second = count(classifier(*(keras.layers.DepthwiseConv2D(3, padding="same", use_bias=False) for _ in range(2))))
    window = 2 * 9 * FEATURES
    assert first.forward_per_image - plain.forward_per_image == window
    # Of the first layer no gradient of the images is taken; of a second one all gradients are.
    assert second.training_per_image - first.training_per_image == pytest.approx(3 * window, rel=0.01)


def test_a_function_of_the_users_own_is_counted():
    """What a layer computes in a tf.function of its own counts as if it stood in the layer."""
    import keras
    import tensorflow as tf

    class Wrapped(keras.layers.Layer):
        def build(self, shape):
            self.kernel = self.add_weight(shape=(shape[-1], shape[-1]))

        @tf.function
        def multiply(self, x):
            return tf.matmul(x, self.kernel)

        def call(self, x):
            return self.multiply(x)

    flops = count(classifier(keras.layers.Flatten(), Wrapped()))
    assert flops.problem is None
    assert flops.forward_per_image == pytest.approx(HEAD + 2 * FEATURES**2, rel=0.01)
    assert flops.training_per_image > 2 * flops.forward_per_image
    assert not tf.config.functions_run_eagerly()


def test_a_step_of_the_models_own_is_counted():
    """A model with a `train_step` of its own is counted by that."""
    import keras
    import tensorflow as tf

    class HeadTwice(keras.Model):
        def train_step(self, data):
            images, labels = data
            with tf.GradientTape() as tape:
                loss = sum(self.compute_loss(images, labels, self(images, training=True)) for _ in range(2))
            gradients = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply(gradients, self.trainable_variables)
            return {"loss": loss}

    once, twice = count(classifier()), count(classifier(cls=HeadTwice))
    assert twice.problem is None
    assert twice.forward_per_image == once.forward_per_image
    assert twice.training_per_image == pytest.approx(2 * once.training_per_image, rel=0.05)


def test_what_cannot_be_counted_has_a_reason():
    """A loop of products has no count, only a reason; so has a layout that the profiler does not know."""
    import keras
    import tensorflow as tf

    class Loop(keras.layers.Layer):
        def build(self, shape):
            self.kernel = self.add_weight(shape=(shape[-1], shape[-1]))

        def call(self, x):
            return tf.while_loop(lambda i, _: i < 3, lambda i, x: (i + 1, tf.matmul(x, self.kernel)), [0, x])[1]

    looped = count(classifier(keras.layers.Flatten(), Loop()))
    assert (looped.forward_per_image, looped.training_per_image) == (None, None)
    assert "forward FLOPs cannot be counted: MatMul inside a loop" in looped.problem
    channels_first = count(classifier(keras.layers.Conv2D(4, 3, padding="same", data_format="channels_first")))
    assert channels_first.forward_per_image is None
    assert "no formula for Conv2D" in channels_first.problem


def test_a_step_that_fails_costs_its_own_count_only():
    """A `train_step` that raises has no count and its reason; the forward pass is counted."""
    import keras

    class Broken(keras.Model):
        def train_step(self, data):
            raise RuntimeError("no such step")

    flops = count(classifier(cls=Broken))
    assert flops.forward_per_image > 0
    assert flops.training_per_image is None
    assert flops.problem == "training FLOPs cannot be counted: RuntimeError: no such step"


def state(model):
    """The weights of a model and the variables of its optimizer."""
    return [variable.numpy() for variable in (*model.weights, *model.optimizer.variables)]


def test_counting_leaves_no_trace(capfd):
    """A model that was counted trains to bit for bit the weights of one that was not; nothing was printed or drawn."""
    import keras

    def trained(*, counted):
        keras.utils.set_random_seed(7)
        model = classifier(keras.layers.Dropout(0.5), keras.layers.BatchNormalization())
        if counted:
            before = state(model)
            capfd.readouterr()
            assert count(model, batch_size=8).problem is None
            assert tuple(capfd.readouterr()) == ("", "")
            for one, other in zip(before, state(model), strict=True):
                np.testing.assert_array_equal(other, one)
        x = np.random.rand(24, *SMALL)  # noqa: NPY002 -- what user code may draw from
        model.fit(x, np.arange(24) % CLASSES, batch_size=8, epochs=2, verbose=0)
        return state(model), random.getstate(), float(keras.random.uniform(()))

    (plain, *plain_random), (counted, *counted_random) = trained(counted=False), trained(counted=True)
    assert counted_random == plain_random
    for one, other in zip(plain, counted, strict=True):
        np.testing.assert_array_equal(other, one)


ON_TWO_DEVICES = """
import numpy as np
import tensorflow as tf
(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from bench.worker.flops import count_flops
from models import mnist_cnn
counts = []
for scope in (tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])):
    with scope.scope():
        model = mnist_cnn.build((32, 32, 3), 100)
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(np.zeros((8, 32, 32, 3)), np.zeros(8), verbose=0)
    counts.append(count_flops(model, input_shape=(32, 32, 3), batch_size=256))
one, two = counts
assert one.problem is two.problem is None, counts
assert one.forward_per_image == two.forward_per_image, counts
assert abs(two.training_per_image / one.training_per_image - 1) < 0.01, counts
"""


def test_a_batch_on_two_devices_counts_as_one():
    """A model that is trained on two devices costs an image what it costs on one."""
    child = subprocess.run(
        [sys.executable, "-P", "-c", ON_TWO_DEVICES],
        env=child_environment(Device(kind="cpu", threads=1)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stderr[-2000:]
