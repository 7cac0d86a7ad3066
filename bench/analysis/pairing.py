"""Which cell of one run belongs to which of another, and what keeps their figures from being compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.recipe import describe_fields, differing_fields

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator

    from bench.records import Cell, DatasetSpec

_DIGITS = 12  # of a digest, enough to tell two apart


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The same cell in two runs, or what comes nearest to it.

    Attributes:
        base: In the first run.
        new: In the other one.
        obstacles: Why their figures are of different work, such as `batch size: 256 against 128`.
        changes: What else differs, and is what one may want to see the effect of.
    """

    base: Cell
    new: Cell
    obstacles: tuple[str, ...]
    changes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Pairing:
    """The cells of two runs.

    Attributes:
        pairs: In the order of the first run.
        only_base: Cells that the other run lacks.
        only_new: Cells that the first one lacks.
    """

    pairs: tuple[Pair, ...]
    only_base: tuple[Cell, ...]
    only_new: tuple[Cell, ...]


def pair_cells(base: Iterable[Cell], new: Iterable[Cell], *, cores: tuple[int, int] | None = None) -> Pairing:
    """Pair cells of one model, device, precision and setting; of several such, those that have most in common.

    Args:
        base: Cells of the first run.
        new: Cells of the other run.
        cores: Of two machines, how many each has to use: the number of threads may differ then, and all cores of one
            go with all of the other. Defaults to None, they ran on one.
    """
    ours, theirs = list(dict.fromkeys(base)), list(dict.fromkeys(new))
    candidates = [
        (len(pair.obstacles), _distance(a, b, cores), i, j, pair)
        for i, a in enumerate(ours)
        for j, b in enumerate(theirs)
        if _key(a, any_threads=cores is not None) == _key(b, any_threads=cores is not None)
        for pair in [_pair(a, b)]
    ]
    paired: dict[int, Pair] = {}
    taken: set[int] = set()
    for *_, i, j, pair in sorted(candidates, key=lambda candidate: candidate[:4]):
        if i not in paired and j not in taken:
            paired[i] = pair
            taken.add(j)
    return Pairing(
        pairs=tuple(paired[i] for i in sorted(paired)),
        only_base=tuple(cell for i, cell in enumerate(ours) if i not in paired),
        only_new=tuple(cell for j, cell in enumerate(theirs) if j not in taken),
    )


def _distance(base: Cell, new: Cell, cores: tuple[int, int] | None) -> int:
    """In how many things two cells of one key differ that are no obstacle; other cards are the furthest."""
    threads = (base.device.threads, new.device.threads)
    other_cards = base.device.gpu_uuids != new.device.gpu_uuids
    fields = len(differing_fields([base.recipe, new.recipe]))
    return 100 * other_cards + 10 * (threads != cores and threads[0] != threads[1]) + fields


def _key(cell: Cell, *, any_threads: bool) -> Hashable:
    """What a cell is known by; devices by their kind and size, as a GPU's index may change."""
    device = cell.device
    threads = 0 if any_threads or device.kind == "gpu" else device.threads
    weights = None if cell.weights is None else cell.weights.name
    return (
        (cell.model_label, weights),
        (device.kind, threads, device.siblings, len(device.gpu_uuids), device.host),
        (cell.precision, cell.jit, cell.onednn, cell.steps_per_execution),
    )


def _pair(base: Cell, new: Cell) -> Pair:
    return Pair(base=base, new=new, obstacles=tuple(_obstacles(base, new)), changes=tuple(_changes(base, new)))


def _obstacles(base: Cell, new: Cell) -> Iterator[str]:
    if base.batch_size != new.batch_size:
        yield f"batch size: {base.batch_size} against {new.batch_size}"
    yield from _data_obstacles(base.dataset, new.dataset)
    if (base.epochs, base.budget_s, base.budget_clock) != (new.epochs, new.budget_s, new.budget_clock):
        yield f"training: {_length(base)} against {_length(new)}"


def _data_obstacles(base: DatasetSpec, new: DatasetSpec) -> Iterator[str]:
    counts = [(spec.num_train, spec.num_validation, spec.num_test) for spec in (base, new)]
    if counts[0] != counts[1]:
        ours, theirs = (" + ".join(f"{count:,}" for count in listed) for listed in counts)
        yield f"images (training + validation + test): {ours} against {theirs}"
    elif base.sha256 != new.sha256 and not (base.content and base.content == new.content):
        ours, theirs = (f"{spec.name} ({spec.sha256[:_DIGITS]})" for spec in (base, new))
        yield f"data: {ours} against {theirs}"


def _changes(base: Cell, new: Cell) -> Iterator[str]:
    if base.device.threads != new.device.threads:
        yield f"threads: {base.device.threads} against {new.device.threads}"
    if base.model.sha256 != new.model.sha256:
        yield "its model file changed"
    if base.weights and new.weights and base.weights.sha256 != new.weights.sha256:
        yield "its weights changed"
    names = differing_fields([base.recipe, new.recipe])
    if names:
        yield f"recipe: {describe_fields(base.recipe, names)} against {describe_fields(new.recipe, names)}"


def _length(cell: Cell) -> str:
    if cell.budget_s is not None:
        return f"{cell.budget_s:g} s of {cell.budget_clock}"
    return f"{cell.epochs} epochs"
