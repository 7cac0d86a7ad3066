"""The command line where it needs no TensorFlow: what it lists, what it refuses, and how it says so."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import bench
from bench.cli.run import _judges
from bench.recipe import Recipe
from bench.store import RunFolder
from calibrations_for_tests import calibration
from records_for_tests import ended_trial, ok_trial, run_data, start_up, trial, write_run


def hourglass(*arguments, cwd=None, **environment):
    """Run the command line in a process of its own, in a pipe of 80 columns."""
    return subprocess.run(
        [sys.executable, "-m", "bench", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "COLUMNS": "80", "NO_COLOR": "1", "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--help"], ["run", "report", "models", "devices", "data", "fetch"]),
        (["--version"], [bench.__version__]),
        (["models"], ["mnist_cnn", "mbn", "mbn_quarter", "https://github.com/LeoTungAnh/CNN-CIFAR-100"]),
        (["devices"], ["cpu:1", "a run without --device uses"]),
        (["data"], ["synthetic", "cifar100", "cifar10", "mnist", "fashion_mnist", "PATH.npz"]),
        (["run", "--help"], ["--preset", "--dry-run", "--resume"]),
    ],
)
def test_a_listing_names_what_there_is(arguments, said):
    """Every listing ends well, fits 80 columns, has no colour in a pipe, and names what it should."""
    done = hourglass(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    for word in said:
        assert word in done.stdout
    if arguments not in (["data"], ["devices"]):  # these print paths and machine names whole
        assert max(map(len, done.stdout.splitlines())) <= 80
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        (["run", "--model", "mnist_cn"], 2, "did you mean 'mnist_cnn'?"),
        (["run", "--model", "nowhere.py"], 2, "no model file 'nowhere.py'"),
        (["run", "--device", "tpu"], 2, "cannot understand --device 'tpu'"),
        (["run", "--device", "cpu:9999"], 10, "ask for cpu:"),
        (["run", "--dataset", "cifar101"], 2, "did you mean"),
        (["run", "--preset", "fast"], 2, "quick, report"),
        (["run", "--config", "nowhere.toml"], 2, "nowhere.toml"),
        (["run", "--resume", "nowhere", "--epochs", "3"], 2, "--epochs"),
        (["run", "--resume", "nowhere"], 7, "no run folder"),
        (["forecast", "--calibrate", "soon"], 2, "a duration is 90, 90s, 30m or 2h"),
        (["forecast", "nowhere"], 2, "run folders are replayed with --backtest"),
        (["forecast", "--from", "nowhere", "--epochs", "0"], 2, "--epochs must be at least 1; received 0"),
        (["forecast", "--from", "nowhere", "--model", "mbn"], 2, "received also --model"),
        (["forecast", "--from", "nowhere"], 7, "no run folder"),
        (["forecast", "--backtest", "--from", "nowhere"], 2, "two questions"),
        (["forecast", "--timeout", "1h"], 2, "--timeout is of a run"),
        (["tune", "mnist_cnn", "--model", "mbn"], 2, "received --model"),
        (["report", "nowhere"], 7, "no run folder"),
        (["report", "nowhere", "--budget", "soon"], 2, "--budget: a duration is 90, 90s, 30m or 2h"),
        (["report", "nowhere", "--target", "60"], 2, "--target is an accuracy, written 0.6 or 60%; received '60'"),
        (["models", "mnist_cnn", "--input-shape", "32,32"], 2, "height,width,channels"),
        (["fetch", "nothing"], 2, "python -m bench data"),
    ],
)
def test_what_is_not_understood_is_refused_with_the_next_step(arguments, exit_code, said, tmp_path):
    """A mistake ends before anything is written, with one line that says what is wrong and an exit code of its own."""
    done = hourglass(*arguments, cwd=tmp_path)
    assert done.returncode == exit_code
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_gpu_that_is_not_there_is_never_replaced(tmp_path):
    """`--device gpu` without a GPU ends before anything is measured, and says why."""
    done = hourglass("run", "--device", "gpu", "--out", tmp_path / "runs", CUDA_VISIBLE_DEVICES="-1")
    assert done.returncode == 10
    assert "cannot train on gpu" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_run_is_rendered_again_from_its_folder(tmp_path):
    """`report` makes tables, CSV, Parquet and Markdown from a run folder alone."""
    data = run_data(ok_trial(trial("small"), train_s=10.0, accuracy=0.3), ok_trial(trial("large"), accuracy=0.5))
    folder = write_run(tmp_path / "run", data)
    done = hourglass("report", folder.path)
    assert done.returncode == 0, done.stderr
    assert "Small against large" in done.stdout
    assert "What time buys" in done.stdout
    made = {path.name for path in folder.report.iterdir()}
    frames = ("trials", "cells", "epochs", "samples", "phases", "step_times", "curves", "frontier")
    tables = {f"{name}.{ending}" for name in frames for ending in ("csv", "parquet")}
    assert made == tables | {"report.md", "report.html", "charts"}
    charts = {path.name for path in (folder.report / "charts").iterdir()}
    assert {"tradeoff.svg", "tradeoff.png", "accuracy.svg"} <= charts
    assert f"and {len(charts)} charts to {folder.report}" in done.stdout
    assert len(bench.load(folder.path).trials) == 2
    asked = hourglass("report", folder.path, "--budget", "1m", "--target", "60%", "--price", "cpu=3.6", "--by", "money")
    assert asked.returncode == 0, asked.stderr
    for said in ("in 1 min of wall time: small on cpu:2, 28.0 %", "60 %: reached by no cell", "The frontier by money"):
        assert said in asked.stdout
        assert said in (folder.report / "report.md").read_text("utf-8")
    unused = hourglass("report", folder.path, "--price", "gpu:0=2.1")
    assert unused.returncode == 0, unused.stderr
    assert "--price gpu:0: this report has no such device; it has cpu:2" in unused.stderr


def test_the_page_is_opened_in_a_browser(tmp_path):
    """`--open` hands the page's address to the user's browser; `--dark` draws every chart a second time."""
    folder = write_run(tmp_path / "a run", run_data(ok_trial(trial("small"))))
    done = hourglass("report", folder.path, "--open", "--dark", BROWSER="/bin/echo opened %s")
    assert done.returncode == 0, done.stderr
    assert f"opened {(folder.report / 'report.html').resolve().as_uri()}" in done.stdout
    charts = {path.name for path in (folder.report / "charts").iterdir()}
    assert {"tradeoff.svg", "tradeoff-dark.svg", "tradeoff-dark.png"} <= charts


@pytest.mark.parametrize(("status", "exit_code"), [("hopeless", 0), ("diverged", 1)])
def test_a_run_whose_trials_were_given_up_ended_well(status, exit_code, tmp_path):
    """A hopeless trial is what was asked for: it is kept, it is a row with its reason, and the exit code is 0."""
    asked = trial(epochs=9)
    ended = ended_trial(asked, status=status, reason="~31.0–33.0 % after 9 epochs", events=start_up(asked))
    folder = RunFolder.create(tmp_path / "run", run_data(ended).run)
    folder.trial(asked.key).write_result(ended.result)
    done = hourglass("run", "--resume", folder.path)
    assert done.returncode == exit_code, done.stderr
    assert "0 of 1 trials to run" in done.stdout
    assert f"{status}: ~31.0–33.0 % after 9 epochs" in " ".join(done.stdout.split())


def test_a_forecast_is_not_resumed(tmp_path):
    """Calibrations are made anew, not taken up."""
    data = run_data(calibration(trial()))
    done = hourglass("run", "--resume", write_run(tmp_path / "run", data).path)
    assert done.returncode == 2
    assert "holds calibrations, which are not taken up" in done.stderr


def test_what_cannot_be_given_up_is_said_before_the_run(capsys):
    """Of trials that nobody can extrapolate, `--stop-when hopeless` warns with the cell and its reason, and goes on."""
    told, scheduled = trial("plain", epochs=9), trial("scheduled", epochs=9, recipe=Recipe(schedule="linear"))
    assert _judges([told, scheduled], None) is None
    assert _judges([told, scheduled], 0.5) is not None
    said = " ".join(capsys.readouterr().err.split())
    assert "--stop-when hopeless will not stop scheduled cpu:2: schedule=linear" in said
    assert "plain" not in said
