"""`tune`: the fastest setting of a training on this machine."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.flags import Flags, takes_run_flags
from bench.config import merge, parse_duration_s
from bench.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from bench.launch.tuning import Ascent, Tunable

EXIT_UNFINISHED = 1
EXIT_INTERRUPTED = 130
REPORT_S = 3.0  # loading pandas, reading the folder, writing the tables

CALIBRATE_HELP = "The longest that all of it may take: 90s, 5m."
WRITE_HELP = "Where the bench.toml goes, if not into the run folder."
_OTHERS = ("model", "repeats", "order", "timeout", "peak")


@takes_run_flags
def tune(
    which: Annotated[str, typer.Argument(metavar="MODEL", help="A model's name, or a .py file of yours.")],
    *,
    flags: Flags,
    calibrate: Annotated[str, typer.Option(help=CALIBRATE_HELP)] = "5m",
    write: Annotated[Path | None, typer.Option(help=WRITE_HELP)] = None,
    config: Annotated[Path | None, typer.Option(help="A bench.toml with these names; flags win.")] = None,
) -> None:
    """Find the fastest setting of a training on this machine, by a few steps in each of many settings.

    Takes the flags of run. One value is the default, and others are tried; of several values, no others are. Writes a
    bench.toml for run --config: threads, steps a call, XLA and oneDNN, which leave the arithmetic as it is. What else
    is faster, by another batch size or precision, stands in it as a comment.
    """
    began_s = time.monotonic()
    budget_s = parse_duration_s(calibrate)
    refused = [f"--{flag}" for flag in flags if flag in _OTHERS]
    if refused:
        raise UsageError(f"tune takes one model as its argument and orders its trials; received {', '.join(refused)}")
    if write is not None and write.exists():
        raise UsageError(f"{write} is there already and is not overwritten; name another path with --write")
    if write is not None and not write.absolute().parent.is_dir():
        raise UsageError(f"{write.parent} is no folder; make it, or name another path with --write")

    from bench.analysis.machines import fingerprint
    from bench.cli.console import console, warn
    from bench.cli.report import render_tuning
    from bench.launch.schedule import StoppedError
    from bench.launch.tuning import Ascent, prepare_tuning

    tunable = prepare_tuning(merge({**flags, "model": [which], "repeats": 1}, toml=config))
    for warning in tunable.prepared.warnings:
        warn(warning)
    ascent = Ascent(
        tunable,
        budget_s=budget_s,
        command=("python", "-m", "bench", *sys.argv[1:]),
        machine=fingerprint(tunable.prepared.host),
    )
    terminal = console()
    stopped = False
    with ascent.folder.lock():
        terminal.print(f"up to {len(tunable.candidates) + 1} settings; writing {ascent.folder.path}", soft_wrap=True)
        try:
            climb(ascent, tunable, terminal, budget_s=began_s + budget_s - REPORT_S - time.monotonic())
        except (StoppedError, KeyboardInterrupt):
            stopped = True
        found = render_tuning(ascent.folder.path, terminal, settings=write)
    if stopped:
        raise typer.Exit(EXIT_INTERRUPTED)
    if not found:
        raise typer.Exit(EXIT_UNFINISHED)


def climb(ascent: Ascent, tunable: Tunable, terminal: Console, *, budget_s: float) -> None:
    """Go from rung to rung until the time is gone or the best setting is found.

    Args:
        ascent: Runs the rungs.
        tunable: The settings.
        terminal: Shows them while they run.
        budget_s: Time for all of them.

    Raises:
        StoppedError: The user stopped it.
    """
    from bench.analysis.tuning import Measured, read_timings, search
    from bench.report.live import LiveView
    from bench.store import read_run

    steps = search(tunable.default, tunable.candidates, budget_s=budget_s)
    rung = next(steps)
    while True:
        trials = ascent.trials(rung.cells)
        with LiveView(terminal, trials) as view:
            ascent.measure(
                trials,
                observer=view,
                until_s=rung.until_s,
                each_s=rung.each_s,
                enough_s=rung.enough_s,
                in_turns=rung.in_turns,
            )
        data = read_run(ascent.folder.path)
        tried = {trial.trial.cell for trial in data.trials}
        ascent.leave_out([cell for cell in tunable.candidates if cell not in tried])
        keys = {trial.key for trial in trials}
        timings = zip(data.trials, read_timings(data.trials), strict=True)
        told = [timing for trial, timing in timings if trial.trial.key in keys]
        try:
            rung = steps.send(Measured(timings=told, spent_s=ascent.spent_s))
        except StopIteration:
            return
