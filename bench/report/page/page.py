"""Lays the page out: everything in one file, nothing from elsewhere, and whatever a name contains stays text."""

from __future__ import annotations

import shlex
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any

import vl_convert
from jinja2 import Environment, PackageLoader, StrictUndefined

from bench import __version__
from bench.analysis.frame import rows_of
from bench.report.charts.cells import cell_marks
from bench.report.charts.files import VEGA_LITE, bare
from bench.report.charts.resources import DRAWN
from bench.report.charts.theme import config
from bench.report.format import plain
from bench.report.markdown import made_with, sources
from bench.report.page.panels import panel
from bench.report.page.setting import settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bench.analysis.frame import Report
    from bench.analysis.rows import Row
    from bench.report.charts.figure import Figure
    from bench.report.page.panels import Panel
    from bench.report.pictures import Gallery, Picture
    from bench.report.summary import Summary

POINTS = 12_000  # of all trials' lines together: with more, a page of 200 trials would be slow to open
FEWEST_POINTS = 40
MOST_POINTS = 240


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """Test images that one trial labelled right and another wrong.

    Attributes:
        title: Which.
        pictures: The images, with what the other one took them for.
    """

    title: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True, kw_only=True)
class Extras:
    """What a page shows of a run folder besides its numbers.

    Attributes:
        galleries: What trials saw in the test images, by their keys.
        contrasts: What one got right and another wrong.
        logs: The end of what each worker said, by key.
    """

    galleries: Mapping[str, Gallery]
    contrasts: Sequence[Contrast]
    logs: Mapping[str, str]


NO_EXTRAS = Extras(galleries={}, contrasts=(), logs={})


def page(report: Report, summary: Summary, drawn: Sequence[Figure], extras: Extras = NO_EXTRAS) -> str:
    """Return the page as HTML.

    Args:
        report: What was measured.
        summary: What it says.
        drawn: Its charts.
        extras: Pictures and logs. Defaults to none.
    """
    panels = _panels(report, extras)
    trials = rows_of(report.trials)
    text: str = (
        _environment()
        .get_template("page.html.jinja")
        .render(
            version=__version__,
            summary=summary,
            results=[*summary.names, *summary.measures, *([summary.notes] if summary.notes else [])],
            figures=drawn,
            panels=panels,
            contrasts=extras.contrasts,
            charts=_charts(list(chain(drawn, *((*panel.figures, *panel.classes) for panel in panels)))),
            made=plain(made_with(report.run)),
            command=plain(shlex.join(report.run.command)),
            sources=[plain(line) for line in sources(report.run)],
            settings=settings(report.run),
            missing=[plain(line) for line in dict.fromkeys(chain.from_iterable(row["missing"] for row in trials))],
            bundle=_bundle(),
            css=_asset("page.css"),
            js=_asset("page.js"),
        )
    )
    return text


def _charts(drawn: Sequence[Figure]) -> dict[str, Any]:
    """What the page's script draws: charts, each once, and for each place its chart and its data."""
    charts = list({id(figure.chart): figure.chart for figure in drawn}.values())
    numbers = {id(chart): number for number, chart in enumerate(charts)}
    return {
        "configs": {mode: config(mode) for mode in ("light", "dark")},
        "specs": [bare(chart) for chart in charts],
        "places": {figure.name: {"spec": numbers[id(figure.chart)], "datasets": figure.datasets} for figure in drawn},
    }


def _panels(report: Report, extras: Extras) -> list[Panel]:
    trials = rows_of(report.trials)
    marks = cell_marks(trials)
    frames = (report.epochs, report.samples[["key", *DRAWN]], report.phases)
    epochs, samples, phases = (_by_key(rows_of(frame)) for frame in frames)
    most_points = min(MOST_POINTS, max(FEWEST_POINTS, POINTS // max(1, len(trials))))
    return [
        panel(
            row,
            number=number,
            epochs=epochs[row["key"]],
            samples=samples[row["key"]],
            phases=phases[row["key"]],
            marks=marks,
            most_points=most_points,
            gallery=extras.galleries.get(row["key"]),
            log=extras.logs.get(row["key"], ""),
        )
        for number, row in enumerate(trials, start=1)
    ]


def _by_key(rows: Iterable[Row]) -> defaultdict[str, list[Row]]:
    found: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["key"]].append(row)
    return found


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("bench.report.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _asset(name: str) -> str:
    source: str = _environment().loader.get_source(_environment(), name)[0]  # type: ignore[union-attr]
    return source


@cache
def _bundle() -> str:
    """Vega, Vega-Lite and vega-embed, as vl-convert brings them; no end of a script in it may end the page's."""
    bundle: str = vl_convert.javascript_bundle(vl_version=VEGA_LITE)  # type: ignore[call-arg]  # the stub lacks its default
    return bundle.replace("</script", "<\\/script").replace("<!--", "<\\!--")
