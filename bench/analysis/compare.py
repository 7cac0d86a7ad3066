"""Two runs side by side: what changed from one to the other in each cell, and how far that can be trusted."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING, Literal

from msgspec import structs

from bench.analysis.frame import frames, rows_of
from bench.analysis.machines import MachineComparison, compare_hosts
from bench.analysis.measures import MEASURES, Measure
from bench.analysis.pairing import Pair, pair_cells
from bench.analysis.rows import MOVED
from bench.analysis.stats import MIN_REPEATS, contrast_interval, sign_interval
from bench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from bench.analysis.rows import Row
    from bench.records import Cell, RunData, Trial

# Below this, two runs of one thing, some minutes apart on a quiet machine, differ too.
NEGLIGIBLE_RATIO = 0.03
NEGLIGIBLE_POINTS = 0.005

MIN_PAIRS = 6  # fewer bound their median in less than 95 % of all cases

Verdict = Literal["better", "worse", "same", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Change:
    """What a measure of a cell became.

    Attributes:
        measure: Its name.
        base: Its value in each trial of the first run that ended ok.
        new: Likewise in the other run.
        change: The new median over the old one, less 1, or of pairs the median of such; of an accuracy, the difference.
        low: Lower end of the 95 % interval; None for fewer than 3 repeats on either side, or 6 pairs. 0, as the upper
            end is, where it is identical.
        high: Upper end.
        verdict: Better or worse; the same where the interval holds 0, or the change is too small to matter; unknown
            without an interval.
        paired: Whether each value of one side was taken in turn with one of the other.
        is_identical: Whether each seed gave the very same on both sides.
        yardstick: The cell whose values they were divided by first, those of each machine by its own; empty for none.
    """

    measure: str
    base: tuple[float, ...]
    new: tuple[float, ...]
    change: float
    low: float | None
    high: float | None
    verdict: Verdict
    paired: bool
    is_identical: bool = False
    yardstick: str = ""

    @property
    def word(self) -> str:
        """The verdict in the measure's own words."""
        measure = MEASURES[self.measure]
        if self.is_identical:
            return "identical"
        words = {"better": measure.better, "worse": measure.worse, "same": "same within noise"}
        return words.get(self.verdict, "too few repeats to tell")

    @property
    def least_repeats(self) -> int:
        """Fewer of them have no interval."""
        return MIN_PAIRS if self.paired else MIN_REPEATS

    @property
    def repeats(self) -> int:
        """Repeats of the side that has fewer."""
        return min(len(self.base), len(self.new))

    @property
    def worsening(self) -> tuple[float, float | None, float | None]:
        """How much worse it became, and the ends of its interval: the change, turned where large is good."""
        if MEASURES[self.measure].is_larger_better:
            return -self.change, None if self.high is None else -self.high, None if self.low is None else -self.low
        return self.change, self.low, self.high


@dataclass(frozen=True, kw_only=True)
class ComparedCell:
    """A cell in two runs.

    Attributes:
        pair: The cell.
        obstacles: Why nothing of it is compared; empty where it is.
        changes: What was measured on both sides.
        refused: Measures that are not compared though the cell is, each with the reason.
        base_statuses: How each trial of the first run ended.
        new_statuses: Likewise in the other run.
    """

    pair: Pair
    obstacles: tuple[str, ...]
    changes: tuple[Change, ...]
    refused: Mapping[str, str]
    base_statuses: tuple[str, ...]
    new_statuses: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two runs.

    Attributes:
        base: The first one.
        new: The other one.
        machines: Whether they ran on the same machine.
        cells: What both have, in the order of the first run.
        only_base: What the other one lacks.
        only_new: What the first one lacks.
        paired: Whether trials of one seed ran side by side in one run.
        pace: Time of a fixed piece of work beside the trials of the other run, over that of the first one, less 1; None
            where it was not measured.
    """

    base: RunData
    new: RunData
    machines: MachineComparison
    cells: tuple[ComparedCell, ...]
    only_base: tuple[Cell, ...]
    only_new: tuple[Cell, ...]
    paired: bool
    pace: float | None


def split(run: RunData, old: str, new: str) -> tuple[RunData, RunData]:
    """Take two models of one run for two runs of one model, called as the models are.

    Args:
        run: The run, whose trials ran in turns.
        old: The model that is compared with, as the run's tables call it.
        new: The model that is compared.

    Raises:
        UsageError: The run has no such model, its trials did not run in turns, or the two are one.
    """
    if old == new:
        raise UsageError(f"--models takes two models; received {old} twice")
    if run.run.config.order != "interleaved":
        raise UsageError(f"the trials of {run.run.name} ran in the order {run.run.config.order}, not in turns")
    known = {trial.cell.model_label: trial.cell for trial in run.run.trials}
    for name in (old, new):
        if name not in known:
            raise UsageError(f"{run.run.name} has no model {name!r}; it has {', '.join(known)}")
    if known[old].recipe.weights != known[new].recipe.weights:
        weights = " and ".join(f"{name} with weights {known[name].recipe.weights!r}" for name in (old, new))
        raise UsageError(f"what is compared in turns must begin alike; {weights}")
    called = known[new].model.name
    return _only(run, old, called=called), _only(run, new, called=called)


def _only(run: RunData, model: str, *, called: str) -> RunData:
    def renamed(trial: Trial) -> Trial:
        cell = trial.cell
        return structs.replace(trial, cell=structs.replace(cell, model=structs.replace(cell.model, name=called)))

    kept = [data for data in run.trials if data.trial.cell.model_label == model]
    trials = tuple(structs.replace(data, trial=renamed(data.trial)) for data in kept)
    asked = structs.replace(run.run, name=model, trials=tuple(data.trial for data in trials))
    return structs.replace(run, run=asked, trials=trials)


def compare(base: RunData, new: RunData, *, across_machines: bool = False, paired: bool = False) -> Comparison:
    """Compare two runs cell by cell.

    Args:
        base: What is compared with.
        new: What is compared.
        paired: Whether trials of one seed ran side by side: what drifts cancels in their ratio, which is told then.
        across_machines: Whether figures of two different machines are compared, each as a ratio to what its machine
            attains at best, or to the first cell that both runs have. Other batches and data are no obstacle then, but
            leave only the share of the peak to be compared.
    """
    ours, theirs = _rows_by_cell(base), _rows_by_cell(new)
    machines = compare_hosts(base.run.host, new.run.host)
    elsewhere = machines.verdict == "different"
    cores = (base.run.host.usable_cores, new.run.host.usable_cores) if elsewhere and across_machines else None
    pairing = pair_cells(ours, theirs, cores=cores)
    sides = [_Sides(pair=pair, base=ours[pair.base], new=theirs[pair.new], paired=paired) for pair in pairing.pairs]
    if elsewhere and across_machines:
        cells = list(_across(sides))
    else:
        refusal = [f"another machine ({'; '.join(machines.differences)})"] if elsewhere else []
        cells = [
            _compared(both, (*refusal, *both.pair.obstacles, *_moves(both), *_other_gpus(both.pair, base, new)))
            for both in sides
        ]
    return Comparison(
        base=base,
        new=new,
        machines=machines,
        cells=tuple(cells),
        only_base=pairing.only_base,
        only_new=pairing.only_new,
        paired=paired,
        pace=_pace(sides),
    )


@dataclass(frozen=True, kw_only=True)
class _Sides:
    """Rows of the trials' table about one cell."""

    pair: Pair
    base: Sequence[Row]
    new: Sequence[Row]
    paired: bool

    def values(self, measure: Measure) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """What was measured in the trials that ended ok; where they are paired, of the seeds that both have."""
        base, new = self._by_seed(measure.columns)
        if self.paired:
            common = [seed for seed in base if seed in new]
            return tuple(base[seed] for seed in common), tuple(new[seed] for seed in common)
        return tuple(base.values()), tuple(new.values())

    def is_identical(self, measure: Measure) -> bool:
        """Whether both ran the same seeds, enough of them, and each gave the very same, down to its loss.

        A seed fixes weights and order, so the same work comes to the same. That alone would be no proof of it: what
        learns nothing, or all there is, has one accuracy whatever it does.
        """
        if not measure.loss:
            return False
        base, new = self._by_seed(measure.columns)
        base_loss, new_loss = self._by_seed((measure.loss,))
        return len(base) >= MIN_REPEATS and base == new and base.keys() == base_loss.keys() and base_loss == new_loss

    def _by_seed(self, columns: Sequence[str]) -> tuple[dict[int, float], dict[int, float]]:
        sides = [[row for row in rows if row["status"] == "ok"] for rows in (self.base, self.new)]
        for column in columns:  # the same one on both sides: another one is another quantity
            base, new = ({row["seed"]: float(row[column]) for row in rows if row[column] is not None} for rows in sides)
            if base and new:
                break
        return base, new


def _compared(
    both: _Sides, obstacles: tuple[str, ...], refused: Mapping[str, str] | None = None, yardstick: _Sides | None = None
) -> ComparedCell:
    why_not = {**_fixed_by_budget(both.pair), **_with_found_features(both), **(refused or {})}
    measures = [measure for measure in MEASURES.values() if measure.name not in why_not]
    return ComparedCell(
        pair=both.pair,
        obstacles=obstacles,
        changes=() if obstacles else tuple(_changes(both, measures, yardstick)),
        refused=why_not,
        base_statuses=tuple(row["status"] for row in both.base),
        new_statuses=tuple(row["status"] for row in both.new),
    )


def _across(sides: Sequence[_Sides]) -> Iterator[ComparedCell]:
    """Cells of two machines: what depends on the machine is held against the first cell that both ran."""
    moved = {both.pair.base: tuple(_moves(both)) for both in sides}
    yardstick = next(
        (
            both
            for both in sides
            if not (moved[both.pair.base] or both.pair.obstacles) and all(both.values(MEASURES["train_s"]))
        ),
        None,
    )
    for both in sides:
        refused = {}
        for measure in MEASURES.values():
            if both.pair.obstacles and measure.name != "attained":
                refused[measure.name] = "; ".join(both.pair.obstacles)
            elif measure.needs_machine and yardstick is None:
                refused[measure.name] = "of two machines, and no other cell of both to hold it against"
            elif measure.needs_machine and both is yardstick:
                refused[measure.name] = "of two machines; it is what other cells are held against"
        cell = _compared(both, moved[both.pair.base], refused, yardstick)
        yield cell if cell.changes else replace(cell, obstacles=(*moved[both.pair.base], *both.pair.obstacles))


def _moves(both: _Sides) -> Iterator[str]:
    """Trials of a run that was taken up elsewhere."""
    for side, rows in (("base", both.base), ("new", both.new)):
        if any(MOVED in row["flags"] for row in rows):
            yield f"trials of {side} ran on another machine than their run was planned on"


def _other_gpus(pair: Pair, base: RunData, new: RunData) -> Iterator[str]:
    ours, theirs = (
        sorted(gpu.name for gpu in run.run.host.gpus if gpu.uuid in cell.device.gpu_uuids)
        for run, cell in ((base, pair.base), (new, pair.new))
    )
    if ours != theirs:
        yield f"GPU: {', '.join(ours) or 'unknown'} against {', '.join(theirs) or 'unknown'}"


def _fixed_by_budget(pair: Pair) -> dict[str, str]:
    if pair.base.budget_s is None or pair.new.budget_s is None:
        return {}
    return dict.fromkeys(("train_s", "fit_s", "wall_s", "energy"), "its budget of time fixes it")


def _with_found_features(both: _Sides) -> dict[str, str]:
    """What a frozen part's features are in, where some trials found what others computed."""
    found = {bool(row["features_saved_s"]) for row in (*both.base, *both.new) if row["status"] == "ok"}
    if len(found) < 2:
        return {}
    return dict.fromkeys(("fit_s", "wall_s", "energy"), "some trials found features that others computed")


def _changes(both: _Sides, measures: Iterable[Measure], yardstick: _Sides | None = None) -> list[Change]:
    return [
        change
        for measure in measures
        if (change := _change(both, measure, yardstick if measure.needs_machine else None)) is not None
    ]


def _change(both: _Sides, measure: Measure, yardstick: _Sides | None) -> Change | None:
    base, new = both.values(measure)
    samples, weights = [new, base], [1.0, -1.0]
    if yardstick is not None:
        base_yard, new_yard = yardstick.values(measure)
        samples, weights = [new, base, new_yard, base_yard], [1.0, -1.0, -1.0, 1.0]
    if not all(samples):
        return None

    def told(difference: float) -> float:
        return difference if measure.is_share else math.expm1(difference)

    if not measure.is_share:
        if min(map(min, samples)) <= 0:  # a ratio to nothing
            return None
        samples = [tuple(map(math.log, sample)) for sample in samples]
    if both.paired:
        differences = [theirs - ours for theirs, ours in zip(*samples, strict=True)]
        interval, estimate = sign_interval(differences), median(differences)
    else:
        interval = contrast_interval(samples, weights)
        estimate = sum(weight * median(sample) for weight, sample in zip(weights, samples, strict=True))
    is_identical = not both.paired and both.is_identical(measure)
    if is_identical and interval is not None:  # seeds scatter, and these did so alike
        interval = replace(interval, low=0.0, high=0.0)
    ends = None if interval is None else (told(interval.low), told(interval.high))
    return Change(
        measure=measure.name,
        base=base,
        new=new,
        change=told(estimate),
        low=ends[0] if ends else None,
        high=ends[1] if ends else None,
        verdict=_verdict(measure, told(estimate), ends, paired=both.paired),
        paired=both.paired,
        is_identical=is_identical,
        yardstick="" if yardstick is None else yardstick.pair.base.label,
    )


def _verdict(measure: Measure, change: float, ends: tuple[float, float] | None, *, paired: bool) -> Verdict:
    if ends is None:
        return "unknown"
    negligible = 0.0 if paired else NEGLIGIBLE_POINTS if measure.is_share else NEGLIGIBLE_RATIO
    if ends[0] <= 0 <= ends[1] or abs(change) < negligible:
        return "same"
    return "better" if (change > 0) == measure.is_larger_better else "worse"


def _rows_by_cell(run: RunData) -> dict[Cell, list[Row]]:
    """Rows of a run's trainings; what was only calibrated is none."""
    by_cell: dict[Cell, list[Row]] = {}
    for data, row in zip(run.trials, rows_of(frames(run).trials), strict=True):
        if data.trial.mode == "train":
            by_cell.setdefault(data.trial.cell, []).append(row)
    return by_cell


def _pace(sides: Iterable[_Sides]) -> float | None:
    """How much longer a fixed piece of work took beside the new trials: the median over the cells."""
    ratios = []
    for both in sides:
        ours, theirs = (
            [row["sentinel_before_s"] for row in rows if row["sentinel_before_s"] is not None]
            for rows in (both.base, both.new)
        )
        if ours and theirs:
            ratios.append(median(theirs) / median(ours))
    return median(ratios) - 1 if ratios else None
