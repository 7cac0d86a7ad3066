"""Accuracy by class: which ones a model knows, and which it does not."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import altair as alt

from bench.report.charts.figure import Figure
from bench.report.charts.theme import COLOURS, WIDTH

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST = 120  # classes that are shown
ROW_HEIGHT = 12  # pixels; a hundred classes are still to be overlooked


def classes_figure(shares: Sequence[tuple[str, float]], *, name: str, title: str) -> Figure:
    """Draw the accuracy of classes, or of groups of them, in the order given.

    Args:
        shares: Name and share of its test images that were labelled right, 0 to 1.
        name: Of the figure.
        title: Its heading.
    """
    about = "Share of the test images that were labelled right, the best first."
    if len(shares) > MOST:
        about += f" Of {len(shares)}, the first and the last {MOST // 2}."
        shares = [*shares[: MOST // 2], *shares[-MOST // 2 :]]
    rows = [{"name": label, "share": round(share, 4), "order": order} for order, (label, share) in enumerate(shares)]
    return Figure(name=name, title=title, about=about, chart=_template(), datasets={"classes": rows})


@cache
def _template() -> alt.Chart:
    axis = alt.Axis(ticks=False, domain=False, labelFontSize=10)
    chart: alt.Chart = (
        alt.Chart(alt.NamedData("classes"))
        .mark_bar(color=COLOURS[0])
        .encode(
            x=alt.X("share:Q", title="accuracy", axis=alt.Axis(format=".0%"), scale=alt.Scale(domain=[0, 1])),
            y=alt.Y("name:N", title=None, sort=alt.SortField("order"), axis=axis),
            tooltip=[alt.Tooltip("name:N", title="class"), alt.Tooltip("share:Q", title="accuracy", format=".1%")],
        )
        .properties(width=WIDTH, height=alt.Step(ROW_HEIGHT))
    )
    return chart
