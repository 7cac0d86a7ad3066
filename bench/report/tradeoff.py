"""What a report says about accuracy against time, energy and money."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

from bench.analysis.break_even import break_evens
from bench.analysis.curves import median_curves
from bench.analysis.frame import rows_of
from bench.analysis.frontier import frontier, legs
from bench.analysis.targets import bests, times_to
from bench.report.answers import break_even_sentence, budget_sentence, target_sentence, unreached_sentence
from bench.report.column import Column, column
from bench.report.format import MISSING, duration, energy, expected, money, plain, share, share_word, signed, span
from bench.report.section import Section, TextTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import pandas as pd

    from bench.analysis.curves import Cost
    from bench.analysis.rows import Row
    from bench.report.question import Question

USUAL_TARGETS = (0.3, 0.4, 0.5, 0.6)


@dataclass(frozen=True, kw_only=True)
class Unit:
    """How a cost is called and shown."""

    word: str
    shown: Callable[[float | None], str]
    marginal: str


UNITS: Mapping[Cost, Unit] = {
    "t_s": Unit(word="time", shown=duration, marginal="seconds_per_point"),
    "joules": Unit(word="energy", shown=energy, marginal="joules_per_point"),
    "money": Unit(word="money", shown=money, marginal="money_per_point"),
}


def tradeoff_section(
    points: pd.DataFrame, cells: pd.DataFrame, setting: Callable[[Row], str], question: Question
) -> Section | None:
    """Say what time buys, and answer what was asked.

    Args:
        points: What `bench.analysis.curves.curve_points` returns, and forecasts of the same columns.
        cells: What `bench.analysis.cells.cells` returns.
        setting: A cell's device and what else is not the plain case, in words.
        question: What was asked.

    Returns:
        The section; None if nothing finished an epoch.
    """
    curves = median_curves(points)
    best = bests(curves)
    if not best:
        return None
    by = question.by
    told = rows_of(legs(frontier(curves if by == "t_s" else median_curves(points, by))))
    targets = tuple(sorted(set(question.targets or USUAL_TARGETS)))
    times = times_to(points, targets)
    reached = [target for target in targets if (times.loc[times["target"] == target, "reached"] > 0).any()]
    names = _names([*best, *told], setting)
    tables = [
        TextTable(names=names(best), measures=tuple(_measures(best, rows_of(times), reached, told, by))),
        TextTable(
            names=names(told), measures=tuple(_leg_columns(told, by)), caption=f"The frontier by {UNITS[by].word}"
        ),
    ]
    sentences = [
        *(budget_sentence(curves, cells, budget_s, setting) for budget_s in question.budgets_s),
        *(target_sentence(times, best, target, setting) for target in question.targets),
        *([] if question.targets or reached else [unreached_sentence(best, min(targets), setting)]),
        *_left_out(best, points, by, setting),
        *map(break_even_sentence, break_evens(points, cells)),
    ]
    return Section(
        title="What time buys",
        tables=tuple(table for table in tables if table.names[0].texts),
        legend=_legend(best, told, by),
        sentences=tuple(map(plain, sentences)),
    )


def _names(rows: Sequence[Row], setting: Callable[[Row], str]) -> Callable[[Sequence[Row]], tuple[Column, ...]]:
    """The columns that say which cell it is; what was measured is told from a forecast where there is one."""
    has_forecasts, splits = any(row["kind"] == "forecast" for row in rows), {row["split"] for row in rows}

    def names(shown: Sequence[Row]) -> tuple[Column, ...]:
        columns = [
            column("model", shown, lambda row: row["model"], is_number=False),
            column("device", shown, setting, is_number=False),
        ]
        if has_forecasts:
            columns.append(column("kind", shown, lambda row: row["kind"], is_number=False))
        if len(splits) > 1:
            columns.append(column("images", shown, lambda row: row["split"], is_number=False))
        return tuple(columns)

    return names


def _measures(
    best: Sequence[Row], times: Sequence[Row], reached: Sequence[float], told: Sequence[Row], by: Cost
) -> Iterator[Column]:
    splits = {row["split"] for row in best}
    yield column(
        f"best {min(splits)} accuracy" if len(splits) == 1 else "best accuracy",
        best,
        lambda row: expected(row, share(row["accuracy"])),
    )
    if any(row["seeds"] > 1 or row["kind"] == "forecast" for row in best):
        yield column("range", best, _range)
    yield column("after", best, lambda row: expected(row, duration(row["t_s"])))
    yield from (_cost_column(UNITS[cost], cost, best) for cost in _further(best))
    yield from (_target_column(target, best, times) for target in reached)
    stays = _stays(told, by)
    yield column("on the frontier", best, lambda row: stays.get((row["cell"], row["kind"]), MISSING))


def _cost_column(unit: Unit, cost: Cost, best: Sequence[Row]) -> Column:
    return column(unit.word, best, lambda row: expected(row, unit.shown(row[cost])))


def _target_column(target: float, best: Sequence[Row], times: Sequence[Row]) -> Column:
    found = {(row["cell"], row["kind"]): row for row in times if row["target"] == target}
    return column(f"to {share_word(target)}", best, lambda row: _time_to(found[row["cell"], row["kind"]]))


def _range(row: Row) -> str:
    if row["seeds"] == 1 and row["kind"] == "measured":
        return MISSING
    return expected(row, span(share(row["accuracy_low"]), share(row["accuracy_high"])))


def _time_to(row: Row) -> str:
    if row["t_s"] is None and row["reached"]:
        return f"{row['reached']} of {row['seeds']} seeds"
    return expected(row, duration(row["t_s"]))


def _stays(told: Sequence[Row], by: Cost) -> dict[tuple[int, str], str]:
    """From when to when each curve is on the frontier: until the next leg of another begins."""
    shown = UNITS[by].shown
    found: defaultdict[tuple[int, str], list[tuple[str, str | None]]] = defaultdict(list)
    for leg, following in zip_longest(told, told[1:]):
        is_last = following is None or following["split"] != leg["split"]
        start = expected(leg, shown(leg[f"from_{by}"]))
        end = None if is_last else expected(following, shown(following[f"from_{by}"]))
        found[leg["cell"], leg["kind"]].append((start, end))
    return {curve: _stay(stays[0][0], stays[-1][1], legs=len(stays)) for curve, stays in found.items()}


def _stay(start: str, end: str | None, *, legs: int) -> str:
    text = f"from {start} on" if end is None else span(start, end)
    return text if legs == 1 else f"{text}, {legs} legs"


def _leg_columns(told: Sequence[Row], by: Cost) -> Iterator[Column]:
    shown = UNITS[by].shown
    yield column("from", told, lambda row: expected(row, shown(row[f"from_{by}"])))
    yield column("to", told, lambda row: expected(row, shown(row[f"to_{by}"])))
    yield column(
        "accuracy", told, lambda row: expected(row, span(share(row["from_accuracy"]), share(row["to_accuracy"])))
    )
    for cost, unit in UNITS.items():
        if cost == "t_s" or any(row[unit.marginal] is not None for row in told):
            yield _marginal_column(unit, told)


def _marginal_column(unit: Unit, told: Sequence[Row]) -> Column:
    return column(f"{unit.word} a point", told, lambda row: expected(row, signed(row[unit.marginal], unit.shown)))


def _further(rows: Sequence[Row]) -> list[Cost]:
    """What is known of any row besides time."""
    return [cost for cost in UNITS if cost != "t_s" and any(row[cost] is not None for row in rows)]


def _left_out(best: Sequence[Row], points: pd.DataFrame, by: Cost, setting: Callable[[Row], str]) -> Iterator[str]:
    known = set(points.loc[points[by].notna(), "cell"])
    unknown = dict.fromkeys(f"{row['model']} on {setting(row)}" for row in best if row["cell"] not in known)
    if unknown:
        what = "they have no price" if by == "money" else f"their {UNITS[by].word} was not measured"
        yield f"not on the frontier by {UNITS[by].word}, since {what}: {', '.join(unknown)}"


def _legend(best: Sequence[Row], told: Sequence[Row], by: Cost) -> str:
    where = " and ".join(dict.fromkeys(row["split"] for row in best))
    legend = f"accuracy: best so far on the {where} images; time: everything, start-up included"
    costs = _further(best)
    if "joules" in costs:
        legend += "; energy: training and validation, of the GPUs, or on a CPU of all packages"
    if "money" in costs:
        legend += "; money: that time at the given price"
    legend += f"; on the frontier: while nothing better takes as little {UNITS[by].word}"
    if any(row["seconds_per_point"] is not None for row in told):
        legend += (
            "; a point: one percentage point more, from the end of the row above; in the first row, from its own start"
        )
    if any(row["seeds"] > 1 for row in best):
        legend += "; over seeds: median, range from worst to best"
    if any(row["kind"] == "forecast" for row in best):
        legend += "; ~: a forecast, not a measurement; its range is its interval"
    return legend
