"""CLIP's image tower: a vision transformer that has learned from 400 million images and their captions.

ViT-B/32 of Radford et al. 2021 (arXiv 2103.00020), built from KerasHub's layers. The head starts as the zero-shot
classifier that CLIP makes of the names of the classes, so `--epochs 0` tests CLIP as it was published: 65.1 % on
CIFAR-100 by the paper's table 11; who repeated it with prompts for ImageNet had 64.2 and 64.6 % (issue 204 of the
source). The recipe then trains the head alone, a linear probe. The paper's own probe looks at what comes before the
projection, not at the embedding, so its figures are not those of this one.

The tower has 87,849,216 parameters, as published; KerasHub counts 87,849,266, for it keeps the numbers of the 50
positions as weights that are not trained. The text tower is used while the model is built, and dropped.

The weights are a folder, a KerasHub preset, that nothing downloads by itself. On a machine with a connection and
`pip install 'hourglass-bench[pretrained]'`, this makes it where the recipe looks for it, in the current folder:

    from keras_hub.models import CLIPBackbone, CLIPTokenizer
    for part in (CLIPBackbone, CLIPTokenizer):
        part.from_preset("clip_vit_base_patch32").save_to_preset("clip_vit_base_patch32")

A copy of https://huggingface.co/keras/clip_vit_base_patch32 is such a folder too. If it lies elsewhere, or for another
CLIP of KerasHub's: `--recipe-set weights=PATH`. With `weights=none` the tower is drawn at random: what is told of its
time and memory holds, its accuracy means nothing.

Source: https://github.com/openai/CLIP
"""

from __future__ import annotations

import importlib
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np
from keras import layers, ops

from bench.recipe import Recipe

if TYPE_CHECKING:
    from types import ModuleType

RECIPE = Recipe(weights="./clip_vit_base_patch32", frozen_until="features", optimizer="lbfgs", epochs=9, batch_size=64)

VIT_B_32 = {"patch_size": 32, "hidden_dim": 768, "num_layers": 12, "num_heads": 12, "intermediate_dim": 3072}
EMBEDDING = 512
MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)
PARTS = (
    "config.json",
    "model.weights.h5",
    "tokenizer.json",
    "assets/tokenizer/vocabulary.json",
    "assets/tokenizer/merges.txt",
)
# The paper's prompts for CIFAR-10 and CIFAR-100 (data/prompts.md of the source), with "a" and with "the".
PROMPTS = (
    "a photo of {} {}.",
    "a blurry photo of {} {}.",
    "a black and white photo of {} {}.",
    "a low contrast photo of {} {}.",
    "a high contrast photo of {} {}.",
    "a bad photo of {} {}.",
    "a good photo of {} {}.",
    "a photo of {} small {}.",
    "a photo of {} big {}.",
)


class Bicubic(layers.Layer):
    """Resizes images 0..1 to a square, as CLIP's own preparation does with Pillow, but for its rounding.

    TensorFlow's operation for it, which `layers.Resizing` uses, runs on no GPU, and XLA does not compile it.
    """

    def __init__(self, pixels: int, **options: object) -> None:
        super().__init__(**options)
        self.pixels = pixels

    def call(self, images: keras.KerasTensor) -> keras.KerasTensor:
        """Resize a batch."""
        for axis in (2, 1):  # as Pillow does, across first; it cuts off what overshoots beside edges both times
            shape = list(ops.shape(images))
            scale = self.pixels / ops.cast(ops.reshape(shape[axis], (1,)), "float32")
            shape[axis] = self.pixels
            images = ops.image.scale_and_translate(images, shape, scale, ops.zeros(1), (axis,), "cubic")
            images = ops.clip(images, 0.0, 1.0)
        return images

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return (batch, pixels, pixels, channels)."""
        return (input_shape[0], self.pixels, self.pixels, input_shape[3])


def build(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    weights: str | None = None,
    class_names: tuple[str, ...] = (),
) -> keras.Model:
    """Return the uncompiled network, ending in logits.

    Args:
        input_shape: Height, width, channels of an image; one channel is shown three times.
        num_classes: Classes to tell apart.
        weights: The folder of a KerasHub preset of a CLIP, with its tokenizer; it also says to what size images are
            resized. Defaults to none, a ViT-B/32 drawn at random.
        class_names: The names that the head starts from, `_` for a space; needs weights. Defaults to none, the head
            is drawn at random.

    Raises:
        ImportError: KerasHub is not installed.
        FileNotFoundError: The folder does not exist or lacks a part of a preset.
        ValueError: There is not one name for each class.
    """
    hub = _keras_hub()
    if weights is None:
        tower = hub.models.CLIPVisionEncoder(**VIT_B_32)
        positions = tower.embedding.position_ids
        positions.assign(ops.reshape(ops.arange(positions.shape[1]), positions.shape))  # KerasHub leaves them 0
        return _classifier(input_shape, num_classes, tower, EMBEDDING)
    if class_names and len(class_names) != num_classes:
        raise ValueError(f"a name for each of {num_classes} classes is needed; received {len(class_names)}")
    clip, tokenizer = _load(hub, Path(weights))
    # Built anew, it has the precision of the run, and layers whose names do not depend on the preset.
    config = clip.vision_encoder.get_config()
    tower = type(clip.vision_encoder)(**{key: config[key] for key in config if key not in {"name", "dtype"}})
    tower.set_weights(clip.vision_encoder.get_weights())
    model = _classifier(input_shape, num_classes, tower, clip.projection_dim)
    model.get_layer("projection").set_weights(clip.vision_projection.get_weights())
    if class_names:
        prompt = hub.models.CLIPPreprocessor(tokenizer, sequence_length=clip.text_encoder.max_sequence_length)
        kernel = np.exp(clip.clip_head.logit_scale.numpy()) * _embed(clip, prompt, class_names).T
        model.get_layer("predictions").set_weights([kernel, np.zeros(num_classes)])
    return model


def _keras_hub() -> ModuleType:
    try:
        return importlib.import_module("keras_hub")
    except ImportError as error:
        raise ImportError(
            f"CLIP is built from KerasHub's layers, and KerasHub cannot be imported ({error}); "
            f"pip install 'hourglass-bench[pretrained]'"
        ) from error


def _load(hub: ModuleType, folder: Path) -> tuple[keras.Model, keras.Layer]:
    how = "the docstring of clip (`python -m bench models clip`) says how to make one"
    if not folder.is_dir():
        raise FileNotFoundError(f"CLIP's weights are the folder of a KerasHub preset; {folder} is no folder; {how}")
    if missing := [part for part in PARTS if not (folder / part).is_file()]:
        raise FileNotFoundError(
            f"{folder} is no KerasHub preset with its tokenizer, it lacks {', '.join(missing)}; {how}"
        )
    clip = hub.models.CLIPBackbone.from_preset(str(folder), dtype="float32")
    return clip, hub.models.CLIPTokenizer.from_preset(str(folder))


def _classifier(input_shape: tuple[int, int, int], num_classes: int, tower: keras.Model, embedding: int) -> keras.Model:
    inputs = keras.Input(input_shape)
    x = inputs
    pixels = tower.image_shape[0]
    if input_shape[:2] != (pixels, pixels):
        x = Bicubic(pixels, dtype="float32", name="resizing")(x)
    if input_shape[2] == 1:
        x = layers.Concatenate(name="colours")([x, x, x])
    x = layers.Normalization(mean=MEAN, variance=np.square(DEVIATION).tolist(), name="normalization")(x)
    for layer in (tower.embedding, tower.pre_layer_norm, *tower.encoder_layers, tower.layer_norm):
        x = layer(x)
    x = layers.Dense(embedding, use_bias=False, name="projection")(x[:, 0])
    x = layers.UnitNormalization(dtype="float32", name="features")(x)
    outputs = layers.Dense(num_classes, dtype="float32", name="predictions")(x)
    return keras.Model(inputs, outputs, name="clip")


def _embed(clip: keras.Model, prompt: keras.Layer, class_names: tuple[str, ...]) -> np.ndarray:
    """Return what the text tower makes of the classes: (classes, embedding), means over the prompts, of length 1."""
    names = [name.replace("_", " ") for name in class_names]
    total = np.zeros(1)
    for sentence, article in product(PROMPTS, ("a", "the")):
        prompts = [sentence.format(article, name) for name in names]
        tokens = np.asarray(prompt({"prompts": prompts, "images": None})["token_ids"])
        # What follows the end token changes nothing, and a prompt fills a sixth of the 77 places.
        longest = int((tokens == prompt.tokenizer.end_token_id).argmax(axis=1).max()) + 1
        total = total + _unit(ops.convert_to_numpy(clip.get_text_embeddings(tokens[:, :longest])))
    return _unit(total)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
