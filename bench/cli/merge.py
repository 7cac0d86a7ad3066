"""`merge`: runs of several machines as one."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from bench.errors import UsageError


def merge(
    runs: Annotated[
        list[str], typer.Argument(metavar="[NAME=]RUN...", help="Run folders, with what their machines are called.")
    ],
    *,
    out: Annotated[Path, typer.Option(help="Where the folder is made.")] = Path("reports"),
    name: Annotated[str, typer.Option(help="What the folder's name ends with.")] = "merged",
) -> None:
    """Join runs of several machines into one run folder, with the machine as a column, and report on it.

    Without names, machines are called by their GPUs or processor. What each trial measured is copied as it is.
    """
    from bench.analysis.merge import merge as merge_runs
    from bench.cli.console import console, warn
    from bench.cli.report import render
    from bench.store import RunFolder, copy_trial, read_run

    if len(runs) < 2:
        raise UsageError(f"merge joins two runs or more; received {len(runs)}")
    named = [_named(text) for text in runs]
    read = [read_run(folder) for _, folder in named]
    merged = merge_runs(read, [host for host, _ in named], name=name, command=("python", "-m", "bench", *sys.argv[1:]))
    for line in merged.left_out:
        warn(f"left out: {line}")

    def fill(target: RunFolder) -> None:
        target.write_peaks(merged.peaks)
        for key, (number, old) in merged.sources.items():
            copy_trial(RunFolder(named[number][1]).trial(old), target.trial(key), key=key)

    target = RunFolder.create(out / f"{time.strftime('%Y%m%dT%H%M%S')}-{name}", merged.run, fill=fill)
    render(target.path, console())


def _named(text: str) -> tuple[str | None, Path]:
    """A run folder, and what its machine is called; a folder whose name has a `=` is one all the same."""
    name, equals, folder = text.partition("=")
    if not equals or Path(text).exists():
        return None, Path(text)
    if not name or not folder or any(character in name for character in "@,;"):
        raise UsageError(
            f"a machine's name stands before its folder, without @ , ;, as in laptop=reports/…; got {text!r}"
        )
    return name, Path(folder)
