"""`compare`: what changed from one run to another, and whether limits hold."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.records import RunData

Output = Path | None


def compare(
    base: Annotated[Path, typer.Argument(help="The run folder that others are compared with.")],
    new: Annotated[list[Path] | None, typer.Argument(metavar="NEW...", help="Run folders to compare with it.")] = None,
    *,
    models: Annotated[
        str | None, typer.Option(help="OLD,NEW: compare two models of BASE, whose trials ran in turns.")
    ] = None,
    fail: Annotated[
        list[str] | None,
        typer.Option(help="How much worse a measure may become: train_s:10%, accuracy:1pp, peak_rss:15%; repeatable."),
    ] = None,
    across_machines: Annotated[
        bool,
        typer.Option("--across-machines", help="Compare what runs of two machines have relative to each machine."),
    ] = False,
    markdown: Annotated[Output, typer.Option(help="Write it as Markdown, as for a pull request.")] = None,
    json: Annotated[Output, typer.Option(help="Write it as JSON.")] = None,
    junit: Annotated[Output, typer.Option(help="Write the limits as JUnit XML; takes --fail.")] = None,
) -> None:
    """Say what changed from one run to another: faster, slower or the same within noise; guard a CI with --fail.

    Ends with 0 where every limit holds, 1 for a regression, 3 where nothing is comparable, 4 where it is too noisy to
    tell. Measures: train_s, fit_s, wall_s, step_s, images_per_s, attained, accuracy, val_accuracy, peak_rss, peak_gpu,
    energy.
    """
    from bench.analysis.compare import compare as compare_runs
    from bench.analysis.compare import split
    from bench.analysis.gate import exit_code, judge, parse_limits
    from bench.cli.console import console
    from bench.report.comparison import comparison_findings, label_cells
    from bench.report.comparison_json import comparison_json
    from bench.report.junit import junit_xml
    from bench.report.markdown import findings_markdown
    from bench.report.terminal import findings_view
    from bench.store import write_atomically

    limits = parse_limits(fail or ())
    for flag, path in (("--markdown", markdown), ("--json", json), ("--junit", junit)):
        if path is not None and path.is_dir():  # an empty one, from a variable that is not set, is the current folder
            raise UsageError(f"{flag} takes the name of a file; received an empty one or a folder: {path}")
    if junit is not None and not limits:
        raise UsageError("--junit writes whether limits hold, and there is none; give some with --fail")
    if models is not None:
        if new or across_machines:
            raise UsageError("--models compares two models of one run; give that run alone")
        old_name, comma, new_name = models.partition(",")
        if not comma:
            raise UsageError(f"--models takes two names of the run's tables, OLD,NEW; received {models!r}")
        comparisons = [compare_runs(*split(_read([base])[0], old_name.strip(), new_name.strip()), paired=True)]
    elif new:
        runs = _read([base, *new])
        comparisons = [compare_runs(runs[0], run, across_machines=across_machines) for run in runs[1:]]
    else:
        raise UsageError("there is nothing to compare with; give a second run, or two models of this one by --models")
    judgements = [
        judgement for comparison in comparisons for judgement in judge(comparison, limits, label_cells(comparison))
    ]
    code = exit_code(judgements, comparisons)
    findings = comparison_findings(comparisons, judgements, limits=[limit.measure for limit in limits])
    console().print(findings_view(findings))
    if markdown is not None:
        write_atomically(markdown, findings_markdown(findings).encode())
    if json is not None:
        write_atomically(json, comparison_json(comparisons, judgements, exit_code=code))
    if junit is not None:
        write_atomically(junit, junit_xml(judgements))
    if code:
        raise typer.Exit(code)


def _read(folders: Sequence[Path]) -> list[RunData]:
    """Runs with names that tell them apart: where two have the same, their folders' names follow."""
    from msgspec.structs import replace

    from bench.store import read_run

    runs = [read_run(folder) for folder in folders]
    for folder, run in zip(folders, runs, strict=True):
        if run.run.hosts:
            raise UsageError(f"{folder} was merged from runs of {', '.join(run.run.hosts)}; compare one of those")
    names = [run.run.name for run in runs]
    if len(set(names)) == len(names):
        return runs
    called = [folder.resolve().name for folder in folders]
    if len(set(called)) < len(called):
        called = [f"{name} ({number})" for number, name in enumerate(called, start=1)]
    return [replace(run, run=replace(run.run, name=name)) for run, name in zip(runs, called, strict=True)]
