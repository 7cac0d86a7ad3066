"""`--recipe-set`: fields of the recipe as axes of the matrix."""

from __future__ import annotations

import difflib
import itertools
from typing import TYPE_CHECKING, Any

import msgspec

from bench.errors import UsageError
from bench.recipe import Recipe, beyond_defaults, show

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Axes = dict[str, tuple[Any, ...]]

_FIELDS = {field.name: field.type for field in msgspec.structs.fields(Recipe)}


def parse(texts: Iterable[object]) -> Axes:
    """Read axes as the command line has them.

    Args:
        texts: `field=value,value`, a value being a word or JSON: `label_smoothing=0,0.2`, `stages=[],[[20,0.25]]`.

    Returns:
        The values by the name of their field.

    Raises:
        UsageError: A text is not of this form, or a field stands in two of them.
    """
    axes: Axes = {}
    for text in texts:
        if not isinstance(text, str):
            raise UsageError(f"--recipe-set takes a field and its values, such as label_smoothing=0,0.2; got {text!r}")
        name, equals, values = text.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not values:
            raise UsageError(f"--recipe-set takes a field and its values, such as label_smoothing=0,0.2; got {text!r}")
        if name in axes:
            raise UsageError(f"--recipe-set names {name} twice; give all its values in one, {name}=A,B")
        axes[name] = tuple(map(_value, _split(values)))
    return axes


def check(axes: Mapping[str, Sequence[Any]]) -> None:
    """Refuse what no recipe could take.

    Raises:
        UsageError: A recipe has no such field, or the field cannot have such a value.
    """
    for name, values in axes.items():
        if name not in _FIELDS:
            close = difflib.get_close_matches(name, _FIELDS, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise UsageError(f"--recipe-set: a recipe has no {name!r}{hint}; it has {', '.join(_FIELDS)}")
        if not values:
            raise UsageError(f"--recipe-set: {name} needs a value")
        for value in values:
            try:
                msgspec.convert({name: value}, _partial(name), strict=False)
            except msgspec.ValidationError as error:
                fact = str(error).partition(" - at `$")[0]
                raise UsageError(f"--recipe-set: {name}: {fact}; received {show(value)}{_hint(name)}") from None


def variants(recipe: Recipe, axes: Mapping[str, Sequence[Any]]) -> tuple[Recipe, ...]:
    """Return a recipe with each combination of the axes' values; equal recipes are encoded, and so keyed, alike.

    Raises:
        UsageError: Values that cannot stand in one recipe.
    """
    base = msgspec.to_builtins(recipe)
    return tuple(
        _convert(base | dict(zip(axes, values, strict=True)), changed=axes)
        for values in itertools.product(*axes.values())
    )


def _convert(fields: Mapping[str, Any], *, changed: Iterable[str]) -> Recipe:
    try:
        return _canonical(msgspec.convert(fields, Recipe, strict=False))
    except msgspec.ValidationError as error:
        given = ", ".join(f"{name}={show(fields[name])}" for name in changed)
        raise UsageError(f"--recipe-set: {error}, with {given}; set the other field too, or leave this out") from None


def _hint(name: str) -> str:
    """What a value looks like, for fields that are no single word or number."""
    examples = {
        "stages": "[[20,0.25],[24,0.55]], or [] for none; in a file, a list of such values",
        "step_at": "[0.5,0.75]; in a file, a list of such values",
        "horizontal_flip": "false, true or alternating",
    }
    return f"; a value is {examples[name]}" if name in examples else ""


def _canonical(recipe: Recipe) -> Recipe:
    """Leave to the defaults what equals them: msgspec leaves out a default only if it is the very same object."""
    said: dict[str, Any] = beyond_defaults(recipe)
    return Recipe(**said)


def _partial(name: str) -> type[msgspec.Struct]:
    """A record of this one field: what the recipe's other fields say is not asked yet."""
    return msgspec.defstruct("RecipeField", [(name, _FIELDS[name])], rename=None)


def _split(values: str) -> list[str]:
    """Cut at the commas that are in no brackets."""
    parts, depth = [""], 0
    for character in values:
        depth += (character == "[") - (character == "]")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def _value(text: str) -> Any:  # noqa: ANN401 -- whatever JSON holds
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
