"""Calibrations through the real worker and the command line: what they record, and that they end in time."""

from __future__ import annotations

import time

import pandas as pd
import pytest
from msgspec.structs import replace

from bench.analysis.forecast import forecast_time
from bench.analysis.pace import find_pace
from bench.launch.local import LocalRun
from bench.recipe import Recipe
from bench.records import Done, Epoch, Evaluated, Memory, PhaseDone, Steps, Tested
from bench.store import TrialFolder, read_run
from silent import Silent
from test_cli import hourglass
from test_training import START_UP, TINY_MODEL, make_trial, of

pytestmark = pytest.mark.tf

ANY_SIZE = '''
"""A model that takes images of any size."""
import keras
from keras import layers


def build(input_shape, num_classes):
    return keras.Sequential([
        keras.Input(input_shape),
        layers.Conv2D(8, 3),
        layers.GlobalAveragePooling2D(),
        layers.Dense(num_classes),
    ])
'''


@pytest.fixture
def tiny(tmp_path):
    """A model file that trains in a moment."""
    path = tmp_path / "tiny.py"
    path.write_text(TINY_MODEL.format(activation=""))
    return path


def calibrate(trial, path, *, limit_s):
    """Carry out a calibration of a trial; return its folder and how it ended."""
    asked = replace(trial, mode="calibrate")
    folder = TrialFolder(path)
    folder.create(asked)
    return folder, LocalRun(asked, folder, observer=Silent(), timeout_s=limit_s).run()


def test_a_calibration_is_the_beginning_of_a_training(tiny, tmp_path):
    """It starts up as a training does, makes steps, times an evaluation and checkpoints, and tests nothing."""
    folder, result = calibrate(make_trial(tiny, epochs=1000), tmp_path / "trial", limit_s=90)
    assert (result.status, result.reason) == ("ok", "")
    phases = of(PhaseDone, folder)
    assert [p.phase for p in phases if p.epoch is None] == START_UP
    assert {p.phase for p in phases if p.epoch} == {"train", "checkpoint"}
    (evaluated,) = of(Evaluated, folder)
    assert 0 < evaluated.images <= 80
    assert evaluated.seconds > 0
    trained_s = sum(p.end_s - p.start_s for p in phases if p.phase == "train")
    assert trained_s < 60  # enough is enough, though there was more time
    assert sum(sum(steps.counts) for steps in of(Steps, folder)) >= 50
    assert len(of(Memory, folder)) == len(of(Done, folder)) == 1
    assert all(epoch.val_accuracy is None for epoch in of(Epoch, folder))
    assert not of(Tested, folder)
    assert not folder.predictions.exists()


def test_a_calibration_makes_do_with_the_time_that_it_has(tiny, tmp_path):
    """With little time it makes fewer steps, and is over before that time is."""
    trial = make_trial(tiny, epochs=1000)
    _, first = calibrate(trial, tmp_path / "first", limit_s=90)
    start_up_s = find_start_s(tmp_path / "first")
    limit_s = 1.5 * start_up_s + 4  # a start-up may be slower the next time
    folder, result = calibrate(trial, tmp_path / "second", limit_s=limit_s)
    assert (result.status, result.reason) == ("ok", "")
    assert result.wall_s < limit_s
    assert result.wall_s < first.wall_s + 2
    assert of(Steps, folder)


def find_start_s(path):
    """When the first step of a trial began."""
    return of(Steps, TrialFolder(path))[0].start_s


def test_a_calibration_without_time_is_ended(tiny, tmp_path):
    """One whose start-up is longer than its share is a row that says so, and costs no more than its share."""
    began_s = time.monotonic()
    _, result = calibrate(make_trial(tiny), tmp_path / "trial", limit_s=1.0)
    assert result.status == "timeout"
    assert "--calibrate, 1 s" in result.reason
    assert time.monotonic() - began_s < 10


def test_a_calibration_goes_through_all_stages(tmp_path):
    """Images of each size are timed, so that the steps of each can be told apart."""
    path = tmp_path / "any_size.py"
    path.write_text(ANY_SIZE)
    trial = make_trial(path, epochs=1000, recipe=Recipe(stages=((8, 0.3), (16, 0.6)), schedule="linear"))
    folder, result = calibrate(trial, tmp_path / "trial", limit_s=120)
    assert (result.status, result.reason) == ("ok", "")
    pace = find_pace(folder.read_trial(), folder.read_events()[0])
    assert pace is not None
    assert set(pace.steps_s) == {8, 16, None}
    assert forecast_time(pace).train_s.estimate > 0


def test_forecast_tells_what_a_run_would_take(tiny, tmp_path):
    """From the command to tables and files: a row for each model, in time, with `~` before what is expected."""
    out = tmp_path / "runs"
    asked = ["--model", f"{tiny},mnist_cnn", "--device", "cpu:1", "--limit-train", "500", "--limit-test", "100"]
    done = hourglass("forecast", *asked, "--out", out, "--calibrate", "2m", "--repeats", "3")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("calibrated in") == 2
    assert "→ accuracy unknown" in done.stdout
    assert "there is no reference curve of tiny" in " ".join(done.stdout.split())
    (path,) = out.iterdir()
    assert path.name.endswith("-forecast")
    assert [trial.trial.mode for trial in read_run(path).trials] == ["calibrate", "calibrate"]
    table = pd.read_parquet(path / "report" / "forecasts.parquet")
    assert list(table["model"]) == ["tiny", "mnist_cnn"]
    assert (table["wall_s_low"] < table["wall_s"]).all()
    assert table["peak_rss_bytes"].gt(100_000_000).all()
    again = hourglass("report", path)
    assert again.returncode == 0, again.stderr
    assert "tiny ~" in again.stdout


def test_a_forecast_without_time_says_what_to_do(tiny, tmp_path):
    """Where no calibration had the time for a step, the exit code is 1 and the flag is named."""
    done = hourglass("forecast", "--model", tiny, "--device", "cpu:1", "--out", tmp_path / "runs", "--calibrate", "1s")
    assert done.returncode == 1, done.stderr
    assert "no time was left for its calibration; give more by --calibrate" in " ".join(done.stdout.split())
