"""`export`: a run in the format of another tool."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

FORMAT_HELP = (
    "tensorboard, mlflow, pytest-benchmark, dawnbench, github-action-benchmark or prometheus; comma list, repeatable."
)
INSTEAD = "remove it, or choose another --out"


def export(
    folder: Annotated[Path, typer.Argument(help="A run folder, as `run` writes it below reports/.")],
    *,
    to: Annotated[list[str], typer.Option(help=FORMAT_HELP)],
    out: Annotated[Path | None, typer.Option(help="Another folder than export/ in the run folder.")] = None,
) -> None:
    """Write a run for tools that you have: curves, times and memory where you look at all the others."""
    from bench.cli.console import console
    from bench.config import words
    from bench.errors import StoreError
    from bench.export.formats import FORMATS, check, writer
    from bench.export.source import read_source
    from bench.new_folder import new_folder

    writers = {name: writer(name) for name in words(to)}  # all of them first: nothing is written for half of a wish
    source = read_source(folder)
    places = {name: (out or folder / "export") / name for name in writers}
    for name, place in places.items():
        check(name, source)
        if place.exists():
            raise StoreError(f"{place} is there already; {INSTEAD}")
    terminal = console()
    for name, write in writers.items():
        place = places[name]
        try:
            with new_folder(place, instead=INSTEAD):
                written = write(source, place)
        except OSError as error:
            raise StoreError(f"{place} cannot be written: {error.strerror or error}; choose another --out") from error
        opens = FORMATS[name].opens.format(out=place, file=written[0])
        terminal.print(f"{name}: wrote {place}; {opens}", soft_wrap=True)
