"""A CLIP small enough to be saved in a test: both towers, drawn at random, and a tokenizer that spells words out."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PIXELS = 16
EMBEDDING = 8
LOGIT_SCALE = 3.0  # the logarithm of what cosines are multiplied with; not the one that KerasHub starts with
LETTERS = string.ascii_lowercase + string.digits + ".,-'"
START, END = "<|startoftext|>", "<|endoftext|>"
MERGES = ("p h", "ph o", "t o</w>", "pho to</w>")


def write_preset(folder: Path) -> None:
    """Save one with its tokenizer, as KerasHub does."""
    import keras  # noqa: TID251 -- the tester's own process
    import keras_hub

    keras.utils.set_random_seed(0)
    merged = ["".join(merge.split(" ")) for merge in MERGES]
    # The end's number is the largest, as in CLIP: KerasHub finds the end of a text by that.
    tokens = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), *merged, START, END]
    vision = keras_hub.models.CLIPVisionEncoder(
        patch_size=4, hidden_dim=16, num_layers=2, num_heads=2, intermediate_dim=32, image_shape=(PIXELS, PIXELS, 3)
    )
    text = keras_hub.models.CLIPTextEncoder(
        vocabulary_size=len(tokens), embedding_dim=12, hidden_dim=12, num_layers=2, num_heads=2, intermediate_dim=24
    )
    clip = keras_hub.models.CLIPBackbone(vision, text, projection_dim=EMBEDDING)
    for variable in clip.weights:  # those that start as zeros or ones as well, so that each matters
        if variable.dtype == "float32":
            variable.assign_add(keras.random.normal(variable.shape, stddev=0.1))
    positions = vision.embedding.position_ids
    positions.assign(keras.ops.reshape(keras.ops.arange(positions.shape[1]), positions.shape))
    clip.clip_head.logit_scale.assign(LOGIT_SCALE)
    clip.save_to_preset(str(folder))
    vocabulary = {token: number for number, token in enumerate(tokens)}
    keras_hub.models.CLIPTokenizer(vocabulary, list(MERGES), pad_with_end_token=True).save_to_preset(str(folder))
