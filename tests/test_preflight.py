"""The preflight: trials that cannot fit are rows before the run begins, and every estimate is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import bench
from bench.catalog import Build, ModelDescription, StepDescription
from bench.config import RunConfig
from bench.errors import ModelError
from bench.launch import preflight
from bench.launch.planning import Prepared, create, prepare
from bench.launch.preflight import examine_memory
from bench.launch.schedule import pending
from bench.matrix import Plan
from bench.recipe import Precision, Recipe
from bench.records import Run
from bench.store import read_json
from records_for_tests import DATASET, GPU, trial

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

GB = 10**9
IMAGE_BYTES = 10_000_000


def fake_descriptions(builds: Sequence[Build], *, precision: Precision, **_: object) -> tuple[ModelDescription, ...]:
    """Models of 10 MB an image, half of it at half precision; one called `broken` cannot be built."""
    image_bytes = IMAGE_BYTES if precision == "float32" else IMAGE_BYTES // 2
    step = StepDescription(operations=1000, fixed_bytes=0, image_bytes=image_bytes)
    return tuple(
        ModelDescription(name=build.spec.name, problem="build raised")
        if build.spec.name == "broken"
        else ModelDescription(name=build.spec.name, step=step)
        for build in builds
    )


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with 3 GB to take on the host and 2 GB on each GPU, and no TensorFlow to ask."""
    monkeypatch.setattr(preflight, "describe_models", fake_descriptions)
    monkeypatch.setattr(preflight, "read_available_memory_bytes", lambda: 3 * GB)
    monkeypatch.setattr(preflight, "read_free_memory_bytes", lambda _: 2 * GB)


def prepared(**config: object) -> Prepared:
    """A run of two batch sizes of which one fits."""
    options: dict[str, object] = {
        "model": ("mnist_cnn",),
        "device": ("cpu:1",),
        "batch_size": (100, 200),
        "limit_train": 20,
        "limit_test": 10,
        "common": Recipe(epochs=1, precision="float32"),
    }
    return prepare(RunConfig(**options | config))  # type: ignore[arg-type]  # names and values are the fields'


def test_how_a_model_is_built_is_what_its_recipe_asks_for() -> None:
    """Cells that are built alike share a description; each of these needs its own."""
    recipes = (
        Recipe(),
        Recipe(stages=((20, 0.5),)),
        Recipe(input_pixels=64),
        Recipe(frozen_until="pool"),
        Recipe(convolutions="winograd"),
    )
    assert len({preflight.how_built(trial(recipe=recipe).cell) for recipe in recipes}) == len(recipes)
    assert preflight.how_built(trial(recipe=Recipe(label_smoothing=0.1)).cell) == preflight.how_built(trial().cell)


def test_a_cell_that_cannot_fit_is_a_skipped_row(tmp_path: Path) -> None:
    """The other cell runs; the row says what was missing, and both estimates stand in the frame."""
    folder = create(prepared(out=str(tmp_path)), command=("bench",))
    run = folder.read_run()
    assert [trial.cell.batch_size for trial in pending(folder, run)] == [100]
    trials = bench.load(folder.path).trials
    assert trials["status"].tolist() == ["interrupted", "skipped"]
    assert "3.0 GB available; --force" in trials["reason"][1]
    assert trials["estimated_bytes"].gt(2 * GB).tolist() == [True, True]
    assert trials["estimated_bytes"].le(3 * GB).tolist() == [True, False]
    assert trials["estimated_gpu_bytes"].isna().all()


def test_force_runs_what_cannot_fit(tmp_path: Path) -> None:
    """With `--force` nothing is refused, and the estimates are kept all the same."""
    folder = create(prepared(out=str(tmp_path), force=True), command=("bench",))
    run = folder.read_run()
    assert len(pending(folder, run)) == 2
    assert len(run.estimates) == 2


def test_an_estimate_reads_back(tmp_path: Path) -> None:
    """What is written with the run is what was estimated, by the keys of its trials."""
    ready = prepared(out=str(tmp_path))
    run = read_json(create(ready, command=("bench",)).file, Run)
    assert run.estimates == ready.preflight.estimates
    assert set(run.estimates) == {trial.key for trial in run.trials}


def test_each_precision_is_built_for_itself() -> None:
    """A model under mixed precision holds other tensors; what fits there may not fit in float32."""
    ready = prepared(batch_size=(200,), precision=("float32", "mixed_bfloat16"))
    refused = [trial.cell.precision for trial in ready.plan.trials if trial.key in ready.plan.refusals]
    assert refused == ["float32"]


def test_a_model_that_cannot_be_built_is_left_to_its_own_row() -> None:
    """It has no estimate and is not skipped: its trial says what `build` raised."""
    broken, fine = trial("broken"), trial("fine", batch_size=10)
    found = examine_memory(Plan(trials=(broken, fine), refusals={}), DATASET, loading_bytes=0)
    assert set(found.estimates) == {fine.key}
    assert not found.refusals()


def test_a_gpu_s_memory_counts_for_its_cells() -> None:
    """A batch that the host could hold is refused on a GPU that cannot."""
    large, small = trial(device=GPU, batch_size=150), trial(device=GPU, batch_size=50)
    found = examine_memory(Plan(trials=(large, small), refusals={}), DATASET, loading_bytes=0)
    assert set(found.refusals()) == {large.key}
    assert "2.0 GB free on the GPU" in found.shortages[large.key]


def test_what_is_refused_already_keeps_its_reason() -> None:
    """A trial without its device is not examined, and its row goes on to say why it cannot run."""
    refused = trial(batch_size=10_000)
    plan = Plan(trials=(refused,), refusals={refused.key: ("skipped", "no GPU")})
    assert not examine_memory(plan, DATASET, loading_bytes=0).refusals()


def test_a_preflight_that_fails_costs_the_estimates_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the models' process dies, the run goes on without estimates, and says so at its start."""

    def fail(*_: object, **__: object) -> None:
        raise ModelError("building the models ended with exit code -9")

    monkeypatch.setattr(preflight, "describe_models", fail)
    ready = prepared()
    assert not ready.plan.refusals
    assert not ready.preflight.estimates
    assert any("not estimated" in warning and "exit code -9" in warning for warning in ready.warnings)


def test_a_model_is_built_as_its_recipe_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells with stages are described by a model for images of any size, others by one for theirs."""
    asked: list[tuple[bool, str]] = []

    def note(builds: Sequence[Build], **options: Any) -> tuple[ModelDescription, ...]:
        asked.extend((build.any_size, build.spec.name) for build in builds)
        return fake_descriptions(builds, **options)

    monkeypatch.setattr(preflight, "describe_models", note)
    found = prepared(batch_size=(100,), recipe_set={"stages": ([], [[16, 0.5]])})
    assert sorted(asked) == [(False, "mnist_cnn"), (True, "mnist_cnn")]
    assert len(found.preflight.estimates) == 2
