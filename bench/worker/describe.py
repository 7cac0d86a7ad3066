"""Builds models and prints what they look like, as one line of JSON: `python -P -m bench.worker.describe REQUEST`."""

from __future__ import annotations

import math
import sys

import keras
import msgspec

from bench.catalog import LayerDescription, ModelDescription, StepDescription
from bench.errors import ModelError
from bench.recipe import Precision
from bench.records import ModelSpec
from bench.worker import building
from bench.worker.step_memory import describe_step


def main() -> None:
    """Describe the models named on the command line."""
    specs, input_shape, num_classes, precision, any_size = msgspec.json.decode(
        sys.argv[1], type=tuple[tuple[ModelSpec, ...], tuple[int, int, int], int, Precision, bool]
    )
    keras.config.set_dtype_policy(precision)
    described = [describe(spec, input_shape, num_classes, any_size=any_size) for spec in specs]
    sys.stdout.write(msgspec.json.encode(described).decode() + "\n")


def describe(
    spec: ModelSpec, input_shape: tuple[int, int, int], num_classes: int, *, any_size: bool = False
) -> ModelDescription:
    """Build one model; what goes wrong is in the description, and costs the other models nothing."""
    try:
        model = building.build(spec, input_shape, num_classes, any_size=any_size)
    except ModelError as error:
        return ModelDescription(name=spec.name, problem=str(error))
    except (Exception, SystemExit) as error:  # noqa: BLE001 -- a model file may do anything
        return ModelDescription(name=spec.name, problem=f"{type(error).__name__}: {error}")
    layers = tuple(_describe_layer(layer) for layer in model.layers)
    return ModelDescription(
        name=spec.name,
        parameters=model.count_params(),
        trainable_parameters=sum(math.prod(v.shape) for v in model.trainable_variables),
        activations=sum(layer.activations for layer in layers),
        layers=layers,
        step=_describe_step(model, input_shape),
    )


def _describe_step(model: keras.Model, input_shape: tuple[int, int, int]) -> StepDescription | None:
    """None for a model that cannot be traced so; whether it can be trained will show."""
    try:
        return describe_step(model, input_shape)
    except Exception:  # noqa: BLE001 -- a model may do anything
        return None


def _describe_layer(layer: keras.Layer) -> LayerDescription:
    shape = tuple(getattr(getattr(layer, "output", None), "shape", ()))
    return LayerDescription(
        name=layer.name,
        kind=type(layer).__name__,
        output_shape=shape,
        parameters=layer.count_params(),
        activations=math.prod(shape[1:]) if len(shape) > 1 and None not in shape[1:] else 0,
    )


if __name__ == "__main__":
    main()
