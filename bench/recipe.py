"""How a model is trained, as plain data."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

Optimizer = Literal["adam", "adamw", "rmsprop", "sgd", "muon", "lbfgs"]
Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]
Normalization = Literal["unit", "standard"]
BudgetClock = Literal["train", "fit", "wall"]
Convolutions = Literal["direct", "winograd"]
Schedule = Literal["constant", "step", "cosine", "linear", "one_cycle"]

Positive = Annotated[float, msgspec.Meta(gt=0)]
Fraction = Annotated[float, msgspec.Meta(ge=0, lt=1)]
Share = Annotated[float, msgspec.Meta(gt=0, lt=1)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Epochs = Annotated[int, msgspec.Meta(ge=0)]
Pixels = Annotated[int, msgspec.Meta(ge=0)]
Stage = tuple[Count, Share]
Key = TypeVar("Key")

# Options that not every optimizer has.
_OPTIONS = {"momentum": ("sgd", "rmsprop", "muon"), "nesterov": ("sgd", "muon"), "adam_lr_ratio": ("muon",)}

STEP_AT = (0.5, 0.75)
STEP_FACTOR = 0.1
ADAM_LR_RATIO = 0.1
PROBE_PASSES = 60  # over all training images that a linear probe makes at most for each strength of its regularisation


class Recipe(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """How a model is trained.

    A model file may carry one as `RECIPE = Recipe(...)`, written with literal values: it is read without importing
    the file. What changes while a model is trained is a function of *progress*, from 0 to 1: the share of the steps
    that are done, or of the time where a budget ends the training (`bench.schedule`).

    Args:
        optimizer: The Keras optimizer; `"muon"` trains kernels, of convolutions too, by their orthogonalised momentum
            (Jordan 2024, https://kellerjordan.github.io/posts/muon), and by AdamW what is no kernel, and the last
            layer; or `"lbfgs"`, which fits a single layer behind a frozen part to all training
            images at once (a linear probe): each of its epochs is a weaker L2 regularisation, and the one of the
            highest validation accuracy is kept (docs/zoo.md). Defaults to `"adam"`.
        learning_rate: The highest of the run. Defaults to 0.001.
        schedule: How the learning rate goes on from there. `"constant"`; `"step"` multiplies it by `step_factor` at
            each of `step_at`; `"cosine"` and `"linear"` take it down to `final_rate`; `"one_cycle"` takes it up from
            a 25th and down to a 250,000th along half cosines (Smith & Topin 2018, as fast.ai has it), without cycling
            the momentum. Defaults to `"constant"`.
        warmup: Share of the training in which the learning rate first rises from 0, linearly. The peak of `one_cycle`
            lies at its end, or at 0.3 if it is 0. Defaults to 0.
        final_rate: Share of the learning rate that `cosine` and `linear` end at. Defaults to 0.
        step_at: Shares of the training at which `step` falls, growing. Defaults to half and three quarters.
        step_factor: Of `step`. Defaults to 0.1.
        momentum: Of `sgd`, `rmsprop` and `muon`. Defaults to 0.
        nesterov: Of `sgd` and `muon`. Defaults to False.
        adam_lr_ratio: Of `muon`: AdamW's learning rate, as a share of the other. Defaults to 0.1.
        weight_decay: Decoupled from the gradient (Loshchilov & Hutter 2019), as every Keras optimizer applies it,
            to all trainable variables. Defaults to 0.
        label_smoothing: Share of the label's weight that is spread over all classes. Defaults to 0.
        ema_momentum: Of an exponential moving average of the weights, with which the model is validated and tested.
            Defaults to 0, no average.
        normalization: How uint8 pixels become float32: `"unit"` divides by 255, `"standard"` also subtracts the
            training images' mean and divides by their standard deviation, per channel. Defaults to `"unit"`.
        stages: Images are smaller at first: `(height, until)` for each stage, `until` a share of the training; after
            the last one they have their own size, as they always have in validation and test. The width follows. The
            model must take images of any size: it is built for `(None, None, channels)`. Defaults to none.
        horizontal_flip: Mirror training images: True mirrors each with probability 1/2 whenever it is seen;
            `"alternating"` mirrors half of them in the first epoch and the others in the next, and so on, so that
            two epochs show both sides of each (Jordan 2024, arXiv 2404.00498). Defaults to False.
        shift_pixels: Shift each training image by up to so many pixels along both axes, mirrored at its edges; in
            pixels of the whole image, fewer in a stage of smaller ones. Defaults to 0.
        rotation_degrees: Turn each training image by up to so many degrees to either side, bilinearly, mirrored at
            its edges. Defaults to 0.
        cutout_pixels: Cover a square of this side at a random place of each training image, in the training images'
            mean colour (DeVries & Taylor 2017); in pixels of the whole image likewise. Defaults to 0.
        weights: What the model starts with: `"none"` draws them; a name such as `"imagenet"` stands for weights that
            its file names, and the path of a file or folder for others of the same format. Defaults to `"none"`.
        input_pixels: Height to which the model resizes its images in its graph. Defaults to 0, the model's own choice.
        frozen_until: Name of a layer: it and all that it is computed from keep their weights. What it puts out is
            computed once for each image, before the training, and remembered (docs/zoo.md); of the augmentation only
            flips are possible then. Of several names, joined by "+", each one's average over the pixels is taken, and a
            linear layer on all of them takes the place of the rest. Defaults to none, all layers are trained.
        batch_size: Images a step, where no flag says otherwise. None leaves it to the preset.
        epochs: Passes over the training images, where no flag says otherwise; 0 tests the model as it was built.
            None leaves it to the preset.
        precision: The Keras dtype policy, where no flag says otherwise. None leaves it to the preset.
        convolutions: `"winograd"` computes 3×3 convolutions on a CPU, in float32 without XLA, with a half to a third
            of the multiplications where they have channels enough (Lavin & Gray 2016, arXiv 1509.09308;
            docs/training.md); on a GPU cuDNN chooses by itself, and this changes nothing. Defaults to `"direct"`.

    Example:
        >>> Recipe(optimizer="sgd", learning_rate=0.1, momentum=0.9, schedule="linear", warmup=0.2).optimizer
        'sgd'
    """

    optimizer: Optimizer = "adam"
    learning_rate: Positive = 1e-3
    schedule: Schedule = "constant"
    warmup: Fraction = 0.0
    final_rate: Fraction = 0.0
    step_at: tuple[Share, ...] = STEP_AT
    step_factor: Share = STEP_FACTOR
    momentum: Fraction = 0.0
    nesterov: bool = False
    adam_lr_ratio: Positive = ADAM_LR_RATIO
    weight_decay: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    label_smoothing: Fraction = 0.0
    ema_momentum: Fraction = 0.0
    normalization: Normalization = "unit"
    stages: tuple[Stage, ...] = ()
    horizontal_flip: bool | Literal["alternating"] = False
    shift_pixels: Pixels = 0
    rotation_degrees: Annotated[float, msgspec.Meta(ge=0, le=180)] = 0.0
    cutout_pixels: Pixels = 0
    weights: str = "none"
    input_pixels: Pixels = 0
    frozen_until: str = ""
    batch_size: Count | None = None
    epochs: Epochs | None = None
    precision: Precision | None = None
    convolutions: Convolutions = "direct"

    def __post_init__(self) -> None:
        for name in ("learning_rate", "adam_lr_ratio", "weight_decay"):
            if not math.isfinite(getattr(self, name)):  # JSON has no infinity
                raise ValueError(f"{name} must be finite; received {getattr(self, name)}")
        for name, optimizers in _OPTIONS.items():
            if getattr(self, name) != _default(name) and self.optimizer not in optimizers:
                raise ValueError(
                    f"{name} is an option of {', '.join(optimizers)}; received optimizer={self.optimizer!r}"
                )
        if self.final_rate and self.schedule not in {"linear", "cosine"}:
            raise ValueError(f"final_rate is an option of linear and cosine; received schedule={self.schedule!r}")
        if self.schedule != "step" and (self.step_at, self.step_factor) != (STEP_AT, STEP_FACTOR):
            raise ValueError(f"step_at and step_factor are options of step; received schedule={self.schedule!r}")
        if self.weights != "none" and self.normalization != "unit":
            raise ValueError(
                f"pre-trained weights come with a normalisation of their own, which their model makes from "
                f"normalization='unit'; received normalization={self.normalization!r}"
            )
        if self.frozen_until:
            self._check_frozen()
        elif self.optimizer == "lbfgs":
            raise ValueError("lbfgs fits a single layer behind a frozen part; set frozen_until too")
        _require_growing("step_at", self.step_at)
        _require_growing("the ends of stages", [until for _, until in self.stages])

    @property
    def views(self) -> int:
        """How many features a frozen part puts out for each training image: for its mirror image too, if it is one."""
        return 2 if self.horizontal_flip else 1

    def _check_frozen(self) -> None:
        """What a frozen part puts out is computed once: it must be the same, or one of two, each time."""
        for name in ("stages", "shift_pixels", "rotation_degrees", "cutout_pixels"):
            if getattr(self, name):
                raise ValueError(
                    f"{name} changes what the frozen part sees from epoch to epoch, and it is computed only once; "
                    f"leave out {name} or frozen_until={self.frozen_until!r}"
                )
        if self.optimizer == "lbfgs":
            for name in ("schedule", "warmup", "ema_momentum", "weight_decay"):
                if getattr(self, name) != _default(name):
                    raise ValueError(f"{name} is no option of lbfgs, which chooses its own regularisation and steps")


def _default(name: str) -> object:
    return Recipe.__struct_defaults__[Recipe.__struct_fields__.index(name)]


def describe(recipe: Recipe) -> str:
    """Return what a recipe says beyond the defaults, such as `optimizer=sgd, learning_rate=0.1`."""
    said: dict[str, object] = msgspec.to_builtins(recipe)
    return ", ".join(f"{name}={show(value)}" for name, value in said.items()) or "all defaults"


def beyond_defaults(recipe: Recipe) -> dict[str, object]:
    """Return what a recipe has that is not the default: the same for equal recipes, however they were written.

    What msgspec encodes also has a default that was written out.
    """
    plain = Recipe()
    said = {name: getattr(recipe, name) for name in Recipe.__struct_fields__}
    return {name: value for name, value in said.items() if value != getattr(plain, name)}


def differing_fields(recipes: Iterable[Recipe]) -> tuple[str, ...]:
    """Return the names of the fields that are not the same in all of some recipes."""
    several = list(recipes)
    return tuple(name for name in Recipe.__struct_fields__ if len({getattr(recipe, name) for recipe in several}) > 1)


def differing_by(recipes: Iterable[tuple[Key, Recipe]]) -> dict[Key, tuple[str, ...]]:
    """Return the fields that differ among the recipes of each key, such as each model."""
    by_key: dict[Key, list[Recipe]] = {}
    for key, recipe in recipes:
        by_key.setdefault(key, []).append(recipe)
    return {key: differing_fields(several) for key, several in by_key.items()}


def describe_fields(recipe: Recipe, names: Iterable[str]) -> str:
    """Return some fields of a recipe, defaults too, such as `label_smoothing=0, horizontal_flip=true`."""
    return ", ".join(f"{name}={show(msgspec.to_builtins(getattr(recipe, name)))}" for name in names)


def show(value: object) -> str:
    """Return a value as `--recipe-set` takes it: words without quotes, the rest as JSON."""
    match value:
        case str():
            return value
        case float():
            return f"{value:g}"  # 0, not 0.0
        case _:
            return msgspec.json.encode(value).decode()


def _require_growing(what: str, shares: Iterable[float]) -> None:
    listed = list(shares)
    if any(later <= earlier for earlier, later in pairwise(listed)):
        raise ValueError(f"{what} must grow; received {', '.join(map(str, listed))}")
