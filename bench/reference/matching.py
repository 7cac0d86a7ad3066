"""Which reference curves hold for a cell, and why others do not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.recipe import Recipe, describe_fields, differing_fields
from bench.schedule import is_constant

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from bench.records import Cell
    from bench.reference.curve import ReferenceCurve

_OF_SPEED = ("convolutions",)  # of a recipe: they change what a step takes, and what it computes by rounding alone
NEXT_STEP = "train it once, on any machine, and add that run: `python -m bench reference add RUN`"


@dataclass(frozen=True, kw_only=True)
class Match:
    """A curve that holds for a cell.

    Attributes:
        curve: The curve.
        same_order: Whether its images were taken in the cell's order, so that the same ones were held back.
        notes: What should be known of the match, in words; empty where everything is the same.
    """

    curve: ReferenceCurve
    same_order: bool
    notes: tuple[str, ...]


def find(cell: Cell, references: Iterable[ReferenceCurve]) -> tuple[Match, ...]:
    """Find the curves that hold for a cell, on whatever device.

    A measured curve holds for the same model file, recipe, batch size, precision and images. At a constant rate the
    first epochs of a training do not depend on how many follow, so its curve serves every shorter training and budgets
    of time; under a schedule it serves trainings of as many epochs alone. A published curve, whose recipe and images
    are not known, is taken for what the default recipe in float32 would reach: it holds for that with the same model
    file, data set by name, batch size and epochs, the whole training set and as many test images.

    Args:
        cell: What is to be trained.
        references: Curves to choose from.

    Returns:
        The best one first: measured before published; of as many epochs as the cell has, whose end was tested, before
        others, and longer ones for a budget; then more seeds, and the cell's own order of images before another.
    """
    matches = [_match(cell, curve) for curve in references if not differences(cell, curve)]
    return tuple(sorted(matches, key=lambda match: _rank(cell, match)))


def missing(cell: Cell, references: Sequence[ReferenceCurve]) -> str:
    """Say why no curve holds for a cell: how the nearest one differs, and what to do.

    Args:
        cell: What is to be trained.
        references: Curves to choose from.

    Returns:
        A sentence; empty where a curve does hold.
    """
    if find(cell, references):
        return ""
    wanted = f"{cell.model.name} on {cell.dataset.name}, batch size {cell.batch_size}"
    of_model = [curve for curve in references if cell.model.name == curve.model or _is_model(cell, curve)]
    if not of_model:
        others = ", ".join(sorted({curve.model for curve in references})) or "none at all"
        return f"there is no reference curve of {cell.model.name} (there are of: {others}); {NEXT_STEP}"
    nearest = min(of_model, key=lambda curve: _distance(cell, curve))
    return (
        f"no reference curve holds for {wanted}; nearest: {nearest.model} on {nearest.dataset}, batch size "
        f"{nearest.batch_size}: {'; '.join(differences(cell, nearest))}; {NEXT_STEP}"
    )


def differences(cell: Cell, curve: ReferenceCurve) -> tuple[str, ...]:
    """Return in words what keeps a curve from holding for a cell; nothing where it holds."""
    return tuple(_differences(cell, curve))


def serves_every_length(recipe: Recipe) -> bool:
    """Return whether nothing in a training changes with its progress, so that its length changes no earlier epoch."""
    return is_constant(recipe) and not recipe.stages


def _differences(cell: Cell, curve: ReferenceCurve) -> Iterator[str]:
    if not _is_model(cell, curve):
        yield (f"of another version of {curve.model}'s file" if cell.model.name == curve.model else f"of {curve.model}")
    recipe = curve.recipe or Recipe()
    fields = [field for field in differing_fields((recipe, cell.recipe)) if field not in _OF_SPEED]
    if fields:
        how = "trained" if curve.recipe else "not known to be trained otherwise than"
        yield f"{how} with {describe_fields(recipe, fields)}, this cell with {describe_fields(cell.recipe, fields)}"
    if curve.batch_size != cell.batch_size:
        yield f"trained with batch size {curve.batch_size}, this cell with {cell.batch_size}"
    if (curve.precision or "float32") != cell.precision:
        yield f"trained in {curve.precision or 'float32, as far as is known'}, this cell in {cell.precision}"
    if curve.weights_sha256 != (cell.weights.sha256 if cell.weights else ""):
        yield "trained from other weights than this cell"
    yield from _data_differences(cell, curve)
    yield from _length_difference(cell, curve)


def _data_differences(cell: Cell, curve: ReferenceCurve) -> Iterator[str]:
    data = cell.dataset
    if curve.published:
        if curve.dataset != data.name:
            yield f"published on {curve.dataset}, this cell is on {data.name}"
        whole = curve.num_train + curve.num_validation
        if whole != data.num_train + data.num_validation:
            yield f"published with {whole:,} training images, this cell has {data.num_train + data.num_validation:,}"
        if curve.num_test != data.num_test:
            yield f"published with {curve.num_test:,} test images, this cell has {data.num_test:,}"
    else:
        counts = [
            (curve.num_train, data.num_train, "training images"),
            (curve.num_validation, data.num_validation, "validation images"),
            (curve.num_test, data.num_test, "test images"),
        ]
        differing = [
            f"measured with {theirs:,} {what}, this cell has {ours:,}"
            for theirs, ours, what in counts
            if theirs != ours
        ]
        yield from differing
        if not differing and not _is_same_order(cell, curve) and not _is_same_content(cell, curve):
            yield _other_images(cell, curve)
    if curve.num_classes != data.num_classes:
        yield f"of {curve.num_classes} classes, this cell of {data.num_classes}"


def _other_images(cell: Cell, curve: ReferenceCurve) -> str:
    if curve.dataset_content and cell.dataset.content:
        return f"measured on other images, of {curve.dataset}"
    lacking = "this cell" if curve.dataset_content else "the curve"
    return (
        f"measured on other images of {curve.dataset}, or on the same in another order, which cannot be told because "
        f"{lacking} has no digest of its content"
    )


def _length_difference(cell: Cell, curve: ReferenceCurve) -> Iterator[str]:
    ours = "a budget of time" if cell.epochs is None else f"{cell.epochs} epochs"
    if curve.recipe is None:
        if cell.epochs != curve.epochs:
            yield f"published after {curve.epochs} epochs, this cell has {ours}"
    elif not serves_every_length(curve.recipe):
        if cell.epochs != curve.epochs:
            yield f"its schedule spans {curve.epochs} epochs, this cell's {ours}"
    elif cell.epochs != curve.epochs and not any(seed.val_accuracy for seed in curve.seeds):
        yield f"only its end after {curve.epochs} epochs is known, this cell has {ours}"
    elif cell.epochs is not None and cell.epochs > curve.epochs:
        yield f"it ends after {curve.epochs} epochs, this cell has {ours}"


def _is_model(cell: Cell, curve: ReferenceCurve) -> bool:
    return cell.model.sha256 == curve.model_sha256


def _is_same_order(cell: Cell, curve: ReferenceCurve) -> bool:
    return curve.dataset_sha256 == cell.dataset.sha256


def _is_same_content(cell: Cell, curve: ReferenceCurve) -> bool:
    return bool(cell.dataset.content) and curve.dataset_content == cell.dataset.content


def _match(cell: Cell, curve: ReferenceCurve) -> Match:
    same_order = _is_same_order(cell, curve)
    notes = []
    if curve.published:
        notes.append(f"published by {curve.published.source}; its recipe is not known, and taken for the default one")
        if held_back := cell.dataset.num_validation - curve.num_validation:
            notes.append(f"published without holding back the {held_back:,} validation images of this cell")
    elif not same_order:
        notes.append("measured on the same images in another order")
    return Match(curve=curve, same_order=same_order, notes=tuple(notes))


def _rank(cell: Cell, match: Match) -> tuple[bool, bool, int, int, bool]:
    curve = match.curve
    # How far a budget reaches is not known here, so the longest curve serves it best.
    ends_elsewhere = curve.epochs != cell.epochs
    length = -curve.epochs if cell.epochs is None else 0
    return curve.published is not None, ends_elsewhere, length, -len(curve.seeds), not match.same_order


def _distance(cell: Cell, curve: ReferenceCurve) -> tuple[bool, bool, bool, int]:
    return (
        not _is_model(cell, curve),
        curve.dataset != cell.dataset.name,
        curve.published is not None,
        len(differences(cell, curve)),
    )
