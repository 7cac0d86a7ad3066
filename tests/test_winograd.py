"""Convolutions by Winograd: what they compute, which layers are computed so, and that they multiply less."""
# ruff: noqa: TID251 -- models are taken apart here, in functions: collecting tests imports no TensorFlow

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.tf

ROUNDING = 1e-4  # of the root mean square; the worst number of thousands


def relative_error(found, expected) -> float:
    """Return the largest difference, as a share of what is typical."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.sqrt(np.square(expected).mean()))


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_transformations_slide_three_taps_over_a_tile(size: int) -> None:
    """NumPy's correlation of taps with a tile says the same."""
    from bench.worker.winograd import transformations

    outputs, kernel, inputs = transformations(size)
    rng = np.random.default_rng(size)
    taps, tile = rng.normal(size=3), rng.normal(size=size + 2)
    assert (outputs @ ((kernel @ taps) * (inputs @ tile))) == pytest.approx(np.correlate(tile, taps))


@pytest.mark.parametrize(
    ("height", "width"), [*((size, size) for size in range(1, 17)), (7, 4), (3, 15), (1, 9), (16, 2)]
)
def test_outputs_and_gradients_are_those_of_the_direct_convolution(height: int, width: int) -> None:
    """For every size of map that is computed so, and for maps that are not square."""
    import tensorflow as tf

    from bench.worker.winograd import convolve

    images = tf.random.stateless_normal((3, height, width, 12), seed=(height, width))
    kernel = tf.random.stateless_normal((3, 3, 12, 20), seed=(width, height))
    weights = tf.random.stateless_normal((3, height, width, 20), seed=(1, 2))

    def run(convolution):
        with tf.GradientTape() as tape:
            tape.watch([images, kernel])
            outputs = convolution()
            loss = tf.reduce_sum(outputs * weights)
        return outputs, *tape.gradient(loss, [images, kernel])

    direct = run(lambda: tf.nn.conv2d(images, kernel, 1, "SAME"))
    fewer = run(lambda: convolve(images, kernel))
    assert all(relative_error(found, expected) < ROUNDING for found, expected in zip(fewer, direct, strict=True))


def network(**options):
    """Return a network of one convolution, in the way of the options, on images of any size."""
    import keras
    from keras import layers

    asked = {"filters": 64, "kernel_size": 3, "padding": "same"} | options
    return keras.Sequential([keras.Input((None, None, 64)), layers.Conv2D(**asked)])


def computed_so(model) -> int:
    """Let a model's layers be computed so; return how many are."""
    from bench.worker.winograd import use_winograd

    use_winograd(model)
    return sum("convolution_op" in vars(layer) for layer in model._flatten_layers())


@pytest.mark.parametrize(
    ("options", "layers"),
    [
        ({}, 1),
        ({"activation": "relu", "use_bias": False}, 1),
        ({"strides": 2}, 0),
        ({"padding": "valid"}, 0),
        ({"kernel_size": 5}, 0),
        ({"kernel_size": (3, 1)}, 0),
        ({"dilation_rate": 2}, 0),
        ({"groups": 2}, 0),
        ({"filters": 63}, 0),
    ],
)
def test_only_convolutions_where_it_pays_are_computed_so(options: dict, layers: int) -> None:
    """Strides, other kernels, padding, groups and few channels stay with TensorFlow's convolution."""
    assert computed_so(network(**options)) == layers


def test_layers_of_nested_models_are_found_and_subclasses_left_alone() -> None:
    """A layer of somebody's own may convolve as it likes."""
    import keras

    class Own(keras.layers.Conv2D):
        """Convolves in a way of its own."""

    inputs = keras.Input((8, 8, 64))
    outer = keras.Model(inputs, Own(64, 3, padding="same")(network()(inputs)))
    assert computed_so(outer) == 1


def test_a_layer_that_is_not_built_yet_stays_as_it_is() -> None:
    """A model of somebody's own may call some layers in training alone."""
    import keras

    class Auxiliary(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.main, self.aux = (keras.layers.Conv2D(64, 3, padding="same") for _ in range(2))

        def build(self, input_shape) -> None:
            self.main.build(input_shape)

        def call(self, images, training=False):
            return self.aux(self.main(images)) if training else self.main(images)

    model = Auxiliary()
    model(np.zeros((1, 8, 8, 64), np.float32))
    assert computed_so(model) == 1


@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_gives_what_it_gave_with_bias_and_activation(bias: bool) -> None:
    """Bias and activation are Keras's as before; only rounding tells that the products are others."""
    import tensorflow as tf

    from bench.worker.winograd import use_winograd

    model = network(use_bias=bias, bias_initializer="random_normal", activation="relu")
    images = tf.random.stateless_normal((4, 7, 7, 64), seed=(3, 4))
    before = model(images).numpy()
    use_winograd(model)
    after = model(images).numpy()
    assert relative_error(after, before) < ROUNDING
    assert not np.array_equal(after, before)  # or it were computed as ever


def products(model, size: int) -> dict[str, int]:
    """Count the products of a forward pass for images of a size."""
    import tensorflow as tf

    graph = tf.function(model).get_concrete_function(tf.TensorSpec((None, size, size, 64), tf.float32)).graph
    kinds = [operation.type for operation in graph.get_operations()]
    return {kind: kinds.count(kind) for kind in ("Conv2D", "BatchMatMulV2")}


@pytest.mark.parametrize(("size", "direct"), [(1, 1), (2, 0), (16, 0), (17, 1)])
def test_maps_of_one_pixel_and_large_ones_are_convolved_directly(size: int, direct: int) -> None:
    """They gain nothing; three batched products lead to the places, stand at them, and lead back."""
    from bench.worker.winograd import use_winograd

    model = network()
    use_winograd(model)
    assert products(model, size) == {"Conv2D": direct, "BatchMatMulV2": 0 if direct else 3}


def test_one_graph_takes_images_of_all_sizes() -> None:
    """A training in stages has one, in which sizes are not known; outputs and gradients are the direct ones'."""
    import tensorflow as tf

    from bench.worker.winograd import use_winograd

    plain, model = network(), network()
    model.set_weights(plain.get_weights())
    use_winograd(model)

    def traced(model):
        @tf.function(input_signature=[tf.TensorSpec((None, None, None, 64), tf.float32)])
        def step(images):
            with tf.GradientTape() as tape:
                tape.watch(images)
                outputs = model(images)
                loss = tf.reduce_sum(outputs * tf.cos(outputs))
            return outputs, *tape.gradient(loss, [images, *model.trainable_variables])

        return step

    direct, fewer = traced(plain), traced(model)
    for height, width in [*((size, size) for size in range(1, 18)), (3, 8), (16, 5), (17, 4)]:
        images = tf.random.stateless_normal((2, height, width, 64), seed=(height, width))
        both = zip(fewer(images), direct(images), strict=True)
        assert all(relative_error(found, expected) < ROUNDING for found, expected in both)


def test_a_lower_precision_is_convolved_directly() -> None:
    """Transformed numbers would lose digits that float32 has to spare."""
    import keras

    from bench.worker.winograd import use_winograd

    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = network()
    finally:
        keras.config.set_dtype_policy("float32")
    use_winograd(model)
    assert products(model, 8)["Conv2D"] == 1


@pytest.mark.parametrize("batch_size", [8, 512])
def test_flops_are_those_that_are_computed(batch_size: int) -> None:
    """Of an 8 × 8 map and 128 channels: two tiles an axis, so 12 × 12 places and products; kernels once a batch."""
    import keras

    from bench.worker.flops import count_flops
    from bench.worker.winograd import use_winograd

    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(128, 1)(inputs)  # so that there is something to train before
    x = keras.layers.Conv2D(128, 3, padding="same")(x)
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.GlobalMaxPooling2D()(x)))
    use_winograd(model)
    model.compile(optimizer="sgd", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    flops = count_flops(model, input_shape=(8, 8, 1), batch_size=batch_size)
    transformation = 2 * 128 * (12 * 8 * 8 + 12 * 12 * 8)
    products = 2 * 12 * 12 * 128 * 128
    kernels = 2 * 36 * 9 * 128 * 128 / batch_size
    assert flops.forward_per_image == pytest.approx(2 * transformation + products + kernels, rel=0.02)
    both = 4 * transformation + 3 * products + 2 * kernels
    assert flops.training_per_image == pytest.approx(both, rel=0.02)
