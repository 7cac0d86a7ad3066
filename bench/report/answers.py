"""Sentences about accuracy against cost: what a budget buys, what a target costs, where large overtakes small."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.analysis.curves import DECIMALS
from bench.analysis.stats import CONFIDENCE, MIN_REPEATS
from bench.analysis.targets import best_within, cheapest, curve_key, soonest
from bench.report.format import duration, energy, exact_duration, expected, money, share, share_word, span, times
from bench.report.labels import calls_word, epochs_word

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.analysis.break_even import BreakEven
    from bench.analysis.curves import Cost
    from bench.analysis.rows import Row
    from bench.analysis.tradeoff import Setting, Side, TradeOff

    SettingLabel = Callable[[Row], str]

# In the reference run, the same training with the same seed on one and on two threads was up to 0.98 points apart.
NOISE = 0.011
_ENDED = {
    "ok": "had stopped",
    "diverged": "had stopped",
    None: "had stopped",
    "hopeless": "was stopped as hopeless",
    "interrupted": "was interrupted",
}


def place(device: str, setting: Setting) -> str:
    """Where models are compared, such as `cpu:2, batch size 128`."""
    return ", ".join([device, *(_axis(name, value) for name, value in setting)])


def tradeoff_sentence(tradeoff: TradeOff) -> str:
    """Say in words what the large model costs and yields; within a budget, what it yields."""
    small, large = tradeoff.small, tradeoff.large
    points = f"{abs(tradeoff.points):.1f} points {'more' if tradeoff.points >= 0 else 'less'}"
    against = f"({_test_accuracy(large)} against {_test_accuracy(small)})"
    if tradeoff.budget_s is not None:
        others = tuple((name, value) for name, value in tradeoff.setting if name != "budget_s")
        budget = f"in a budget of {exact_duration(tradeoff.budget_s)}"
        more = f"{large.model} reaches {points} than {small.model}"
        return f"on {place(tradeoff.device, others)}, {budget}: {more} {against}"
    return (
        f"on {place(tradeoff.device, tradeoff.setting)}: "
        f"{large.model} takes {times(tradeoff.times)} times the time of {small.model} "
        f"({duration(large.train_s)} against {duration(small.train_s)}) for {points} {against}"
    )


def budget_sentence(curves: Sequence[Row], cells: Sequence[Row], budget_s: float, setting: SettingLabel) -> str:
    """Say what is best within a time, and what trained for just that time ended with.

    Args:
        curves: Rows of `bench.analysis.curves.median_curves`, over wall time and all of one split.
        cells: Rows of `bench.analysis.cells.cells`.
        budget_s: The time in seconds.
        setting: A cell's device and what else is not the plain case, in words.
    """
    rows = best_within(curves, budget_s)
    asked = f"in {exact_duration(budget_s)} of wall time"
    trained = _trained_for(budget_s, cells, curves[0]["split"], setting)
    if not rows and trained:
        return f"{trained}; {asked}: nothing yet"
    if not rows:
        first = min(curves, key=lambda row: float(row["t_s"]))
        after = expected(first, duration(first["t_s"]))
        return f"{asked}: nothing yet; the first was {_name(first, setting)}, {_on_images(first)} after {after}"
    best, *measured = [
        _bought(row, cells, budget_s, setting) + _rival(row, curves, cells, budget_s, setting) for row in rows
    ]
    return f"{asked}: {'; measured: '.join([best, *measured])}" + (f"; {trained}" if trained else "")


def target_sentence(times: Sequence[Row], best: Sequence[Row], target: float, cost: Cost, setting: SettingLabel) -> str:
    """Say what reaches an accuracy soonest, and what for the least.

    Args:
        times: Rows of `bench.analysis.targets.times_to`, all of this target and one split.
        best: Of `bench.analysis.targets.bests`, of the same split.
        target: The accuracy, a share of 1.
        cost: What cells are cheap in.
        setting: A cell's device and what else is not the plain case, in words.
    """
    first = soonest(times)
    if not first:
        return unreached_sentence(times, best, target, setting)
    text = f"{share_word(target)} on the {first[0]['split']} images: soonest "
    text += "; soonest measured ".join(_reached(row, setting) for row in first)
    return text + _least(times, first[0], cost, setting)


def unreached_sentence(times: Sequence[Row], best: Sequence[Row], target: float, setting: SettingLabel) -> str:
    """Say that most seeds of no cell reached an accuracy, which of them did, and how far the best cell got.

    Args:
        times: Rows of `bench.analysis.targets.times_to`, all of this target and one split.
        best: Of `bench.analysis.targets.bests`, of the same split.
        target: The accuracy, a share of 1.
        setting: A cell's device and what else is not the plain case, in words.
    """
    ordered = sorted(best, key=lambda row: (-row["accuracy"], row["kind"] == "forecast"))
    some = [f"{seeds_reached(row)} of {_name(row, setting)}" for row in times if row["reached"]]
    text = f"{share_word(target)}: reached by {' and '.join(some)} alone" if some else ""
    text = text or f"{share_word(target)}: reached by no cell"
    text += f"; the best, {_name(ordered[0], setting)}, had {_on_images(ordered[0])}"
    measured = next((row for row in ordered if row["kind"] == "measured"), ordered[0])
    if measured is not ordered[0]:
        text += f"; the best measured, {_name(measured, setting)}, had {_accuracy(measured)}"
    return text


def seeds_reached(row: Row) -> str:
    """How many seeds reached a target, such as `1 of 2 seeds`."""
    return expected(row, f"{row['reached']} of {row['seeds']} seeds")


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
    for end in (found.small_end, found.large_end):
        if end["t_s"] < until_s:
            # What a forecast says of an end is a forecast too.
            how = _ENDED.get(end["status"], "was cut short")
            text += f"; {end['model']} {how} at {expected(end, duration(end['t_s']))}"
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
    # No interval reaches beyond the seeds themselves, which all lie on one side of the truth by chance.
    held = 1 - 2.0 ** (1 - found.seeds)
    caveat = f", of {found.seeds} at most {100 * held:.0f} %" if held < CONFIDENCE else ""
    basis = {
        "seeds": f"95 % over {found.seeds} pairs of seeds{caveat}",
        "epochs": "by the ends of epochs",
        "forecast": "by the forecast's interval",
    }
    return f" ({limits}, {basis[found.basis]})"


def _bought(row: Row, cells: Sequence[Row], budget_s: float, setting: SettingLabel) -> str:
    text = f"{_name(row, setting)}, {_on_images(row)} after {expected(row, duration(row['t_s']))}"
    cell = _cell(row, cells)
    if row["kind"] == "forecast" or row["split"] == "test" or cell["test_accuracy"] is None:
        return text
    is_late = cell["wall_s"] is not None and cell["wall_s"] > budget_s
    ended = f"ended after {duration(cell['wall_s'])}" if is_late else "ended"
    return f"{text}; it {ended} with {share(cell['test_accuracy'])} on the test images"


def _trained_for(budget_s: float, cells: Sequence[Row], split: str, setting: SettingLabel) -> str:
    """What ended best of the cells that this very budget ended, on a clock that leaves start-up out; empty if none."""
    measure = f"{'val' if split == 'validation' else split}_accuracy"
    ended = [
        cell
        for cell in cells
        if cell["budget_s"] == budget_s and cell["budget_clock"] in {"train", "fit"} and cell[measure] is not None
    ]
    if not ended:
        return ""
    best = max(ended, key=lambda cell: (cell[measure], -cell["wall_s"], -cell["cell"]))
    name = f"{best['model']} on {setting(best | {'budget_s': None})}"
    wall = f"wall {duration(best['wall_s'])}" + (f", {best['n_ok']} seeds" if best["n_ok"] > 1 else "")
    text = f"trained for {exact_duration(budget_s)}: {name}, {share(best[measure])} on the {split} images ({wall})"
    return text if split == "test" else f"{text}, {share(best['test_accuracy'])} on the test images"


def _rival(row: Row, curves: Sequence[Row], cells: Sequence[Row], budget_s: float, setting: SettingLabel) -> str:
    """The quickest cell that trains the same, where too few seeds tell it from the best; empty if there is none."""
    workload = _cell(row, cells)["workload"]
    alike = {cell["cell"] for cell in cells if workload is not None and cell["workload"] == workload}
    within = [
        other
        for other in curves
        if other["cell"] in alike and other["kind"] == row["kind"] == "measured" and other["t_s"] <= budget_s
    ]
    if not within:
        return ""
    quickest = min(within, key=lambda other: float(other["t_s"]))  # the first to finish an epoch
    last = [other for other in within if other["cell"] == quickest["cell"]][-1]
    lead = round(row["accuracy"] - last["accuracy"], DECIMALS)
    is_told = min(row["seeds"], last["seeds"]) >= MIN_REPEATS or lead >= NOISE
    if is_told or last["cell"] == row["cell"]:
        return ""
    return f"; {_name(last, setting)} is within the noise of it ({share(last['accuracy'])})"


def _cell(row: Row, cells: Sequence[Row]) -> Row:
    return next(cell for cell in cells if cell["cell"] == row["cell"])


def _test_accuracy(side: Side) -> str:
    text = share(side.accuracy, side.accuracy_mad)
    return f"{text} over {side.n} seeds" if side.n > 1 else text


def _on_images(row: Row) -> str:
    return f"{_accuracy(row)} on the {row['split']} images"


def _accuracy(row: Row) -> str:
    text = expected(row, share(row["accuracy"]))
    limits = span(share(row["accuracy_low"]), share(row["accuracy_high"]))
    if row["kind"] == "forecast":
        return f"{text} ({expected(row, limits)})"
    begun = "" if row["begun"] == row["seeds"] else f"{row['begun']} of "
    return f"{text} ({limits} over {begun}{row['seeds']} seeds)" if row["seeds"] > 1 else text


def _reached(row: Row, setting: SettingLabel) -> str:
    text = f"{_name(row, setting)} after {expected(row, duration(row['t_s']))}"
    if row["t_low_s"] == row["t_high_s"]:
        return text
    is_forecast = row["kind"] == "forecast"
    if row["t_high_s"] is None:
        never = "perhaps never" if is_forecast else seeds_reached(row)
        return f"{text} ({expected(row, duration(row['t_low_s']))} at the earliest, {never})"
    limits = expected(row, span(duration(row["t_low_s"]), duration(row["t_high_s"])))
    return f"{text} ({limits})" if is_forecast else f"{text} ({limits} over {row['seeds']} seeds)"


def _least(times: Sequence[Row], first: Row, cost: Cost, setting: SettingLabel) -> str:
    least = cheapest(times, cost)
    if not least:
        return "; none of those that reached it has a price" if cost == "money" else ""
    what = "price" if cost == "money" else "energy"
    is_partial = any(row["t_s"] is not None and row[cost] is None for row in times)
    cheap = f"cheapest of those whose {what} is known" if is_partial else "cheapest"
    if curve_key(least[0]) == curve_key(first):
        text = f"; that is the {cheap} too, {_spent(least[0], cost)}"
    else:
        text = f"; {cheap} {_name(least[0], setting)}, {_spent(least[0], cost)}"
    if len(least) > 1:
        text += f"; of those measured, {_name(least[1], setting)}, {_spent(least[1], cost)}"
    return text


def _spent(row: Row, cost: Cost) -> str:
    if cost == "money":
        return f"for {expected(row, money(row['money']))}"
    return f"with {expected(row, energy(row['joules']))}"


def _name(row: Row, setting: SettingLabel) -> str:
    name = f"{row['model']} on {setting(row)}"
    return f"forecast of {name}" if row["kind"] == "forecast" else name


def _axis(name: str, value: Any) -> str:  # noqa: ANN401 -- whatever a column of cells holds
    if name == "budget_s":
        return f"budget {exact_duration(value)}"
    if name == "epochs_asked":
        return epochs_word(value)
    if name == "steps_per_execution":
        return calls_word(value)
    if name == "onednn":
        return f"oneDNN {value}"
    if name == "recipe_axes":
        return str(value or "its own recipe")
    return f"{name.replace('_', ' ')} {value}"
