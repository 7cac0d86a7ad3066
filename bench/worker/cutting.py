"""A model cut in two behind one of its layers, or several: a part that stays as it is, and a part that is trained."""

from __future__ import annotations

import difflib
from typing import NamedTuple

import keras
from keras import layers

from bench.errors import ModelError

JOINED = "joined_features"


class Cut(NamedTuple):
    """A model and its two parts, which share their weights with it.

    Attributes:
        whole: From images to classes.
        frozen: From images to features.
        trained: From features to classes.
    """

    whole: keras.Model
    frozen: keras.Model
    trained: keras.Model


def cut(model: keras.Model, frozen_until: str) -> Cut:
    """Cut a functional model behind a layer, or behind several of which the features are joined.

    Args:
        model: Built.
        frozen_until: The last layer of the first part. Of several, joined by "+", each one's average over the pixels
            is taken, and a linear layer on all of them takes the place of what the model ended in.

    Raises:
        ModelError: There is no such layer, something reaches around it, it puts out several tensors, or nothing behind
            it can be trained.
    """
    if "+" in frozen_until:
        model, layer_name = _joined(model, frozen_until.split("+")), JOINED
    else:
        layer_name = frozen_until
    try:
        output = _layer(model, layer_name).output
        frozen = keras.Model(model.inputs[0], output, name=f"{model.name}_frozen")
        is_last = output is model.outputs[0]
        trained = None if is_last else keras.Model(output, model.outputs[0], name=f"{model.name}_trained")
    except (ValueError, KeyError, AttributeError, TypeError) as error:  # what Keras says depends on the graph
        raise ModelError(
            f"model {model.name!r} cannot be cut behind {layer_name!r}, which frozen_until names: {_first(error)}; "
            "name a layer that all that is computed before goes through, once (Keras knows none of a subclassed model)"
        ) from error
    _require_one(output, layer_name)
    if trained is None or not trained.trainable_variables:
        raise ModelError(
            f"nothing behind {layer_name!r}, which frozen_until names, can be trained; name an earlier layer"
        )
    shared = {id(variable) for variable in frozen.variables} & {id(variable) for variable in trained.variables}
    if shared:
        raise ModelError(
            f"a layer of model {model.name!r} is used before and behind {layer_name!r}, which frozen_until names, so "
            "it cannot stay as it is; name another layer"
        )
    return Cut(whole=model, frozen=frozen, trained=trained)


def _joined(model: keras.Model, names: list[str]) -> keras.Model:
    """Return the model up to these layers, with a linear layer on what they put out, side by side."""
    pooled = [_pooled(model, name) for name in names]
    try:
        num_classes = model.outputs[0].shape[-1]
        x = layers.Concatenate(name=JOINED)(pooled)
        x = layers.Dense(num_classes, dtype="float32", name="predictions")(x)
        return keras.Model(model.inputs[0], x, name=model.name)
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ModelError(
            f"the layers of model {model.name!r} that frozen_until names, {', '.join(names)}, cannot be joined: "
            f"{_first(error)}; name others, each once"
        ) from error


def _pooled(model: keras.Model, name: str) -> keras.KerasTensor:
    try:
        output = _layer(model, name).output
    except AttributeError as error:
        raise ModelError(
            f"model {model.name!r} cannot be cut behind {name!r}, which frozen_until names: {_first(error)}; "
            "leave out frozen_until (Keras knows no graph of a subclassed model)"
        ) from error
    _require_one(output, name)
    match len(output.shape):
        case 4:
            return layers.GlobalAveragePooling2D(name=f"{name}_average")(output)
        case 3:
            return layers.GlobalAveragePooling1D(name=f"{name}_average")(output)
        case 2:
            return output
        case _:
            raise ModelError(
                f"{name!r}, which frozen_until names, puts out {output.shape[1:]} an image, which has no pixels to "
                "take an average of; name another layer"
            )


def _layer(model: keras.Model, name: str) -> keras.Layer:
    names = [layer.name for layer in model.layers]
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise ModelError(
            f"model {model.name!r} has no layer {name!r}{hint}, which frozen_until names; "
            f"`python -m bench models {model.name}` lists its layers"
        )
    return model.get_layer(name)


def _require_one(output: object, name: str) -> None:
    if not isinstance(output, keras.KerasTensor):
        count = len(output) if isinstance(output, (list, tuple)) else 0
        raise ModelError(
            f"{name!r}, which frozen_until names, puts out {count} tensors and not one; name another layer"
        )


def _first(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
