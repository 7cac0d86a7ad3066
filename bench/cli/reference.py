"""`reference`: accuracy by epoch that was measured or published once, and holds on every machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.records import RunData
    from bench.reference.curve import Measured, Published, ReferenceCurve

reference = typer.Typer(
    help="Reference curves: accuracy by epoch, measured once, for machines where the model was never trained.",
    no_args_is_help=True,
)


@reference.command()
def add(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders, as `run` writes them.")],
    *,
    to: Annotated[Path | None, typer.Option(help="Another folder than yours for data.")] = None,
    data_dir: Annotated[str | None, typer.Option(help="Where data sets lie, if not in the usual places.")] = None,
) -> None:
    """Take reference curves from runs; seeds of a curve that is there already are added to it."""
    from bench.analysis.referencing import reference_curves
    from bench.cli.console import console, warn
    from bench.reference.shelf import put, user_folder
    from bench.store import read_run

    terminal = console()
    read = [read_run(run) for run in runs]  # all of them first: a wrong path ends it before anything is written
    found = 0
    for path, run in zip(runs, read, strict=True):
        taken = reference_curves(run, contents=_contents(run, data_dir))
        for line in taken.left_out:
            warn(f"{path}: left out: {line}")
        for curve in taken.curves:
            placed, merged = put(curve, to or user_folder())
            added = f"{_seeds(merged.added)} added" if merged.added else "no seed that was not there already"
            terminal.print(f"{placed.path}: {added}, {len(placed.curve.seeds)} in all", soft_wrap=True)
            found += 1
    if not found:
        raise BenchError("no reference curve in these runs: it takes a trial that ended ok after a number of epochs")


@reference.command("list")
def list_curves() -> None:
    """List the reference curves: what was trained how, and what it reached at its end."""
    from bench.cli.console import console, warn
    from bench.cli.tables import table
    from bench.reference.shelf import load
    from bench.report.format import plain

    terminal = console()
    shelf = load()
    for line in shelf.warnings:
        warn(line)
    listing = table("model and data", "training", "seeds", "at the end")
    for one in shelf.references:
        curve = one.curve
        listing.add_row(
            f"{plain(curve.model)}\n{plain(curve.dataset)}",
            _training(curve),
            ", ".join("–" if seed.seed is None else str(seed.seed) for seed in curve.seeds),
            _accuracy(curve),
        )
    if not shelf.references:
        terminal.print("no reference curves; `python -m bench reference add RUN` takes them from a run")
        return
    terminal.print(listing)
    terminal.print("at the end: accuracy on the validation and on the test images, the median of the seeds")
    for one in shelf.references:
        where = "came with the program" if one.is_shipped else f"in {one.path.parent}"
        sources = "; ".join(map(_source, one.curve.provenance))
        terminal.print(plain(f"{one.name}: {where}; {sources}"), soft_wrap=True)


@reference.command()
def remove(
    name: Annotated[str, typer.Argument(help="A curve of yours, as `reference list` names it.")],
) -> None:
    """Remove a reference curve that you added."""
    from bench.cli.console import console
    from bench.reference.shelf import remove as remove_curve

    console().print(f"removed {remove_curve(name)}", soft_wrap=True)


def _contents(run: RunData, data_dir: str | None) -> dict[str, str]:
    """Digests of data sets that were recorded without one, as far as they can be found."""
    from bench.cli.console import warn
    from bench.data.content import find_content

    lacking = {data.trial.cell.dataset for data in run.trials if not data.trial.cell.dataset.content}
    contents = {}
    for spec in lacking:
        try:
            contents[spec.sha256] = find_content(spec, data_dir=data_dir or run.run.config.data_dir)
        except BenchError as error:
            warn(f"{spec.name}: its images in another order will not be known for the same: {error}")
    return contents


def _training(curve: ReferenceCurve) -> str:
    from bench.recipe import describe

    held_back = f" + {curve.num_validation:,}" if curve.num_validation else ""
    said = [
        f"{curve.epochs} epochs, batch {curve.batch_size}",
        f"{curve.num_train:,}{held_back} images",
        "recipe not published" if curve.recipe is None else describe(curve.recipe),
        *([curve.precision] if curve.precision not in {None, "float32"} else []),
    ]
    return "\n".join(said)


def _accuracy(curve: ReferenceCurve) -> str:
    from statistics import median_low

    from bench.report.format import MISSING, share

    last = [seed.val_accuracy[-1] for seed in curve.seeds if seed.val_accuracy]
    ends = {
        "val": [accuracy for accuracy in last if accuracy is not None],
        "test": [seed.test_accuracy for seed in curve.seeds if seed.test_accuracy is not None],
    }
    return "\n".join(f"{share(median_low(known))} {split}" for split, known in ends.items() if known) or MISSING


def _source(source: Measured | Published) -> str:
    from bench.reference.curve import Published

    if isinstance(source, Published):
        return f"published: {source.source}"
    return f"measured: {source.run}, {source.machine}"


def _seeds(seeds: Sequence[int | None]) -> str:
    numbers = ", ".join(map(str, seeds))
    return f"seed {numbers}" if len(seeds) == 1 else f"seeds {numbers}"
