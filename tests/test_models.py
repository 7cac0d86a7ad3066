"""The built-in models are what their docstrings say."""
# ruff: noqa: TID251 -- models are taken apart here, in functions: collecting tests imports no TensorFlow

from __future__ import annotations

import json
import math
import subprocess
import sys

import numpy as np
import pytest

from bench import catalog
from bench.launch.describing import describe_models

pytestmark = pytest.mark.tf

CIFAR = (32, 32, 3)

PUBLISHED = [
    ("mnist_cnn", (28, 28, 1), 10, 1_199_882),
    ("mnist_cnn", (32, 32, 3), 100, 1_638_052),
    ("mbn", (32, 32, 3), 100, 15_795_556),
    ("mbn_quarter", (32, 32, 3), 100, 1_012_132),
    ("vgg16", (224, 224, 3), 1000, 138_357_544),
    ("vgg16", (32, 32, 3), 100, 134_670_244),
    ("resnet50", (224, 224, 3), 1000, 25_636_712),
    ("resnet50", (32, 32, 3), 100, 23_792_612),
    ("efficientnet_b0", (224, 224, 3), 1000, 5_330_571),
    ("efficientnet_b0", (32, 32, 3), 100, 4_177_671),
    ("resnet20", (32, 32, 3), 10, 271_098),
    ("resnet20", (32, 32, 3), 100, 276_948),
    ("vit", (32, 32, 3), 100, 2_709_796),
    ("sprint", (32, 32, 3), 100, 5_650_240),
]
TRAINED = [
    ("resnet20", 10, 269_722),
    ("resnet20", 100, 275_572),
]  # sources that leave out batch normalisation's averages
CUTS = {
    "vgg16": ("block1_pool", "block5_pool", "flatten", "fc1", "fc2"),
    "resnet50": ("conv2_block1_out", "conv5_block3_out", "avg_pool"),
    "efficientnet_b0": ("block5c_add", "top_activation", "avg_pool"),
    "resnet20": ("stage1_block1", "stage3_block3", "avg_pool"),
    "vit": ("block1", "block9", "features"),
    "sprint": ("whiten_act", "group1", "group2", "group3", "pool"),
}


def resizes(name):
    """Whether a model resizes its images itself."""
    return "layers.Resizing(" in catalog.locate(catalog.find(name).spec).read_text()


def built(name, input_shape=CIFAR, num_classes=10, **options):
    """A model, built in this process."""
    from bench.worker import building

    return building.build(catalog.find(name).spec, input_shape, num_classes, **options)


@pytest.mark.parametrize(("name", "input_shape", "num_classes", "parameters"), PUBLISHED)
def test_a_model_has_the_parameters_that_its_source_gives(name, input_shape, num_classes, parameters):
    """Parameter counts are those of the source, and each model's docstring states them."""
    assert built(name, input_shape, num_classes).count_params() == parameters
    assert f"{parameters:,}" in catalog.find(name).description


@pytest.mark.parametrize(("name", "num_classes", "parameters"), TRAINED)
def test_a_model_has_the_trained_parameters_that_its_source_gives(name, num_classes, parameters):
    """Where the source counts what is trained, so does the docstring."""
    trained = built(name, CIFAR, num_classes).trainable_variables
    assert sum(math.prod(variable.shape) for variable in trained) == parameters
    assert f"{parameters:,}" in catalog.find(name).description


@pytest.mark.parametrize("name", [name for name in catalog.names() if resizes(name)])
def test_a_model_that_resizes_takes_the_data_set_s_images(name):
    """The data set stays as small as it is: images come in their own size, and grow in the graph."""
    assert built(name).input_shape == (None, *CIFAR)


@pytest.mark.parametrize("name", [name for name in CUTS if resizes(name)])
def test_images_of_the_right_size_are_not_resized(name):
    """Images of the height that the model works at are taken as they are; others meet one layer that resizes them."""
    for side, expected in ((32, 0), (28, 1)):
        model = built(name, (side, side, 3), input_pixels=32)
        assert sum(type(layer).__name__ == "Resizing" for layer in model.layers) == expected


@pytest.mark.parametrize("name", CUTS)
def test_a_model_can_be_cut_where_its_docstring_says(name):
    """A part up to a named layer and a part behind it are together the whole model, with no model inside of it."""
    import keras

    model = built(name, input_pixels=32 * resizes(name))
    assert not any(isinstance(layer, keras.Model) for layer in model.layers)
    images = np.random.default_rng(1).random((2, *CIFAR), np.float32)
    whole = model(images, training=False).numpy()
    for cut in CUTS[name]:
        assert f"`{cut}`" in catalog.find(name).description
        middle = model.get_layer(cut).output
        before, after = keras.Model(model.input, middle), keras.Model(middle, model.output)
        np.testing.assert_array_equal(after(before(images, training=False), training=False), whole)


@pytest.mark.parametrize("name", CUTS)
def test_a_model_takes_images_of_any_size_and_ends_in_logits(name):
    """Stages of smaller images are possible, and what comes out are numbers of either sign, as float32."""
    model = built(name, any_size=True, input_pixels=32 * resizes(name))
    assert model.input_shape == (None, None, None, 3)
    for side in (20, 27):
        logits = model(np.random.default_rng(1).random((2, side, side, 3), np.float32), training=False).numpy()
        assert logits.shape == (2, 10)
        assert logits.dtype == np.float32
        assert logits.min() < 0 < logits.max()


def test_resnet20_s_shortcuts_take_every_second_pixel_and_add_zeros():
    """Without what its convolutions add, a block that halves the image puts out pixels 0, 2, 4 … of its input."""
    import keras

    model = built("resnet20")
    for number in (1, 2):
        kernel = model.get_layer(f"stage2_block1_{number}_conv").kernel
        kernel.assign(keras.ops.zeros_like(kernel))
    parts = keras.Model(model.input, [model.get_layer(name).output for name in ("stage1_block3", "stage2_block1")])
    before, after = (part.numpy() for part in parts(np.random.default_rng(1).random((2, *CIFAR), np.float32)))
    np.testing.assert_array_equal(after[..., 8:24], before[:, ::2, ::2])
    assert before.max() > 0
    assert not after[..., :8].any()
    assert not after[..., 24:].any()


def test_a_stride_of_resnet20_looks_around_the_pixels_that_its_shortcut_takes():
    """A convolution with stride 2 whose kernel is its middle alone sees the same pixels as the shortcut."""
    import keras

    model = built("resnet20")
    pad, convolve = (model.get_layer(f"stage2_block1_1_{name}") for name in ("pad", "conv"))
    middle = np.zeros(convolve.kernel.shape, np.float32)
    middle[1, 1, :, :16] = np.eye(16)
    convolve.kernel.assign(middle)
    images = np.random.default_rng(1).random((1, 9, 8, 16), np.float32)
    seen = keras.ops.convert_to_numpy(convolve(pad(images)))
    np.testing.assert_allclose(seen[..., :16], images[:, ::2, ::2])


def test_vit_attends_as_keras_s_own_layer():
    """Its attention, made of dense layers so that they can be frozen one by one, is that of MultiHeadAttention."""
    import keras

    model = built("vit")
    parts = [model.get_layer(f"block1_attention_{name}") for name in ("norm", "qkv", "out")]
    query, key, value = np.split(parts[1].kernel.numpy().reshape(192, 3, 12, 16), 3, axis=1)
    attention = keras.layers.MultiHeadAttention(12, 16)
    tokens = np.random.default_rng(1).random((2, 65, 192), np.float32)
    attention(tokens, tokens)
    nothing = np.zeros((12, 16), np.float32)
    inside = [part for kernel in (query, key, value) for part in (kernel[:, 0], nothing)]
    attention.set_weights([*inside, parts[2].kernel.numpy().reshape(12, 16, 192), parts[2].bias.numpy()])
    ours = keras.Model(parts[0].output, parts[2].output)(tokens)
    np.testing.assert_allclose(ours, attention(tokens, tokens), rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras, where it writes weights
def test_vit_can_be_saved_and_read(tmp_path):
    """Its own layer is one that Keras finds again in a saved model."""
    import keras

    model = built("vit")
    model.save(tmp_path / "vit.keras")
    images = np.random.default_rng(1).random((2, *CIFAR), np.float32)
    read = keras.saving.load_model(tmp_path / "vit.keras")
    np.testing.assert_array_equal(read(images), model(images, training=False))


def test_vit_refuses_a_size_that_its_patches_do_not_make_up():
    """A height that is no multiple of the patches is an error that names both."""
    from bench.errors import ModelError

    with pytest.raises(ModelError, match="whole patches of 4; received 30"):
        built("vit", input_pixels=30)


def test_mbn_is_the_report_s_network_layer_for_layer():
    """MBN has the layers of its source in their order, with the options that differ from Keras's own."""
    (described,) = describe_models(
        [catalog.Build(spec=catalog.find("mbn").spec)], input_shape=(32, 32, 3), num_classes=100
    )
    pair = ["Conv2D", "BatchNormalization", "Activation"] * 2 + ["MaxPooling2D", "Dropout"]
    head = ["Flatten", "Dense", "Dropout", "BatchNormalization", "Dense"]
    assert [layer.kind for layer in described.layers] == ["InputLayer", *pair * 4, *head]
    filters = [layer.output_shape[-1] for layer in described.layers if layer.kind == "Conv2D"]
    assert filters == [256] * 2 + [512] * 6


def test_mbn_s_last_batch_normalization_starts_as_its_source_says():
    """Momentum 0.95, epsilon 0.005, gamma 0.9 and beta near 0 with deviation 0.05; no other layer differs."""
    code = """
import json, sys
from bench import catalog
from bench.worker import building
model = building.build(catalog.find("mbn").spec, (32, 32, 3), 100)
layer = [l for l in model.layers if type(l).__name__ == "BatchNormalization"][-1]
beta = layer.beta.numpy()
rates = [l.rate for l in model.layers if type(l).__name__ == "Dropout"]
print(json.dumps([layer.momentum, layer.epsilon, sorted(set(layer.gamma.numpy().round(6).tolist())),
                  float(beta.mean()), float(beta.std()), sorted(set(rates))]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    momentum, epsilon, gammas, mean, deviation, rates = json.loads(done.stdout.splitlines()[-1])
    assert (momentum, epsilon, gammas, rates) == (0.95, 0.005, [pytest.approx(0.9)], [0.2])
    assert abs(mean) < 0.01
    assert deviation == pytest.approx(0.05, rel=0.15)


def test_a_broken_model_is_described_by_its_problem(tmp_path):
    """Describing a model that raises says what it raised, and does not take the others with it."""
    path = tmp_path / "broken.py"
    path.write_text("def build(input_shape, num_classes):\n    raise ValueError('too small')\n")
    broken, fine = describe_models(
        [catalog.Build(spec=catalog.find(name).spec) for name in (str(path), "mnist_cnn")],
        input_shape=(32, 32, 3),
        num_classes=100,
    )
    assert "too small" in (broken.problem or "")
    assert fine.problem is None
