"""Reference curves from runs, and the commands that keep them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import typer
from msgspec.structs import replace

from bench.analysis.referencing import reference_curves
from bench.cli import reference as commands
from bench.data.content import content_digest
from bench.data.loading import load as load_dataset
from bench.errors import BenchError, StoreError
from bench.machine import Revision
from bench.recipe import Recipe
from bench.records import Attempt, Epoch, Tested, TrialData
from bench.reference.shelf import load
from records_for_tests import (
    DATASET,
    EXAMPLE_GPU,
    GPU,
    HOST,
    end,
    ended_trial,
    epoch,
    epochs,
    ok_trial,
    run_data,
    start_up,
    trial,
    write_run,
)
from test_cli import hourglass


def test_a_cell_becomes_a_curve() -> None:
    """Its seeds, epoch by epoch, with what was trained how and where; accuracies keep 7 digits."""
    host = replace(HOST, revision=Revision(commit="c0ffee", dirty=False))
    run = run_data(ok_trial(trial(seed=1), accuracy=0.34429999), ok_trial(trial(seed=0)), host=host)
    (curve,) = reference_curves(run).curves
    assert [one.seed for one in curve.seeds] == [0, 1]
    assert curve.seeds[1].val_accuracy == (0.28, 0.28)
    assert curve.seeds[1].test_accuracy == 0.3443
    assert (curve.model, curve.recipe, curve.batch_size, curve.epochs) == ("small", Recipe(), 100, 2)
    assert (curve.dataset_sha256, curve.dataset_content) == (DATASET.sha256, None)
    (source,) = curve.provenance
    assert (source.run, source.machine, source.commit, source.seeds) == (  # type: ignore[union-attr]
        "example",
        "Example CPU, cpu:2",
        "c0ffee",
        (0, 1),
    )


def test_devices_are_taken_together_and_the_first_one_counts() -> None:
    """A seed on a second device, or under XLA, is left out; one that only ran there is taken."""
    host = replace(HOST, gpus=(EXAMPLE_GPU,))
    taken = reference_curves(
        run_data(
            ok_trial(trial(), accuracy=0.3),
            ok_trial(trial(device=GPU), accuracy=0.4),
            ok_trial(trial(jit="on"), accuracy=0.5),
            ok_trial(trial(device=GPU, seed=1), accuracy=0.6),
            host=host,
        )
    )
    (curve,) = taken.curves
    assert [one.test_accuracy for one in curve.seeds] == [0.3, 0.6]
    assert [(one.machine, one.seeds) for one in curve.provenance] == [  # type: ignore[union-attr]
        ("Example CPU, cpu:2", (0,)),
        ("Example GPU, gpu:0", (1,)),
    ]
    assert taken.left_out == tuple(
        f"small {where}, seed 0: an earlier trial of the run has given this seed" for where in ("gpu:0", "cpu:2 jit")
    )


def test_what_is_trained_otherwise_is_another_curve() -> None:
    """Recipes, batch sizes and numbers of epochs are not mixed."""
    others = [trial(), trial(batch_size=50), trial(recipe=Recipe(momentum=0.9, optimizer="sgd")), trial(epochs=3)]
    curves = reference_curves(run_data(*map(ok_trial, others))).curves
    assert len(curves) == len({curve.key for curve in curves}) == 4


def without(data: TrialData, *kinds: type) -> TrialData:
    """A trial without events of these kinds."""
    return replace(data, events=tuple(event for event in data.events if not isinstance(event, kinds)))


def test_what_did_not_end_well_is_left_out_with_its_reason() -> None:
    """Failed, diverged, cut off, under a budget, a calibration, or without any accuracy."""
    timed = ok_trial(trial(seed=3))
    calibration = ok_trial(trial(seed=4))
    taken = reference_curves(
        run_data(
            ended_trial(trial(), status="failed", reason="no weights"),
            ended_trial(trial(seed=1), status="diverged", reason="the loss is nan"),
            TrialData(trial=trial(seed=2)),
            replace(timed, trial=replace(timed.trial, cell=replace(timed.trial.cell, epochs=None, budget_s=60.0))),
            replace(calibration, trial=replace(calibration.trial, mode="calibrate")),
            without(ok_trial(trial(seed=5)), Epoch, Tested),
        )
    )
    assert taken.curves == ()
    for said, line in zip(
        ("failed: no weights", "diverged: the loss", "no result", "a budget of time", "calibration", "no accuracy"),
        taken.left_out,
        strict=True,
    ):
        assert said in line


def test_those_that_were_spared_do_not_stand_for_all() -> None:
    """Of a cell whose other seed was given up or diverged, no curve is taken."""
    for status in ("hopeless", "diverged"):
        other = ended_trial(trial(seed=1), status=status, reason="below", events=start_up(trial(seed=1)))  # type: ignore[arg-type]
        taken = reference_curves(run_data(ok_trial(trial()), other))
        assert not taken.curves
        assert f"another seed of its cell ended {status}" in taken.left_out[0]


def test_lost_work_is_left_out() -> None:
    """An epoch that a later attempt did again counts as it was done again."""
    asked = trial()
    lost = epoch(asked, 2, start_s=16.5, train_s=10.0, accuracy=0.9)
    events = (
        *start_up(asked),
        *epoch(asked, 1, start_s=5.0, train_s=10.0, accuracy=0.22),
        *lost,
        Attempt(number=2, unix_s=1.8e9, offset_s=16.5, epochs_done=1),
        *epochs(asked, first=2, start_s=21.5),
        *end(start_s=40.0),
    )
    (curve,) = reference_curves(run_data(ok_trial(asked, events=events))).curves
    assert curve.seeds[0].val_accuracy == (0.2, 0.28)


def test_a_path_is_not_passed_on() -> None:
    """Of a data set by its path the last part stays; content is filled in where the run has none."""
    asked = trial(dataset=replace(DATASET, name="/home/ada/photos/"))
    (curve,) = reference_curves(run_data(ok_trial(asked)), contents={DATASET.sha256: "c" * 64}).curves
    assert (curve.dataset, curve.dataset_content) == ("photos", "c" * 64)
    recorded = trial(dataset=replace(DATASET, content="e" * 64))
    (curve,) = reference_curves(run_data(ok_trial(recorded)), contents={DATASET.sha256: "c" * 64}).curves
    assert curve.dataset_content == "e" * 64


# The commands


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder, empty, and no data set to be found."""
    monkeypatch.setenv("HOURGLASS_REFERENCE_DIR", str(tmp_path / "shelf"))
    monkeypatch.setenv("HOURGLASS_DATA_DIR", str(tmp_path / "no data"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "no keras"))
    return tmp_path / "shelf"


def test_seeds_of_later_runs_are_added(shelf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is there stays; the command says what was added, and that the content could not be looked at."""
    runs = [
        write_run(tmp_path / "a", run_data(ok_trial(trial()), name="a")).path,
        write_run(tmp_path / "b", run_data(ok_trial(trial(), accuracy=0.9), ok_trial(trial(seed=1)), name="b")).path,
    ]
    commands.add(runs)
    ((curve),) = load([shelf]).curves
    assert [(one.seed, one.test_accuracy) for one in curve.seeds] == [(0, 0.381), (1, 0.381)]
    said = capsys.readouterr()
    assert ": seed 0 added, 1 in all" in said.out
    assert ": seed 1 added, 2 in all" in said.out
    assert "its images in another order will not be known for the same" in said.err
    before = next(shelf.glob("*.json")).read_bytes()
    commands.add(runs)
    assert "no seed that was not there already, 2 in all" in capsys.readouterr().out
    assert next(shelf.glob("*.json")).read_bytes() == before


def test_the_content_of_an_old_run_is_filled_in(shelf: Path, tmp_path: Path) -> None:
    """From the data set where it lies, on an earlier curve too."""
    images = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 3), dtype=np.uint8)
    labels = np.arange(40) % 4
    path = tmp_path / "mine.npz"
    np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels)
    data = load_dataset(str(path))
    run = write_run(tmp_path / "run", run_data(ok_trial(trial(dataset=data.spec)))).path
    path.rename(tmp_path / "away.npz")
    commands.add([run])
    assert load([shelf]).curves[0].dataset_content is None
    (tmp_path / "away.npz").rename(path)
    commands.add([run])
    assert load([shelf]).curves[0].dataset_content == content_digest(data)


def test_runs_without_a_curve_are_refused(shelf: Path, tmp_path: Path) -> None:
    """Nothing is written where nothing was found, nor where one of the folders is no run."""
    failed = write_run(tmp_path / "failed", run_data(ended_trial(trial(), status="failed", reason="boom"))).path
    with pytest.raises(BenchError, match="no reference curve in these runs"):
        commands.add([failed])
    fine = write_run(tmp_path / "fine", run_data(ok_trial(trial()))).path
    with pytest.raises(StoreError, match="no run folder"):
        commands.add([fine, tmp_path / "nowhere"])
    assert not shelf.exists()


def test_curves_are_added_listed_and_removed_by_command(shelf: Path, tmp_path: Path) -> None:
    """In 80 columns: what was trained how, what it reached, where it comes from; a shipped one cannot be removed."""
    run = write_run(tmp_path / "run", run_data(ok_trial(trial(recipe=Recipe(learning_rate=0.01))))).path
    added = hourglass("reference", "add", run)
    assert added.returncode == 0, added.stderr
    (mine,) = load([shelf]).references
    listed = hourglass("reference", "list")
    assert (listed.returncode, listed.stderr) == (0, "")
    for word in (
        "small",
        "mnist_cnn",
        "mbn",
        "learning_rate=0.01",
        "38.1 % test",
        "28.0 % val",
        "published:",
        mine.name,
    ):
        assert word in listed.stdout
    removed = hourglass("reference", "remove", mine.name)
    assert removed.returncode == 0, removed.stderr
    assert not list(shelf.glob("*.json"))
    again = hourglass("reference", "remove", mine.name)
    assert again.returncode == 2
    assert "`python -m bench reference list` lists them" in again.stderr
    elsewhere = hourglass("reference", "add", run, "--to", tmp_path / "elsewhere")
    assert elsewhere.returncode == 0, elsewhere.stderr
    assert len(load([tmp_path / "elsewhere"]).curves) == 1
    assert not list(shelf.glob("*.json"))


def test_a_damaged_file_does_not_keep_the_others_from_being_listed(
    shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is named, and can be removed by its name."""
    shelf.mkdir()
    (shelf / "half.json").write_bytes(b"{")
    commands.list_curves()
    said = capsys.readouterr()
    assert "half.json is damaged" in said.err.replace("\n", " ")
    assert "mnist_cnn" in said.out
    commands.remove("half")
    assert not list(shelf.glob("*.json"))


def test_the_commands_are_there() -> None:
    """`reference` is a command of commands."""
    assert isinstance(commands.reference, typer.Typer)
    done = hourglass("reference", "--help")
    assert done.returncode == 0
    assert all(word in done.stdout for word in ("add", "list", "remove"))
