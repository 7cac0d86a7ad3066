"""From a configuration to a run folder: everything that can be refused is refused before anything is measured."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from bench import __version__, catalog
from bench.data.content import content_digest
from bench.data.fetching import ensure
from bench.data.loading import load
from bench.data.sources import SOURCES, source_name
from bench.errors import BenchError, UnusableGpuError
from bench.hardware.devices import Choice, default_requests, resolve
from bench.hardware.doctor.examine import explain, find_neglected_card
from bench.hardware.environment import overruled_onednn
from bench.hardware.gpus import detect_gpus
from bench.hardware.host import detect_host
from bench.hardware.topology import detect_topology
from bench.hardware.verify import verify_gpu
from bench.launch.preflight import Preflight, examine_memory
from bench.matrix import Plan, expand
from bench.records import SCHEMA, Result, Run
from bench.store import RunFolder
from bench.weights import shelf

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.catalog import ModelFile
    from bench.config import RunConfig
    from bench.hardware.gpus import GpuSurvey
    from bench.hardware.topology import Topology
    from bench.matrix import FindWeights
    from bench.records import Cell, DatasetSpec, Host, Trial, Tuning
    from bench.weights.spec import WeightsSpec


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A run that could begin.

    Attributes:
        config: What was asked for.
        host: The machine.
        dataset: What is trained and tested on.
        plan: The trials, and those that cannot run.
        preflight: What each trial is expected to need.
        warnings: What the user should know before it begins.
    """

    config: RunConfig
    host: Host
    dataset: DatasetSpec
    plan: Plan
    preflight: Preflight
    warnings: tuple[str, ...]


def prepare(config: RunConfig, *, widen: Callable[[Plan, Topology], Plan] | None = None) -> Prepared:
    """Find models, devices and data, and expand the matrix. A data set that is missing is downloaded.

    Args:
        config: What was asked for.
        widen: Replaces the plan by one of more trials, before the memory that they need is examined.

    Raises:
        BenchError: Something that was asked for is not there or cannot be used.
    """
    config = _with_whole_paths(config)
    models = catalog.find_all(config.model)
    topology = detect_topology()
    survey = detect_gpus()
    try:
        choices = resolve(
            config.device or default_requests(topology, survey),
            topology=topology,
            survey=survey,
            verify=lambda gpu: verify_gpu(gpu).problem,
            lenient=not config.device,
        )
    except UnusableGpuError as error:
        raise explain(error) from error
    ensure(config.dataset, data_dir=config.data_dir)
    data = load(
        config.dataset,
        data_dir=config.data_dir,
        limit_train=config.limit_train,
        limit_test=config.limit_test,
        validation=config.validation,
    )
    dataset = msgspec.structs.replace(data.spec, content=content_digest(data))
    data_warnings, loading_bytes = data.warnings, data.loading_bytes
    del data  # what it takes must not be missing from the memory that the preflight finds
    find_weights = _weights_finder(config.data_dir)
    plan = expand(config, models=models, choices=choices, dataset=dataset, find_weights=find_weights)
    plan = plan if widen is None else widen(plan, topology)
    preflight = examine_memory(plan, dataset, loading_bytes=loading_bytes)
    if not config.force:
        plan = replace(plan, refusals={**plan.refusals, **preflight.refusals()})
    return Prepared(
        config=config,
        host=detect_host(topology, survey.gpus, with_name=config.host_name),
        dataset=dataset,
        plan=plan,
        preflight=preflight,
        warnings=(
            *_neglected_cards(choices, survey),
            *data_warnings,
            *([overruled] if (overruled := overruled_onednn(config.onednn)) else []),
            *(f"{model.spec.name}: {model.problem}" for model in models if model.problem),
            *([preflight.problem] if preflight.problem else []),
        ),
    )


def _weights_finder(data_dir: str | None) -> FindWeights:
    """Find what recipes' `weights` stand for, each once; published ones that are missing are downloaded."""
    found: dict[tuple[str, str], WeightsSpec | BenchError | None] = {}

    def find(model: ModelFile, request: str) -> WeightsSpec | None:
        key = model.spec.sha256, request
        if key not in found:
            try:
                found[key] = shelf.ensure(request, model.weights, model=model.spec.name, data_dir=data_dir)
            except BenchError as error:
                found[key] = error
        answer = found[key]
        if isinstance(answer, BenchError):
            raise answer
        return answer

    return find


def _neglected_cards(choices: Sequence[Choice], survey: GpuSurvey) -> tuple[str, ...]:
    """What is said of a card that no trial will use because TensorFlow cannot, also if nobody asked for it."""
    if any(choice.device.kind == "gpu" and choice.problem is None for choice in choices):
        return ()
    line = find_neglected_card(survey)
    return () if line is None else (line,)


def _with_whole_paths(config: RunConfig) -> RunConfig:
    """Return the configuration with paths that mean the same from another folder, where `--resume` may be typed."""
    whole = {"data_dir": str(Path(config.data_dir).absolute())} if config.data_dir else {}
    if Path(config.dataset).exists() and source_name(config.dataset) not in SOURCES:
        whole["dataset"] = str(Path(config.dataset).absolute())
    return msgspec.structs.replace(config, **whole)


def create(prepared: Prepared, *, command: Sequence[str], tuning: Tuning | None = None) -> RunFolder:
    """Write the run folder, with the rows of the trials that cannot run.

    Args:
        prepared: The run.
        command: What the user typed, to be repeated.
        tuning: What makes it a search for the best setting; None for any other run.

    Raises:
        StoreError: The folder cannot be written, or is there already.
    """
    config, plan = prepared.config, prepared.plan
    of_trials = config.preset if plan.trials and plan.trials[0].mode == "train" else "forecast"
    name = config.name or (of_trials if tuning is None else "tune")
    created_s = time.time()
    path = Path(config.out) / f"{time.strftime('%Y%m%dT%H%M%S', time.localtime(created_s))}-{name}"
    return RunFolder.create(
        path,
        Run(
            schema=SCHEMA,
            version=__version__,
            name=name,
            created_unix_s=round(created_s, 3),
            command=tuple(command),
            config=config,
            host=prepared.host,
            trials=plan.trials,
            estimates=dict(prepared.preflight.estimates),
            tuning=tuning,
        ),
        refused=[Result(key=key, status=status, reason=reason) for key, (status, reason) in plan.refusals.items()],
    )


def calibrations(prepared: Prepared) -> Prepared:
    """Return the same matrix with one calibration a cell in place of its trials."""
    plan, preflight = prepared.plan, prepared.preflight
    first: dict[Cell, Trial] = {}
    for trial in plan.trials:
        first.setdefault(trial.cell, trial)
    new = {trial.key: msgspec.structs.replace(trial, mode="calibrate") for trial in first.values()}
    # What the small ones leave of the time, the large ones have, whose steps are long.
    needs = preflight.estimates
    new = dict(sorted(new.items(), key=lambda item: needs[item[0]].total_bytes if item[0] in needs else 0))
    estimates = {new[key].key: needed for key, needed in preflight.estimates.items() if key in new}
    refusals = {new[key].key: refusal for key, refusal in plan.refusals.items() if key in new}
    return replace(
        prepared,
        plan=Plan(trials=tuple(new.values()), refusals=refusals),
        preflight=replace(preflight, estimates=estimates),
    )
