"""Successive halving over the settings of a training: what is measured next, from what was measured so far."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import stdev
from typing import TYPE_CHECKING

from bench.analysis.forecast import QUANTILE, Range, forecast_speed
from bench.analysis.pace import find_pace
from bench.analysis.scaling import SAME_WITHIN
from bench.records import Memory, Runtime
from bench.tuning import changes_of, combined, keeps_arithmetic

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from bench.records import Cell, TrialData

FIRST_S, SHORTEST_S, LONGEST_S = 0.01, 1.5, 10.0  # steps of the first processes: this share of the budget, within these
LATER = 2.0  # times as many steps in later ones
LAST_SHARE = 0.35  # of the time, for the comparison in turns
SINGLE_SHARE = 0.7  # of the rest, for the single changes
ROUNDS = 2  # A B B A: what drifts meanwhile favours neither
MOST_ROUNDS = 4


@dataclass(frozen=True, kw_only=True)
class Timing:
    """What one process told of a setting.

    Attributes:
        cell: The setting.
        seed: Of the process; processes of one seed ran side by side.
        rate: Training images a second, with the 90 % interval of a forecast; None if no step was seen.
        cost_s: What the process took, start-up included.
        reason: Why there is no rate; empty if there is one.
        peak_rss_bytes: Its highest resident set.
        peak_gpu_bytes: Its highest memory of TensorFlow's allocator on a GPU.
    """

    cell: Cell
    seed: int = 0
    rate: Range | None = None
    cost_s: float = 0.0
    reason: str = ""
    peak_rss_bytes: int | None = None
    peak_gpu_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Rung:
    """Processes that are to run, one after the other, as far as the time goes.

    Attributes:
        cells: A process each, the most promising first.
        until_s: When the last of them must have ended, since the search began.
        each_s: What one is expected to take; 0 if that is not known. None begins that could not end in time.
        enough_s: Steps that each makes, in seconds.
        in_turns: Whether all of a round must be measured: the settings are then compared with each other.
    """

    cells: tuple[Cell, ...]
    until_s: float
    each_s: float
    enough_s: float
    in_turns: bool = False


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What came of a rung.

    Attributes:
        timings: Of the processes that ran.
        spent_s: Time that is gone since the search began.
    """

    timings: Sequence[Timing]
    spent_s: float


def search(default: Cell, candidates: Sequence[Cell], *, budget_s: float) -> Generator[Rung, Measured, None]:
    """Look for the fastest setting within a time: single changes, the better half and what helped together, the best.

    Args:
        default: The setting that the others are compared with.
        candidates: Single changes of it, the most promising first.
        budget_s: Time for all processes.

    Yields:
        What is to be measured next; it must be sent what came of that.
    """
    enough_s = min(max(FIRST_S * budget_s, SHORTEST_S), LONGEST_S)
    measured = yield Rung(cells=(default,), until_s=budget_s / 2, each_s=0.0, enough_s=enough_s)
    first = next(iter(measured.timings), None)
    if first is None or first.rate is None:
        return  # what the default cannot do, nothing can be compared with
    later_s = first.cost_s + (LATER - 1) * enough_s
    single_until_s, until_s = _divide(budget_s, measured.spent_s, later_s)
    # A call that takes longer than all steps of a process would save nothing that could be seen.
    step_s = default.batch_size / first.rate.estimate
    short = tuple(cell for cell in candidates if (cell.steps_per_execution - 1) * step_s <= enough_s)
    measured = yield Rung(cells=short, until_s=single_until_s, each_s=first.cost_s, enough_s=enough_s)
    known = {timing.cell: timing for timing in (first, *measured.timings)}
    promising = _promising(default, known)
    if promising and measured.spent_s + later_s <= until_s:
        measured = yield Rung(cells=promising, until_s=until_s, each_s=later_s, enough_s=LATER * enough_s)
        known |= {timing.cell: timing for timing in measured.timings}
    last = finalists(default, known.values())
    rounds = math.floor((budget_s - measured.spent_s) / (len(last) * later_s))
    if rounds < ROUNDS and len(last) > 2:
        last = last[:2]
        rounds = math.floor((budget_s - measured.spent_s) / (len(last) * later_s))
    if len(last) > 1 and rounds >= ROUNDS:
        turns = tuple(
            cell for turn in range(min(rounds, MOST_ROUNDS)) for cell in (last if turn % 2 == 0 else last[::-1])
        )
        yield Rung(cells=turns, until_s=budget_s, each_s=later_s, enough_s=LATER * enough_s, in_turns=True)


def finalists(default: Cell, timings: Iterable[Timing]) -> tuple[Cell, ...]:
    """The default, the fastest setting of the same arithmetic, and the fastest of all, as far as they are faster."""
    ordered = sorted(_with_rates(timings), key=_rate, reverse=True)
    faster = [timing.cell for timing in ordered[: [timing.cell for timing in ordered].index(default)]]
    same = [cell for cell in faster if keeps_arithmetic(cell, default)]
    return tuple(dict.fromkeys([default, *same[:1], *faster[:1]]))


def read_timings(trials: Sequence[TrialData]) -> list[Timing]:
    """What each process told, from its raw data.

    Args:
        trials: All of a tuning; the first is of the default.
    """
    without = bool(trials) and _lacks_onednn(trials[0])
    return [
        Timing(cell=data.trial.cell, seed=data.trial.seed, reason="TensorFlow has no oneDNN here: it changes nothing")
        if without and data.trial.cell.onednn == "off"
        else _read_timing(data)
        for data in trials
    ]


def _read_timing(data: TrialData) -> Timing:
    trial = data.trial
    pace = find_pace(trial, data.events)
    peaks = [event for event in data.events if isinstance(event, Memory)]
    return Timing(
        cell=trial.cell,
        seed=trial.seed,
        rate=None if pace is None else forecast_speed(pace),
        cost_s=data.result.wall_s if data.result else 0.0,
        reason=_reason(data) if pace is None else "",
        peak_rss_bytes=peaks[-1].peak_rss_bytes if peaks else None,
        peak_gpu_bytes=peaks[-1].peak_gpu_bytes if peaks else None,
    )


def _lacks_onednn(data: TrialData) -> bool:
    """Whether TensorFlow said that it computes without oneDNN, though the setting has it."""
    said = [event.onednn for event in data.events if isinstance(event, Runtime)]
    return data.trial.cell.onednn == "on" and said[-1:] == [False]


def pooled(timings: Sequence[Timing]) -> Range | None:
    """The rate of several processes of a setting: their geometric mean, with its 90 % interval; None without any."""
    rates = [timing.rate for timing in timings if timing.rate is not None]
    return _mean([math.log(rate.estimate) for rate in rates], [_spread(rate) for rate in rates]) if rates else None


def times_as_fast(timings: Sequence[Timing], base: Sequence[Timing]) -> Range | None:
    """How many times as fast one setting is as another, with a 90 % interval.

    Processes of one seed ran side by side, so what drifts cancels in their ratio. Two pairs bound a median in half of
    all cases, so the interval rests on what is known of processes: the spread of their steps, and how far a process
    lies from another (`bench.analysis.forecast`); where the pairs lie further apart, on that.

    Args:
        timings: Of the one.
        base: Of the other.

    Returns:
        None where one of them has no rate.
    """
    ours, theirs = ({timing.seed: timing for timing in _with_rates(several)} for several in (timings, base))
    common = sorted(ours.keys() & theirs.keys())
    if common:
        pairs = [(ours[seed], theirs[seed]) for seed in common]
        return _mean(
            [math.log(_rate(one) / _rate(other)) for one, other in pairs],
            [math.hypot(*(_spread(timing.rate) for timing in pair if timing.rate)) for pair in pairs],
        )
    one, other = pooled(timings), pooled(base)
    if one is None or other is None:
        return None
    return _mean([math.log(one.estimate / other.estimate)], [math.hypot(_spread(one), _spread(other))])


def is_better(times: Range | None) -> bool:
    """Whether a setting counts as faster: by 3 % and more, and its interval excludes 1."""
    return times is not None and times.estimate >= 1 + SAME_WITHIN and times.low > 1


def _divide(budget_s: float, spent_s: float, later_s: float) -> tuple[float, float]:
    """Until when single changes are tried, and until when the better half of them; then the last rung begins.

    Where the time is too short for that one, all of it is for the others: a change that was tried and not confirmed
    tells more than none.
    """
    can_confirm = budget_s - spent_s >= (2 * ROUNDS + 1) * later_s
    last_s = max(LAST_SHARE * budget_s, 2 * ROUNDS * later_s) if can_confirm else 0.0
    until_s = budget_s - last_s
    single_s = SINGLE_SHARE * (until_s - spent_s)
    return (spent_s + single_s if until_s - spent_s - single_s >= later_s else until_s), until_s


def _promising(default: Cell, known: dict[Cell, Timing]) -> tuple[Cell, ...]:
    """What helped, together; then the better half of what may be faster than the default, of each kind."""
    base = known[default].rate
    if base is None:
        return ()
    others = sorted(_with_rates(timing for cell, timing in known.items() if cell != default), key=_rate, reverse=True)
    clear = [timing.cell for timing in others if timing.rate and timing.rate.low > base.high]
    places = [timing.cell for timing in others]
    unchanged = [cell for cell in clear if keeps_arithmetic(cell, default)]
    together = [combined(default, unchanged), combined(default, clear)]
    again = [
        cell
        for kind in (True, False)
        for cell in _better_half([cell for cell in places if keeps_arithmetic(cell, default) is kind])
        if (rate := known[cell].rate) and rate.high > base.estimate
    ]
    return tuple(
        dict.fromkeys(
            [*(cell for cell in together if len(changes_of(cell, default)) > 1), *sorted(again, key=places.index)]
        )
    )


def _better_half(cells: Sequence[Cell]) -> Sequence[Cell]:
    return cells[: -(-len(cells) // 2)]


def _with_rates(timings: Iterable[Timing]) -> list[Timing]:
    return [timing for timing in timings if timing.rate is not None]


def _rate(timing: Timing) -> float:
    return timing.rate.estimate if timing.rate else 0.0


def _spread(rate: Range) -> float:
    """Standard deviation of the logarithm."""
    return math.log(rate.high / rate.estimate) / QUANTILE


def _mean(logs: Sequence[float], spreads: Sequence[float]) -> Range:
    """The geometric mean, and where it may lie by what is known of each value, or by how far apart they are."""
    count = len(logs)
    middle = sum(logs) / count
    known = math.hypot(*spreads) / count
    seen = stdev(logs) / math.sqrt(count) if count > 1 else 0.0
    off = QUANTILE * max(known, seen)
    return Range(estimate=math.exp(middle), low=math.exp(middle - off), high=math.exp(middle + off))


def _reason(data: TrialData) -> str:
    result = data.result
    if result is None:
        return "it has not ended"
    if result.status == "timeout":
        return f"no step ended in its share of the time ({result.reason})"
    return f"{result.status}: {result.reason}" if result.reason else "it made no step"
