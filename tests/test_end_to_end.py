"""The main job through the command line: its folder, its rows, and what is left when it is cut off."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

import bench
from bench.records import Attempt, Epoch
from bench.store import RunFolder, read_run
from test_cli import hourglass
from test_training import TINY_MODEL

pytestmark = pytest.mark.tf

PATIENCE_S = 120


@pytest.fixture
def tiny(tmp_path):
    """A model file of the user's own."""
    path = tmp_path / "tiny.py"
    path.write_text(TINY_MODEL.format(activation=', activation="softmax"'))
    return path


def only_run(out):
    """Return the one run folder below `out`."""
    (path,) = out.iterdir()
    return path


def start(*arguments, **options):
    """Start the command line in the background, as a terminal or a service would."""
    return subprocess.Popen(
        [sys.executable, "-m", "bench", "run", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        **options,
    )


def wait_for(condition, *, what):
    """Wait until a condition holds; fail the test when patience ends."""
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    pytest.fail(f"waited {PATIENCE_S} s in vain for {what}")


def finished_epochs(out):
    """Return the run folder once at least two epochs of its trial are done, else None."""
    for path in out.glob("*/run.json"):
        folder = RunFolder(path.parent)
        trial = folder.trial(folder.read_run().trials[0].key)
        if max(trial.checkpoints(), default=0) >= 2:
            return folder
    return None


# Devices are measured in `test_use`.
UNCOMPARED = ("--peak", "off")
LONG = (
    *UNCOMPARED,
    "--model",
    "mnist_cnn",
    "--device",
    "cpu:1",
    "--limit-train",
    1000,
    "--limit-test",
    100,
    "--epochs",
    12,
)


def test_a_run_measures_what_works_and_says_what_does_not(tiny, tmp_path):
    """A user's own model on a user's own data is measured; a broken model costs its own row alone."""
    broken = tmp_path / "broken.py"
    broken.write_text("def build(input_shape, num_classes):\n    raise ValueError('[bold]too small[/bold]')\n")
    rng = np.random.default_rng(0)
    photos = tmp_path / "photos.npz"
    np.savez(
        photos,
        x_train=rng.integers(0, 256, (200, 8, 8, 1), dtype=np.uint8),
        y_train=np.arange(200) % 5,
        x_test=rng.integers(0, 256, (50, 8, 8, 1), dtype=np.uint8),
        y_test=np.arange(50) % 5,
    )
    out = tmp_path / "runs"
    done = hourglass(
        *("run", *UNCOMPARED, "--model", f"{tiny},{broken}", "--device", "cpu:1", "--dataset", photos, "--out", out),
        *("--epochs", 2, "--repeats", 2, "--name", "mine"),
    )
    assert done.returncode == 1, done.stderr
    report = bench.load(only_run(out))
    assert list(report.trials["model"]) == ["tiny", "broken", "broken", "tiny"]  # A B B A
    assert list(report.trials["status"]) == ["ok", "failed", "failed", "ok"]
    assert report.trials["reason"].str.contains("too small").tolist() == [False, True, True, False]
    assert (report.trials.loc[report.trials["status"] == "ok", "train_s"] > 0).all()
    assert len(report.epochs) == 4
    assert len(report.samples) > 0
    assert (report.trials["sampler_percent"].dropna() < 5).all()
    assert only_run(out).name.endswith("-mine")
    assert "[bold]too small[/bold]" in done.stdout
    assert "\x1b" not in done.stdout
    assert (only_run(out) / "report" / "report.md").read_text("utf-8").count("tiny")


def test_a_dry_run_shows_the_matrix_and_writes_nothing(tiny, tmp_path):
    """`--dry-run` builds the models, prints every trial with what it needs, and leaves no folder."""
    out = tmp_path / "runs"
    arguments = ("--model", f"mnist_cnn,{tiny}", "--device", "cpu:1", "--batch-size", "32,64", "--dry-run")
    done = hourglass("run", *UNCOMPARED, *arguments, "--out", out, COLUMNS="160")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("mnist_cnn cpu:1") == 2
    assert "1,638,052" in done.stdout
    assert not out.exists()


def test_a_model_is_shown_layer_by_layer():
    """`models NAME` builds the model and prints layers, shapes and parameters."""
    done = hourglass("models", "mnist_cnn", "--input-shape", "28,28,1", "--classes", "10")
    assert done.returncode == 0, done.stderr
    assert "1,199,882 parameters" in done.stdout
    assert "batch × 26 × 26 × 32" in done.stdout


def test_a_killed_run_leaves_no_orphan_and_is_finished_by_resume(tmp_path):
    """After SIGKILL the worker is gone, the folder reads, and `--resume` repeats no finished epoch."""
    out = tmp_path / "runs"
    process = start(*LONG, "--out", out)
    folder = wait_for(lambda: finished_epochs(out), what="two epochs")
    workers = psutil.Process(process.pid).children(recursive=True)
    assert workers
    process.kill()
    process.communicate()
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert not alive
    assert read_run(folder.path).trials[0].result is None
    done = hourglass("run", "--resume", folder.path)
    assert done.returncode == 0, done.stderr
    data = read_run(folder.path).trials[0]
    assert data.result is not None
    assert (data.result.status, data.result.attempts) == ("ok", 2)
    second = [event for event in data.events if isinstance(event, Attempt)][1]
    assert second.epochs_done >= 2
    after = data.events[data.events.index(second) :]
    assert [event.epoch for event in after if isinstance(event, Epoch)] == list(range(second.epochs_done + 1, 13))
    report = bench.load(folder.path)
    assert list(report.epochs["epoch"]) == list(range(1, 13))
    assert report.trials["flags"].iloc[0]
    assert hourglass("run", "--resume", folder.path).stdout.startswith("0 of 1 trials to run")


def test_ctrl_c_stops_after_writing_and_a_second_run_is_refused_meanwhile(tmp_path):
    """A run holds its folder; SIGINT ends it with a row, no child and the command that goes on."""
    out = tmp_path / "runs"
    process = start(*LONG, "--epochs", 500, "--out", out)  # it is stopped before
    folder = wait_for(lambda: finished_epochs(out), what="two epochs")
    second = hourglass("run", "--resume", folder.path)
    assert second.returncode == 7
    assert "in use by another run" in second.stderr
    workers = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    said, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130, errors
    assert f"--resume {folder.path}" in said
    assert "Traceback" not in errors
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert not alive
    (data,) = read_run(folder.path).trials
    assert data.result is not None
    assert data.result.status == "interrupted"


def test_a_disk_that_takes_no_more_is_a_row_with_its_reason(tmp_path):
    """A checkpoint that cannot be written fails its trial clearly; what was written before stays readable."""
    out = tmp_path / "runs"
    most_bytes = 2_000_000  # a checkpoint of mnist_cnn has twenty

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))

    process = start(*LONG, "--out", out, preexec_fn=limit)
    said, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1, errors
    (data,) = read_run(only_run(out)).trials
    assert data.result is not None
    assert data.result.status == "failed"
    assert "cannot be written" in data.result.reason
    assert "nothing that was written before is lost" in data.result.reason
    assert "cannot be written" in said
