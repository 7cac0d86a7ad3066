"""The answer of a report in one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.report.format import duration, plain, share, times

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.analysis.rows import Row


WORTH_TELLING = 1.05  # a ratio that is shown with one decimal


def answer_sentence(cells: Sequence[Row], setting: Callable[[Row], str]) -> str:
    """Say which cell is the most accurate, what that took, and what the quickest one has; without a full stop.

    Args:
        cells: Rows of `bench.analysis.cells.cells`.
        setting: A cell's device and what else is not the plain case, in words.
    """
    tested = [row for row in cells if row["test_accuracy"] is not None and row["wall_s"] is not None]
    if not tested:
        how = "; ".join(dict.fromkeys(f"{_name(row, setting)}: {row['statuses']}" for row in cells[:3]))
        return plain(f"nothing was tested ({how}{', …' if len(cells) > 3 else ''})")
    best = max(tested, key=lambda row: (row["test_accuracy"], -row["wall_s"]))
    quick = min(tested, key=lambda row: (row["wall_s"], -row["test_accuracy"]))
    has = f"{share(best['test_accuracy'])} of the test images right in {duration(best['wall_s'])}, everything included"
    if len(tested) == 1:
        return plain(f"{_name(best, setting)} labels {has}")
    if quick is best:
        return plain(f"{_name(best, setting)} is the most accurate and the quickest: {has}")
    ratio = best["wall_s"] / quick["wall_s"]
    quicker = f", {times(ratio)} times as quick" if ratio > WORTH_TELLING else ""
    return plain(
        f"{_name(best, setting)} is the most accurate: {has}; {_name(quick, setting)} is the quickest: "
        f"{share(quick['test_accuracy'])} in {duration(quick['wall_s'])}{quicker}"
    )


def _name(row: Row, setting: Callable[[Row], str]) -> str:
    return f"{row['model']} on {setting(row)}"
