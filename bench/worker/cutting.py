"""A model cut in two behind one of its layers: a part that stays as it is, and a part that is trained."""

from __future__ import annotations

import difflib

import keras

from bench.errors import ModelError


def cut(model: keras.Model, layer_name: str) -> tuple[keras.Model, keras.Model]:
    """Cut a functional model behind a layer; both parts share their weights with it.

    Args:
        model: Built.
        layer_name: The last layer of the first part.

    Returns:
        From images to features, and from features to classes.

    Raises:
        ModelError: There is no such layer, something reaches around it, it puts out several tensors, or nothing behind
            it can be trained.
    """
    names = [layer.name for layer in model.layers]
    if layer_name not in names:
        near = difflib.get_close_matches(layer_name, names, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise ModelError(
            f"model {model.name!r} has no layer {layer_name!r}{hint}, which frozen_until names; "
            f"`python -m bench models {model.name}` lists its layers"
        )
    try:
        output = model.get_layer(layer_name).output
        frozen = keras.Model(model.inputs[0], output, name=f"{model.name}_frozen")
        is_last = output is model.outputs[0]
        trained = None if is_last else keras.Model(output, model.outputs[0], name=f"{model.name}_trained")
    except (ValueError, KeyError, AttributeError, TypeError) as error:  # what Keras says depends on the graph
        raise ModelError(
            f"model {model.name!r} cannot be cut behind {layer_name!r}, which frozen_until names: {_first(error)}; "
            "name a layer that all that is computed before goes through, once (Keras knows none of a subclassed model)"
        ) from error
    if not isinstance(output, keras.KerasTensor):
        raise ModelError(
            f"{layer_name!r}, which frozen_until names, puts out {len(output)} tensors and not one; name another layer"
        )
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
    return frozen, trained


def _first(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
