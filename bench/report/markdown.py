"""A report as Markdown, for a repository or an issue."""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING

from bench.analysis.frame import rows_of
from bench.report.format import plain
from bench.report.phases import phase_columns
from bench.report.question import NOTHING_ASKED, Question
from bench.report.summary import Summary, summarize

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from bench.analysis.frame import Report
    from bench.machine import Host, Revision
    from bench.records import Run
    from bench.report.column import Column
    from bench.report.section import Findings, Section

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&$])")


def markdown(report: Report, question: Question = NOTHING_ASKED) -> str:
    """A report as GitHub-flavoured Markdown; names and reasons stay text, whatever they contain.

    Args:
        report: What was measured.
        question: What is to be answered besides.
    """
    return summary_markdown(summarize(report, question), report)


def summary_markdown(summary: Summary, report: Report) -> str:
    """What a report says, and where it comes from, as Markdown."""
    missing = chain.from_iterable(row["missing"] for row in rows_of(report.trials))
    blocks = [
        f"# {escape(summary.title)}",
        *([_list(summary.answers)] if summary.answers else []),
        _list(summary.about),
        "## Results",
        _table([*summary.names, *summary.measures, *([summary.notes] if summary.notes else [])]),
        escape(summary.legend) + ".",
        *_list_below("Notes", summary.flags, numbered=True),
        *_list_below(summary.failures_title, summary.failures),
        *_list_below("Small against large", summary.tradeoffs),
        *chain.from_iterable(map(_section, summary.sections)),
        *_phases(report),
        *_list_below("Not measured", dict.fromkeys(missing)),
        "## How to make it again",
        *_reproduce(report.run),
    ]
    return "\n\n".join(blocks) + "\n"


def findings_markdown(findings: Findings) -> str:
    """What was found, as Markdown."""
    blocks = [
        f"# {escape(findings.title)}",
        escape(findings.answer) + ".",
        _list(findings.about),
        *chain.from_iterable(map(_section, [*findings.sections, *findings.details])),
        *_list_below("Left out", findings.left_out),
    ]
    return "\n\n".join(blocks) + "\n"


def escape(text: str) -> str:
    """Text that Markdown and HTML leave as it is, on one line."""
    return _SPECIAL.sub(r"\\\1", plain(text))


def _phases(report: Report) -> list[str]:
    columns = phase_columns(rows_of(report.trials))
    if not columns:
        return []
    about = "other: in no phase, above all the end of the process; known for trials that ended ok."
    return ["## Where the time went", _table(columns), about]


def _section(section: Section) -> Iterator[str]:
    yield f"## {escape(section.title)}"
    for table in section.tables:
        if table.caption:
            yield escape(table.caption)
        yield _table([*table.names, *table.measures])
    if section.legend:
        yield escape(section.legend) + "."
    if section.sentences:
        yield _list(section.sentences)


def _table(columns: Sequence[Column]) -> str:
    rules = ["--:" if column.is_number else ":--" for column in columns]
    return "\n".join(
        [
            _row(column.heading for column in columns),
            f"| {' | '.join(rules)} |",
            *map(_row, zip(*(column.texts for column in columns), strict=True)),
        ]
    )


def _row(texts: Iterable[str]) -> str:
    return f"| {' | '.join(map(escape, texts))} |"


def _list_below(title: str, lines: Iterable[str], *, numbered: bool = False) -> list[str]:
    body = _list(lines, numbered=numbered)
    return [f"## {title}", body] if body else []


def _list(lines: Iterable[str], *, numbered: bool = False) -> str:
    return "\n".join(
        f"{f'{number}.' if numbered else '-'} {escape(line)}" for number, line in enumerate(lines, start=1)
    )


def made_with(run: Run) -> str:
    """When, on what system and with which versions a run was made, in a sentence."""
    created = datetime.fromtimestamp(run.created_unix_s, tz=UTC)
    places = [
        f"{f'{name}: ' if name else ''}{host.os} with {_versions(run, host)}"
        for name, host in (run.hosts or {"": run.host}).items()
    ]
    return f"Made {created:%Y-%m-%d %H:%M} UTC on {'; '.join(places)}."


def _versions(run: Run, host: Host) -> str:
    versions = {"Hourglass": run.version, "Python": host.python, **host.packages}
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def sources(run: Run) -> list[str]:
    """What a run was made from, a line each: commit, models and data sets with their digests."""
    models = dict.fromkeys(trial.cell.model for trial in run.trials)
    datasets = dict.fromkeys(trial.cell.dataset for trial in run.trials)
    return [
        *([_project(run.host.revision)] if run.host.revision else []),
        *(f"model {spec.name}: SHA-256 {spec.sha256 or 'unknown'}" for spec in models),
        *(f"data set {spec.name}: SHA-256 {spec.sha256 or 'unknown'}" for spec in datasets),
    ]


def _reproduce(run: Run) -> Iterator[str]:
    yield escape(made_with(run))
    yield _fence(shlex.join(run.command), "sh")
    yield _list(sources(run))


def _project(revision: Revision) -> str:
    return f"project: commit {revision.commit}{', with changes to tracked files' if revision.dirty else ''}"


def _fence(code: str, language: str) -> str:
    longest = max((len(ticks) for ticks in re.findall("`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{code}\n{fence}"
