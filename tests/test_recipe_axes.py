"""`--recipe-set`: fields of the recipe as axes of the matrix."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bench.errors import UsageError
from bench.recipe import Recipe, describe_fields, differing_fields
from bench.recipe_axes import check, parse, variants


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("label_smoothing=0,0.2", {"label_smoothing": (0, 0.2)}),
        ("label-smoothing = 0 , 0.2", {"label_smoothing": (0, 0.2)}),
        ("schedule=linear,one_cycle", {"schedule": ("linear", "one_cycle")}),
        ("horizontal_flip=true,alternating", {"horizontal_flip": (True, "alternating")}),
        ("stages=[],[[20,0.25],[24,0.55]]", {"stages": ([], [[20, 0.25], [24, 0.55]])}),
        ("step_at=[0.3,0.6]", {"step_at": ([0.3, 0.6],)}),
    ],
)
def test_an_axis_is_a_field_with_its_values(text: str, expected: Any) -> None:
    """Values are words or JSON; commas within brackets do not part them."""
    assert parse([text]) == expected
    check(parse([text]))


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ([1], "such as label_smoothing=0,0.2; got 1"),
        (["label_smoothing"], "such as label_smoothing=0,0.2; got 'label_smoothing'"),
        (["label_smoothing="], "such as label_smoothing=0,0.2; got 'label_smoothing='"),
        (["warmup=0", "warmup=0.1"], "names warmup twice; give all its values in one, warmup=A,B"),
    ],
)
def test_a_text_that_is_no_axis_is_refused(texts: list[Any], said: str) -> None:
    """The error shows the form and what was received."""
    with pytest.raises(UsageError, match=said):
        parse(texts)


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        ({"label_smooting": (0,)}, "a recipe has no 'label_smooting' \\(did you mean 'label_smoothing'\\?\\)"),
        ({"warmup": (0, 1.5)}, "warmup: Expected `float` < 1.0; received 1.5"),
        ({"schedule": ("linar",)}, "schedule: Invalid enum value 'linar'; received linar"),
        ({"shift_pixels": (-1,)}, "shift_pixels: Expected `int` >= 0; received -1"),
        (
            {"stages": ([[20]],)},
            "stages: Expected `array` of length 2, got 1; received \\[\\[20\\]\\]; a value is \\[\\[20,0.25\\]",
        ),
        ({"horizontal_flip": ("maybe",)}, "received maybe; a value is false, true or alternating"),
        ({"warmup": ()}, "warmup needs a value"),
    ],
)
def test_a_value_that_no_recipe_takes_is_refused(axes: Any, said: str) -> None:
    """The error names the field, what it takes, and what was received."""
    with pytest.raises(UsageError, match=said):
        check(axes)


def test_variants_are_the_product() -> None:
    """Each combination of values once, the first axis changing slowest; what no axis names stays."""
    found = variants(Recipe(optimizer="sgd"), {"momentum": (0, 0.9), "nesterov": (False, True)})
    assert [(r.optimizer, r.momentum, r.nesterov) for r in found] == [
        ("sgd", 0.0, False),
        ("sgd", 0.0, True),
        ("sgd", 0.9, False),
        ("sgd", 0.9, True),
    ]
    assert variants(Recipe(), {}) == (Recipe(),)


def test_a_value_that_equals_the_default_is_the_default() -> None:
    """Two ways to the same recipe give the same bytes, so that they give the same trial."""
    (said,) = variants(Recipe(learning_rate=float("0.001")), {"label_smoothing": (0,), "step_at": ([0.5, 0.75],)})
    assert said == Recipe()
    assert msgspec.json.encode(said) == b"{}"


def test_values_that_do_not_go_together_are_refused() -> None:
    """A recipe's own rules hold for every combination, and the error says which one broke them."""
    with pytest.raises(UsageError, match=r"momentum is an option of sgd, .*with momentum=0\.9; set the other"):
        variants(Recipe(), {"momentum": (0, 0.9)})


def test_what_differs_is_named_with_its_values() -> None:
    """Fields that recipes share are left out, defaults that others changed are not."""
    recipes = [Recipe(warmup=0.1), Recipe(warmup=0.1, horizontal_flip="alternating"), Recipe(warmup=0.1)]
    assert differing_fields(recipes) == ("horizontal_flip",)
    assert [describe_fields(recipe, ["horizontal_flip", "warmup"]) for recipe in recipes[:2]] == [
        "horizontal_flip=false, warmup=0.1",
        "horizontal_flip=alternating, warmup=0.1",
    ]
