"""Which trials cannot fit into memory, found before anything is measured.

The estimate needs the models built, which takes one more process at the start of a run; no trial's clock sees it. It is
made for every run, also where memory is plenty: only the built model tells how much is plenty, and every trial's
measured peak can then be held against its estimate.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING

from bench.catalog import Build
from bench.errors import ModelError
from bench.hardware.gpus import read_free_memory_bytes
from bench.hardware.memory import read_available_memory_bytes
from bench.launch.describing import describe_models
from bench.memory import Room, estimate, explain_shortage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bench.catalog import ModelDescription
    from bench.matrix import Plan
    from bench.recipe import Precision
    from bench.records import Cell, DatasetSpec, MemoryEstimate, Status

    Building = tuple[Precision, Build]


@dataclass(frozen=True, kw_only=True)
class Preflight:
    """What was found.

    Attributes:
        available_bytes: Host memory that a trial could take.
        descriptions: The models as they were built, by what `how_built` says of a cell.
        estimates: What each trial is expected to need, by its key.
        shortages: Of trials that cannot fit, by their key: the figures and the next step.
        problem: Why nothing is estimated, or None.
    """

    available_bytes: int
    descriptions: Mapping[Building, ModelDescription]
    estimates: Mapping[str, MemoryEstimate]
    shortages: Mapping[str, str]
    problem: str | None = None

    def refusals(self) -> dict[str, tuple[Status, str]]:
        """The trials that cannot fit, with the status and the reason of their row."""
        return {key: ("skipped", reason) for key, reason in self.shortages.items()}


def how_built(cell: Cell) -> Building:
    """The precision of a cell, and how its model is built."""
    return cell.precision, Build(
        spec=cell.model,
        any_size=bool(cell.recipe.stages),
        weights=cell.weights.path if cell.weights else "",
        input_pixels=cell.recipe.input_pixels,
        frozen_until=cell.recipe.frozen_until,
        winograd=cell.winograd,
    )


def examine_memory(plan: Plan, dataset: DatasetSpec, *, loading_bytes: int) -> Preflight:
    """Estimate the memory of every trial that is not refused yet, and compare it with what is available.

    Args:
        plan: The trials.
        dataset: Their data set.
        loading_bytes: What it takes while it is loaded.
    """
    available_bytes = read_available_memory_bytes()
    free_gpu_bytes = cache(read_free_memory_bytes)
    cells = {trial.key: trial.cell for trial in plan.trials if trial.key not in plan.refusals}
    try:
        descriptions = _describe(set(map(how_built, cells.values())), dataset)
    except ModelError as error:
        problem = f"memory is not estimated, so nothing is skipped for lack of it: {error}"
        return Preflight(available_bytes=available_bytes, descriptions={}, estimates={}, shortages={}, problem=problem)
    estimates, shortages = {}, {}
    for key, cell in cells.items():
        described = descriptions[how_built(cell)]
        if (needed := estimate(cell, described, loading_bytes=loading_bytes)) is not None:
            estimates[key] = needed
            known = [free for uuid in cell.device.gpu_uuids if (free := free_gpu_bytes(uuid)) is not None]
            room = Room(host_bytes=available_bytes, gpu_bytes=min(known, default=None))
            if (shortage := explain_shortage(cell, described, room, loading_bytes=loading_bytes)) is not None:
                shortages[key] = shortage
    return Preflight(
        available_bytes=available_bytes, descriptions=descriptions, estimates=estimates, shortages=shortages
    )


def _describe(wanted: Iterable[Building], dataset: DatasetSpec) -> dict[Building, ModelDescription]:
    """Build each model once in each way; a precision takes a process of its own."""
    described: dict[Building, ModelDescription] = {}
    ordered = sorted(wanted, key=lambda building: (building[0], building[1].spec.path, building[1].frozen_until))
    for precision, group in groupby(ordered, key=lambda building: building[0]):
        builds = [build for _, build in group]
        models = describe_models(
            builds, input_shape=dataset.input_shape, num_classes=dataset.num_classes, precision=precision
        )
        described |= {(precision, build): model for build, model in zip(builds, models, strict=True)}
    return described
