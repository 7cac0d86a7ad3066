"""A chart with its data and what is said of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import altair as alt

    from bench.analysis.rows import Row


@dataclass(frozen=True, kw_only=True, eq=False)
class Figure:
    """A chart with its data and what is said of it.

    Attributes:
        name: Of its files, or of its place in the page.
        title: Its heading.
        about: How to read it, a sentence or two.
        chart: Without colours of a background; trials that are drawn alike have one in common.
        datasets: Rows by the names under which the chart asks for them; empty where it holds its own.
    """

    name: str
    title: str
    about: str
    chart: alt.TopLevelMixin
    datasets: Mapping[str, Sequence[Row]] = field(default_factory=dict)
