"""How a model is trained, as plain data."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Optimizer = Literal["adam", "adamw", "rmsprop", "sgd"]
Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]
Normalization = Literal["unit", "standard"]

Positive = Annotated[float, msgspec.Meta(gt=0)]
Fraction = Annotated[float, msgspec.Meta(ge=0, lt=1)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class Recipe(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """How a model is trained.

    A model file may carry one as `RECIPE = Recipe(...)`, written with literal values: it is read without importing
    the file.

    Args:
        optimizer: The Keras optimizer. Defaults to `"adam"`.
        learning_rate: Constant over the run. Defaults to 0.001.
        momentum: Of `sgd` and `rmsprop`. Defaults to 0.
        nesterov: Of `sgd`. Defaults to False.
        weight_decay: Decoupled from the gradient (Loshchilov & Hutter 2019), as every Keras optimizer applies it,
            to all trainable variables. Defaults to 0.
        label_smoothing: Share of the label's weight that is spread over all classes. Defaults to 0.
        normalization: How uint8 pixels become float32: `"unit"` divides by 255, `"standard"` also subtracts the
            training images' mean and divides by their standard deviation, per channel. Defaults to `"unit"`.
        horizontal_flip: Mirror each training image with probability 1/2. Defaults to False.
        batch_size: Images a step, where no flag says otherwise. None leaves it to the preset.
        epochs: Passes over the training images, where no flag says otherwise. None leaves it to the preset.
        precision: The Keras dtype policy, where no flag says otherwise. None leaves it to the preset.

    Example:
        >>> Recipe(optimizer="sgd", learning_rate=0.1, momentum=0.9, nesterov=True).optimizer
        'sgd'
    """

    optimizer: Optimizer = "adam"
    learning_rate: Positive = 1e-3
    momentum: Fraction = 0.0
    nesterov: bool = False
    weight_decay: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    label_smoothing: Fraction = 0.0
    normalization: Normalization = "unit"
    horizontal_flip: bool = False
    batch_size: Count | None = None
    epochs: Count | None = None
    precision: Precision | None = None

    def __post_init__(self) -> None:
        if self.nesterov and self.optimizer != "sgd":
            raise ValueError(f"nesterov is an option of sgd; received optimizer={self.optimizer!r}")
        if self.momentum and self.optimizer not in {"sgd", "rmsprop"}:
            raise ValueError(f"momentum is an option of sgd and rmsprop; received optimizer={self.optimizer!r}")


def describe(recipe: Recipe) -> str:
    """Return what a recipe says beyond the defaults, such as `optimizer=sgd, learning_rate=0.1`."""
    said: dict[str, object] = msgspec.to_builtins(recipe)
    return ", ".join(f"{name}={value}" for name, value in said.items()) or "all defaults"
