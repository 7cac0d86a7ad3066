"""The flags that say what is run, for every command that runs trials."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, get_type_hints

import typer

Flags = Mapping[str, Any]  # those that were given, by their names in kebab case

Text = str | None
Words = list[str] | None
Number = int | None

DEVICE_HELP = "cpu, cpu:N, cpu:scan (1, 2, 4 … cores), cpu:smt, gpu, gpu:0, gpu:0+1 (together), all; comma list."
CLOCK_HELP = "What a budget covers: train, fit (with validation), or wall (everything, start-up and test too)."
TRAIN_HELP = "Use so many training images; else all (quick, on its own data: 2000)."
TEST_HELP = "Use so many test images; else all (quick, on its own data: 1000)."
STOP_WHEN_HELP = "hopeless: end a trial whose forecast stays below --target; it stays a row. Defaults to never."
ONEDNN_HELP = "oneDNN's kernels on the CPU, on or off, whatever TF_ENABLE_ONEDNN_OPTS says; comma list."
RECIPE_SET_HELP = "Recipe fields as axes: label_smoothing=0,0.2; repeatable."


@dataclass(frozen=True, kw_only=True)
class RunFlags:
    """What `bench.config.RunConfig` has, as flags; None was not given."""

    preset: Annotated[Text, typer.Option(help="quick (minutes), report (founding), sprint or zoo (all models).")] = None
    model: Annotated[Words, typer.Option(help="A model's name, or a .py file of yours; comma list.")] = None
    device: Annotated[Words, typer.Option(help=DEVICE_HELP)] = None
    dataset: Annotated[Text, typer.Option(help="A name (see `data`), PATH.npz, or PATH/, a folder a class.")] = None
    epochs: Annotated[Number, typer.Option(help="Passes over the training images.")] = None
    budget: Annotated[Words, typer.Option(help="Train for so long instead: 90s, 30m, 2h; comma list.")] = None
    budget_clock: Annotated[Text, typer.Option(help=CLOCK_HELP)] = None
    batch_size: Annotated[Words, typer.Option(help="Images a step; comma list.")] = None
    precision: Annotated[Words, typer.Option(help="float32, mixed_bfloat16, mixed_float16; comma list.")] = None
    jit: Annotated[Words, typer.Option(help="XLA, off or on; comma list.")] = None
    onednn: Annotated[Words, typer.Option(help=ONEDNN_HELP)] = None
    steps_per_execution: Annotated[Number, typer.Option(help="Steps that one call of TensorFlow makes.")] = None
    recipe: Annotated[Text, typer.Option(help="model: its own RECIPE, if it has one; common: the preset's.")] = None
    recipe_set: Annotated[Words, typer.Option(help=RECIPE_SET_HELP)] = None
    repeats: Annotated[Number, typer.Option(help="Trials a cell, each with a seed of its own.")] = None
    seed: Annotated[Number, typer.Option(help="The first seed.")] = None
    limit_train: Annotated[Number, typer.Option(help=TRAIN_HELP)] = None
    limit_test: Annotated[Number, typer.Option(help=TEST_HELP)] = None
    validation: Annotated[float | None, typer.Option(help="Share of the training images held back.")] = None
    stop_when: Annotated[Text, typer.Option(help=STOP_WHEN_HELP)] = None
    target: Annotated[Text, typer.Option(help="The accuracy of --stop-when, 0.5 or 50%.")] = None
    timeout: Annotated[Text, typer.Option(help="End a trial after 90s, 30m or 2h; it stays a row.")] = None
    force: Annotated[
        bool | None, typer.Option("--force", help="Run what does not fit into memory by the estimate too.")
    ] = None
    order: Annotated[Text, typer.Option(help="interleaved (A B B A), grouped or random.")] = None
    peak: Annotated[Text, typer.Option(help="What devices attain at best: cached, refresh or off.")] = None
    sample_interval: Annotated[Text, typer.Option(help="Time between two samples of memory, CPU and GPU.")] = None
    data_dir: Annotated[Text, typer.Option(help="Where data sets lie, if not in Keras's cache folder.")] = None
    out: Annotated[Text, typer.Option(help="The folder below which runs are written.")] = None
    name: Annotated[Text, typer.Option(help="Names the run's folder.")] = None
    host_name: Annotated[bool | None, typer.Option("--host-name", help="Record this machine's network name.")] = None


def takes_run_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command these flags besides its own.

    Args:
        command: Takes `flags`, those that were given by their names in kebab case, and its own options by keyword.

    Returns:
        What typer is to register; it takes every flag and option by keyword.
    """
    hints = get_type_hints(RunFlags, include_extras=True)
    shared = [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in fields(RunFlags)
    ]
    own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != "flags"]

    def with_flags(**values: Any) -> None:  # noqa: ANN401 -- whatever the flags' types are
        given = {field.name.replace("_", "-"): values.pop(field.name, None) for field in fields(RunFlags)}
        command(flags={flag: value for flag, value in given.items() if value is not None and value != []}, **values)

    # Arguments come first on a command line, options in any order.
    arguments = [p for p in own if p.kind is not inspect.Parameter.KEYWORD_ONLY]
    options = [p for p in own if p.kind is inspect.Parameter.KEYWORD_ONLY]
    with_flags.__name__ = command.__name__
    with_flags.__doc__ = command.__doc__
    with_flags.__module__ = command.__module__
    parameters = [*arguments, *shared, *options]
    with_flags.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # functions may have one
    with_flags.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return with_flags
