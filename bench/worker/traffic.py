"""The memory traffic that a model's layers cause, estimated from the sizes of what they put out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import keras
import tensorflow as tf

if TYPE_CHECKING:
    from collections.abc import Iterator

# Forward, an output is written and read by the next layer; backward, it is read again, and its gradient, of the same
# size, is written and read. What a layer does inside, and what the caches save, is left out.
PASSES = 5


RENAMED = (keras.layers.InputLayer, keras.layers.Flatten, keras.layers.Reshape)  # the same memory in another shape


def traffic_bytes(model: keras.Model) -> int | None:
    """Estimate the memory traffic of a training step for one image; None for a model whose layers do not tell.

    Those of a model for images of any size do not.

    Args:
        model: The model, built. Its weights, which are read once a step and not once an image, are left out.
    """
    try:
        sizes = list(_output_bytes(model))
    except Exception:  # noqa: BLE001 -- a user's layer may do anything; an estimate is never worth a trial
        return None
    return PASSES * sum(sizes) if sizes else None


def _output_bytes(model: keras.Model) -> Iterator[int]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _output_bytes(layer)
            continue
        if isinstance(layer, RENAMED):
            continue
        shape = tuple(getattr(getattr(layer, "output", None), "shape", ()))
        if None in shape[1:]:
            raise ValueError(f"{layer.name} takes images of any size")
        if len(shape) > 1:
            yield math.prod(shape[1:]) * tf.as_dtype(layer.compute_dtype).size
