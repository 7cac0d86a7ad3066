"""A search for the best setting, as far as it runs trials: what can be tried, and rung after rung within its time."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from bench import catalog
from bench.errors import UsageError
from bench.hardware.devices import resolve
from bench.hardware.gpus import GpuSurvey
from bench.launch.local import WORKER
from bench.launch.planning import create, prepare
from bench.launch.schedule import run_trials
from bench.matrix import Plan
from bench.records import Result, Trial, Tuning
from bench.tuning import find_options, single_changes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.config import RunConfig
    from bench.hardware.topology import Topology
    from bench.launch.observer import Observer
    from bench.launch.planning import Prepared
    from bench.records import Cell, MemoryEstimate, Run, Status
    from bench.store import RunFolder

PATIENCE = 3.0  # times what a process is expected to take: XLA compiles for longer than a training begins


@dataclass(frozen=True, kw_only=True)
class Tunable:
    """A search that could begin.

    Attributes:
        prepared: The default's run, and what was found out about all settings.
        default: What the others are compared with.
        candidates: Single changes of it, the most promising first.
        refusals: Settings that cannot run, with the status and the reason of their rows.
        estimates: What settings are expected to need.
    """

    prepared: Prepared
    default: Cell
    candidates: tuple[Cell, ...]
    refusals: dict[Cell, tuple[Status, str]]
    estimates: dict[Cell, MemoryEstimate]


def prepare_tuning(config: RunConfig) -> Tunable:
    """Find out what the default setting is, and what can be tried instead.

    The memory that settings need is estimated in the default's precision only: another one needs no more.

    Args:
        config: Of one model. One value of an axis is the default, and others are tried; several are all that is tried,
            the recipe's own, or else the first, being the default.

    Raises:
        BenchError: What was asked for is not there or cannot be used, or is more than one training.
    """
    found: list[Cell] = []
    requests = config.device or ("cpu",)

    def widen(plan: Plan, topology: Topology) -> Plan:
        if len(plan.trials) != 1:
            raise UsageError(
                f"tune looks for the best setting of one training on one device; received {len(plan.trials)} of them; "
                "give one device, one budget and one value of each field of the recipe"
            )
        [trial] = plan.trials
        default = trial.cell
        if default.recipe.frozen_until:
            raise UsageError(
                f"tune compares training steps, and behind a frozen part they are the smaller share; its recipe has "
                f"frozen_until={default.recipe.frozen_until!r}: compare whole runs, or leave that out"
            )
        devices = []
        if default.device.kind == "cpu":
            scanned = requests if len(requests) > 1 else ("cpu:scan",)
            choices = resolve(scanned, topology=topology, survey=GpuSurvey(gpus=()), verify=lambda _: None)
            devices = [choice.device for choice in choices]
        found.extend([default, *single_changes(default, find_options(default, config, devices))])
        trials = [Trial(cell=cell, seed=config.seed) for cell in found if cell.precision == default.precision]
        return replace(plan, trials=tuple(trials))

    prepared = prepare(_default(config, requests), widen=widen)
    plan, estimates = prepared.plan, prepared.preflight.estimates
    default, *candidates = found
    return Tunable(
        prepared=prepared,
        default=default,
        candidates=tuple(candidates),
        refusals={trial.cell: plan.refusals[trial.key] for trial in plan.trials if trial.key in plan.refusals},
        estimates={trial.cell: estimates[trial.key] for trial in plan.trials if trial.key in estimates},
    )


def _default(config: RunConfig, requests: Sequence[str]) -> RunConfig:
    """The configuration of the default alone."""
    [model] = config.model
    recipe = catalog.find(model).recipe if config.recipe == "model" else None
    own = (recipe and recipe.batch_size) or config.common.batch_size
    batches = (own,) if own in config.batch_size else config.batch_size[:1]
    first = "cpu" if requests[0] == "cpu:scan" else requests[0]
    if len(requests) > 1 and not all(request.startswith("cpu") for request in requests):
        raise UsageError(f"tune takes one device, or several of the CPU; received --device {','.join(requests)}")
    return msgspec.structs.replace(
        config,
        device=(first,),
        batch_size=batches,
        precision=config.precision[:1],
        jit=config.jit[:1],
        onednn=config.onednn[:1],
        repeats=1,
    )


class Ascent:
    """The rungs of a search, one after the other, in a run folder of its own.

    Args:
        tunable: The search.
        budget_s: Time that was given for it, for the record.
        command: What the user typed.
        machine: Digest of this machine.
        worker: The worker's command; tests put another in its place.

    Raises:
        StoreError: The folder cannot be written.
    """

    def __init__(
        self,
        tunable: Tunable,
        *,
        budget_s: float,
        command: Sequence[str],
        machine: str = "",
        worker: Sequence[str] = WORKER,
    ) -> None:
        self._tunable = tunable
        self._machine = machine
        self._worker = worker
        preflight = replace(tunable.prepared.preflight, estimates={})
        empty = replace(tunable.prepared, plan=Plan(trials=(), refusals={}), preflight=preflight)
        self.folder: RunFolder = create(empty, command=command, tuning=Tuning(budget_s=budget_s))
        self._run = self.folder.read_run()
        self._used: Counter[Cell] = Counter()
        self._began_s = time.monotonic()

    @property
    def spent_s(self) -> float:
        """Time since the search began."""
        return time.monotonic() - self._began_s

    def trials(self, cells: Sequence[Cell]) -> tuple[Trial, ...]:
        """The processes of a rung, each with a seed that its setting has not had; side by side, seeds are the same."""
        most = max(self._used.values(), default=0)
        counts: Counter[Cell] = Counter()
        listed = []
        # A rung begins with a seed of its own where any of its settings ran before.
        offset = most if any(self._used[cell] for cell in cells) else 0
        for cell in cells:
            seed = self._tunable.prepared.config.seed + offset + counts[cell]
            listed.append(Trial(cell=cell, seed=seed, mode="calibrate"))
            counts[cell] += 1
        for cell, count in counts.items():
            self._used[cell] = offset + count
        return tuple(listed)

    def measure(
        self,
        trials: Sequence[Trial],
        *,
        observer: Observer,
        until_s: float,
        each_s: float,
        enough_s: float,
        in_turns: bool = False,
    ) -> None:
        """Run trials one after the other, as far as time goes; those that did not begin leave no trace.

        Args:
            trials: As `trials` made them.
            observer: Is told what happens.
            until_s: When the last one must have ended, since the search began.
            each_s: What one is expected to take; none begins that could not end in time.
            enough_s: Steps that each makes, in seconds.
            in_turns: Whether they are of settings that are compared in turns.

        Raises:
            StoppedError: The user stopped it.
            StoreError: The folder cannot be written.
        """
        before = self._run
        planned = self._with(before, trials, in_turns=in_turns)
        self.folder.update(planned)
        for trial in trials:
            if trial.cell in self._tunable.refusals:
                status, reason = self._tunable.refusals[trial.cell]
                place = self.folder.trial(trial.key)
                place.create(trial)
                place.write_result(Result(key=trial.key, status=status, reason=reason))
        try:
            run_trials(
                self.folder,
                msgspec.structs.replace(planned, trials=tuple(trials)),
                observer=observer,
                machine=self._machine,
                command=self._worker,
                share_s=self._share_s(until_s, each_s),
                enough_s=enough_s,
            )
        finally:
            done = [trial for trial in trials if self.folder.trial(trial.key).read_result() is not None]
            self._run = self._with(before, done, in_turns=in_turns)
            self.folder.update(self._run)

    def leave_out(self, cells: Sequence[Cell]) -> None:
        """Record settings that there was no time for."""
        tuning = self._run.tuning
        if tuning is not None:
            changed = msgspec.structs.replace(tuning, left_out=tuple(cells))
            self._run = msgspec.structs.replace(self._run, tuning=changed)
            self.folder.update(self._run)

    def _share_s(self, until_s: float, each_s: float) -> Callable[[int], float]:
        def share_s(left: int) -> float:  # noqa: ARG001 -- what others leave is not shared out: there may be fewer
            left_s = until_s - self.spent_s
            if left_s < max(each_s, 1.0):
                return 0.0
            return min(left_s, PATIENCE * each_s) if each_s else left_s

        return share_s

    def _with(self, run: Run, trials: Sequence[Trial], *, in_turns: bool) -> Run:
        """The run with one rung more."""
        if run.tuning is None or not trials:
            return run
        known = {trial.key: self._tunable.estimates.get(trial.cell) for trial in trials}
        return msgspec.structs.replace(
            run,
            trials=(*run.trials, *trials),
            estimates=run.estimates | {key: needed for key, needed in known.items() if needed is not None},
            tuning=msgspec.structs.replace(
                run.tuning, rungs=(*run.tuning.rungs, len(trials)), in_turns=len(trials) if in_turns else 0
            ),
        )
