"""A model cut in two: both parts together are the model, and what cannot be cut is refused with what would do."""

from __future__ import annotations

import numpy as np
import pytest

from bench.errors import ModelError

pytestmark = pytest.mark.tf

INPUT = (8, 8, 3)


def image_input(keras):
    """The input of a model of images."""
    return keras.Input(INPUT, name="images")


def finish(keras, inputs, x):
    """Return a model of five classes with a head on what was computed."""
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    x = keras.layers.Dropout(0.5, name="drop")(x)
    return keras.Model(inputs, keras.layers.Dense(5, name="predictions")(x), name="net")


def flat(keras):
    """Convolution, batch normalisation, activation, head."""
    inputs = image_input(keras)
    x = keras.layers.Conv2D(4, 3, name="conv")(inputs)
    x = keras.layers.BatchNormalization(name="norm")(x)
    return finish(keras, inputs, keras.layers.ReLU(name="relu")(x))


def skipping(keras):
    """What the first convolution puts out reaches around the second one."""
    inputs = image_input(keras)
    first = keras.layers.Conv2D(3, 3, padding="same", name="first")(inputs)
    second = keras.layers.Conv2D(3, 3, padding="same", name="second")(first)
    return finish(keras, inputs, keras.layers.Add(name="add")([first, second]))


def from_images(keras):
    """The images themselves reach around the convolution."""
    inputs = image_input(keras)
    x = keras.layers.Conv2D(3, 3, padding="same", name="conv")(inputs)
    return finish(keras, inputs, keras.layers.Add(name="add")([x, inputs]))


def fanning(keras):
    """What one layer puts out is used twice behind it."""
    inputs = image_input(keras)
    x = keras.layers.Conv2D(3, 3, name="conv")(inputs)
    x = keras.layers.Concatenate(name="both")([keras.layers.ReLU(name="relu")(x), keras.layers.Softmax(name="soft")(x)])
    return finish(keras, inputs, x)


def sharing(keras):
    """One convolution is used twice."""
    inputs = image_input(keras)
    shared = keras.layers.Conv2D(3, 3, padding="same", name="shared")
    x = keras.layers.ReLU(name="relu")(shared(inputs))
    return finish(keras, inputs, shared(x))


def nesting(keras):
    """A model is a layer."""
    inner = keras.Sequential([keras.Input(INPUT), keras.layers.Conv2D(4, 3, name="inside")], name="inner")
    inputs = image_input(keras)
    return finish(keras, inputs, inner(inputs))


def several_outputs(keras):
    """A layer puts out three tensors."""
    inputs = image_input(keras)
    x = keras.layers.Reshape((8, 24), name="lines")(inputs)
    x, hidden, _ = keras.layers.LSTM(4, return_state=True, name="lstm")(x)
    x = keras.layers.Concatenate(name="both")([x, hidden])
    return keras.Model(inputs, keras.layers.Dense(5, name="predictions")(x), name="net")


def fixed_end(keras):
    """Behind the only layer with weights follows softmax."""
    inputs = image_input(keras)
    x = keras.layers.Dense(5, name="dense")(keras.layers.Flatten(name="flat")(inputs))
    return keras.Model(inputs, keras.layers.Softmax(name="softmax")(x), name="net")


def fixed_head(keras):
    """The head may not be trained."""
    model = flat(keras)
    model.get_layer("predictions").trainable = False
    return model


def sequential(keras):
    """A stack of keras.layers."""
    stack = [
        keras.layers.Conv2D(4, 3, name="conv"),
        keras.layers.Flatten(name="flat"),
        keras.layers.Dense(5, name="predictions"),
    ]
    return keras.Sequential([keras.Input(INPUT), *stack], name="net")


def late_sequential(keras):
    """A stack that learns the shape of images by its first call, as `bench.worker.building` makes it."""
    stack = [
        keras.layers.Conv2D(4, 3, name="conv"),
        keras.layers.Flatten(name="flat"),
        keras.layers.Dense(5, name="predictions"),
    ]
    model = keras.Sequential(stack, name="net")
    model(np.zeros((1, *INPUT), np.float32))
    return model


def subclassed(keras):
    """A model without a graph."""

    class Net(keras.Model):
        def __init__(self):
            super().__init__(name="net")
            self.pool = keras.layers.GlobalAveragePooling2D(name="pool")
            self.head = keras.layers.Dense(5, name="predictions")

        def call(self, x):
            return self.head(self.pool(x))

    model = Net()
    model(np.zeros((1, *INPUT), np.float32))
    return model


def build(kind):
    """Return one of the models above."""
    import keras  # noqa: TID251 -- stands in for a model file

    keras.utils.set_random_seed(0)
    return globals()[kind](keras)


CUTS = [
    ("flat", "conv"),
    ("flat", "norm"),
    ("flat", "relu"),
    ("flat", "pool"),
    ("flat", "drop"),
    ("flat", "images"),
    ("skipping", "first"),
    ("skipping", "add"),
    ("fanning", "conv"),
    ("fanning", "both"),
    ("sharing", "pool"),
    ("nesting", "inner"),
    ("several_outputs", "both"),
    ("sequential", "conv"),
    ("sequential", "flat"),
    ("late_sequential", "flat"),
]


@pytest.mark.parametrize(("kind", "layer_name"), CUTS)
def test_both_parts_together_are_the_model(kind, layer_name):
    """The second part makes of what the first one puts out exactly what the model does, and they share its weights."""
    from bench.worker.cutting import cut

    model = build(kind)
    whole, frozen, trained = cut(model, layer_name)
    assert whole is model
    images = np.random.default_rng(0).random((7, *INPUT), np.float32)
    np.testing.assert_array_equal(trained(frozen(images)), model(images))
    assert frozen.count_params() + trained.count_params() == model.count_params()
    assert trained.output_shape[1:] == (5,)
    # One weight each, whoever looks at it.
    trained.trainable_variables[-1].assign_add(np.ones(5, np.float32))
    np.testing.assert_allclose(model(images), trained(frozen(images)), rtol=1e-6)
    before = [weight.numpy() for weight in frozen.weights]
    trained.compile("sgd", "mse", run_eagerly=True)
    trained.fit(frozen(images), np.zeros((7, 5)), verbose=0)
    for old, now in zip(before, frozen.weights, strict=True):
        np.testing.assert_array_equal(old, now.numpy())
    np.testing.assert_array_equal(trained(frozen(images)), model(images))


JOINS = [
    ("flat", ["conv", "relu"], 8),
    ("flat", ["relu", "pool"], 8),
    ("skipping", ["first", "second"], 6),  # what no single cut can do
    ("from_images", ["images", "conv"], 6),
    ("fanning", ["soft", "relu"], 6),
    ("nesting", ["inner", "drop"], 8),
    ("several_outputs", ["lines", "both"], 32),
    ("sequential", ["conv", "flat"], 148),
    ("late_sequential", ["conv", "flat"], 148),
]


@pytest.mark.parametrize(("kind", "names", "values"), JOINS)
def test_several_layers_are_joined_by_their_averages(kind, names, values):
    """The features are those of each layer, averaged over its pixels, in the order named; a linear layer follows."""
    from bench.worker.cutting import cut

    model = build(kind)
    whole, frozen, trained = cut(model, "+".join(names))
    images = np.random.default_rng(0).random((7, *INPUT), np.float32)
    single = type(frozen)(model.inputs[0], [model.get_layer(name).output for name in names])
    outputs = [np.asarray(output) for output in single(images)]
    expected = [output.mean(axis=tuple(range(1, output.ndim - 1))) for output in outputs]
    features = np.asarray(frozen(images))
    np.testing.assert_allclose(features, np.concatenate(expected, axis=-1), rtol=1e-5)
    assert features.shape == (7, values)
    assert [layer.name for layer in trained.layers[1:]] == ["predictions"]
    np.testing.assert_array_equal(trained(features), whole(images))
    assert trained.count_params() == (values + 1) * 5
    assert whole.count_params() == frozen.count_params() + trained.count_params()


REFUSED = [
    ("flat", "pol", "no layer 'pol' (did you mean 'pool'?)"),
    ("flat", "elsewhere", "`python -m bench models net` lists its layers"),
    ("nesting", "inside", "no layer 'inside'"),
    ("skipping", "second", "cannot be cut behind 'second'"),
    ("from_images", "conv", "name a layer that all that is computed before goes through, once"),
    ("fanning", "relu", "cannot be cut behind 'relu'"),
    ("sharing", "relu", "used before and behind 'relu'"),
    ("sharing", "shared", "cannot be cut behind 'shared'"),
    ("several_outputs", "lstm", "puts out 3 tensors"),
    ("flat", "predictions", "nothing behind 'predictions'"),
    ("sequential", "predictions", "nothing behind 'predictions'"),
    ("fixed_end", "dense", "nothing behind 'dense', which frozen_until names, can be trained"),
    ("fixed_head", "relu", "name an earlier layer"),
    ("subclassed", "pool", "Keras knows none of a subclassed model"),
    ("flat", "conv+pol", "no layer 'pol' (did you mean 'pool'?)"),
    ("flat", "conv+", "no layer ''"),
    ("flat", "conv+conv", "conv, conv, cannot be joined"),
    ("several_outputs", "lines+lstm", "puts out 3 tensors"),
    ("subclassed", "pool+head", "Keras knows no graph of a subclassed model"),
]


@pytest.mark.parametrize(("kind", "layer_name", "said"), REFUSED)
def test_what_cannot_be_cut_is_refused(kind, layer_name, said):
    """The error says which layer, that `frozen_until` names it, and what would do."""
    from bench.worker.cutting import cut

    with pytest.raises(ModelError) as caught:
        cut(build(kind), layer_name)
    assert said in str(caught.value)
    assert "frozen_until" in str(caught.value)
