"""Sentences about accuracy against cost: what a budget buys, what a target costs, where large overtakes small."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.analysis.frame import rows_of
from bench.analysis.targets import best_within, cheapest, soonest
from bench.report.format import duration, energy, expected, money, share, share_word, span, times

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

    from bench.analysis.break_even import BreakEven
    from bench.analysis.rows import Row
    from bench.analysis.tradeoff import Setting, Side, TradeOff

    Setter = Callable[[Row], str]


def place(device: str, setting: Setting) -> str:
    """Where models are compared, such as `cpu:2, batch size 128`."""
    return ", ".join([device, *(_axis(name, value) for name, value in setting)])


def tradeoff_sentence(tradeoff: TradeOff) -> str:
    """Say in words what the large model costs and yields."""
    small, large = tradeoff.small, tradeoff.large
    more = "more" if tradeoff.points >= 0 else "less"
    return (
        f"on {place(tradeoff.device, tradeoff.setting)}: "
        f"{large.model} takes {times(tradeoff.times)} times the time of {small.model} "
        f"({duration(large.train_s)} against {duration(small.train_s)}) for {abs(tradeoff.points):.1f} points {more} "
        f"({_test_accuracy(large)} against {_test_accuracy(small)})"
    )


def budget_sentence(curves: pd.DataFrame, cells: pd.DataFrame, budget_s: float, setting: Setter) -> str:
    """Say what is best within a time.

    Args:
        curves: What `bench.analysis.curves.median_curves` returns, over wall time.
        cells: What `bench.analysis.cells.cells` returns.
        budget_s: The time in seconds.
        setting: A cell's device and what else is not the plain case, in words.
    """
    rows = best_within(curves, budget_s)
    asked = f"in {duration(budget_s)}"
    if not rows:
        first = min(rows_of(curves), key=lambda row: row["t_s"])
        after = expected(first, duration(first["t_s"]))
        return f"{asked}: nothing yet; the first was {_name(first, setting)} after {after}"
    ends = {row["cell"]: row for row in rows_of(cells)}
    best, *measured = [_bought(row, ends.get(row["cell"]), budget_s, setting) for row in rows]
    return f"{asked}: {'; measured: '.join([best, *measured])}"


def target_sentence(reached: pd.DataFrame, best: Sequence[Row], target: float, setting: Setter) -> str:
    """Say what reaches an accuracy soonest, and what for the least.

    Args:
        reached: What `bench.analysis.targets.times_to` returns.
        best: What `bench.analysis.targets.bests` returns.
        target: The accuracy, a share of 1.
        setting: A cell's device and what else is not the plain case, in words.
    """
    first, least = soonest(reached, target), cheapest(reached, target)
    if not first:
        return unreached_sentence(best, target, setting)
    text = f"{share_word(target)} on the {first[0]['split']} images: soonest "
    text += "; soonest measured ".join(_reached(row, setting) for row in first)
    if not least:
        return text
    cheap = _cheapest(reached, target, least[0])
    if _curve(least[0]) == _curve(first[0]):
        text += f"; that is the {cheap} too, {_spent(least[0])}"
    else:
        text += f"; {cheap} {_name(least[0], setting)}, {_spent(least[0])}"
    if len(least) > 1:
        text += f"; {cheap} measured {_name(least[1], setting)}, {_spent(least[1])}"
    return text


def unreached_sentence(best: Sequence[Row], target: float, setting: Setter) -> str:
    """Say that nothing reached an accuracy, and how far the best got."""
    ordered = sorted(best, key=lambda row: (-row["accuracy"], row["kind"] == "forecast"))
    top = ordered[0]
    had = f"had {expected(top, share(top['accuracy']))} on the {top['split']} images"
    text = f"{share_word(target)}: reached by no cell; the best, {_name(top, setting)}, {had}"
    measured = next((row for row in ordered if row["kind"] == "measured"), top)
    if measured is not top:
        text += f"; the best measured, {_name(measured, setting)}, had {share(measured['accuracy'])}"
    return text


def break_even_sentence(found: BreakEven) -> str:
    """Say from when on the large model is ahead of the small one, or that it never was."""
    sides = (found.small, found.large)
    small, large = (side["model"] for side in sides)
    forecasts = [side["model"] for side in sides if side["kind"] == "forecast"]
    sign = "~" if forecasts else ""
    text = f"on {place(found.device, found.setting)}"
    if forecasts:
        text += f", by the forecast of {' and '.join(forecasts)}"
    until_s = found.horizon_s if found.estimate_s is None else found.estimate_s
    if found.estimate_s is None:
        text += f": {large} does not get ahead of {small} in {sign}{duration(until_s)}"
    else:
        text += f": {large} is ahead of {small} from {sign}{duration(until_s)} on"
    text += f"{_uncertainty(found, sign)}, on the {found.small['split']} images"
    if found.small_stopped_s < until_s:
        # What a forecast says of the small one's end is a forecast too.
        stopped = expected(found.small, duration(found.small_stopped_s))
        text += f"; {small} had stopped at {stopped}"
    return text


def _uncertainty(found: BreakEven, sign: str) -> str:
    low_s, high_s = found.low_s, found.high_s
    if low_s is None or low_s == high_s:
        return ""
    if found.estimate_s is None:
        limits = f"perhaps from {sign}{duration(low_s)} on"
    elif high_s is None:
        limits = f"{sign}{duration(low_s)} at the earliest, perhaps not in {sign}{duration(found.horizon_s)}"
    elif low_s == 0:
        limits = f"{sign}{duration(high_s)} at the latest"
    else:
        limits = sign + span(duration(low_s), duration(high_s))
    basis = {
        "seeds": f"95 % over {found.seeds} pairs of seeds",
        "epochs": "by the ends of epochs",
        "forecast": "by the forecast's interval",
    }
    return f" ({limits}, {basis[found.basis]})"


def _bought(row: Row, cell: Row | None, budget_s: float, setting: Setter) -> str:
    after = expected(row, duration(row["t_s"]))
    text = f"{_name(row, setting)}, {_accuracy(row)} on the {row['split']} images after {after}"
    if cell is None or row["kind"] == "forecast" or row["split"] == "test" or cell["test_accuracy"] is None:
        return text
    is_late = cell["wall_s"] is not None and cell["wall_s"] > budget_s
    ended = f"ended after {duration(cell['wall_s'])}" if is_late else "ended"
    return f"{text}; it {ended} with {share(cell['test_accuracy'])} on the test images"


def _test_accuracy(side: Side) -> str:
    text = share(side.accuracy, side.accuracy_mad)
    return f"{text} over {side.n} seeds" if side.n > 1 else text


def _accuracy(row: Row) -> str:
    text = expected(row, share(row["accuracy"]))
    limits = span(share(row["accuracy_low"]), share(row["accuracy_high"]))
    if row["kind"] == "forecast":
        return f"{text} ({expected(row, limits)})"
    return f"{text} ({limits} over {row['seeds']} seeds)" if row["seeds"] > 1 else text


def _reached(row: Row, setting: Setter) -> str:
    text = f"{_name(row, setting)} after {expected(row, duration(row['t_s']))}"
    if row["t_low_s"] == row["t_high_s"]:
        return text
    is_forecast = row["kind"] == "forecast"
    if row["t_high_s"] is None:
        never = "perhaps never" if is_forecast else f"{row['reached']} of {row['seeds']} seeds"
        return f"{text} ({expected(row, duration(row['t_low_s']))} at the earliest, {never})"
    limits = expected(row, span(duration(row["t_low_s"]), duration(row["t_high_s"])))
    return f"{text} ({limits})" if is_forecast else f"{text} ({limits} over {row['seeds']} seeds)"


def _cheapest(reached: pd.DataFrame, target: float, least: Row) -> str:
    cost, what = ("joules", "energy") if least["money"] is None else ("money", "price")
    rivals = reached[(reached["target"] == target) & reached["t_s"].notna()]
    return f"cheapest of those whose {what} is known" if rivals[cost].isna().any() else "cheapest"


def _spent(row: Row) -> str:
    if row["money"] is not None:
        return f"for {expected(row, money(row['money']))}"
    return f"with {expected(row, energy(row['joules']))}"


def _name(row: Row, setting: Setter) -> str:
    name = f"{row['model']} on {setting(row)}"
    return f"forecast of {name}" if row["kind"] == "forecast" else name


def _curve(row: Row) -> tuple[int, str]:
    return row["cell"], row["kind"]


def _axis(name: str, value: str | float | None) -> str:
    if name == "budget_s" and (value is None or isinstance(value, float | int)):
        return "no budget" if value is None else f"budget {duration(value)}"
    if name == "recipe_axes":
        return str(value or "its own recipe")
    return f"{name.replace('_', ' ')} {value}"
