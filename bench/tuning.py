"""Which settings of one training can be tried, and what each changes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.config import Jit, Onednn, RunConfig
    from bench.recipe import Precision
    from bench.records import Cell, Device

# What changes the arithmetic: another batch size or precision is another training, of another accuracy.
ARITHMETIC = ("batch_size", "precision")
# What leaves it as it is, but for rounding and the order of additions.
SPEED = ("device", "steps_per_execution", "jit", "onednn")
# In this order one value of each is tried, then a second of each: where there is little time, the first ones are.
PROMISE = ("steps_per_execution", "batch_size", "precision", "jit", "device", "onednn")

CALLS = (10, 50, 1)
TIMES_THE_BATCH = (2.0, 4.0, 0.5)
# An epoch that holds less than two calls is one call and a rest: its speed would tell of this data set alone.
CALLS_AN_EPOCH = 2


@dataclass(frozen=True, kw_only=True)
class Options:
    """The values that each part of a setting may take, the most promising first; the default's own may be among them.

    Attributes:
        device: Thread counts of the CPU; empty for a GPU.
        batch_size: Images a step.
        steps_per_execution: Steps that one call makes.
        precision: Keras dtype policies.
        jit: XLA, off or on.
        onednn: OneDNN, on or off.
    """

    device: tuple[Device, ...] = ()
    batch_size: tuple[int, ...] = ()
    steps_per_execution: tuple[int, ...] = ()
    precision: tuple[Precision, ...] = ()
    jit: tuple[Jit, ...] = ()
    onednn: tuple[Onednn, ...] = ()


def find_options(default: Cell, config: RunConfig, devices: Sequence[Device]) -> Options:
    """What can be tried on the default's device. Where the user named several values, they are all that is tried.

    Args:
        default: The setting that everything is compared with.
        config: What was asked for.
        devices: CPU devices that can be had.
    """
    on_gpu = default.device.kind == "gpu"
    mixed: Precision = "mixed_float16" if on_gpu else "mixed_bfloat16"
    batches = _several(config.batch_size) or tuple(round(times * default.batch_size) for times in TIMES_THE_BATCH)
    return Options(
        device=() if on_gpu else _by_threads(devices),
        batch_size=_by_promise(batches, default.batch_size),
        steps_per_execution=CALLS,
        precision=_several(config.precision) or (mixed, "float32"),
        jit=("on", "off"),
        onednn=() if on_gpu else ("off", "on"),
    )


def single_changes(default: Cell, options: Options) -> tuple[Cell, ...]:
    """The settings that differ from the default in one thing, the most promising first."""
    changed = (
        [replace(default, **{name: value}) for value in getattr(options, name) if value != getattr(default, name)]
        for name in PROMISE
    )
    rounds = chain.from_iterable(zip_longest(*changed))
    return tuple(dict.fromkeys(cell for cell in rounds if cell is not None and _fits_an_epoch(cell)))


def combined(default: Cell, cells: Iterable[Cell]) -> Cell:
    """The default with all that cells change, earlier ones first where two change the same."""
    changes: dict[str, Any] = {}
    for cell in cells:
        for name in changes_of(cell, default):
            changes.setdefault(name, getattr(cell, name))
    both = replace(default, **changes)
    return both if _fits_an_epoch(both) else replace(both, steps_per_execution=default.steps_per_execution)


def changes_of(cell: Cell, default: Cell) -> tuple[str, ...]:
    """The fields in which a setting differs from the default."""
    return tuple(name for name in (*SPEED, *ARITHMETIC) if getattr(cell, name) != getattr(default, name))


def keeps_arithmetic(cell: Cell, default: Cell) -> bool:
    """Whether the training is the same but for rounding and the order of additions."""
    return not set(changes_of(cell, default)) & set(ARITHMETIC)


def _several(values: tuple[Any, ...]) -> tuple[Any, ...]:
    return values if len(values) > 1 else ()


def _by_promise(batch_sizes: Iterable[int], default: int) -> tuple[int, ...]:
    """Larger ones first, from the next one on."""
    sizes = sorted({size for size in batch_sizes if size >= 1})
    return (*(size for size in sizes if size > default), *(size for size in reversed(sizes) if size < default))


def _by_threads(devices: Iterable[Device]) -> tuple[Device, ...]:
    """Many threads first, but siblings, which share cores, last."""
    return tuple(sorted(devices, key=lambda device: (device.siblings, -device.threads)))


def _fits_an_epoch(cell: Cell) -> bool:
    calls = cell.steps_per_execution
    return cell.batch_size <= cell.dataset.num_train and (calls == 1 or cell.steps_per_epoch >= CALLS_AN_EPOCH * calls)
