"""What a comparison of runs says: measure by measure what changed, what limits hold, and what was not compared."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

from bench.analysis.gate import Judgement, unguarded
from bench.analysis.measures import MEASURES
from bench.report.column import Column, Tone, column
from bench.report.format import MISSING, duration, energy, plain, rate, share, size
from bench.report.labels import cell_labels
from bench.report.section import Findings, Section, TextTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from bench.analysis.compare import Change, ComparedCell, Comparison
    from bench.analysis.rows import Row
    from bench.records import Cell, RunData

SHOWN: Mapping[str, tuple[str, Callable[[float | None], str]]] = {
    "train_s": ("train", duration),
    "images_per_s": ("images/s", rate),
    "attained": ("attained", share),
    "accuracy": ("test accuracy", share),
    "val_accuracy": ("val accuracy", share),
    "peak_rss": ("peak memory", size),
    "peak_gpu": ("GPU memory", size),
    "energy": ("energy", energy),
    "fit_s": ("fit", duration),
    "wall_s": ("wall", duration),
    "step_s": ("step", duration),
}
TONES: Mapping[str, Tone] = {"better": "good", "worse": "bad", "unknown": "doubt"}
OUTCOME_TONES: Mapping[str, Tone] = {"regression": "bad", "too noisy": "doubt", "not comparable": "doubt"}
LEGEND = (
    "base, new: medians of the trials that ended ok; change: of the median, pp: percentage points, with the 95 % "
    "interval, from 3 repeats of each by a bootstrap, of 6 pairs on by the sign test; identical: in each seed, to the "
    "last digit; same within noise: the interval holds 0, or the change is below 3 % or 0.5 pp, as between two runs of "
    "one thing"
)
OTHER_MACHINE = "another machine, by its identifier"
UNKNOWN_MACHINE = "whether on the same machine is not known"
BESIDES = ("accuracy", "peak_rss", "peak_gpu")  # of which a change of speed says nothing
FEW = 3  # of more cells, the answer only counts
PACE = 0.02  # of less, nothing is said of how fast the machine itself was


def label_cells(comparison: Comparison) -> Mapping[Cell, str]:
    """What the first run's cells are called."""
    return cell_labels(trial.cell for trial in comparison.base.run.trials)


def _labelled(comparison: Comparison) -> Iterator[tuple[ComparedCell, str]]:
    labels = label_cells(comparison)
    return ((cell, labels[cell.pair.base]) for cell in comparison.cells)


def comparison_findings(
    comparisons: Sequence[Comparison], judgements: Sequence[Judgement], *, limits: Sequence[str] = ()
) -> Findings:
    """Say how runs differ from a first one.

    Args:
        comparisons: Of each of them with the first one; at least one.
        judgements: Whether limits hold, if there are any.
        limits: Measures that limits name; they are shown though they are extras.
    """
    base = comparisons[0].base
    rows = [row for comparison in comparisons for row in _rows(comparison, limits)]
    several = len(comparisons) > 1
    return Findings(
        title=plain(f"{' and '.join(one.new.run.name for one in comparisons)} against {base.run.name}"),
        answer=plain(_answer(comparisons, judgements)),
        about=tuple(map(plain, _about(comparisons))),
        sections=(
            *([_changes(rows, comparisons)] if rows else []),
            *([_limits(judgements, several=several)] if judgements else []),
        ),
        details=(),
        left_out=tuple(map(plain, _left_out(comparisons))),
    )


def _answer(comparisons: Sequence[Comparison], judgements: Sequence[Judgement]) -> str:
    if judgements:
        return _verdict(judgements)
    cells = [(one, cell, label) for one in comparisons for cell, label in _labelled(one)]
    compared = [(one, label, told) for one, cell, label in cells if (told := _headline(cell))]
    if not compared:
        return "nothing is comparable"
    if len(compared) <= FEW:
        several = len(comparisons) > 1
        return "; ".join(
            f"{f'{one.new.run.name}: ' if several else ''}{label}: "
            + ", ".join(f"{change.word}, {SHOWN[change.measure][0]} {_change(change)}" for change in told)
            for one, label, told in compared
        )
    words = Counter(told[0].word for *_, told in compared)
    words.update(f"{SHOWN[change.measure][0]} {change.word}" for *_, told in compared for change in told[1:])
    return f"of {len(compared)} cells, {', '.join(f'{number} {word}' for word, number in words.items())}"


def _verdict(judgements: Sequence[Judgement]) -> str:
    for outcome, said in (("regression", "regression"), ("too noisy", "too noisy to tell")):
        found = [judgement for judgement in judgements if judgement.outcome == outcome]
        if found:
            more = f"; {len(found) - 1} more" if len(found) > 1 else ""
            return f"{said}: {_judged(found[0])}{more}"
    if lost := unguarded(judgements):
        return f"not comparable: {_judged(lost[0])}"
    cells = {(judgement.run, judgement.cell) for judgement in judgements}
    left = {(judgement.run, judgement.cell) for judgement in judgements if judgement.outcome == "not comparable"}
    held = f"{len(cells - left)} of {len(cells)} cells" if left else f"{len(cells)} cell{'s' * (len(cells) != 1)}"
    return f"every limit holds, in {held}"


def _judged(judgement: Judgement) -> str:
    return f"{judgement.cell}, {judgement.limit}: {judgement.reason}"


def _headline(cell: ComparedCell) -> list[Change]:
    """What says most of a cell: its time, or its speed where a budget fixes the time, and what else became worse."""
    name = "train_s" if cell.pair.base.budget_s is None else "images_per_s"
    first = next((change for change in cell.changes if change.measure == name), next(iter(cell.changes), None))
    worse = [change for change in cell.changes if change.verdict == "worse" and change.measure in BESIDES]
    return list(dict.fromkeys((*([first] if first else []), *worse)))


def _about(comparisons: Sequence[Comparison]) -> Iterator[str]:
    yield f"base: {_run(comparisons[0].base)}"
    for one in comparisons:
        name = one.new.run.name if len(comparisons) > 1 else "new"
        yield f"{name}: {_run(one.new)}"
        machines = one.machines
        if one.paired:
            yield f"{name}: in turns with base, trials of one seed side by side, whose ratios are told"
        elif machines.verdict == "same machine":
            yield f"{name}: on the same machine"
        elif machines.verdict == "same hardware":
            is_known = all(run.run.host.machine_id for run in (one.base, one.new))
            yield f"{name}: on the same hardware; {OTHER_MACHINE if is_known else UNKNOWN_MACHINE}"
        else:
            yield f"{name}: on another machine: {'; '.join(machines.differences)}"
        if machines.software:
            yield f"{name}: {'; '.join(machines.software)}"
        if one.pace is not None and abs(one.pace) >= PACE and not one.paired:
            yield (
                f"{name}: a fixed piece of work beside each trial took {100 * abs(one.pace):.0f} % "
                f"{'longer' if one.pace > 0 else 'less time'}, so that much may be the machine's"
            )
        yardsticks = dict.fromkeys(
            change.yardstick for cell in one.cells for change in cell.changes if change.yardstick
        )
        for yardstick in yardsticks:
            yield f"{name}: times, speeds and energy are relative to those of {yardstick} on the same machine"


def _run(data: RunData) -> str:
    created = datetime.fromtimestamp(data.run.created_unix_s, tz=UTC)
    commit = f", commit {data.run.host.revision.commit[:12]}" if data.run.host.revision else ""
    return f"{data.run.name}, {created:%Y-%m-%d %H:%M} UTC, {data.run.host.cpu}{commit}"


def _rows(comparison: Comparison, limits: Sequence[str]) -> Iterator[Row]:
    for cell, label in _labelled(comparison):
        for change in cell.changes:
            if not MEASURES[change.measure].is_extra or change.measure in limits:
                yield {"run": comparison.new.run.name, "cell": label, "change": change}


def _differences(comparisons: Sequence[Comparison]) -> Iterator[str]:
    for one in comparisons:
        for cell, label in _labelled(one):
            if cell.changes:
                name = f"{one.new.run.name}, " if len(comparisons) > 1 else ""
                told = (*cell.pair.obstacles, *cell.pair.changes)
                yield from (f"{name}{label}: {difference}" for difference in told)


def _changes(rows: Sequence[Row], comparisons: Sequence[Comparison]) -> Section:
    table = _one_run(rows) if len(comparisons) == 1 else _several_runs(rows, [one.new.run.name for one in comparisons])
    return Section(
        title="What changed",
        tables=(table,),
        legend=LEGEND,
        sentences=tuple(map(plain, _differences(comparisons))),
    )


def _names(rows: Sequence[Row]) -> tuple[Column, ...]:
    return (
        column("cell", rows, lambda row: row["cell"], is_number=False),
        column("measure", rows, lambda row: SHOWN[row["change"].measure][0], is_number=False),
    )


def _one_run(rows: Sequence[Row]) -> TextTable:
    def tone(row: Row) -> Tone:
        return TONES.get(row["change"].verdict, "")

    measures = (
        column("change", rows, lambda row: _change(row["change"])),
        column("verdict", rows, lambda row: row["change"].word, is_number=False, tone=tone),
        column("base", rows, lambda row: _median(row["change"], row["change"].base)),
        column("new", rows, lambda row: _median(row["change"], row["change"].new)),
        column("repeats", rows, lambda row: _repeats(row["change"])),
    )
    return TextTable(names=_names(rows), measures=measures)


def _several_runs(rows: Sequence[Row], runs: Sequence[str]) -> TextTable:
    """A row for each measure of each cell, and a column for each run."""
    by_measure: dict[tuple[str, str], dict[str, Change]] = {}
    for row in rows:
        by_measure.setdefault((row["cell"], row["change"].measure), {})[row["run"]] = row["change"]
    lines: list[Row] = [
        {"cell": cell, "change": next(iter(found.values())), "runs": found} for (cell, _), found in by_measure.items()
    ]

    def told(row: Row, *, run: str) -> str:
        change = row["runs"].get(run)
        return MISSING if change is None else f"{_median(change, change.new)}, {_change(change)}, {change.word}"

    def tone(row: Row, *, run: str) -> Tone:
        return TONES.get(row["runs"][run].verdict, "") if run in row["runs"] else ""

    base = column("base", lines, lambda row: _median(row["change"], row["change"].base))
    measures = [column(run, lines, partial(told, run=run), tone=partial(tone, run=run)) for run in runs]
    return TextTable(names=_names(lines), measures=(base, *measures))


def _limits(judgements: Sequence[Judgement], *, several: bool) -> Section:
    rows: list[Row] = [{"judgement": judgement} for judgement in judgements]
    names = [
        column("limit", rows, lambda row: row["judgement"].limit, is_number=False),
        column("cell", rows, lambda row: row["judgement"].cell, is_number=False),
    ]
    if several:
        names.insert(0, column("run", rows, lambda row: row["judgement"].run, is_number=False))
    measures: tuple[Column, ...] = (
        column(
            "outcome",
            rows,
            lambda row: row["judgement"].outcome,
            is_number=False,
            tone=lambda row: OUTCOME_TONES.get(row["judgement"].outcome, "good"),
        ),
        column("why", rows, lambda row: row["judgement"].reason, is_number=False),
    )
    return Section(title="Limits", tables=(TextTable(names=tuple(names), measures=measures),), legend="", sentences=())


def _left_out(comparisons: Sequence[Comparison]) -> Iterator[str]:
    for one in comparisons:
        for cell, label in _labelled(one):
            name = f"{one.new.run.name}, " if len(comparisons) > 1 else ""
            if cell.obstacles:
                yield f"{name}{label}: {'; '.join(cell.obstacles)}"
            elif not cell.changes:
                ended = (", ".join(dict.fromkeys(side)) for side in (cell.base_statuses, cell.new_statuses))
                yield f"{name}{label}: nothing was measured on both sides; trials ended {' against '.join(ended)}"
        for run, cells in ((one.base, one.only_base), (one.new, one.only_new)):
            labels = cell_labels(trial.cell for trial in run.run.trials)
            for lone in cells:
                other = one.new if run is one.base else one.base
                yield f"{labels[lone]}: not in {other.run.name}"


def _change(change: Change) -> str:
    is_share = MEASURES[change.measure].is_share
    unit = "pp" if is_share else "%"
    text = f"{_signed(change.change)} {unit}"
    if change.low is None or change.high is None:
        return text
    return f"{text} ({_signed(change.low)} to {_signed(change.high)})"


def _signed(part: float) -> str:
    number = f"{100 * abs(part):.1f}"
    sign = "" if number == "0.0" else "\N{MINUS SIGN}" if part < 0 else "+"
    return sign + number


def _median(change: Change, values: Sequence[float]) -> str:
    return SHOWN[change.measure][1](median(values)) if values else MISSING


def _repeats(change: Change) -> str:
    ours, theirs = len(change.base), len(change.new)
    return str(ours) if ours == theirs else f"{ours}, {theirs}"
