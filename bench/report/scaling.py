"""What a report says about thread counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.analysis.scaling import doubtful_pair, incredible_points, scalings
from bench.report.column import column
from bench.report.format import percent, plain, rate, ratio, span
from bench.report.section import Section, TextTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bench.analysis.frame import Report
    from bench.analysis.rows import Row
    from bench.analysis.scaling import Point, Scaling
    from bench.machine import Host

LEGEND = (
    "speed-up: over the fewest threads; efficiency: speed-up over the ratio of the threads; within the noise: less "
    "than 3 %, or the interval of the ratio holds 1"
)
INTERVAL_LEGEND = "; interval: 95 % bootstrap of the median ratio, paired by seed"


def scaling_section(report: Report, rows: Sequence[Row], setting: Callable[[Row], str]) -> Section | None:
    """Say what more threads bought.

    Args:
        report: The run.
        rows: Its cells, as `bench.analysis.cells.cells` gives them.
        setting: A cell's device and what else is not the plain case, in words.

    Returns:
        The section; None if nothing ran on several CPU devices.
    """
    found = scalings(report.trials)
    if not found:
        return None
    by_cell = {row["cell"]: row for row in rows}

    def host_of(scaling: Scaling) -> Host:
        return report.run.hosts.get(by_cell[scaling.best.cell]["host"], report.run.host)

    compared = [by_cell[point.cell] for scaling in found for point in scaling.points]
    measures = [
        column("threads", compared, lambda row: str(row["threads"])),
        column("images/s", compared, lambda row: rate(row["images_per_s"])),
        column("speed-up", compared, lambda row: ratio(row["speed_up"])),
        column("efficiency", compared, lambda row: percent(100 * row["efficiency"])),
    ]
    has_intervals = any(row["speed_up_low"] is not None for row in compared)
    if has_intervals:
        interval = column(
            "interval", compared, lambda row: span(ratio(row["speed_up_low"]), ratio(row["speed_up_high"]))
        )
        measures.insert(3, interval)
    sentences = [
        *(_best(scaling, setting(by_cell[scaling.best.cell])) for scaling in found),
        *(_incredible(scaling, point) for scaling, point in incredible_points(found)),
        *dict.fromkeys(line for scaling in found for line in _siblings(scaling, cores=host_of(scaling).usable_cores)),
        *_hidden_siblings(doubtful_pair(scaling for scaling in found if not host_of(scaling).smt)),
    ]
    names = (
        column("model", compared, lambda row: row["model"], is_number=False),
        column("device", compared, setting, is_number=False),
    )
    return Section(
        title="Thread scaling",
        tables=(TextTable(names=names, measures=tuple(measures)),),
        legend=LEGEND + INTERVAL_LEGEND * has_intervals,
        sentences=tuple(map(plain, sentences)),
    )


def _best(scaling: Scaling, setting: str) -> str:
    best, fastest, fewest = scaling.best, scaling.fastest, scaling.points[0]
    sentence = f"{scaling.model} is best on {setting}"
    if best is not fewest:
        efficiency = percent(100 * best.efficiency)
        sentence += f": {ratio(best.speed_up)} times as fast as on {fewest.device}, efficiency {efficiency}"
    if fastest is not best:
        gain = 100 * (fastest.images_per_s / best.images_per_s - 1)
        sentence += f"; {fastest.device} is {gain:.1f} % faster, which is within the noise"
    elif best is fewest:
        sentence += "; more threads are slower"
    return sentence


def _incredible(scaling: Scaling, point: Point) -> str:
    doubt = f"an efficiency of {percent(100 * point.efficiency)} is more than threads can give"
    return f"{scaling.model} on {point.device}: {doubt}; the trials on {scaling.points[0].device} were held up"


def _siblings(scaling: Scaling, *, cores: int) -> Iterator[str]:
    noun = "core" if cores == 1 else "cores"
    for point in scaling.points:
        if point.siblings:
            threads = f"{point.device} is {point.threads} threads on {cores} {noun}"
            yield f"{threads}: siblings share a core's arithmetic units"


def _hidden_siblings(pair: Point | None) -> Iterator[str]:
    if pair is not None:
        yield (
            f"2 threads are at best {ratio(pair.speed_up)} times as fast as 1, efficiency "
            f"{percent(100 * pair.efficiency)}: a model too small for two threads does that, and so may two CPUs that "
            "are siblings of one core, where a virtual machine hides it"
        )
