"""The model `sprint`: its whitening, its initialisation, the length of its kernels, and images of other sizes."""
# ruff: noqa: TID251 -- models are taken apart here, in functions: collecting tests imports no TensorFlow

from __future__ import annotations

import numpy as np
import pytest

from bench import catalog
from bench.schedule import image_sizes

pytestmark = pytest.mark.tf


def sprint():
    """The model's module."""
    return catalog.load(catalog.find("sprint").spec)


def pictures(count=200, shape=(32, 32, 3), seed=0):
    """Random images whose neighbouring pixels and channels are alike, as those of photographs are."""
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(count, *shape)).astype("float32")
    for axis in (1, 2, 3):
        images = (images + np.roll(images, 1, axis=axis)) / np.sqrt(2)
    return images


@pytest.mark.parametrize("shape", [(32, 32, 3), (28, 28, 1)])
def test_its_first_layer_whitens_patches_after_prepare(shape):
    """What the first layer makes of these images is uncorrelated, of mean square 1, each direction with both signs."""
    module, images = sprint(), pictures(shape=shape)
    model = module.build(shape, 10)
    module.prepare(model, images)
    outputs = model.get_layer("whiten")(images).numpy().reshape(-1, 8 * shape[-1])
    half = outputs.shape[-1] // 2
    np.testing.assert_allclose(outputs[:, half:], -outputs[:, :half], atol=1e-5)
    products = outputs[:, :half].T @ outputs[:, :half] / len(outputs)
    # All but what is below the smallest variance, which stays small instead of becoming noise.
    np.testing.assert_allclose(products, np.eye(half), atol=0.1)
    assert not model.get_layer("whiten").trainable_variables


def test_directions_without_variance_do_not_become_noise():
    """Images of one colour have no variance but in that direction: whitening them stays finite."""
    module = sprint()
    model = module.build((32, 32, 3), 10)
    flat = np.random.default_rng(0).normal(size=(50, 1, 1, 1)).astype("float32") * np.ones((1, 32, 32, 3), "float32")
    module.prepare(model, flat)
    kernel = model.get_layer("whiten").get_weights()[0]
    assert np.isfinite(kernel).all()
    assert np.abs(kernel).max() <= 1 / np.sqrt(module.SMALLEST_VARIANCE)


@pytest.mark.parametrize(("inputs", "outputs"), [(8, 8), (8, 16), (16, 8)])
def test_kernels_begin_by_letting_channels_through(inputs, outputs):
    """The first channels come out as they went in; channels beyond them are drawn."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(1)
    kernel = np.array(sprint().Identity()((3, 3, inputs, outputs)))
    assert kernel.shape == (3, 3, inputs, outputs)
    images = np.random.default_rng(0).normal(size=(2, 5, 5, inputs)).astype("float32")
    through = tf.nn.conv2d(images, kernel, 1, "SAME").numpy()
    same = min(inputs, outputs)
    np.testing.assert_allclose(through[..., :same], images[..., :same], rtol=1e-5)
    assert outputs == same or kernel[..., same:].std() > 0


def test_kernels_keep_their_length_while_they_are_trained():
    """After steps of any size, each kernel's mean square output weight is what it was set to."""
    import keras

    module = sprint()
    model = module.build((32, 32, 3), 10)
    model.compile(keras.optimizers.SGD(5.0), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(pictures(64), np.arange(64) % 10, epochs=2, verbose=0)
    kernels = [layer.kernel.numpy() for layer in model.layers if layer.name.endswith("_conv")]
    assert len(kernels) == sum(convolutions for _, convolutions in module.GROUPS)
    for kernel in kernels:
        assert np.square(kernel).sum() == pytest.approx(kernel.shape[-1], rel=1e-4)


@pytest.mark.parametrize("shape", [(32, 32, 3), (28, 28, 1)])
def test_it_takes_the_images_of_each_stage(shape):
    """The sizes that its recipe goes through fit, in colour and in grey."""
    model = sprint().build((None, None, shape[-1]), 10)
    recipe = catalog.find("sprint").recipe
    assert recipe is not None
    for height, width in image_sizes(recipe, *shape[:2]):
        assert model(np.zeros((2, height, width, shape[-1]), "float32")).shape == (2, 10)
