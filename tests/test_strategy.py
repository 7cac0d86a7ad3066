"""Training on several devices at once, on two logical CPU devices in place of two GPUs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench.launch.local import LocalRun
from bench.recipe import Recipe
from bench.records import Built, Epoch, Runtime, Steps, Tested
from bench.store import TrialFolder
from silent import Silent
from test_training import TINY_MODEL, make_trial, of

WORKER = (sys.executable, "-P", str(Path(__file__).with_name("two_device_worker.py")))


@pytest.mark.tf
def test_two_devices_train_one_model_together(tmp_path):
    """Under MirroredStrategy a trial takes the same steps, sees every image once an epoch, and learns the same."""
    path = tmp_path / "tiny.py"
    path.write_text(TINY_MODEL.format(activation=', activation="softmax"').replace("Dropout(0.5)", "Dropout(0.0)"))
    trial = make_trial(path, recipe=Recipe(optimizer="sgd", learning_rate=0.1))
    folders = {}
    for name, options in {"one": {}, "two": {"command": WORKER}}.items():
        folders[name] = folder = TrialFolder(tmp_path / name)
        folder.create(trial)
        result = LocalRun(trial, folder, observer=Silent(), **options).run()
        assert result.status == "ok", result.reason
    assert len(of(Runtime, folders["one"])[0].devices) == 1
    assert len(of(Runtime, folders["two"])[0].devices) == 2
    for folder in folders.values():
        assert of(Built, folder)[0].parameters == 19_300
        assert sum(sum(steps.counts) for steps in of(Steps, folder)) == 10
        assert sum(steps.images for steps in of(Steps, folder)) == 640
    # The same batches, split in two and summed, give the same gradients up to rounding.
    for one, two in zip(of(Epoch, folders["one"]), of(Epoch, folders["two"]), strict=True):
        assert two.loss == pytest.approx(one.loss, rel=1e-3)
    assert of(Tested, folders["two"])[0].loss == pytest.approx(of(Tested, folders["one"])[0].loss, rel=1e-3)
