"""Who may import whom: the parent stays small while it measures, and imports run one way."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import bench

if TYPE_CHECKING:
    from collections.abc import Iterator

HOUSE = Path(bench.__file__).resolve().parent
MODELS = HOUSE.parent / "models"
HEAVY = {"tensorflow", "keras"}

# What a room may import, besides itself and the version; a room is a folder or a module of `bench`.
TYPES = {"errors", "recipe", "record", "machine", "records"}
ROOMS: dict[str, set[str]] = {
    "errors": set(),
    "recipe": set(),
    "recipe_axes": {"errors", "recipe"},
    "schedule": {"recipe"},
    "config": {"errors", "recipe", "recipe_axes"},
    "record": set(),
    "private": set(),
    "events": {"record"},
    "samples": {"record"},
    "machine": {"record"},
    "peaks": {"config", "recipe", "record"},
    "records": {"config", "recipe", "record", "events", "machine", "samples", "peaks", "weights"},
    "probes": {"config", "recipe", "record", "records"},
    "timings": {"record", "records"},
    "tuning": {"config", "recipe", "records"},
    "new_folder": {"errors"},
    "store": TYPES | {"peaks", "new_folder"},
    "reference": TYPES | {"schedule", "store"},
    "downloads": {"errors"},
    "weights": {"errors", "record", "downloads"},
    "catalog": TYPES | {"weights"},
    "data": TYPES | {"downloads"},
    "hardware": TYPES | {"config", "store", "probes", "peaks"},
    "meter": TYPES | {"hardware"},
    "memory": TYPES | {"catalog", "schedule"},
    "matrix": TYPES | {"config", "catalog", "hardware", "recipe_axes", "schedule", "weights"},
    "analysis": TYPES | {"store", "peaks", "schedule", "reference", "tuning"},
    "export": TYPES | {"store", "analysis", "report"},
    "report": TYPES | {"config", "peaks", "store", "analysis", "tuning"},
    "launch": TYPES
    | {"config", "tuning", "memory", "peaks", "store", "catalog", "data", "hardware", "meter", "matrix", "weights"},
    "pytest_plugin": TYPES | {"config", "timings", "hardware", "launch", "analysis"},
    "worker": TYPES
    | {"timings", "schedule", "probes", "peaks", "private", "store", "catalog", "data", "downloads", "weights"},
    "cli": TYPES
    | {"config", "private", "store", "catalog", "data", "hardware", "meter", "matrix", "analysis", "report", "launch"}
    | {"reference", "tuning", "weights", "export", "new_folder"},
    "__init__": {"analysis"},
    "__main__": {"errors", "cli"},
}


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, anywhere in it; `from bench import x` is `bench.x`."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        match node:
            case ast.Import(names=aliases):
                yield from (alias.name for alias in aliases)
            case ast.ImportFrom(module="bench", names=aliases, level=0):
                yield from (f"bench.{alias.name}" for alias in aliases)
            case ast.ImportFrom(module=str(module), level=0):
                yield module
            case ast.ImportFrom():
                pytest.fail(f"{path}: a relative import")


def room_of(path: Path) -> str:
    """The room that a file of `bench` belongs to."""
    return path.relative_to(HOUSE).parts[0].removesuffix(".py")


FILES = sorted(HOUSE.rglob("*.py"))
IDS = [path.relative_to(HOUSE).as_posix() for path in FILES]


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_only_the_worker_and_the_models_import_tensorflow(path: Path) -> None:
    """No other module imports TensorFlow or Keras, not even in a function or for its types."""
    if room_of(path) != "worker":
        assert not HEAVY & {name.partition(".")[0] for name in imports(path)}


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_imports_run_one_way(path: Path) -> None:
    """A room imports only the rooms that it stands on; nothing imports the worker."""
    here = room_of(path)
    assert here in ROOMS, f"{path}: a room that the design does not know"
    imported = {name.split(".")[1] for name in imports(path) if name.startswith("bench.")} - {"__version__"}
    assert imported - {here} <= ROOMS[here]


def test_no_two_rooms_import_each_other() -> None:
    """The rooms above can be put in an order in which each stands on earlier ones, with the worker below none."""
    placed: set[str] = set()
    while left := set(ROOMS) - placed:
        ready = {room for room in left if ROOMS[room] <= placed}
        assert ready, f"a circle among {sorted(left)}"
        placed |= ready
    assert not [room for room, allowed in ROOMS.items() if "worker" in allowed]


@pytest.mark.parametrize("path", sorted(MODELS.glob("*.py")), ids=lambda path: path.stem)
def test_models_depend_on_keras_and_recipes_only(path: Path) -> None:
    """A model file can be taken elsewhere: of this package it knows at most the recipe and how weights are read."""
    own = {name for name in imports(path) if name.partition(".")[0] == "bench"}
    assert {name for name in own if not name.startswith("bench.weights.")} <= {"bench.recipe"}


def modules_after(code: str) -> set[str]:
    """The top-level modules of a fresh process that has run some code."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", f"{code}\nimport json, sys; print(json.dumps(sorted(sys.modules)))"],
        env={"PYTHONPATH": str(HOUSE.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    return {name.partition(".")[0] for name in json.loads(done.stdout)}


def test_the_command_line_is_imported_without_what_is_large() -> None:
    """`--help` waits for no library that takes long: the commands import what they need when they run."""
    loaded = modules_after("import bench.cli.app")
    assert "typer" in loaded
    assert not loaded & {*HEAVY, "pandas", "numpy", "pyarrow", "scipy", "psutil"}


def test_the_launcher_is_small() -> None:
    """What stands in memory while a trial is measured holds no TensorFlow, pandas or NumPy."""
    loaded = modules_after("import bench.launch.schedule")
    assert not loaded & {*HEAVY, "pandas", "numpy", "pyarrow", "scipy"}


def test_the_worker_watches_its_launcher_before_it_imports_tensorflow() -> None:
    """The process that trains notices an orphan's fate from its first moment."""
    assert not modules_after("import bench.worker.__main__") & {*HEAVY, "numpy", "pandas"}
