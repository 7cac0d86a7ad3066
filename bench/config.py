"""What the user asked for: presets < bench.toml < flags -> RunConfig."""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import msgspec

from bench import recipe_axes
from bench.errors import UsageError
from bench.recipe import BudgetClock, Count, Epochs, Fraction, Positive, Precision, Recipe

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Jit = Literal["off", "on"]
Onednn = Literal["off", "on"]
Order = Literal["interleaved", "grouped", "random"]
PeakSource = Literal["cached", "refresh", "off"]
RecipeSource = Literal["model", "common"]
StopWhen = Literal["never", "hopeless"]
FolderName = Annotated[str, msgspec.Meta(pattern=r"^[^/\\]+$")]
Seed = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]


class RunConfig(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """What a run was asked to do; every field is a flag of `python -m bench run` and a name in `bench.toml`.

    Fields that are tuples are axes of the matrix. An empty tuple, or None, leaves the choice to each model's recipe
    and then to `common`, the preset's own recipe. `timeout` and `sample_interval` are in seconds; `validation` is the
    share of the training images that is held back; `host_name` records the machine's network name. `recipe_set` maps
    fields of the recipe to the values that each takes in turn. `budget` is in seconds too: a training ends when its
    clock stands there, `budget_clock`. `target` is an accuracy on the validation images, a share of 1: a trial that is
    expected to end below it is ended early if `stop_when` is `hopeless`.
    """

    preset: str = "quick"
    model: tuple[str, ...] = ()
    device: tuple[str, ...] = ()
    dataset: str = "synthetic"
    epochs: Epochs | None = None
    budget: tuple[Positive, ...] = ()
    budget_clock: BudgetClock = "fit"
    batch_size: tuple[Count, ...] = ()
    precision: tuple[Precision, ...] = ()
    jit: tuple[Jit, ...] = ("off",)
    onednn: tuple[Onednn, ...] = ("on",)
    steps_per_execution: Count = 1
    recipe: RecipeSource = "model"
    recipe_set: dict[str, tuple[Any, ...]] = {}
    common: Recipe = Recipe(epochs=1, batch_size=128, precision="float32")
    repeats: Count = 1
    seed: Seed = 0
    limit_train: Count | None = None
    limit_test: Count | None = None
    validation: Fraction = 0.1
    stop_when: StopWhen = "never"
    target: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    timeout: Positive | None = None
    force: bool = False
    order: Order = "interleaved"
    peak: PeakSource = "cached"
    sample_interval: Annotated[float, msgspec.Meta(ge=0.01, le=60)] = 0.2
    data_dir: str | None = None
    out: str = "reports"
    name: FolderName | None = None
    host_name: bool = False


PRESETS: dict[str, RunConfig] = {
    "quick": RunConfig(
        preset="quick",
        model=("mnist_cnn", "mbn_quarter"),
        dataset="synthetic",
        limit_train=2000,
        limit_test=1000,
        common=Recipe(epochs=3, batch_size=32, precision="float32"),
    ),
    # The founding experiment: every model by the one recipe of its report.
    "report": RunConfig(
        preset="report",
        model=("mnist_cnn", "mbn"),
        dataset="cifar100",
        recipe="common",
        common=Recipe(optimizer="adam", learning_rate=1e-3, epochs=15, batch_size=256, precision="float32"),
    ),
    # The large model's accuracy in the small one's time. All images are trained on: the recipe was chosen before.
    "sprint": RunConfig(
        preset="sprint",
        model=("sprint",),
        device=("cpu",),
        dataset="cifar100",
        budget=(600.0, 1800.0),
        budget_clock="wall",
        validation=0.0,
        common=Recipe(epochs=15, batch_size=512, precision="float32"),
    ),
    # What the founding report names and its author could not run, each by its own recipe: made to be forecast.
    "zoo": RunConfig(
        preset="zoo",
        model=(
            *("mnist_cnn", "mbn", "resnet20", "vit", "vgg16", "dcnn_gfe", "resnet50", "efficientnet_b0"),
            *("efficientnet_lite0", "clip"),
        ),
        dataset="cifar100",
        common=Recipe(optimizer="adam", learning_rate=1e-3, epochs=15, batch_size=256, precision="float32"),
    ),
}

_TUPLES = {"model", "device", "batch-size", "precision", "jit", "onednn", "budget"}
_SECONDS = {"timeout", "sample-interval", "budget"}
_UNITS_S = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_SHARE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(%?)")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")


def merge(flags: Mapping[str, Any], *, toml: Path | None = None) -> RunConfig:
    """Combine a preset, a configuration file and flags; later ones win.

    Args:
        flags: Field names in kebab case with the values that were given; None was not given.
        toml: A `bench.toml` with the same names.

    Returns:
        The whole configuration.

    Raises:
        UsageError: A name or a value that is not understood.
    """
    given = {name: value for name, value in flags.items() if value is not None and value != []}
    written = _read_toml(toml) if toml else {}
    for one, other in (("budget", "epochs"), ("epochs", "budget")):
        if one in given:
            written.pop(other, None)  # the flag wins over what the file says of the same thing in other words
    if given.get("stop-when") == "never":
        written.pop("target", None)
    asked = written | given
    preset = asked.get("preset", "quick")
    if not isinstance(preset, str) or preset not in PRESETS:
        raise UsageError(f"no preset {preset!r}; choose one of {', '.join(PRESETS)}")
    values = msgspec.to_builtins(PRESETS[preset])
    if "epochs" in asked:  # they replace a budget of the preset's
        values |= {"budget": [], "budget-clock": "fit"}
    if asked.get("dataset", values["dataset"]) != values["dataset"]:  # the preset's limits are for its own data set
        values |= {"limit-train": None, "limit-test": None}
    values |= {name: _normalized(name, value) for name, value in asked.items()}
    if isinstance(values["common"], dict):
        common = {name.replace("-", "_"): value for name, value in values["common"].items()}
        values["common"] = msgspec.to_builtins(PRESETS[preset].common) | common
    try:
        config = msgspec.convert(values, RunConfig, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(_explain(str(error), asked, toml)) from None
    _check_axes(config)
    if "budget-clock" in given and not config.budget:
        raise UsageError(f"--budget-clock {config.budget_clock} says what a budget covers; give --budget too")
    if config.stop_when == "hopeless" and config.target is None:
        raise UsageError("--stop-when hopeless needs the accuracy that is hoped for; give --target too, such as 0.5")
    if config.target is not None and config.stop_when == "never":
        raise UsageError(f"--target {config.target:g} says what --stop-when hopeless hopes for; give that too")
    return config


def parse_duration_s(text: str) -> float:
    """Return the seconds of `90`, `90s`, `30m` or `2h`.

    Raises:
        UsageError: It is none of these.
    """
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None or match[2] not in _UNITS_S:
        raise UsageError(f"a duration is 90, 90s, 30m or 2h; received {text!r}")
    return float(match[1]) * _UNITS_S[match[2]]


def parse_accuracy(text: str) -> float:
    """Return the share of 1 that `0.6` or `60%` is.

    Raises:
        UsageError: It is none of these, 0, or more than 1.
    """
    match = _SHARE.fullmatch(text.strip())
    share = float(match[1]) / (100 if match[2] else 1) if match else math.nan
    if not 0 < share <= 1:
        raise UsageError(f"--target is an accuracy, written 0.6 or 60%; received {text!r}")
    return share


def _check_axes(config: RunConfig) -> None:
    recipe_axes.check(config.recipe_set)
    if not all(map(math.isfinite, config.budget)):
        raise UsageError(f"--budget must be finite; received {', '.join(map(str, config.budget))}")
    if config.budget and config.epochs is not None:
        raise UsageError("--budget and --epochs both say when a training ends; give one of them")
    for name in ("epochs", "batch_size", "precision"):
        if name in config.recipe_set and getattr(config, name) not in {None, ()}:
            flag = name.replace("_", "-")
            raise UsageError(f"--{flag} and --recipe-set {name} both say the same; give one of them")
    if config.budget and "epochs" in config.recipe_set:
        raise UsageError("--budget and --recipe-set epochs both say when a training ends; give one of them")


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}; --config takes a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not TOML: {error}") from error
    fields = {field.encode_name for field in msgspec.structs.fields(RunConfig)}
    for name in content:
        if name not in fields:
            close = difflib.get_close_matches(name, fields, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise UsageError(f"{path}: no option {name!r}{hint}; its names are the flags of `python -m bench run`")
    return content


def _normalized(name: str, value: object) -> object:
    if name == "recipe-set":
        return recipe_axes.parse(value) if isinstance(value, list | tuple) else _tables(value)
    if name == "target" and isinstance(value, str):
        return parse_accuracy(value)
    if name in _TUPLES:
        items = value if isinstance(value, list | tuple) else [value]
        parts = [part.strip() if isinstance(part, str) else part for item in items for part in _split(item)]
        return [_seconds(name, part) for part in parts] if name in _SECONDS else parts
    return _seconds(name, value) if name in _SECONDS else value


def _seconds(name: str, value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return parse_duration_s(value)
    except UsageError as error:
        raise UsageError(f"--{name}: {error}") from None


def _tables(value: object) -> object:
    """The table `[recipe-set]` of a file: a field with a list of values, or with a single one."""
    if not isinstance(value, dict):
        return value
    named = {name.replace("-", "_"): _listed(values) for name, values in value.items()}
    if len(named) < len(value):
        raise UsageError(f"[recipe-set] names a field twice, with - and with _; received {', '.join(value)}")
    return named


def _listed(values: object) -> list[object]:
    return values if isinstance(values, list) else [values]


def words(texts: Iterable[str]) -> list[str]:
    """Return the words of comma lists, as a repeatable flag has them; what is empty is none."""
    return [word.strip() for text in texts for word in text.split(",") if word.strip()]


def _split(item: object) -> list[object]:
    return list(item.split(",")) if isinstance(item, str) else [item]


def _explain(error: str, asked: Mapping[str, Any], toml: Path | None) -> str:
    """Turn msgspec's `Expected `int` >= 1 - at `$.batch-size[...]`` into a sentence that names the flag."""
    fact, _, place = error.partition(" - at `$.")
    if not place:
        return error
    name, _, inner = place.rstrip("`").partition("[")[0].partition(".")
    if name == "common":
        source = f"{toml}: [common]{f' {inner}' if inner else ''}"
    else:
        source = f"--{name} (flags or {toml})" if toml else f"--{name}"
    received = f"; received {asked[name]!r}" if name in asked else ""
    choices = _choices(_field_type(Recipe, inner) if inner else _field_type(RunConfig, name))
    expected = f"; choose from {', '.join(choices)}" if choices else ""
    return f"{source}: {fact}{received}{expected}"


def _field_type(struct: type[msgspec.Struct], name: str) -> object:
    return next(field.type for field in msgspec.structs.fields(struct) if field.encode_name == name)


def _choices(kind: object) -> tuple[str, ...]:
    """Return the words that a type allows, or none if it is not about words."""
    if get_origin(kind) is Literal:
        return get_args(kind)
    return next((words for part in get_args(kind) if (words := _choices(part))), ())
