"""Axes that several charts have: time as people say it, and accuracy."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import altair as alt

if TYPE_CHECKING:
    from collections.abc import Iterable

# What a clock is read at; between two of them lies a factor of 1.5 to 3.
_TICKS_S = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5),
    *(1, 2, 5, 10, 20, 30),
    *(60 * minutes for minutes in (1, 2, 5, 10, 20, 30)),
    *(3600 * hours for hours in (1, 2, 4, 8, 12)),
    *(86400 * days for days in (1, 2, 5, 10, 20, 50, 100, 200, 500)),
)
_FEWEST_TICKS, _MOST_TICKS = 3, 9
# From one tick to the next where all lie between two of those: parts of a second, a minute, an hour or a day.
_STEPS_S = (
    *(digit * 10.0**power for power in range(-9, 1) for digit in (1, 2, 5)),
    *(10, 15, 30),
    *(60 * minutes for minutes in (1, 2, 5, 10, 15, 30)),
    *(3600 * hours for hours in (1, 2, 6, 12)),
    *(86400 * digit * 10**power for power in range(4) for digit in (1, 2, 5)),
)

# How Vega shows a number of seconds, as an expression in its own language.
CLOCK = (
    "datum.value < 1 ? format(1000 * datum.value, '~r') + ' ms' : "
    "datum.value < 60 ? format(datum.value, '~r') + ' s' : "
    "datum.value < 3600 ? floor(datum.value / 60) + ' min' + "
    "(datum.value % 60 ? ' ' + format(datum.value % 60, '~r') + ' s' : '') : "
    "datum.value < 86400 ? floor(datum.value / 3600) + ' h' + "
    "(datum.value % 3600 ? ' ' + format(datum.value % 3600 / 60, '~r') + ' min' : '') : "
    "floor(datum.value / 86400) + ' d' + "
    "(datum.value % 86400 ? ' ' + format(datum.value % 86400 / 3600, '~r') + ' h' : '')"
)


def log_time(field: str, title: str, seconds: Iterable[float]) -> alt.X:
    """Return a logarithmic time axis that holds all of these times, in seconds."""
    positive = [value for value in seconds if value > 0] or [1.0]
    low, high = min(positive) / 1.15, max(positive) * 1.15
    axis = alt.Axis(values=_ticks(low, high), labelExpr=CLOCK, grid=True)
    return alt.X(f"{field}:Q", title=title, axis=axis, scale=alt.Scale(type="log", domain=[low, high], nice=False))


def time_unit(longest_s: float) -> tuple[float, str]:
    """The unit of a linear time axis: its length in seconds, and its sign."""
    return (1, "s") if longest_s < 300 else (60, "min") if longest_s < 3 * 3600 else (3600, "h")


def _ticks(low: float, high: float) -> list[float]:
    ticks = [tick for tick in _TICKS_S if low <= tick <= high]
    if len(ticks) < _FEWEST_TICKS:
        fitting = (size for size in _STEPS_S if (high - low) / size >= _FEWEST_TICKS)
        step = max(fitting, default=(high - low) / _FEWEST_TICKS)
        first, last = math.ceil(low / step), math.floor(high / step)
        return [round(number * step, 12) for number in range(first, last + 1)]
    return ticks[:: math.ceil(len(ticks) / _MOST_TICKS)]


def accuracy(field: str, title: str) -> alt.Y:
    """Return an axis of accuracies, which are shares of 1; it need not begin at 0."""
    return alt.Y(f"{field}:Q", title=title, axis=alt.Axis(format=".0%"), scale=alt.Scale(zero=False))
