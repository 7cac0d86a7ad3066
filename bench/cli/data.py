"""`data`: what can be trained on."""

from __future__ import annotations

from typing import Annotated

import typer


def data(
    data_dir: Annotated[str | None, typer.Option(help="Look here first, before Keras's cache folder.")] = None,
) -> None:
    """List the data sets: sizes, and where each lies or how to get it."""
    from bench.cli.console import console
    from bench.cli.tables import table
    from bench.data.sources import SOURCES, find
    from bench.report.format import size

    terminal = console()
    listing = table("data set", "image", "classes", "train", "test", "what it shows")
    places = table("data set", "where it lies")
    for source in SOURCES.values():
        place = find(source.name, data_dir)
        if not source.downloads:
            where = "nowhere: it is drawn when it is needed"
        elif place is not None:
            where = str(place)
        else:
            where = f"not here; `python -m bench fetch {source.name}` downloads {size(source.download_bytes)}"
        listing.add_row(
            source.name,
            "×".join(map(str, source.input_shape)),
            str(source.num_classes),
            f"{source.num_train:,}",
            f"{source.num_test:,}",
            source.description,
        )
        places.add_row(source.name, where)
    terminal.print(listing)
    terminal.print(places)
    terminal.print("your own: PATH.npz with x_train, y_train, x_test, y_test; or PATH/ with a folder for each class")
