"""`run`: train and time models on devices."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec.structs import replace

from bench.config import merge, parse_duration_s
from bench.errors import UsageError

if TYPE_CHECKING:
    from bench.records import Host

EXIT_UNFINISHED = 1
EXIT_INTERRUPTED = 130

Text = str | None
Words = list[str] | None
Number = int | None

DEVICE_HELP = "cpu, cpu:N, cpu:scan (1, 2, 4 … cores), cpu:smt, gpu, gpu:0, gpu:0+1 (together), all; comma list."
CLOCK_HELP = "What a budget covers: train, fit (with validation), or wall (everything, start-up and test too)."
RECIPE_SET_HELP = "Recipe fields as axes: label_smoothing=0,0.2; repeatable."


def run(
    *,
    preset: Annotated[Text, typer.Option(help="quick (minutes, embedded data) or report (the founding one).")] = None,
    model: Annotated[Words, typer.Option(help="A model's name, or a .py file of yours; comma list.")] = None,
    device: Annotated[Words, typer.Option(help=DEVICE_HELP)] = None,
    dataset: Annotated[Text, typer.Option(help="A name (see `data`), PATH.npz, or PATH/, a folder a class.")] = None,
    epochs: Annotated[Number, typer.Option(help="Passes over the training images.")] = None,
    budget: Annotated[Words, typer.Option(help="Train for so long instead: 90s, 30m, 2h; comma list.")] = None,
    budget_clock: Annotated[Text, typer.Option(help=CLOCK_HELP)] = None,
    batch_size: Annotated[Words, typer.Option(help="Images a step; comma list.")] = None,
    precision: Annotated[Words, typer.Option(help="float32, mixed_bfloat16, mixed_float16; comma list.")] = None,
    jit: Annotated[Words, typer.Option(help="XLA, off or on; comma list.")] = None,
    steps_per_execution: Annotated[Number, typer.Option(help="Steps that one call of TensorFlow makes.")] = None,
    recipe: Annotated[Text, typer.Option(help="model: its own RECIPE, if it has one; common: the preset's.")] = None,
    recipe_set: Annotated[Words, typer.Option(help=RECIPE_SET_HELP)] = None,
    repeats: Annotated[Number, typer.Option(help="Trials a cell, each with a seed of its own.")] = None,
    seed: Annotated[Number, typer.Option(help="The first seed.")] = None,
    limit_train: Annotated[Number, typer.Option(help="Use so many training images.")] = None,
    limit_test: Annotated[Number, typer.Option(help="Use so many test images.")] = None,
    validation: Annotated[float | None, typer.Option(help="Share of the training images held back.")] = None,
    timeout: Annotated[Text, typer.Option(help="End a trial after 90s, 30m or 2h; it stays a row.")] = None,
    force: Annotated[
        bool | None, typer.Option("--force", help="Run what does not fit into memory by the estimate too.")
    ] = None,
    order: Annotated[Text, typer.Option(help="interleaved (A B B A), grouped or random.")] = None,
    peak: Annotated[Text, typer.Option(help="What devices attain at best: cached, refresh or off.")] = None,
    sample_interval: Annotated[Text, typer.Option(help="Time between two samples of memory, CPU and GPU.")] = None,
    data_dir: Annotated[Text, typer.Option(help="Where data sets lie, if not in Keras's cache folder.")] = None,
    out: Annotated[Text, typer.Option(help="The folder below which runs are written.")] = None,
    name: Annotated[Text, typer.Option(help="Names the run's folder.")] = None,
    host_name: Annotated[bool, typer.Option("--host-name", help="Record this machine's network name.")] = False,
    resume: Annotated[Path | None, typer.Option(help="Go on with this run folder; takes --timeout alone.")] = None,
    config: Annotated[Path | None, typer.Option(help="A bench.toml with these names; flags win.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the matrix and what it needs; train nothing.")
    ] = False,
) -> None:
    """Train and time models on devices, write a run folder, print the trade-off.

    Without flags: a small and a large model on one core and on all, on embedded data, in about three minutes.
    """
    flags: dict[str, Any] = {
        "preset": preset,
        "model": model,
        "device": device,
        "dataset": dataset,
        "epochs": epochs,
        "budget": budget,
        "budget-clock": budget_clock,
        "batch-size": batch_size,
        "precision": precision,
        "jit": jit,
        "steps-per-execution": steps_per_execution,
        "recipe": recipe,
        "recipe-set": recipe_set,
        "repeats": repeats,
        "seed": seed,
        "limit-train": limit_train,
        "limit-test": limit_test,
        "validation": validation,
        "timeout": timeout,
        "force": force,
        "order": order,
        "peak": peak,
        "sample-interval": sample_interval,
        "data-dir": data_dir,
        "out": out,
        "name": name,
        "host-name": host_name or None,
    }
    given = {flag: value for flag, value in flags.items() if value is not None and value != []}
    if resume is not None:
        others = (
            [f"--{flag}" for flag in given if flag != "timeout"] + ["--config"] * bool(config) + ["--dry-run"] * dry_run
        )
        if others:
            raise UsageError(f"--resume goes on with what the run was asked for; received also {', '.join(others)}")
        from bench.hardware.gpus import detect_gpus
        from bench.hardware.host import detect_host
        from bench.hardware.topology import detect_topology

        host = detect_host(detect_topology(), detect_gpus().gpus)
        _carry_out(resume, host=host, timeout_s=parse_duration_s(timeout) if timeout else None)
        return

    from bench.cli.console import warn
    from bench.launch.planning import create, prepare

    prepared = prepare(merge(given, toml=config))
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
            with LiveView(terminal, trials) as view:
                run_trials(folder, run_record, observer=view, machine=machine)
        except (StoppedError, KeyboardInterrupt):
            stopped = True
        report = render(path, terminal)
    if stopped:
        terminal.print(f"stopped; go on with: python -m bench run --resume {path}", soft_wrap=True)
        raise typer.Exit(EXIT_INTERRUPTED)
    if not report.trials["status"].isin(["ok", "skipped"]).all():
        raise typer.Exit(EXIT_UNFINISHED)
