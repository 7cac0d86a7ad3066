"""The command line's table of commands. Each imports what it needs when it runs, so that `--help` answers at once."""

from __future__ import annotations

from typing import Annotated

import typer

from bench import __version__
from bench.cli.compare import compare
from bench.cli.data import data
from bench.cli.devices import devices
from bench.cli.doctor import doctor
from bench.cli.export import export
from bench.cli.fetch import fetch
from bench.cli.forecast import forecast
from bench.cli.merge import merge
from bench.cli.models import models
from bench.cli.reference import reference
from bench.cli.report import report
from bench.cli.run import run
from bench.cli.tune import tune

app = typer.Typer(
    name="hourglass",
    help="Train and time Keras image classifiers on the devices you have: accuracy per hour.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(value: bool) -> None:
    if value:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def root(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Train and time Keras image classifiers on the devices you have: accuracy per hour."""


for command in (run, forecast, tune, report, compare, merge, export, models, devices, doctor, data, fetch):
    app.command()(command)
app.add_typer(reference, name="reference")
