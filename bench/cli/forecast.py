"""`forecast`: how long a run would take and what it would reach, from a few steps of each of its trainings."""

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
    from collections.abc import Callable

    from bench.launch.planning import Prepared

EXIT_UNFINISHED = 1
EXIT_INTERRUPTED = 130
REPORT_S = 6.0  # loading pandas, reading the folder, writing the tables
SHORTEST_S = 5.0  # in less, TensorFlow is hardly loaded: a calibration with so little is not begun
# What says how a run ends, or what devices attain, says nothing of a forecast.
NOT_FORECAST = ("timeout", "stop-when", "target", "peak")

Paths = list[Path] | None
CALIBRATE_HELP = "The longest that all calibrations together may take: 90s, 2m."
RUNS_HELP = "Run folders to replay with --backtest."


@takes_run_flags
def forecast(
    runs: Annotated[Paths, typer.Argument(help=RUNS_HELP)] = None,
    *,
    flags: Flags,
    calibrate: Annotated[str, typer.Option(help=CALIBRATE_HELP)] = "2m",
    from_run: Annotated[
        Paths, typer.Option("--from", help="Forecast how this run goes on, from its finished epochs; repeatable.")
    ] = None,
    backtest: Annotated[
        bool, typer.Option("--backtest", help="Replay runs: the forecast from their first part against what happened.")
    ] = False,
    config: Annotated[Path | None, typer.Option(help="A bench.toml with these names; flags win.")] = None,
) -> None:
    """Know in two minutes what would take eight hours: time, memory and accuracy, with their intervals.

    Takes the flags of run. Each cell trains for some steps in a process of its own; accuracy comes from reference
    curves, which hold on every machine (see `reference`).
    """
    import psutil

    began_s = time.monotonic() - (time.time() - psutil.Process().create_time())
    budget_s = parse_duration_s(calibrate)
    if runs and not backtest:
        raise UsageError(f"run folders are replayed with --backtest, or go on with --from; received {runs[0]}")
    if backtest or from_run:
        allowed = {"out", "name"} if backtest else {"epochs"}
        _refuse_others(flags, config, allowed, named="--backtest" if backtest else "--from")
    if backtest and from_run:
        raise UsageError("--backtest and --from are two questions; ask one of them")
    if backtest:
        from bench.cli.backtest import backtest as replay

        replay(runs or (), out=flags.get("out", "reports"), name=flags.get("name"))
        return
    if from_run:
        from bench.cli.console import console
        from bench.cli.report import render_forecast

        epochs = flags.get("epochs")
        if epochs is not None and epochs < 1:
            raise UsageError(f"--epochs must be at least 1; received {epochs}")
        found = [render_forecast(folder, console(), epochs=epochs) for folder in from_run]
        if not any(found):
            raise typer.Exit(EXIT_UNFINISHED)
        return

    if given := [f"--{flag}" for flag in NOT_FORECAST if flag in flags]:
        raise UsageError(f"{', '.join(given)} is of a run; a forecast says how long that takes, whatever ends it")

    from bench.cli.console import warn
    from bench.launch.planning import calibrations, prepare

    prepared = calibrations(prepare(merge(flags, toml=config)))
    for warning in prepared.warnings:
        warn(warning)
    _carry_out(prepared, ends_s=began_s + budget_s - REPORT_S)


def _refuse_others(flags: Flags, config: Path | None, allowed: set[str], *, named: str) -> None:
    others = [f"--{flag}" for flag in flags if flag not in allowed] + ["--config"] * bool(config)
    if others:
        raise UsageError(f"{named} looks at what was measured and plans nothing; received also {', '.join(others)}")


def _carry_out(prepared: Prepared, *, ends_s: float) -> None:
    from bench.analysis.machines import fingerprint
    from bench.cli.console import console
    from bench.cli.report import render_forecast
    from bench.launch.planning import create
    from bench.launch.schedule import StoppedError, pending, run_trials
    from bench.report.live import LiveView

    folder = create(prepared, command=("python", "-m", "bench", *sys.argv[1:]))
    terminal = console()
    run = folder.read_run()
    stopped = False
    with folder.lock():
        trials = pending(folder, run)
        terminal.print(f"{len(trials)} calibrations; writing {folder.path}", soft_wrap=True)
        try:
            with LiveView(terminal, trials) as view:
                run_trials(folder, run, observer=view, machine=fingerprint(prepared.host), share_s=_shares(ends_s))
        except (StoppedError, KeyboardInterrupt):
            stopped = True
        found = render_forecast(folder.path, terminal)
    if stopped:
        raise typer.Exit(EXIT_INTERRUPTED)
    if not found:
        raise typer.Exit(EXIT_UNFINISHED)


def _shares(ends_s: float) -> Callable[[int], float]:
    """What one calibration leaves of its share, those after it have; 0 where that is too little to begin."""

    def share_s(left: int) -> float:
        left_s = (ends_s - time.monotonic()) / left
        return left_s if left_s >= SHORTEST_S else 0.0

    return share_s
