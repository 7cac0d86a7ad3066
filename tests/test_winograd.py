"""Convolutions by Winograd: what they compute, which layers are computed so, and that they multiply less."""
# ruff: noqa: TID251 -- models are taken apart here, in functions: collecting tests imports no TensorFlow

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.tf

ROUNDING = 1e-3  # of the root mean square; the worst number of thousands


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
    assert [relative_error(found, expected) for found, expected in zip(fewer, direct, strict=True)] < [ROUNDING] * 3


def network(**options):
    """Return a network of one convolution, in the way of the options, on images of any size."""
    import keras
    from keras import layers

    asked = {"filters": 64, "kernel_size": 3, "padding": "same"} | options
    return keras.Sequential([keras.Input((None, None, 64)), layers.Conv2D(**asked)])


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
    from bench.worker.winograd import use_winograd

    assert use_winograd(network(**options)) == layers


def test_layers_of_nested_models_are_found_and_subclasses_left_alone() -> None:
    """A layer of somebody's own may convolve as it likes."""
    import keras

    from bench.worker.winograd import use_winograd

    class Own(keras.layers.Conv2D):
        """Convolves in a way of its own."""

    inputs = keras.Input((8, 8, 64))
    outer = keras.Model(inputs, Own(64, 3, padding="same")(network()(inputs)))
    assert use_winograd(outer) == 1


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


@pytest.mark.parametrize(("size", "direct"), [(16, 0), (17, 1)])
def test_large_maps_are_convolved_directly(size: int, direct: int) -> None:
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
        assert max(relative_error(found, expected) for found, expected in both) < ROUNDING


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


def test_a_training_step_takes_less_than_half_of_the_multiplications() -> None:
    """TensorFlow's profiler counts the products that are left."""
    from bench.worker.flops import count_flops
    from bench.worker.winograd import use_winograd

    def counted(*, winograd: bool) -> int:
        import keras

        inputs = keras.Input((8, 8, 128))
        x = keras.layers.Conv2D(128, 3, padding="same")(inputs)
        model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.GlobalMaxPooling2D()(x)))
        if winograd:
            use_winograd(model)
        model.compile(optimizer="sgd", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        flops = count_flops(model, input_shape=(8, 8, 128), batch_size=512).training_per_image
        assert flops is not None
        return flops

    assert counted(winograd=True) < 0.5 * counted(winograd=False)
