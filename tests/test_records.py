"""The records that cross rooms: what a trial's key depends on, and how things are called."""

from __future__ import annotations

import re
from typing import Any, Literal, get_args, get_origin

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.recipe import Recipe, Stage, describe
from bench.records import Cell, Device, ModelSpec, Trial
from bench.weights.spec import WeightsSpec
from records_for_tests import CPU, DATASET, GPU, trial

# With an optimizer that takes every option.
WEIGHTS = WeightsSpec(name="imagenet", path="/somewhere/small.h5", sha256="b" * 64)
BASE = trial(recipe=Recipe(optimizer="sgd", schedule="step"), weights=WEIGHTS)
# No schedule has all options, and no optimizer.
SPECIAL = {
    "cell.recipe.final_rate": trial(recipe=Recipe(optimizer="sgd", schedule="linear"), weights=WEIGHTS),
    "cell.recipe.adam_lr_ratio": trial(recipe=Recipe(optimizer="muon"), weights=WEIGHTS),
}

# Where model file and weights lie does not change what comes out.
IRRELEVANT = {"cell.model.path", "cell.weights.path"}


def leaves(record: msgspec.Struct, prefix: str = "") -> dict[str, Any]:
    """The fields of a record and of those in it, by their dotted names, each with its type."""
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(record):
        value = getattr(record, field.name)
        if isinstance(value, msgspec.Struct):
            found |= leaves(value, f"{prefix}{field.name}.")
        else:
            found[prefix + field.name] = field.type
    return found


def another(value: Any, kind: Any) -> Any:  # noqa: PLR0911 -- a table
    """Some other value that the type allows."""
    if get_origin(kind) is Literal:
        return next(word for word in get_args(kind) if word != value)
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case float():
            return value / 2 + 0.01  # shares stay shares
        case str():
            return value + "x"
        case ():
            return {tuple[int, ...]: (7,), tuple[str, ...]: ("GPU-7",), tuple[Stage, ...]: ((20, 0.5),)}[kind]
        case tuple():
            return (another(value[0], None), *value[1:])
    assert value is None
    options = [option for option in get_args(kind) if option is not type(None)]
    if get_origin(options[0]) is Literal:
        return get_args(options[0])[0]
    return 7


def changed(record: Any, name: str, kind: Any) -> Any:
    """The record with one field, maybe of a record in it, changed."""
    first, _, rest = name.partition(".")
    value = getattr(record, first)
    return msgspec.structs.replace(record, **{first: changed(value, rest, kind) if rest else another(value, kind)})


def test_fewer_multiplications_are_for_a_cpu():
    """In float32 and without XLA: on a GPU cuDNN chooses by itself, and the others would not gain."""
    asked = Recipe(convolutions="winograd")
    assert trial(recipe=asked).cell.winograd
    assert not trial(recipe=asked, device=GPU).cell.winograd
    assert not trial(recipe=asked, precision="mixed_bfloat16").cell.winograd
    assert not trial(recipe=asked, jit="on").cell.winograd
    assert not trial().cell.winograd


@pytest.mark.parametrize(("name", "kind"), leaves(BASE).items(), ids=leaves(BASE))
def test_the_key_changes_with_everything_that_could_change_the_result(name: Any, kind: Any) -> None:
    """Any field of a trial, those of its cell, model, device, data set and recipe included, is part of the key."""
    base = SPECIAL.get(name, BASE)
    other = changed(base, name, kind)
    assert other != base
    assert (other.key == base.key) == (name in IRRELEVANT)


def test_keys_stay_what_they_are() -> None:
    """The folders of old runs are found again: this key was computed when schema 1 was made."""
    cell = Cell(
        model=ModelSpec(name="small", path="models/small.py", sha256="a" * 64),
        device=Device(kind="cpu", threads=2, cpus=(0, 1)),
        precision="float32",
        jit="off",
        batch_size=100,
        epochs=2,
        dataset=DATASET,
        recipe=Recipe(),
    )
    assert Trial(cell=cell, seed=3).key == "small-cpu-2-s3-76b2c4a6682a"


def test_the_key_does_not_depend_on_how_the_trial_came_about() -> None:
    """A trial that went through the disk has the key that it had."""
    assert msgspec.json.decode(msgspec.json.encode(BASE), type=Trial).key == BASE.key


@given(name=st.text(), seed=st.integers(0, 2**31 - 1))
def test_a_key_is_a_safe_folder_name(name: Any, seed: Any) -> None:
    """Whatever a model file is called, its trials' folders have portable names of moderate length."""
    key = trial(name, seed=seed).key
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*-s\d+-[0-9a-f]{12}", key)
    assert len(key) < 100


@pytest.mark.parametrize(
    "name", ["..", "a/../../b", "a\0b", "C:\\x", "-rf", "ünïcödé", "名前", "x" * 500, "a b\n", ".h"]
)
def test_nasty_names_stay_apart(name: Any) -> None:
    """Names that look alike in a folder's name still have keys of their own."""
    assert trial(name).key != trial(name + "'").key
    assert trial(name).key != trial(re.sub(r"\W", "-", name) + "-").key


@pytest.mark.parametrize(
    ("device", "label"),
    [
        (CPU, "cpu:2"),
        (GPU, "gpu:0"),
        (Device(kind="gpu", threads=2, gpu_uuids=("GPU-1", "GPU-2"), gpu_indices=(0, 1)), "gpu:0+1"),
        (Device(kind="gpu", threads=2), "gpu"),
    ],
)
def test_a_device_is_called_as_it_is_asked_for(device: Any, label: Any) -> None:
    """A device's label is in the grammar of `--device`."""
    assert device.label == label


@pytest.mark.parametrize(
    ("options", "label"),
    [
        ({}, "small cpu:2"),
        ({"device": GPU}, "small gpu:0"),
        ({"precision": "mixed_bfloat16"}, "small cpu:2 mixed_bfloat16"),
        ({"jit": "on"}, "small cpu:2 jit"),
        ({"onednn": "off"}, "small cpu:2 no oneDNN"),
        ({"precision": "mixed_float16", "jit": "on"}, "small cpu:2 mixed_float16 jit"),
    ],
)
def test_a_cell_is_called_by_what_is_not_the_plain_case(options: Any, label: Any) -> None:
    """Model and device are always named; precision, XLA and oneDNN only where they are not the default."""
    assert trial(**options).cell.label == label


def test_records_are_frozen() -> None:
    """Nobody changes a record that others hold."""
    with pytest.raises(AttributeError):
        BASE.seed = 1  # type: ignore[misc]  # this is what must fail
    assert hash(BASE.cell) == hash(trial(recipe=Recipe(optimizer="sgd", schedule="step"), weights=WEIGHTS).cell)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"optimizer": "adam", "nesterov": True}, "nesterov is an option of sgd, muon; received optimizer='adam'"),
        (
            {"optimizer": "rmsprop", "nesterov": True},
            "nesterov is an option of sgd, muon; received optimizer='rmsprop'",
        ),
        ({"optimizer": "adamw", "momentum": 0.9}, "momentum is an option of sgd, rmsprop, muon"),
        ({"optimizer": "sgd", "adam_lr_ratio": 0.2}, "adam_lr_ratio is an option of muon; received optimizer='sgd'"),
    ],
)
def test_a_recipe_refuses_options_that_would_do_nothing(options: Any, said: Any) -> None:
    """An option that the optimizer does not have is an error, not silence."""
    with pytest.raises(ValueError, match=said):
        Recipe(**options)
    with pytest.raises(msgspec.ValidationError, match=said):
        msgspec.convert(options, Recipe)


def test_a_recipe_is_described_by_what_it_says() -> None:
    """Defaults are left out; a recipe that says nothing is called so."""
    assert describe(Recipe()) == "all defaults"
    assert describe(Recipe(optimizer="sgd", learning_rate=0.1)) == "optimizer=sgd, learning_rate=0.1"
