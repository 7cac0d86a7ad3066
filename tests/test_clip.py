"""CLIP's image tower, and the classifier that its text tower makes of the names of the classes."""

from __future__ import annotations

import gc
import importlib.util
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from bench import catalog
from bench.errors import ModelError
from clip_for_tests import EMBEDDING, END, LOGIT_SCALE, PIXELS, START, write_preset

pytestmark = [
    pytest.mark.tf,
    # Keras reads its own variables so.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]
needs_keras_hub = pytest.mark.skipif(importlib.util.find_spec("keras_hub") is None, reason="KerasHub is not installed")

NAMES = ("apple", "lawn_mower", "red_fox")
CLASSES = len(NAMES)
SPOKEN = ("apple", "lawn mower", "red fox")
# As data/prompts.md of https://github.com/openai/CLIP has them for CIFAR-100.
PROMPTS = (
    "a photo of a {}.",
    "a blurry photo of a {}.",
    "a black and white photo of a {}.",
    "a low contrast photo of a {}.",
    "a high contrast photo of a {}.",
    "a bad photo of a {}.",
    "a good photo of a {}.",
    "a photo of a small {}.",
    "a photo of a big {}.",
    "a photo of the {}.",
    "a blurry photo of the {}.",
    "a black and white photo of the {}.",
    "a low contrast photo of the {}.",
    "a high contrast photo of the {}.",
    "a bad photo of the {}.",
    "a good photo of the {}.",
    "a photo of the small {}.",
    "a photo of the big {}.",
)
MEAN = np.array([0.48145466, 0.4578275, 0.40821073])
DEVIATION = np.array([0.26862954, 0.26130258, 0.27577711])
TEXT_TOKENS = 77


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    """The folder of a small CLIP with its tokenizer."""
    folder = tmp_path_factory.mktemp("clip") / "preset"
    write_preset(folder)
    return folder


@pytest.fixture(scope="module")
def model(preset):
    """The model of that CLIP, for three classes, for images that need no resizing."""
    return build(preset)


@pytest.fixture(scope="module")
def drawn():
    """ViT-B/32 without weights, for 100 classes."""
    return build(None, num_classes=100, names=())


def build(weights, *, size=(PIXELS, PIXELS), channels=3, num_classes=CLASSES, names=NAMES, any_size=False):
    """Build the model as a worker does."""
    from bench.worker import building

    path = None if weights is None else str(weights)
    spec = catalog.find("clip").spec
    return building.build(spec, (*size, channels), num_classes, weights=path, class_names=names, any_size=any_size)


def part(model, layer):
    """What a layer of the model puts out, as a model."""
    import keras  # noqa: TID251 -- stands in for the worker

    return keras.Model(model.input, model.get_layer(layer).output)


def pictures(*shape, seed=0):
    """Some images of bytes."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def unit(images):
    """Bytes as the worker hands them over, 0..1."""
    return (images / 255).astype(np.float32)


def softmax(logits):
    """Probabilities of each row."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def by_backbone(preset, images):
    """Zero-shot logits of images 0..1, from KerasHub's CLIP called on images and on prompts of their full length.

    The classifier of the paper is the mean of a class's embedded prompts, brought to length 1.
    """
    import keras_hub

    clip = keras_hub.models.CLIPBackbone.from_preset(str(preset))
    tokenizer = keras_hub.models.CLIPTokenizer.from_preset(str(preset))
    start, end = (tokenizer.token_to_id(token) for token in (START, END))
    columns = []
    for name in SPOKEN:
        texts = [[start, *tokenizer(prompt.format(name)), end] for prompt in PROMPTS]
        tokens = np.array([text + [end] * (TEXT_TOKENS - len(text)) for text in texts])
        found = clip({"images": (images - MEAN) / DEVIATION, "token_ids": tokens})
        embedded = np.asarray(clip.get_text_embeddings(tokens))
        length = np.linalg.norm((embedded / np.linalg.norm(embedded, axis=1, keepdims=True)).mean(axis=0))
        columns.append(np.asarray(found["vision_logits"]).mean(axis=1) / length)
    return np.stack(columns, axis=1)


@needs_keras_hub
def test_untrained_it_is_clip_s_zero_shot_classifier(preset, model):
    """The head says what the whole CLIP says about images and the prompts of the classes."""
    images = unit(pictures(5, PIXELS, PIXELS, 3))
    expected = by_backbone(preset, images)
    logits = np.asarray(model(images))
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(softmax(logits), softmax(expected), rtol=1e-3)
    # The comparison is worth something: classes and images differ, and cosines times the scale stay below it.
    assert np.ptp(expected, axis=1).min() > 0.1
    assert np.ptp(expected, axis=0).min() > 0.1
    assert np.abs(expected).max() <= np.exp(LOGIT_SCALE)


@needs_keras_hub
@pytest.mark.parametrize("size", [(10, 12), (44, 40)], ids=["enlarged", "reduced"])
def test_images_are_resized_as_pillow_does_and_normalised_as_clip_was_trained(preset, size):
    """Pixels lie within about one step of 255 of Pillow's bicubic ones, and then have CLIP's mean and deviation."""
    images = pictures(2, *size, 3)
    seen = np.asarray(part(build(preset, size=size, names=()), "normalization")(unit(images)))
    resized = [
        np.asarray(Image.fromarray(image).resize((PIXELS, PIXELS), Image.Resampling.BICUBIC)) for image in images
    ]
    np.testing.assert_allclose(seen * DEVIATION + MEAN, np.stack(resized) / 255, atol=1.5 / 255)


@needs_keras_hub
def test_images_that_have_the_size_of_the_tower_are_not_resized(model):
    """There is no layer for it then."""
    names = [layer.name for layer in model.layers]
    assert "resizing" not in names
    assert "normalization" in names


@needs_keras_hub
def test_a_grey_image_is_shown_in_three_colours(preset):
    """It has the features of the same image with three equal channels."""
    grey = unit(pictures(2, 12, 12, 1))
    alone, coloured = (
        part(build(preset, size=(12, 12), channels=channels, names=()), "features") for channels in (1, 3)
    )
    np.testing.assert_allclose(alone(grey), coloured(np.repeat(grey, 3, axis=-1)), rtol=1e-4, atol=1e-5)


@needs_keras_hub
def test_the_text_tower_is_gone(preset):
    """Neither the model's parameters nor the memory hold it after the build."""
    import keras_hub

    def towers():
        gc.collect()
        return {id(thing) for thing in gc.get_objects() if isinstance(thing, keras_hub.models.CLIPTextEncoder)}

    clip = keras_hub.models.CLIPBackbone.from_preset(str(preset))
    image_tower = clip.vision_encoder.count_params() + clip.vision_projection.count_params()
    before = towers()
    model = build(preset)
    assert towers() == before
    assert len(before) >= 1
    assert model.count_params() == image_tower + CLASSES * (EMBEDDING + 1)


@needs_keras_hub
def test_the_features_are_a_clean_cut(model):
    """They have length 1, all but the head lies before them, and the recipe cuts there."""
    features = part(model, catalog.find("clip").recipe.frozen_until)
    images = unit(pictures(3, PIXELS, PIXELS, 3))
    found = np.asarray(features(images))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    head = model.get_layer("predictions")
    before = {id(variable) for variable in features.weights}
    assert [variable.path for variable in model.weights if id(variable) not in before] == [
        variable.path for variable in head.weights
    ]
    np.testing.assert_allclose(found @ head.kernel.numpy() + head.bias.numpy(), model(images), rtol=1e-4, atol=1e-5)


@needs_keras_hub
def test_under_mixed_precision_embedding_and_head_stay_float32(preset, model):
    """The tower computes in bfloat16; what is cached and what is trained does not, and the head starts the same."""
    import keras  # noqa: TID251 -- stands in for the worker

    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = build(preset)
    finally:
        keras.config.set_dtype_policy(policy)
    computed = {layer.name: layer.compute_dtype for layer in mixed.layers}
    assert (computed["features"], computed["predictions"]) == ("float32", "float32")
    assert (computed["encoder_block_0"], computed["projection"]) == ("bfloat16", "bfloat16")
    kernels = [built.get_layer("predictions").kernel.numpy() for built in (mixed, model)]
    np.testing.assert_array_equal(*kernels)


@needs_keras_hub
def test_xla_compiles_all_of_it(preset):
    """Resizing included, and with the same logits."""
    import tensorflow as tf  # noqa: TID251 -- stands in for the worker

    model = build(preset, size=(12, 12), names=())
    images = unit(pictures(2, 12, 12, 3))
    compiled = tf.function(model, jit_compile=True)
    np.testing.assert_allclose(compiled(images), model(images), rtol=1e-3, atol=1e-4)


@needs_keras_hub
def test_it_takes_images_of_any_size_where_a_recipe_has_stages(preset):
    """Built for any height and width, it sees in an image what it sees built for that size."""
    free = part(build(preset, size=(12, 12), names=(), any_size=True), "features")
    for size in ((12, 12), (8, 10)):
        images = unit(pictures(2, *size, 3))
        fixed = part(build(preset, size=size, names=()), "features")
        np.testing.assert_allclose(free(images), fixed(images), rtol=1e-3, atol=1e-4)


@needs_keras_hub
def test_without_names_the_head_is_drawn_and_the_tower_is_not(preset, model):
    """Features are those of the weights all the same."""
    images = unit(pictures(2, PIXELS, PIXELS, 3))
    unnamed = build(preset, names=())
    np.testing.assert_allclose(part(unnamed, "features")(images), part(model, "features")(images), rtol=1e-5)
    assert not np.allclose(unnamed.get_layer("predictions").kernel, model.get_layer("predictions").kernel)


@needs_keras_hub
def test_drawn_at_random_it_has_the_published_parameters(drawn):
    """87,849,216 before the head, and KerasHub's 50 numbers of positions; the docstring states both counts."""
    tower = part(drawn, "features")
    trained = sum(int(np.prod(variable.shape)) for variable in tower.trainable_variables)
    assert (trained, tower.count_params()) == (87_849_216, 87_849_266)
    for count in (trained, tower.count_params()):
        assert f"{count:,}" in catalog.find("clip").description


@needs_keras_hub
def test_drawn_at_random_it_knows_the_places_of_its_patches(drawn):
    """Each patch has a position of its own, although KerasHub gives all the first one."""
    np.testing.assert_array_equal(drawn.get_layer("embedding").position_ids.numpy(), [np.arange(50)])


@needs_keras_hub
def test_a_name_for_each_class_is_needed(preset):
    """Two names for three classes are refused with both figures."""
    with pytest.raises(ModelError, match="a name for each of 3 classes is needed; received 2"):
        build(preset, names=NAMES[:2])


@needs_keras_hub
def test_a_folder_that_does_not_exist_is_named(tmp_path):
    """The error has the folder and where it is said how to make one."""
    with pytest.raises(ModelError, match=r"missing is no folder; the docstring of clip .* how to make one"):
        build(tmp_path / "missing")


@needs_keras_hub
@pytest.mark.parametrize("lost", ["tokenizer.json", "assets/tokenizer/merges.txt", "model.weights.h5"])
def test_a_preset_that_lacks_a_part_is_refused_by_its_name(preset, tmp_path, lost):
    """A folder in which only the network was saved has no tokenizer, and the error says so."""
    folder = tmp_path / "preset"
    shutil.copytree(preset, folder)
    (folder / lost).unlink()
    with pytest.raises(ModelError, match=f"it lacks {lost}; the docstring of clip"):
        build(folder)


def test_without_keras_hub_the_error_says_what_to_install(monkeypatch):
    """It names the extra that brings it."""
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(ModelError, match=r"KerasHub cannot be imported .*pip install 'hourglass-bench\[pretrained\]'"):
        build(None)
