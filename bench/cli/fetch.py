"""`fetch`: download a data set before any clock starts."""

from __future__ import annotations

from typing import Annotated

import typer


def fetch(
    name: Annotated[str, typer.Argument(help="A data set, as `data` lists them.")],
    data_dir: Annotated[str | None, typer.Option(help="Where to put it, instead of Keras's cache folder.")] = None,
) -> None:
    """Download a data set, checked against its official hash."""
    from bench.cli.console import console
    from bench.data import fetching

    console().print(str(fetching.fetch(name, data_dir=data_dir)), soft_wrap=True)
