"""What a report says about accuracy against time, energy and money."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

from bench.analysis.break_even import break_evens
from bench.analysis.columns import MARGINAL
from bench.analysis.curves import median_curves
from bench.analysis.frame import rows_of
from bench.analysis.frontier import frontier, legs
from bench.analysis.targets import bests, cost_in_question, curve_key, times_to
from bench.report.answers import (
    break_even_sentence,
    budget_sentence,
    seeds_reached,
    target_sentence,
    unreached_sentence,
)
from bench.report.column import Column, column
from bench.report.format import (
    MISSING,
    duration,
    energy,
    exact_duration,
    expected,
    money,
    plain,
    share,
    share_word,
    signed,
    span,
)
from bench.report.section import Section, TextTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import pandas as pd

    from bench.analysis.curves import Cost
    from bench.analysis.rows import Row
    from bench.report.question import Question

USUAL_TARGETS = (0.3, 0.4, 0.5, 0.6)
NAMED_STAYS = 2  # more would make a column that is wider than all others
SPLITS = ("validation", "test")
TITLE = "What time buys"


@dataclass(frozen=True, kw_only=True)
class Unit:
    """How a cost is called and shown."""

    word: str
    shown: Callable[[float | None], str]


UNITS: Mapping[Cost, Unit] = {
    "t_s": Unit(word="time", shown=duration),
    "joules": Unit(word="energy", shown=energy),
    "money": Unit(word="money", shown=money),
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
        The section; None if nothing finished an epoch and nothing was asked.
    """
    curves = median_curves(points)
    best = bests(curves)
    if not best:
        unanswered = tuple(_unanswered(question))
        return Section(title=TITLE, tables=(), legend="", sentences=unanswered) if unanswered else None
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
        *_answers(points, curves, cells, setting, question),
        *([] if question.targets or reached else _unreached(times, best, min(targets), setting)),
        *_left_out(best, points, by, setting),
        *map(break_even_sentence, break_evens(points, cells)),
    ]
    return Section(
        title=TITLE,
        tables=tuple(table for table in tables if table.names[0].texts),
        legend=_legend(best, told, by),
        sentences=tuple(map(plain, sentences)),
    )


def _unanswered(question: Question) -> Iterator[str]:
    for budget_s in question.budgets_s:
        yield f"in {exact_duration(budget_s)} of wall time: nothing, since no cell finished an epoch"
    for target in question.targets:
        yield f"{share_word(target)}: reached by no cell, since none finished an epoch"


def _answers(
    points: pd.DataFrame,
    curves: pd.DataFrame,
    cells: pd.DataFrame,
    setting: Callable[[Row], str],
    question: Question,
) -> Iterator[str]:
    """What was asked, for each split on its own: accuracies on different images are never compared."""
    ends, cost = rows_of(cells), cost_in_question(points)
    best, times = bests(curves), rows_of(times_to(points, question.targets))
    by_split = [(split, rows) for split in SPLITS if (rows := rows_of(curves[curves["split"] == split]))]
    for budget_s in question.budgets_s:
        for _, rows in by_split:
            yield budget_sentence(rows, ends, budget_s, setting)
    for target in question.targets:
        for split, _ in by_split:
            yield target_sentence(
                [row for row in times if row["target"] == target and row["split"] == split],
                [row for row in best if row["split"] == split],
                target,
                cost,
                setting,
            )


def _unreached(times: pd.DataFrame, best: Sequence[Row], target: float, setting: Callable[[Row], str]) -> Iterator[str]:
    for split in SPLITS:
        tried = [row for row in rows_of(times) if row["target"] == target and row["split"] == split]
        if tried:
            yield unreached_sentence(tried, [row for row in best if row["split"] == split], target, setting)


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
    yield Column(heading="on the frontier", texts=tuple(stays.get(curve_key(row), MISSING) for row in best))


def _cost_column(unit: Unit, cost: Cost, best: Sequence[Row]) -> Column:
    return column(unit.word, best, lambda row: expected(row, unit.shown(row[cost])))


def _target_column(target: float, best: Sequence[Row], times: Sequence[Row]) -> Column:
    found = {curve_key(row): row for row in times if row["target"] == target}
    # The terminal breaks a heading at its blanks.
    share = share_word(target).replace(" ", "\N{NO-BREAK SPACE}")
    return column(f"to {share}", best, lambda row: _time_to(found[curve_key(row)]))


def _range(row: Row) -> str:
    if row["seeds"] == 1 and row["kind"] == "measured":
        return MISSING
    return expected(row, span(share(row["accuracy_low"]), share(row["accuracy_high"])))


def _time_to(row: Row) -> str:
    if row["t_s"] is None and row["reached"]:
        return seeds_reached(row)
    return expected(row, duration(row["t_s"]))


def _stays(told: Sequence[Row], by: Cost) -> dict[tuple[int, str, str], str]:
    """From when to when each curve is on the frontier: each time until the next leg of another begins."""
    shown = UNITS[by].shown
    found: defaultdict[tuple[int, str, str], list[str]] = defaultdict(list)
    for leg, following in zip_longest(told, told[1:]):
        start = expected(leg, shown(leg[f"from_{by}"]))
        if following is None or following["split"] != leg["split"]:
            found[curve_key(leg)].append(f"from {start} on")
        else:
            found[curve_key(leg)].append(span(start, expected(following, shown(following[f"from_{by}"]))))
    return {curve: _stay(stays) for curve, stays in found.items()}


def _stay(stays: Sequence[str]) -> str:
    *earlier, last = stays
    return ",\n".join(stays) if len(stays) <= NAMED_STAYS else f"{last},\nand {len(earlier)} times before"


def _leg_columns(told: Sequence[Row], by: Cost) -> Iterator[Column]:
    shown = UNITS[by].shown
    yield column("from", told, lambda row: expected(row, shown(row[f"from_{by}"])))
    yield column("to", told, lambda row: expected(row, shown(row[f"to_{by}"])))
    yield column(
        "accuracy", told, lambda row: expected(row, span(share(row["from_accuracy"]), share(row["to_accuracy"])))
    )
    for cost, unit in UNITS.items():
        if cost == "t_s" or any(row[MARGINAL[cost]] is not None for row in told):
            yield _marginal_column(unit, MARGINAL[cost], told)


def _marginal_column(unit: Unit, name: str, told: Sequence[Row]) -> Column:
    def text(row: Row) -> str:
        return expected({"kind": row["marginal_kind"]}, signed(row[name], unit.shown))

    return column(f"{unit.word} a point", told, text)


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
        legend += "; over seeds: what most of them have, range from worst to best"
    if any(row["kind"] == "forecast" for row in best):
        legend += "; ~: a forecast, not a measurement; its range is its interval"
    return legend
