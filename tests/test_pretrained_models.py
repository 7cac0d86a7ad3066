"""Networks that come with weights compute what their publishers' do, and can be cut where their docstrings say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from bench import catalog
from bench.errors import ModelError
from bench.weights.shelf import locate
from bench.weights.torch_file import read_state
from torch_files_for_tests import state_of, write_rows, write_zip

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

pytestmark = pytest.mark.tf

MODELS = ["efficientnet_lite0", "dcnn_gfe"]
LITE0_STAGES = [  # kernel, stride, expansion, filters in, filters out, repeats, as in TensorFlow's source
    (3, 1, 1, 32, 16, 1),
    (3, 2, 6, 16, 24, 2),
    (5, 2, 6, 24, 40, 2),
    (3, 2, 6, 40, 80, 3),
    (5, 1, 6, 80, 112, 3),
    (5, 2, 6, 112, 192, 4),
    (3, 1, 6, 192, 320, 1),
]
ALEXNET = [("0", 3, 64, 11), ("3", 64, 192, 5), ("6", 192, 384, 3), ("8", 384, 256, 3), ("10", 256, 256, 3)]


def build(name: str, input_shape: tuple[int, int, int], classes: int, **options: Any) -> Any:
    """Build a model in this process, as a worker does."""
    from bench.worker import building

    return building.build(catalog.find(name).spec, input_shape, classes, **options)


def output(model: Any, layer: str, images: NDArray[Any]) -> NDArray[Any]:
    """What a layer puts out for images."""
    import keras  # noqa: TID251 -- stands in for the worker

    cut = keras.Model(model.input, model.get_layer(layer).output)
    return np.asarray(cut(images, training=False))


def images(pixels: int, channels: int = 3) -> NDArray[np.float32]:
    """Two images of noise, from 0 to 1."""
    return np.random.default_rng(1).random((2, pixels, pixels, channels), np.float32)


# Weights that are drawn, in the published files' names and shapes.


def draw_lite0() -> dict[str, NDArray[Any]]:
    """What `efficientnet-lite0-57934424.pth` holds: 296 tensors."""
    rng = np.random.default_rng(0)
    drawn: dict[str, NDArray[Any]] = {}

    def convolution(name: str, filters: int, channels: int, kernel: int) -> None:
        shape = (filters, channels, kernel, kernel)
        drawn[f"{name}.weight"] = rng.normal(0, (2 / (channels * kernel**2)) ** 0.5, shape).astype(np.float32)

    def normalisation(name: str, channels: int) -> None:
        drawn[f"{name}.weight"] = rng.uniform(0.2, 0.8, channels).astype(np.float32)
        drawn[f"{name}.bias"] = rng.normal(0.5, 0.5, channels).astype(np.float32)
        drawn[f"{name}.running_mean"] = rng.normal(0, 0.3, channels).astype(np.float32)
        drawn[f"{name}.running_var"] = rng.uniform(0.005, 1.5, channels).astype(np.float32)  # so that epsilon shows
        drawn[f"{name}.num_batches_tracked"] = np.array(0, np.int64)

    convolution("_conv_stem", 32, 3, 3)
    normalisation("_bn0", 32)
    number = 0
    for kernel, _, expansion, filters_in, filters_out, repeats in LITE0_STAGES:
        for repeat in range(repeats):
            channels = filters_out if repeat else filters_in
            block = f"_blocks.{number}"
            if expansion > 1:
                convolution(f"{block}._expand_conv", expansion * channels, channels, 1)
                normalisation(f"{block}._bn0", expansion * channels)
            convolution(f"{block}._depthwise_conv", expansion * channels, 1, kernel)
            normalisation(f"{block}._bn1", expansion * channels)
            convolution(f"{block}._project_conv", filters_out, expansion * channels, 1)
            normalisation(f"{block}._bn2", filters_out)
            number += 1
    convolution("_conv_head", 1280, 320, 1)
    normalisation("_bn1", 1280)
    drawn["_fc.weight"] = rng.normal(0, 0.1, (1000, 1280)).astype(np.float32)
    drawn["_fc.bias"] = rng.normal(0, 1, 1000).astype(np.float32)
    return drawn


def draw_alexnet() -> dict[str, NDArray[Any]]:
    """What `alexnet-owt-7be5be79.pth` holds, but for the size of its classifier, which is not taken."""
    rng = np.random.default_rng(0)
    drawn: dict[str, NDArray[Any]] = {}
    for number, channels, filters, kernel in ALEXNET:
        shape = (filters, channels, kernel, kernel)
        drawn[f"features.{number}.weight"] = rng.normal(0, (2 / (channels * kernel**2)) ** 0.5, shape).astype("f4")
        drawn[f"features.{number}.bias"] = rng.normal(0, 0.5, filters).astype(np.float32)
    for number in (1, 4, 6):
        drawn[f"classifier.{number}.weight"] = rng.normal(0, 1, (2, 2)).astype(np.float32)
        drawn[f"classifier.{number}.bias"] = np.zeros(2, np.float32)
    return drawn


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of drawn weights by their model's name."""
    folder = tmp_path_factory.mktemp("weights")
    write_rows(folder / "efficientnet_lite0.pth", state_of(draw_lite0()))
    write_zip(folder / "dcnn_gfe.pth", state_of(draw_alexnet()))
    return {name: folder / f"{name}.pth" for name in MODELS}


# The same networks in NumPy, with axes as PyTorch has them: images, channels, height, width.


def convolve(x: NDArray[Any], kernel: NDArray[Any], *, stride: int, padding: tuple[int, int]) -> NDArray[Any]:
    """Convolve; a kernel of one input channel is one of a depthwise convolution."""
    padded = np.pad(x, ((0, 0), (0, 0), padding, padding))
    windows = sliding_window_view(padded, kernel.shape[2:], axis=(2, 3))[:, :, ::stride, ::stride]
    if kernel.shape[1] == 1 < x.shape[1]:
        return np.einsum("nchwij,cij->nchw", windows, kernel[:, 0])
    return np.einsum("nchwij,ocij->nohw", windows, kernel, optimize=True)


def convolve_same(x: NDArray[Any], kernel: NDArray[Any], stride: int) -> NDArray[Any]:
    """Convolve with TensorFlow's padding: an output for each stride that is begun, an odd pixel at the far end."""
    size = x.shape[2]
    total = max((-(-size // stride) - 1) * stride + kernel.shape[2] - size, 0)
    return convolve(x, kernel, stride=stride, padding=(total // 2, total - total // 2))


def pool(x: NDArray[Any]) -> NDArray[Any]:
    """Take the largest of 3×3, every second pixel."""
    return sliding_window_view(x, (3, 3), axis=(2, 3))[:, :, ::2, ::2].max((-1, -2))


def compute_lite0(state: Mapping[str, NDArray[Any]], pixels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Features and logits of EfficientNet-Lite0."""
    w = {name: tensor.astype(np.float64) for name, tensor in state.items()}

    def step(x: NDArray[Any], convolution: str, normalisation: str, stride: int = 1) -> NDArray[Any]:
        x = convolve_same(x, w[f"{convolution}.weight"], stride)
        gamma, beta, mean, variance = (
            w[f"{normalisation}.{part}"][:, None, None] for part in ("weight", "bias", "running_mean", "running_var")
        )
        return gamma * (x - mean) / np.sqrt(variance + 1e-3) + beta

    def relu6(x: NDArray[Any]) -> NDArray[Any]:
        return np.clip(x, 0, 6)

    x = (255 * pixels.astype(np.float64).transpose(0, 3, 1, 2) - 127) / 128
    x = relu6(step(x, "_conv_stem", "_bn0", 2))
    number = 0
    for _, stride, expansion, filters_in, filters_out, repeats in LITE0_STAGES:
        for repeat in range(repeats):
            block, before = f"_blocks.{number}", x
            if expansion > 1:
                x = relu6(step(x, f"{block}._expand_conv", f"{block}._bn0"))
            x = relu6(step(x, f"{block}._depthwise_conv", f"{block}._bn1", 1 if repeat else stride))
            x = step(x, f"{block}._project_conv", f"{block}._bn2")
            if repeat or (stride == 1 and filters_in == filters_out):
                x = x + before
            number += 1
    x = relu6(step(x, "_conv_head", "_bn1")).mean((2, 3))
    return x, x @ w["_fc.weight"].T + w["_fc.bias"]


def compute_alexnet(state: Mapping[str, NDArray[Any]], pixels: NDArray[Any]) -> NDArray[Any]:
    """What torchvision's `AlexNet.features` puts out."""
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    x = ((pixels.astype(np.float64) - mean) / deviation).transpose(0, 3, 1, 2)
    for number, _, _, kernel in ALEXNET:
        padding, stride = (2, 4) if kernel == 11 else (kernel // 2, 1)
        x = convolve(x, state[f"features.{number}.weight"], stride=stride, padding=(padding, padding))
        x = np.maximum(x + state[f"features.{number}.bias"][:, None, None], 0)
        x = pool(x) if number in {"0", "3", "10"} else x
    return x


# What they compute.


def check_lite0(path: Path, pixels: int) -> None:
    """Features and logits are those of NumPy's network, within what float32 rounds off."""
    model = build("efficientnet_lite0", (pixels, pixels, 3), 1000, weights=str(path), input_pixels=pixels)
    features, logits = compute_lite0(read_state(path), images(pixels))
    assert features.std() > 0.1  # or any network would do
    np.testing.assert_allclose(output(model, "features", images(pixels)), features, atol=1e-3 * features.std())
    np.testing.assert_allclose(output(model, "predictions", images(pixels)), logits, atol=1e-3 * logits.std())


@pytest.mark.parametrize("pixels", [64, 75])
def test_lite0_computes_what_its_publisher_s_does(drawn: dict[str, Path], pixels: int) -> None:
    """At even and odd sizes, where TensorFlow's padding differs, layer by layer as the published weights mean it."""
    check_lite0(drawn["efficientnet_lite0"], pixels)


def test_lite0_computes_with_the_published_weights() -> None:
    """So it does with the file itself, which is what its digest says and holds what the test above draws."""
    published = catalog.find("efficientnet_lite0").weights
    try:
        found = locate("imagenet", published, model="efficientnet_lite0")
    except ModelError as error:
        pytest.skip(str(error))
    assert found is not None
    path = Path(found.path)
    assert path.stat().st_size == published["imagenet"].size_bytes
    state, expected = read_state(path), draw_lite0()
    assert {name: (t.shape, t.dtype) for name, t in state.items()} == {
        name: (t.shape, t.dtype) for name, t in expected.items()
    }
    check_lite0(path, 64)


@pytest.mark.parametrize("pixels", [63, 99])
def test_dcnn_gfe_has_the_convolutions_of_torchvision_s_alexnet(drawn: dict[str, Path], pixels: int) -> None:
    """What is frozen is what torchvision's network puts out before its classifier, with channels last."""
    path = drawn["dcnn_gfe"]
    model = build("dcnn_gfe", (pixels, pixels, 3), 10, weights=str(path), input_pixels=pixels)
    expected = compute_alexnet(read_state(path), images(pixels)).transpose(0, 2, 3, 1)
    assert expected.std() > 0.1
    np.testing.assert_allclose(output(model, "pool5", images(pixels)), expected, atol=1e-4 * expected.std())


PUBLISHED = [
    ("efficientnet_lite0", 1000, 4_652_008, 42_016),
    ("efficientnet_lite0", 100, 3_499_108, 42_016),
    ("dcnn_gfe", 1000, 61_100_840, 0),
    ("dcnn_gfe", 100, 57_413_540, 0),
]


@pytest.mark.parametrize(("name", "classes", "trained", "averages"), PUBLISHED)
def test_a_model_has_the_parameters_that_its_source_gives(name: str, classes: int, trained: int, averages: int) -> None:
    """Parameter counts are the published ones, and each model's docstring states them."""
    model = build(name, (32, 32, 3), classes)
    counts = [
        sum(int(np.prod(variable.shape)) for variable in variables)
        for variables in (model.trainable_weights, model.non_trainable_weights)
    ]
    assert counts == [trained, averages]
    description = catalog.find(name).description
    assert f"{trained:,}" in description
    assert not averages or f"{averages:,}" in description


def test_lite0_s_classifier_is_new_for_other_classes(drawn: dict[str, Path]) -> None:
    """With as many classes as ImageNet has, the published classifier is taken; otherwise one is drawn."""
    path = drawn["efficientnet_lite0"]
    state = read_state(path)
    kernels = []
    for classes in (1000, 999, 999):
        model = build("efficientnet_lite0", (32, 32, 3), classes, weights=str(path), input_pixels=32)
        kernels.append(model.get_layer("predictions").kernel.numpy())
        np.testing.assert_array_equal(model.get_layer("head_bn").beta.numpy(), state["_bn1.bias"])
    np.testing.assert_array_equal(kernels[0], state["_fc.weight"].T)
    assert not np.array_equal(kernels[1], kernels[2])


# What they are given.


@pytest.mark.parametrize("name", MODELS)
def test_images_are_resized_to_what_is_asked_for(drawn: dict[str, Path], name: str) -> None:
    """Images of another size are resized bilinearly in the network; those of the right size are left alone."""
    import keras  # noqa: TID251 -- stands in for the worker

    path = str(drawn[name])
    small = build(name, (32, 32, 3), 7, weights=path, input_pixels=64)
    large = build(name, (64, 64, 3), 7, weights=path, input_pixels=64)
    resized = np.asarray(keras.ops.image.resize(images(32), (64, 64), interpolation="bilinear"))
    cut = catalog.find(name).recipe.frozen_until
    np.testing.assert_allclose(output(small, cut, images(32)), output(large, cut, resized), rtol=1e-4, atol=1e-4)
    kinds = [type(layer).__name__ for layer in large.layers]
    assert "Resizing" not in kinds
    assert build(name, (64, 64, 3), 7).get_layer("resized").output.shape[1] == {"dcnn_gfe": 227}.get(name, 224)


@pytest.mark.parametrize("name", MODELS)
def test_grey_images_are_shown_in_all_channels(drawn: dict[str, Path], name: str) -> None:
    """Weights of colour images take grey ones as colour images without colour."""
    options: dict[str, Any] = {"weights": str(drawn[name]), "input_pixels": 64}
    grey = images(64, channels=1)
    cut = catalog.find(name).recipe.frozen_until
    of_grey = output(build(name, (64, 64, 1), 7, **options), cut, grey)
    of_colour = output(build(name, (64, 64, 3), 7, **options), cut, np.repeat(grey, 3, axis=-1))
    np.testing.assert_allclose(of_grey, of_colour, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_without_weights_images_are_taken_as_they_come(name: str) -> None:
    """Then the recipe normalises them, and the network must not do so again."""
    model = build(name, (64, 64, 2), 7, input_pixels=64)
    assert not {"Rescaling", "Concatenate", "Resizing"} & {type(layer).__name__ for layer in model.layers}


@pytest.mark.parametrize("name", MODELS)
def test_weights_of_another_model_are_refused(drawn: dict[str, Path], name: str) -> None:
    """The error names the first tensor that is missing."""
    (other,) = set(MODELS) - {name}
    with pytest.raises(ModelError, match=r"must have a tensor '.*' of shape .*; received none"):
        build(name, (64, 64, 3), 7, weights=str(drawn[other]), input_pixels=64)


# What their files say.


@pytest.mark.parametrize("name", MODELS)
def test_a_model_can_be_cut_where_its_docstring_says(name: str) -> None:
    """Layers lie on one level; the recipe's cut and every layer that the docstring names in backquotes is one."""
    found = catalog.find(name)
    assert found.problem is None
    assert found.recipe is not None
    model = build(name, (32, 32, 3), 7)
    assert not [layer for layer in model.layers if hasattr(layer, "layers")]
    names = {layer.name for layer in model.layers}
    paragraph = next(part for part in found.description.split("\n\n") if part.startswith("Where it can be frozen"))
    named = {word for word in re.findall(r"`(\w+)`", paragraph) if word != "_out"}
    assert found.recipe.frozen_until in named
    assert named <= names
    assert model.get_layer(found.recipe.frozen_until).output.shape[1:] in {(1280,), (6, 6, 256)}
    assert found.recipe.weights in found.weights
