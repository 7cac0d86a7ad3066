"""Reference curves made by hand."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from bench.recipe import Recipe
from bench.records import Cell
from bench.reference.curve import SCHEMA, Measured, Published, ReferenceCurve, SeedCurve
from records_for_tests import DATASET, trial

FOUNDING = Published(source="a report")


def cell(**changes: Any) -> Cell:
    """A cell of three epochs that `measured()` holds for; `changes` replaces fields."""
    return replace(trial(epochs=3).cell, **changes)


def seeds(*accuracies: tuple[float | None, ...], first: int = 0, test: float | None = 0.3) -> tuple[SeedCurve, ...]:
    """Trainings that reached these validation accuracies, numbered from `first` on."""
    return tuple(
        SeedCurve(seed=number, val_accuracy=values, test_accuracy=test)
        for number, values in enumerate(accuracies, start=first)
    )


def source(*numbers: int, run: str = "example") -> Measured:
    """A run that these seeds come from."""
    return Measured(run=run, created_unix_s=1.8e9, version="0.1.0", machine="Example CPU, cpu:2", seeds=numbers)


def measured(*trainings: SeedCurve, run: str = "example", **changes: Any) -> ReferenceCurve:
    """A curve of three epochs, of one seed if no trainings are given; `changes` replaces fields."""
    chosen = trainings or seeds((0.1, 0.3, 0.2))
    fields: dict[str, Any] = {
        "schema": SCHEMA,
        "model": "small",
        "model_sha256": "a" * 64,
        "recipe": Recipe(),
        "dataset": DATASET.name,
        "dataset_sha256": DATASET.sha256,
        "num_train": DATASET.num_train,
        "num_validation": DATASET.num_validation,
        "num_test": DATASET.num_test,
        "num_classes": DATASET.num_classes,
        "batch_size": 100,
        "precision": "float32",
        "epochs": 3,
        "seeds": chosen,
        "provenance": (source(*(one.seed for one in chosen if one.seed is not None), run=run),),
    }
    return ReferenceCurve(**fields | changes)


def published(**changes: Any) -> ReferenceCurve:
    """An end point after three epochs on the whole training set."""
    fields: dict[str, Any] = {
        "recipe": None,
        "precision": None,
        "dataset_sha256": None,
        "num_train": DATASET.num_train + DATASET.num_validation,
        "num_validation": 0,
        "provenance": (FOUNDING,),
    }
    return measured(SeedCurve(test_accuracy=0.4), **fields | changes)
