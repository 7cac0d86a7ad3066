"""Limits on how much worse a run may be than another, and whether they hold."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bench.analysis.measures import MEASURES
from bench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from bench.analysis.compare import Change, ComparedCell, Comparison
    from bench.records import Cell

EXIT_HOLDS = 0
EXIT_REGRESSION = 1
EXIT_NOTHING_COMPARABLE = 3
EXIT_TOO_NOISY = 4
MOST_REPEATS = 50  # more than that nobody makes; the limit is too near to what was found
LEAST_TO_NARROW = 9  # pairs: the interval of fewer reaches from the smallest ratio to the largest, as that of six

Outcome = Literal["holds", "regression", "too noisy", "not comparable"]

_RULE = re.compile(r"(?P<measure>[a-z_]+):(?P<limit>\d+(\.\d+)?)(?P<unit>%|pp)")
_ROUNDING = 1e-9  # a limit that is met exactly holds
_HOPELESS = f"{MOST_REPEATS} repeats would hardly do: it is too near to the limit, or the machine too noisy"
_NEGLIGIBLE = "two runs of one thing differ by as much; trials in turns (--models) can tell"
_EXAMPLE = "train_s:10% or accuracy:1pp"


@dataclass(frozen=True, kw_only=True)
class Limit:
    """How much worse a measure may become.

    Attributes:
        measure: Its name.
        worsening: A share of the old value, or of an accuracy the difference as a share of 1.
        text: As it was given.
    """

    measure: str
    worsening: float
    text: str


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """Whether a limit holds in a cell.

    Attributes:
        limit: As it was given; `ends ok` for whether its trials do.
        cell: The first run's, in words.
        run: Name of the run that was judged.
        outcome: What was found.
        reason: Why, in words.
        repeats: How many of each run would probably be enough where it is too noisy; None otherwise, or where it would
            be more than 50.
    """

    limit: str
    cell: str
    run: str
    outcome: Outcome
    reason: str
    repeats: int | None = None


def parse_limits(texts: Iterable[str]) -> tuple[Limit, ...]:
    """Read limits such as `train_s:10%` or `accuracy:1pp`.

    Raises:
        UsageError: No such measure, a limit in the wrong unit, or two for one measure.
    """
    limits: dict[str, Limit] = {}
    for text in texts:
        found = _RULE.fullmatch(text.strip())
        if found is None:
            raise UsageError(
                f"--fail takes a measure and how much worse it may become, such as {_EXAMPLE}; got {text!r}"
            )
        name, unit = found["measure"], found["unit"]
        if name not in MEASURES:
            raise UsageError(f"--fail: no measure is called {name!r}; there are {', '.join(MEASURES)}")
        expected = "pp" if MEASURES[name].is_share else "%"
        if unit != expected:
            kind = "percentage points, such as 1pp" if expected == "pp" else "percent, such as 10%"
            raise UsageError(f"--fail: a limit of {name} is in {kind}; got {text!r}")
        if name in limits:
            raise UsageError(f"--fail: {name} has two limits, {limits[name].text} and {text}; give one of them")
        limits[name] = Limit(measure=name, worsening=float(found["limit"]) / 100, text=text.strip())
    return tuple(limits.values())


def judge(comparison: Comparison, limits: Sequence[Limit], labels: Mapping[Cell, str]) -> tuple[Judgement, ...]:
    """Hold a comparison against limits.

    Args:
        comparison: Two runs.
        limits: How much worse the second one may be.
        labels: What the first run's cells are called.
    """
    run = comparison.new.run.name
    judged = [
        judgement for cell in comparison.cells for judgement in _judge_cell(cell, labels[cell.pair.base], run, limits)
    ]
    missing = [
        Judgement(
            limit=limit.text, cell=labels[cell], run=run, outcome="not comparable", reason=f"{run} has no such cell"
        )
        for cell in comparison.only_base
        for limit in limits
    ]
    return (*judged, *missing)


def exit_code(judgements: Sequence[Judgement], comparisons: Iterable[Comparison]) -> int:
    """What the process ends with: what is certain counts more than what is not.

    A limit that could be held against nothing guards nothing, so that is no success either.
    """
    outcomes = {judgement.outcome for judgement in judgements}
    if "regression" in outcomes:
        return EXIT_REGRESSION
    if "too noisy" in outcomes:
        return EXIT_TOO_NOISY
    nothing = any(not any(cell.changes for cell in comparison.cells) for comparison in comparisons)
    return EXIT_NOTHING_COMPARABLE if nothing or unguarded(judgements) else EXIT_HOLDS


def unguarded(judgements: Iterable[Judgement]) -> tuple[Judgement, ...]:
    """The first judgement of each limit that could be held against nothing."""
    by_limit: dict[tuple[str, str], list[Judgement]] = {}
    for judgement in judgements:
        by_limit.setdefault((judgement.run, judgement.limit), []).append(judgement)
    return tuple(found[0] for found in by_limit.values() if all(one.outcome == "not comparable" for one in found))


def _judge_cell(cell: ComparedCell, label: str, run: str, limits: Sequence[Limit]) -> Iterator[Judgement]:
    if cell.obstacles:
        for limit in limits:
            reason = "; ".join(cell.obstacles)
            yield Judgement(limit=limit.text, cell=label, run=run, outcome="not comparable", reason=reason)
        return
    if limits:
        yield _judge_statuses(cell, label, run)
    by_measure = {change.measure: change for change in cell.changes}
    for limit in limits:
        change = by_measure.get(limit.measure)
        if change is None:
            reason = cell.refused.get(limit.measure, f"{limit.measure} was not measured on both sides")
            yield Judgement(limit=limit.text, cell=label, run=run, outcome="not comparable", reason=reason)
        else:
            yield _judge_change(change, limit, label, run)


def _judge_statuses(cell: ComparedCell, label: str, run: str) -> Judgement:
    """A cell whose trials fail is worse than any that is slow; those that were never run to an end say nothing.

    One that was skipped did not fit or had no device: it ran before, so now it does not; before, it says nothing.
    """
    ours = [status for status in cell.base_statuses if status not in {"interrupted", "skipped"}]
    theirs = [status for status in cell.new_statuses if status != "interrupted"]
    number = len(cell.new_statuses)
    reason = f"{theirs.count('ok')} of {number} trials ended ok"
    if others := [status for status in cell.new_statuses if status != "ok"]:
        reason += f", others {', '.join(dict.fromkeys(others))}"
    outcome: Outcome = "not comparable"
    if ours and theirs:
        is_worse = theirs.count("ok") / len(theirs) < ours.count("ok") / len(ours)
        outcome = "regression" if is_worse else "holds"
    return Judgement(limit="ends ok", cell=label, run=run, outcome=outcome, reason=reason)


def _judge_change(change: Change, limit: Limit, label: str, run: str) -> Judgement:
    worse, low, high = change.worsening
    repeats = None
    outcome: Outcome
    if low is None or high is None:
        outcome, repeats = "too noisy", change.least_repeats
        reason = f"{change.repeats} of each say too little of how far they vary; {repeats} do at least"
    elif high <= limit.worsening + _ROUNDING:
        outcome, reason = "holds", _told(change)
    elif low <= limit.worsening + _ROUNDING:
        reach = worse - low if worse > limit.worsening else high - worse  # towards the limit
        least = LEAST_TO_NARROW if change.paired else 0
        repeats = _repeats_needed(change.repeats, abs(worse - limit.worsening), reach, least=least)
        outcome = "too noisy"
        more = f"about {repeats} repeats of each run would do" if repeats else _HOPELESS
        reason = f"{_told(change)}; {more}"
    elif change.verdict == "same":  # though surely worse: by too little to matter
        outcome, reason = "too noisy", f"{_told(change)}; {_NEGLIGIBLE}"
    else:
        outcome, reason = "regression", _told(change)
    return Judgement(limit=limit.text, cell=label, run=run, outcome=outcome, reason=reason, repeats=repeats)


def _repeats_needed(repeats: int, distance: float, reach: float, *, least: int) -> int | None:
    """Repeats at which an interval, whose reach falls with their root, would end before the limit; or the least."""
    if distance == 0:
        return None
    needed = math.ceil(repeats * (reach / distance) ** 2)
    needed = max(needed, repeats + 1, least)
    return needed if needed <= MOST_REPEATS else None


def _told(change: Change) -> str:
    if change.is_identical:
        return change.word
    worse, low, high = change.worsening
    unit = " points" if MEASURES[change.measure].is_share else " %"
    sign, word = (1, "worse") if worse >= 0 else (-1, "better")
    text = f"{100 * abs(worse):.1f}{unit} {word}"
    if low is None or high is None:
        return text
    ends = sorted((100 * sign * low, 100 * sign * high))
    return f"{text} ({ends[0]:.1f} to {ends[1]:.1f})".replace("-", "\N{MINUS SIGN}")
