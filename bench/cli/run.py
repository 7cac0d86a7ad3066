"""`run`: train and time models on devices."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec.structs import replace

from bench.cli.flags import Flags, takes_run_flags
from bench.config import merge, parse_duration_s
from bench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.launch.observer import Judges
    from bench.records import Host, Trial

EXIT_UNFINISHED = 1
EXIT_INTERRUPTED = 130


@takes_run_flags
def run(
    flags: Flags,
    *,
    resume: Annotated[Path | None, typer.Option(help="Go on with this run folder; takes --timeout alone.")] = None,
    config: Annotated[Path | None, typer.Option(help="A bench.toml with these names; flags win.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the matrix and what it needs; train nothing.")
    ] = False,
) -> None:
    """Train and time models on devices, write a run folder, print the trade-off.

    Without flags: a small and a large model on one core and on all, on embedded data, in about three minutes.
    """
    if resume is not None:
        others = (
            [f"--{flag}" for flag in flags if flag != "timeout"] + ["--config"] * bool(config) + ["--dry-run"] * dry_run
        )
        if others:
            raise UsageError(f"--resume goes on with what the run was asked for; received also {', '.join(others)}")
        from bench.hardware.gpus import detect_gpus
        from bench.hardware.host import detect_host
        from bench.hardware.topology import detect_topology

        host = detect_host(detect_topology(), detect_gpus().gpus)
        timeout = flags.get("timeout")
        _carry_out(resume, host=host, timeout_s=parse_duration_s(timeout) if timeout else None)
        return

    from bench.cli.console import warn
    from bench.launch.planning import create, prepare

    prepared = prepare(merge(flags, toml=config))
    for warning in prepared.warnings:
        warn(warning)
    if dry_run:
        from bench.cli.dry_run import show

        show(prepared)
    else:
        _carry_out(create(prepared, command=("python", "-m", "bench", *sys.argv[1:])).path, host=prepared.host)


def _carry_out(path: Path, *, host: Host, timeout_s: float | None = None) -> None:
    """Run on this machine what has no result yet, print the tables, write the report.

    Args:
        path: The run folder.
        host: This machine, which may be another than the run was planned on.
        timeout_s: Replaces the run's own time-out.
    """
    from bench.analysis.machines import compare_hosts, fingerprint
    from bench.cli.console import console, warn
    from bench.cli.report import render
    from bench.launch.peaks import record_peaks
    from bench.launch.schedule import StoppedError, pending, run_trials
    from bench.report.live import LiveView
    from bench.store import RunFolder

    terminal = console()
    folder = RunFolder.open(path)
    run_record = folder.read_run()
    if any(trial.mode == "calibrate" for trial in run_record.trials):
        raise UsageError(f"{path} holds calibrations, which are not taken up; make new ones by forecast or tune")
    if run_record.hosts:
        raise UsageError(f"{path} was merged from runs of {', '.join(run_record.hosts)}; go on with one of those")
    if timeout_s is not None:
        run_record = replace(run_record, config=replace(run_record.config, timeout=timeout_s))
    compared = compare_hosts(run_record.host, host)
    if compared.verdict == "different":
        warn(f"this is another machine than the one that the run was planned on: {'; '.join(compared.differences)}")
    stopped = False
    with folder.lock():
        trials = pending(folder, run_record)
        terminal.print(f"{len(trials)} of {len(run_record.trials)} trials to run; writing {path}", soft_wrap=True)
        try:
            machine = fingerprint(host)
            record_peaks(
                folder,
                run_record,
                trials,
                machine=machine,
                announce=lambda what: terminal.print(f"looking for {what}", soft_wrap=True),
            )
            judges = _judges(trials, run_record.config.target)
            with LiveView(terminal, trials) as view:
                run_trials(folder, run_record, observer=view, machine=machine, judges=judges)
        except (StoppedError, KeyboardInterrupt):
            stopped = True
        report = render(path, terminal)
    if stopped:
        terminal.print(f"stopped; go on with: python -m bench run --resume {path}", soft_wrap=True)
        raise typer.Exit(EXIT_INTERRUPTED)
    if not report.trials["status"].isin(["ok", "hopeless", "skipped"]).all():
        raise typer.Exit(EXIT_UNFINISHED)


def _judges(trials: Sequence[Trial], target: float | None) -> Judges | None:
    """Make who ends trials that will not reach a target; say of which cells nobody can tell. None without a target."""
    if target is None:
        return None
    from bench.analysis.outlook import Hopeless, unstoppable
    from bench.cli.console import warn
    from bench.report.labels import cell_labels

    for cell, label in cell_labels(trial.cell for trial in trials).items():
        reason = unstoppable(cell)
        if reason is not None:
            warn(f"--stop-when hopeless will not stop {label}: {reason}")
    return lambda trial, epochs, spent: Hopeless(trial.cell, target, epochs=epochs, spent=spent)
