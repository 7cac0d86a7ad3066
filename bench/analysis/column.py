"""One column of a DataFrame, and those that several tables share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Column:
    """One column of a DataFrame.

    Attributes:
        dtype: Its pandas dtype; `object` holds tuples of text.
        meaning: What it says, with its unit.
    """

    dtype: str
    meaning: str


# What tells cells of a matrix apart.
CELL_COLUMNS = {
    "cell": Column("Int64", "number of the cell in the run, from 1, in the order of the trials"),
    "model": Column(
        "string", "name of the model, (pre-trained) behind it where it started with weights from elsewhere"
    ),
    "weights": Column("string", "weights that it started with, such as imagenet; missing where they were drawn"),
    "device": Column("string", "device in the grammar of --device, such as cpu:2; in merged runs with @ and its host"),
    "host": Column("string", "name of the machine; missing in a run that was not merged from several"),
    "device_kind": Column("string", "cpu or gpu"),
    "threads": Column("Int64", "threads of TensorFlow's pool that the device asks for"),
    "siblings": Column("boolean", "whether those threads share cores, as on cpu:8smt"),
    "workload": Column("Int64", "number of what is trained, from 1; cells that differ in their device alone share it"),
    "precision": Column("string", "Keras dtype policy"),
    "jit": Column("string", "XLA compilation: off or on"),
    "onednn": Column("string", "oneDNN's kernels on the CPU: off or on, as they were asked for"),
    "steps_per_execution": Column("Int64", "steps that one call of TensorFlow makes"),
    "batch_size": Column("Int64", "images a step"),
    "recipe": Column("string", "what its recipe says beyond the defaults, in words"),
    "recipe_axes": Column("string", "fields of the recipe that differ between cells of the model, with their values"),
    "epochs_asked": Column("Int64", "epochs that the cell asks for; missing where a budget ends the training"),
    "budget_s": Column("Float64", "time after which the training ends; missing without a budget, seconds"),
    "budget_clock": Column("string", "what the budget covers: train, fit (with validation) or wall (everything)"),
    "dataset": Column("string", "data set as --dataset named it"),
}


def cell_columns(*names: str) -> dict[str, Column]:
    """Some of the columns that tell cells apart."""
    return {name: CELL_COLUMNS[name] for name in names}


def interval(name: str, known: object | None, *, middle: str = "estimate") -> dict[str, Any]:
    """The three values of a column that has an interval: `name`, `name_low` and `name_high`.

    Args:
        name: The column's.
        known: Has `low` and `high`; None where nothing is known.
        middle: How it calls what lies between them. Defaults to `"estimate"`.
    """
    parts = {name: middle, f"{name}_low": "low", f"{name}_high": "high"}
    return {column: None if known is None else getattr(known, part) for column, part in parts.items()}
