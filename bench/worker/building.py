"""From a model file and a cell to a compiled Keras model."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import keras
import numpy as np
import tensorflow as tf

from bench import catalog
from bench.errors import ModelError
from bench.weights.digests import digest
from bench.worker.muon import Muon
from bench.worker.winograd import use_winograd

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.recipe import Recipe
    from bench.records import Cell, ModelSpec

Output = Literal["logits", "softmax"]


def build(
    spec: ModelSpec,
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    any_size: bool = False,
    weights: str | None = None,
    input_pixels: int = 0,
    winograd: bool = False,
    class_names: Sequence[str] = (),
    sample: Callable[[], np.ndarray] | None = None,
) -> keras.Model:
    """Import a model file and build its model, uncompiled.

    Args:
        spec: The file.
        input_shape: Height, width, channels of an image.
        num_classes: Classes to tell apart.
        any_size: Whether images will be smaller than that too: the model is then built for any height and width.
        weights: Absolute path of the weights that it starts with. Defaults to none, they are drawn.
        input_pixels: Height to which it is to resize images. Defaults to 0, its own choice.
        winograd: Whether its 3×3 convolutions are computed by fewer multiplications; see `bench.worker.winograd`.
        class_names: What it tells apart, in the order of the labels; handed to a `build` that has such a parameter.
        sample: Makes float32 training images (n, height, width, channels), as the model gets them, for the file's
            `prepare(model, x_train)`, where it has one. Defaults to none, the model stays as it was built.

    Raises:
        ModelError: The file cannot be used, `build` or `prepare` raises, or `build` returns something else than a model
            that ends in `num_classes` outputs.
    """
    module = catalog.load(spec)
    path = catalog.locate(spec)
    asked = (None, None, input_shape[-1]) if any_size else input_shape
    why = "; its recipe has stages, so it must take images of any size (global pooling does, Flatten does not)"
    options: dict[str, Any] = {"weights": weights} if weights else {}
    options |= {"input_pixels": input_pixels} if input_pixels else {}
    taken = inspect.signature(module.build).parameters
    for name, value in options.items():
        if name not in taken:
            raise ModelError(f"build of {path} takes no {name}, and its recipe sets {name}={value!r}; leave that out")
    if "class_names" in taken:
        options["class_names"] = tuple(class_names)
    try:
        model = module.build(asked, num_classes, **options)
    except tf.errors.ResourceExhaustedError:
        raise
    except Exception as error:
        raise ModelError(
            f"build({asked}, {num_classes}) of {path} raised {type(error).__name__}: {error}{why if any_size else ''}"
        ) from error
    if not isinstance(model, keras.Model):
        raise ModelError(f"build of {path} must return a keras.Model; received {type(model).__name__}")
    try:
        # Called on an image, since a subclassed model has no variables and no output shape before.
        shape = tuple(model(np.zeros((1, *input_shape), np.float32), training=False).shape)
    except Exception as error:
        raise ModelError(f"the model of {path} does not take images of {input_shape}: {error}") from error
    if shape != (1, num_classes):
        raise ModelError(
            f"the model of {path} must end in {num_classes} classes, output shape (batch, {num_classes}); "
            f"received {('batch', *shape[1:])}"
        )
    if winograd:
        use_winograd(model)
    prepare = getattr(module, "prepare", None)
    if prepare is not None and sample is not None:
        try:
            prepare(model, sample())
        except tf.errors.ResourceExhaustedError:
            raise
        except Exception as error:
            raise ModelError(f"prepare(model, x_train) of {path} raised {type(error).__name__}: {error}") from error
    return model


def build_for(
    cell: Cell, *, class_names: Sequence[str] = (), sample: Callable[[], np.ndarray] | None = None
) -> keras.Model:
    """Build the model of a cell; see `build`.

    Raises:
        ModelError: Likewise, or its weights are not those that it was planned with.
    """
    weights = None
    if cell.weights is not None:
        weights = cell.weights.path
        found = digest(Path(weights), "sha256")
        if found != cell.weights.sha256:
            raise ModelError(
                f"the weights {weights} have changed since this run was planned (SHA-256 {found[:12]}…, not "
                f"{cell.weights.sha256[:12]}…); start a new run, or bring the old ones back"
            )
    return build(
        cell.model,
        cell.dataset.input_shape,
        cell.dataset.num_classes,
        any_size=bool(cell.recipe.stages),
        weights=weights,
        input_pixels=cell.recipe.input_pixels,
        winograd=cell.winograd,
        class_names=class_names,
        sample=sample,
    )


def ask_output(model: keras.Model, images: tf.Tensor) -> Output:
    """Ask the model whether it ends in softmax or logits, by what it says about a few normalised images."""
    outputs = keras.ops.convert_to_numpy(model(images, training=False)).astype(np.float64)
    sums_to_one = np.allclose(outputs.sum(axis=-1), 1.0, atol=0.01)
    return "softmax" if sums_to_one and (outputs >= 0).all() else "logits"


def compile_model(model: keras.Model, cell: Cell, *, output: Output) -> None:
    """Compile the model as its cell says; XLA is on or off, never left to what Keras finds."""
    model.compile(
        optimizer=_optimizer(cell.recipe),
        loss=_loss(cell.recipe, cell.dataset.num_classes, from_logits=output == "logits"),
        metrics=["accuracy"],
        jit_compile=cell.jit == "on",
        steps_per_execution=cell.steps_per_execution,
    )
    model.optimizer.build(model.trainable_variables)


def _optimizer(recipe: Recipe) -> keras.optimizers.Optimizer:
    options: dict[str, Any] = {"learning_rate": recipe.learning_rate, "weight_decay": recipe.weight_decay or None}
    if recipe.ema_momentum:
        options |= {"use_ema": True, "ema_momentum": recipe.ema_momentum}
    match recipe.optimizer:
        case "adam":
            return keras.optimizers.Adam(**options)
        case "adamw":
            return keras.optimizers.AdamW(**options | {"weight_decay": recipe.weight_decay})
        case "rmsprop":
            return keras.optimizers.RMSprop(momentum=recipe.momentum, **options)
        case "muon":
            ratio = recipe.adam_lr_ratio
            return Muon(momentum=recipe.momentum, nesterov=recipe.nesterov, adam_lr_ratio=ratio, **options)
        case "lbfgs":
            return keras.optimizers.SGD()  # holds the place: it makes no step
        case "sgd":
            return keras.optimizers.SGD(momentum=recipe.momentum, nesterov=recipe.nesterov, **options)


def _loss(recipe: Recipe, num_classes: int, *, from_logits: bool) -> keras.losses.Loss:
    if not recipe.label_smoothing:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits)
    smoothed = keras.losses.CategoricalCrossentropy(from_logits=from_logits, label_smoothing=recipe.label_smoothing)

    def loss(labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        one_hot = tf.one_hot(tf.cast(tf.reshape(labels, [-1]), tf.int32), num_classes, dtype=outputs.dtype)
        return smoothed(one_hot, outputs)

    return loss
