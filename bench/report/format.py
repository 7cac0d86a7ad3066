"""Numbers and names as people read them; what is missing is a dash."""

from __future__ import annotations

import math
from math import floor, log10
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.analysis.rows import Row

MISSING = "–"
GIGA = 1e9  # decimal, as memory and disks are sold; GiB appears nowhere


def duration(seconds: float | None) -> str:
    """Time in the unit that suits it, such as `850 ms`, `12.3 s`, `11 min 20 s` or `11.7 h`."""
    if seconds is None:
        return MISSING
    if seconds == 0:
        return "0 s"
    if seconds < 0.9995:
        milliseconds = 1000 * seconds
        return f"{milliseconds:.{_decimals(milliseconds)}f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    if seconds < 3599.5:
        minutes, rest_s = divmod(round(seconds), 60)
        return f"{minutes} min {rest_s} s" if rest_s else f"{minutes} min"
    return f"{seconds / 3600:,.1f} h"


def exact_duration(seconds: float) -> str:
    """Time that somebody chose, such as `1 h 2 min` or `1 min 30.5 s`: nothing is lost down to tenths of a second."""
    tenths = round(10 * seconds)
    if not tenths:
        return f"{seconds:g} s"
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "min"), (rest / 10, "s")]
    return " ".join(f"{amount:,g} {unit}" for amount, unit in parts if amount)


def duration_spread(seconds: float | None, spread_s: float | None) -> str:
    """Time with its spread, such as `51.2 ± 0.4 s` or `11 min 25 s ± 2.0 s`."""
    shown = duration(seconds)
    if seconds is None or spread_s is None:
        return shown
    # Tenths of a second, as the time itself, rather than milliseconds beside it.
    spread = f"{spread_s:.1f} s" if seconds >= 0.9995 > spread_s else duration(spread_s)
    number, *unit = shown.split(" ")
    return f"{number} ± {spread}" if spread.split(" ")[1:] == unit else f"{shown} ± {spread}"


def span(low: str, high: str) -> str:
    """From one shown value to another, such as `49.9–52.0 s`."""
    (first, *unit), (last, *other) = low.split(" "), high.split(" ")
    if low == high:
        return low
    return " ".join([f"{first}–{last}", *unit]) if unit == other and len(unit) < 2 else f"{low} – {high}"


def size(size_bytes: float | None) -> str:
    """Decimal gigabytes, such as `1.42 GB`."""
    if size_bytes is None:
        return MISSING
    gigabytes = size_bytes / GIGA
    return f"{gigabytes:.{_decimals(gigabytes)}f} GB"


def share(part: float | None, spread: float | None = None) -> str:
    """A share of 1 as percent, such as `38.1 %`, or with its spread `38.1 ± 0.3 %`."""
    if part is None:
        return MISSING
    return f"{100 * part:.1f} %" if spread is None else f"{100 * part:.1f} ± {100 * spread:.1f} %"


def percent(value: float | None) -> str:
    """Percent that may exceed 100, such as `198 %`."""
    return MISSING if value is None else f"{value:.0f} %"


def rate(per_s: float | None) -> str:
    """Things a second: `1,138`, or `17.7` or `0.85` where they are few."""
    return MISSING if per_s is None else f"{per_s:,.{_decimals(per_s)}f}"


def times(ratio: float) -> str:
    """A ratio: `64`, or `1.7` where it is small."""
    return f"{ratio:,.0f}" if ratio >= 9.95 else f"{ratio:.1f}"


def ratio(value: float | None) -> str:
    """A ratio whose hundredths count, such as `1.82`."""
    return MISSING if value is None else f"{value:.2f}"


def share_word(part: float) -> str:
    """A share that somebody chose, without more digits than it has, such as `60 %`."""
    return f"{100 * part:g} %"


def energy(joules: float | None) -> str:
    """Energy in the unit that suits it, such as `850 J`, `12.3 kJ` or `1.20 MJ`."""
    if joules is None:
        return MISSING
    for unit in ("J", "kJ", "MJ"):
        if joules < 999.5:
            return f"{joules:.{_decimals(joules)}f} {unit}"
        joules /= 1000
    return f"{joules:,.{_decimals(joules)}f} GJ"


def money(amount: float | None) -> str:
    """Money in whatever currency the price was in: `12.60`, or two digits such as `0.0077` where it is small."""
    if amount is None:
        return MISSING
    decimals = 2 if amount >= 0.1 or amount == 0 else 1 - floor(log10(amount))
    return f"{amount:,.{decimals}f}"


def duration_about(seconds: float, low_s: float | None, high_s: float | None) -> str:
    """Time that is expected, with its interval in the same unit, such as `11.7 h (11.1–12.9)`."""
    units = ((0.001, "ms", 0.9995), (1, "s", 99.5), (60, "min", 5970), (3600, "h", math.inf))
    divisor, unit = next((divisor, unit) for divisor, unit, below_s in units if seconds < below_s)
    ends = (None if end is None else end / divisor for end in (low_s, high_s))
    return _about(seconds / divisor, *ends, unit=f" {unit}")


def share_about(part: float, low: float | None, high: float | None) -> str:
    """A share of 1 that is expected, such as `38.1 % (37.0–39.2)`."""
    low, high = (None if end is None else 100 * end for end in (low, high))
    middle, ends = f"{100 * part:.1f} %", "" if low is None or high is None else f" ({low:.1f}–{high:.1f})"
    return middle + ends


def ratio_about(value: float, low: float | None, high: float | None) -> str:
    """A ratio whose hundredths count, with its interval, such as `1.06 (1.03–1.09)`."""
    return f"{value:.2f}" if low is None or high is None else f"{value:.2f} ({low:.2f}–{high:.2f})"


def number_about(value: float, low: float | None, high: float | None) -> str:
    """A number that is expected, such as `1,138 (1,090–1,190)`; exactly known ones stand alone."""
    return _about(value, low, high)


def _about(value: float, low: float | None, high: float | None, *, unit: str = "") -> str:
    decimals = _decimals(value)

    def shown(number: float) -> str:
        return f"{number:,.{decimals}f}"

    if low is None or high is None or low == high:
        return f"{shown(value)}{unit}"
    return f"{shown(value)}{unit} ({shown(low)}–{shown(high)})"


def signed(value: float | None, shown: Callable[[float | None], str]) -> str:
    """A value that may be negative, as its amount is shown."""
    return f"\N{MINUS SIGN}{shown(-value)}" if value is not None and value < 0 else shown(value)


def expected(row: Row, text: str) -> str:
    """A number of a forecast, which must never look like a measured one: it begins with `~`."""
    return f"~{text}" if row["kind"] == "forecast" and text != MISSING else text


def plain(text: str) -> str:
    """A user's text on one line, without anything that a terminal could take for a command."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(text.split()))


def _decimals(value: float) -> int:
    """Decimals that leave about three digits."""
    return 2 if value < 9.995 else 1 if value < 99.95 else 0
