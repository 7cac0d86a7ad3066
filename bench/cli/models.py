"""`models`: what can be trained."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.errors import ModelError, UsageError


def models(
    name: Annotated[str | None, typer.Argument(help="Build this one (a name or a .py file) and show it.")] = None,
    input_shape: Annotated[str, typer.Option(help="Height, width, channels of an image.")] = "32,32,3",
    classes: Annotated[int, typer.Option(min=2, help="Classes to tell apart.")] = 100,
) -> None:
    """List the models, or build one and show its layers, parameters and output shapes."""
    if name is None:
        _list()
    else:
        _show(name, _parse_shape(input_shape), classes)


def _list() -> None:
    from bench import catalog
    from bench.cli.console import console
    from bench.cli.tables import table

    listing = table("model", "what it is and where it comes from", "recipe")
    for name in catalog.names():
        found = catalog.find(name)
        what = found.problem or "\n".join(filter(None, (found.summary, found.source)))
        listing.add_row(name, what, "own" if found.recipe else "preset")
    console().print(listing)
    console().print("a file of yours: --model path/to/mine.py; it defines build(input_shape, num_classes)")


def _show(name: str, input_shape: tuple[int, int, int], classes: int) -> None:
    from bench import catalog
    from bench.cli.console import console
    from bench.cli.tables import table
    from bench.launch.describing import describe_models
    from bench.recipe import describe

    terminal = console()
    found = catalog.find(name)
    if found.problem:
        raise ModelError(found.problem)
    (described,) = describe_models([catalog.Build(spec=found.spec)], input_shape=input_shape, num_classes=classes)
    if described.problem:
        raise ModelError(described.problem)
    terminal.print(found.description)
    if found.recipe:
        terminal.print(f"\nits recipe: {describe(found.recipe)}")
    layers = table("layer", "kind", "output shape", "parameters")
    for layer in described.layers:
        shape = " × ".join("batch" if size is None else str(size) for size in layer.output_shape)
        layers.add_row(layer.name, layer.kind, shape, f"{layer.parameters:,}")
    terminal.print(layers)
    terminal.print(
        f"{described.parameters:,} parameters, {described.trainable_parameters:,} of them trained; "
        f"{described.activations:,} activations an image"
    )


def _parse_shape(text: str) -> tuple[int, int, int]:
    try:
        height, width, channels = (int(part) for part in text.replace("x", ",").split(","))
    except ValueError:
        raise UsageError(f"--input-shape is height,width,channels such as 32,32,3; received {text!r}") from None
    if min(height, width, channels) < 1:
        raise UsageError(f"--input-shape takes positive numbers; received {text!r}")
    return height, width, channels
