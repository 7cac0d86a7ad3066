"""Weights that Keras publishes: files of their format and size, with made-up numbers, read by the zoo's models."""
# ruff: noqa: TID251 -- Keras's own models are what these are compared with; collecting tests imports neither

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from bench import catalog
from bench.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.tf,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras, where it writes weights
]

CIFAR = (32, 32, 3)
PIXELS = 64  # 224 would be twelve times the arithmetic
MEAN_RGB = (0.485, 0.456, 0.406)  # of ImageNet
DEVIATION_RGB = (0.229, 0.224, 0.225)
# The names of Keras's model and its module, of the first layer behind the normalisation, and of the last one.
APPLICATIONS = {
    "vgg16": ("VGG16", "vgg16", "block1_conv1", "block5_pool"),
    "resnet50": ("ResNet50", "resnet", "conv1_pad", "conv5_block3_out"),
    "efficientnet_b0": ("EfficientNetB0", "efficientnet", "stem_conv_pad", "top_activation"),
}


@dataclass(frozen=True)
class Published:
    """Weights of a model, in a file as it is published and in one of today's format."""

    name: str
    path: Path
    today: Path

    @property
    def application(self) -> Any:
        """Keras's own model."""
        import keras

        return getattr(keras.applications, APPLICATIONS[self.name][0])

    @cached_property
    def model(self) -> Any:
        """The zoo's model with the weights of the first file."""
        return built(self.name, weights=str(self.path))


@pytest.fixture(scope="module", params=APPLICATIONS)
def published(request, tmp_path_factory):
    """The files of a model, written once."""
    import h5py
    from keras.src.legacy.saving import legacy_h5_format

    folder = tmp_path_factory.mktemp(request.param)
    weights = Published(request.param, folder / "notop.h5", folder / "today.weights.h5")
    backbone = weights.application(include_top=False, weights=None, input_shape=(PIXELS, PIXELS, 3))
    draw(backbone)
    with h5py.File(weights.path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, backbone)
        del file["top_level_model_weights"]  # younger than the published files
    backbone.save_weights(weights.today)
    return weights


def draw(backbone):
    """Change all numbers, so that none is what a fresh model has; variances stay positive, features of a size."""
    import keras

    random = np.random.default_rng(7)
    for variable in backbone.weights:
        if "float" in variable.dtype:
            added = random.uniform(0, 0.1) if len(variable.shape) == 1 else 0  # a bias, or of batch normalisation
            variable.assign(variable * random.uniform(0.7, 1.3, variable.shape) + added)
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.Normalization):  # as in the file for EfficientNet-B0 (tensorflow#49930)
            layer.adapt_mean.assign(MEAN_RGB)
            layer.adapt_variance.assign(DEVIATION_RGB)


def built(name, **options):
    """A model of the zoo."""
    from bench.worker import building

    return building.build(catalog.find(name).spec, CIFAR, 10, input_pixels=PIXELS, **options)


def part(model, layer, *, before=False):
    """The model up to a layer, or up to what the layer takes."""
    import keras

    found = model.get_layer(layer)
    return keras.Model(model.input, found.input if before else found.output)


def images():
    """A few images from 0 to 1."""
    return np.random.default_rng(1).random((2, *CIFAR), np.float32)


def resized():
    """The same as Keras's models take them: larger, from 0 to 255."""
    import keras

    return keras.layers.Resizing(PIXELS, PIXELS)(255 * images()).numpy()


def module_of(name):
    """The module of a Keras model."""
    import importlib

    return importlib.import_module(f"keras.src.applications.{APPLICATIONS[name][1]}")


def test_published_weights_make_the_features_of_keras_s_own_model(published, monkeypatch):
    """On a published file, a model puts out what Keras's does that downloads it, fed with `preprocess_input`."""
    from keras.src.utils import file_utils

    module = module_of(published.name)
    monkeypatch.setattr(file_utils, "get_file", lambda *_, **__: str(published.path))
    keras_s = published.application(include_top=False, weights="imagenet", input_shape=(PIXELS, PIXELS, 3))
    expected = keras_s(module.preprocess_input(resized()), training=False).numpy()
    features = part(published.model, APPLICATIONS[published.name][-1])(images(), training=False).numpy()
    assert expected.std() > 0
    np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-3 * expected.std())


def test_weights_are_those_of_the_file(published):
    """Each layer has the numbers of the file's group of its name."""
    import h5py

    compared = 0
    with h5py.File(published.path) as file:
        for name in file.attrs["layer_names"]:
            stored = file[name].attrs["weight_names"]
            if len(stored) and not name.startswith("normalization"):  # which is changed, as Keras does it
                for key, weight in zip(stored, published.model.get_layer(name).weights, strict=True):
                    np.testing.assert_array_equal(weight, file[name][key])
                    compared += 1
    assert compared >= 26  # of VGG-16, which has the fewest


def test_the_normalisation_is_that_of_the_weights(published):
    """From images of 0 to 1 the model makes what `preprocess_input` and Keras's own first layers make of 0 to 255."""
    normal = part(published.model, APPLICATIONS[published.name][2], before=True)(images()).numpy()
    expected = module_of(published.name).preprocess_input(resized())
    if published.name == "efficientnet_b0":
        expected = (expected / 255 - MEAN_RGB) / DEVIATION_RGB
    np.testing.assert_allclose(normal, expected, rtol=1e-4, atol=1e-3)


def test_weights_of_today_s_format_are_read_too(published):
    """What `save_weights` writes of Keras's model makes the same model as the published file."""
    today_s = built(published.name, weights=str(published.today))
    layer = APPLICATIONS[published.name][-1]
    np.testing.assert_array_equal(part(today_s, layer)(images()), part(published.model, layer)(images()))


def test_weights_of_other_layers_are_refused(published):
    """A file of another model is an error that says which file is taken."""
    another = "resnet50" if published.name == "vgg16" else "vgg16"
    for path in (published.path, published.today):
        with pytest.raises(ModelError, match="does not hold the weights of") as caught:
            built(another, weights=str(path))
        assert catalog.load(catalog.find(another).spec).WEIGHTS["imagenet"].file in str(caught.value)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", APPLICATIONS)
def test_a_text_is_refused(name, tmp_path):
    """What a server sent in place of the weights does not start a training with weights that were drawn."""
    path = tmp_path / "notop.h5"
    path.write_text("404 not found")
    with pytest.raises(ModelError, match=f"{path} does not hold the weights of"):
        built(name, weights=str(path))


@pytest.mark.parametrize("file", ["missing.h5", "weights.bin"])
def test_a_file_that_cannot_be_read_is_refused(file, tmp_path):
    """Neither does a file that is not there, or one of an unknown kind."""
    with pytest.raises(ModelError, match=f"{tmp_path / file} does not hold the weights of"):
        built("vgg16", weights=str(tmp_path / file))


@pytest.mark.parametrize("name", ["vgg16", "resnet50"])
def test_grey_images_are_refused(name):
    """A model that turns colours around says so of images that have none."""
    from bench.worker import building

    with pytest.raises(ModelError, match="3 channels, red, green, blue; received 1"):
        building.build(catalog.find(name).spec, (28, 28, 1), 10)


@pytest.mark.parametrize("name", APPLICATIONS)
def test_a_model_names_the_file_that_the_installed_keras_downloads(name):
    """Name, place and digest are Keras's own."""
    named = catalog.load(catalog.find(name).spec).WEIGHTS["imagenet"]
    module = module_of(name)
    places = [value for key, value in vars(module).items() if key.startswith(("WEIGHTS_PATH", "BASE_WEIGHTS_PATH"))]
    assert any(named.url in {place, place + named.file} for place in places)
    assert named.url.endswith(named.file)
    digests = getattr(module, "WEIGHTS_HASHES", None)
    key = {"resnet50": "resnet50", "efficientnet_b0": "b0"}.get(name)
    assert named.digest == digests[key][1] if digests else f'"{named.digest}"' in inspect.getsource(module)


def test_the_published_size_is_that_of_the_weights(published):
    """The size that a model names fits the numbers that the file must hold."""
    named = catalog.load(catalog.find(published.name).spec).WEIGHTS["imagenet"]
    assert named.size_bytes == pytest.approx(published.path.stat().st_size, rel=0.03)
