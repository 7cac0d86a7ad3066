"""Builds models and prints what they look like, as one line of JSON: `python -P -m bench.worker.describe REQUEST`."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING

import keras
import msgspec

from bench.catalog import Build, LayerDescription, ModelDescription, StepDescription
from bench.errors import ModelError
from bench.recipe import Precision
from bench.worker import building
from bench.worker.cutting import cut
from bench.worker.step_memory import describe_forward, describe_step

if TYPE_CHECKING:
    from collections.abc import Callable


def main() -> None:
    """Describe the models named on the command line."""
    builds, input_shape, num_classes, precision = msgspec.json.decode(
        sys.argv[1], type=tuple[tuple[Build, ...], tuple[int, int, int], int, Precision]
    )
    keras.config.set_dtype_policy(precision)
    described = [describe(build, input_shape, num_classes) for build in builds]
    sys.stdout.write(msgspec.json.encode(described).decode() + "\n")


def describe(build: Build, input_shape: tuple[int, int, int], num_classes: int) -> ModelDescription:
    """Build one model; what goes wrong is in the description, and costs the other models nothing."""
    name = build.spec.name
    try:
        model = building.build(
            build.spec,
            input_shape,
            num_classes,
            any_size=build.any_size,
            weights=build.weights or None,
            input_pixels=build.input_pixels,
            winograd=build.winograd,
        )
        frozen, trained = None, model
        if build.frozen_until:
            model, frozen, trained = cut(model, build.frozen_until)
    except ModelError as error:
        return ModelDescription(name=name, problem=str(error))
    except (Exception, SystemExit) as error:  # noqa: BLE001 -- a model file may do anything
        return ModelDescription(name=name, problem=f"{type(error).__name__}: {error}")
    layers = tuple(_describe_layer(layer) for layer in model.layers)
    return ModelDescription(
        name=name,
        parameters=model.count_params(),
        trainable_parameters=sum(math.prod(v.shape) for v in trained.trainable_variables),
        activations=sum(layer.activations for layer in layers),
        layers=layers,
        step=_traced(describe_step, trained, input_shape if frozen is None else frozen.output_shape[1:]),
        frozen=None if frozen is None else _traced(describe_forward, frozen, input_shape),
        largest_weights=max((math.prod(v.shape) for v in trained.trainable_variables), default=0),
        features=0 if frozen is None else math.prod(frozen.output_shape[1:]),
    )


def _traced(
    describe: Callable[[keras.Model, tuple[int, ...]], StepDescription], model: keras.Model, shape: tuple[int, ...]
) -> StepDescription | None:
    """None for a model that cannot be traced so; whether it can be trained will show."""
    try:
        return describe(model, shape)
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
