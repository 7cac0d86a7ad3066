"""Trials of models whose lower part is frozen, through the real worker: taken up, found again, on every clock."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from msgspec.structs import replace

from bench.analysis.pace import find_pace
from bench.launch.local import LocalRun
from bench.launch.resume import resume_point
from bench.recipe import PROBE_PASSES, Recipe
from bench.records import Built, Done, Epoch, Extracted, Extracting, PhaseDone, Steps, Tested
from bench.store import TrialFolder
from silent import Silent
from test_training import START_UP, cut_off, make_trial, of, row_of, run

pytestmark = pytest.mark.tf

MODEL = '''
"""A model whose lower part has no weights, and takes its time for each image."""
import time

import keras
import tensorflow as tf
from keras import layers

IMAGE_S = {image_s}


class Slow(layers.Layer):
    def call(self, x):
        if not IMAGE_S:
            return x
        waited = tf.numpy_function(self.wait, [tf.shape(x)[0]], tf.int32)
        with tf.control_dependencies([waited]):
            return tf.identity(x)

    @staticmethod
    def wait(count):
        time.sleep(IMAGE_S * count)
        return count


def build(input_shape, num_classes):
    inputs = keras.Input(input_shape)
    x = layers.MaxPooling2D(4)(inputs)
    x = Slow(name="slow")(x)
    x = layers.Flatten(name="features")(x)
    x = layers.Dropout(0.3)(x)
    return keras.Model(inputs, layers.Dense(num_classes{activation})(x))
'''
IMAGE_S = 0.012
BUDGET_S = 5.0
SGD = Recipe(optimizer="sgd", learning_rate=0.02, momentum=0.9, frozen_until="features")
PROBED = START_UP.index("probe") + 1
FEATURES_UP = [*START_UP[:PROBED], "features", *START_UP[PROBED:]]


def model_file(folder, *, image_s=0.0, activation=""):
    """Write a model file; a slow one, or one that takes no time."""
    path = folder / f"model_{'slow' if image_s else 'quick'}.py"
    path.write_text(MODEL.format(image_s=image_s, activation=activation))
    return path


class LostAmongFeatures(Silent):
    """Loses the trial as soon as it says how far its features have come."""

    def event(self, trial, event):
        """Lose the trial."""
        super().event(trial, event)
        match event:
            case Extracting():
                raise RuntimeError


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """The tests of this file remember features together."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("features")
        patch.setenv("HOURGLASS_CACHE_DIR", str(folder))
        yield folder


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    """A slow model."""
    return model_file(tmp_path_factory.mktemp("models"), image_s=IMAGE_S)


@pytest.fixture(scope="module")
def taken_up(cache, slow, tmp_path_factory):
    """A trial with a budget that was killed among its features and taken up: what it had told, and how it ended."""
    trial = make_trial(slow, cpus=(0,), epochs=None, recipe=SGD, budget_s=BUDGET_S, budget_clock="fit")
    folder = TrialFolder(tmp_path_factory.mktemp("cut"))
    folder.create(trial)
    with pytest.raises(RuntimeError):
        LocalRun(trial, folder, observer=LostAmongFeatures(), sample_interval_s=0.01).run()
    assert resume_point(folder).epochs_done == 0
    assert not of(Extracted, folder)
    (told,) = of(Extracting, folder)
    return told, folder, LocalRun(trial, folder, observer=Silent()).run()


def index_of(events, **wanted):
    """Where the last event stands that has these fields."""
    return max(i for i, event in enumerate(events) if all(getattr(event, k, None) == v for k, v in wanted.items()))


def check_clocks(row):
    """The phases account for all of the trial's time, and what is learned from for that of `fit`."""
    assert row["fit_s"] == pytest.approx(row["features_s"] + row["train_s"] + row["validate_s"], abs=1e-6)
    assert 0 <= row["other_s"] < 0.02 * row["wall_s"]


def test_a_trial_that_is_killed_among_its_features_goes_on_with_them(taken_up):
    """The next process computes what is missing, says what it found, and has its features in a phase of their own."""
    told, folder, result = taken_up
    assert (told.split, told.of) == ("training", 320)
    assert 0 < told.images < 320
    assert (result.status, result.reason, result.attempts) == ("ok", "", 2)
    training, validation, test = of(Extracted, folder)
    assert training.reused_images >= told.images - 64  # but for what was in the making
    assert training.reused_images + training.images == 320
    assert training.saved_s >= 0.9 * IMAGE_S * training.reused_images
    assert training.seconds >= 0.9 * IMAGE_S * training.images
    assert (validation.split, validation.images, validation.reused_images) == ("validation", 80, 0)
    assert test == replace(test, split="test", images=100, values=192, reused_images=0)
    row, _ = row_of(folder, result)
    check_clocks(row)
    assert row["features_s"] >= training.seconds + validation.seconds
    assert row["features_saved_s"] == pytest.approx(training.saved_s)
    phases = [phase.phase for phase in of(PhaseDone, folder) if phase.epoch is None]
    assert phases[-len(FEATURES_UP) - 2 :] == [*FEATURES_UP, "test", "probe"]


def test_test_images_are_looked_at_in_the_test(taken_up):
    """Their features are computed after the last epoch, in the time of the test."""
    _, folder, result = taken_up
    events, _ = folder.read_events()
    trained, looked = index_of(events, phase="checkpoint"), index_of(events, split="test")
    assert trained < looked < index_of(events, phase="test")
    row, _ = row_of(folder, result)
    assert row["test_s"] >= 0.9 * 100 * IMAGE_S


def test_a_budget_that_covers_validation_covers_features_too(taken_up):
    """What is left of it after them is trained for."""
    _, folder, result = taken_up
    row, epochs = row_of(folder, result)
    steps = sum(sum(block.counts) for block in of(Steps, folder))
    assert abs(row["fit_s"] - BUDGET_S) < max(0.05, row["train_s"] / steps) + 0.3
    assert row["features_s"] > 0.9 * IMAGE_S * 80
    assert [event.last for event in of(Epoch, folder)] == [False] * (len(epochs) - 1) + [True]


def test_features_that_are_there_are_found_and_teach_the_same(taken_up, slow, tmp_path):
    """Another trial of the model computes none and says so; it learns what it would have learned from the images."""
    found, result = run(make_trial(slow, cpus=(0,), recipe=SGD), tmp_path / "found")
    assert result.status == "ok", result.reason
    extracted = of(Extracted, found)
    expected = [("training", 0, 320), ("validation", 0, 80), ("test", 0, 100)]
    assert [(event.split, event.images, event.reused_images) for event in extracted] == expected
    row, _ = row_of(found, result)
    check_clocks(row)
    assert row["features_saved_s"] == pytest.approx(sum(event.saved_s for event in extracted))
    assert row["features_saved_s"] > 0.9 * 500 * IMAGE_S > row["features_s"]
    assert any("found, not computed" in flag for flag in row["flags"])
    assert of(Built, found)[0].parameters == of(Built, found)[0].trainable_parameters == 192 * 100 + 100

    not_frozen = make_trial(model_file(tmp_path), cpus=(0,), recipe=replace(SGD, frozen_until=""))
    whole, result = run(not_frozen, tmp_path / "whole")
    assert result.status == "ok", result.reason
    assert not of(Extracted, whole)
    for received, wanted in zip(of(Epoch, found), of(Epoch, whole), strict=True):
        assert received.loss == pytest.approx(wanted.loss, rel=1e-3)
        assert received.val_loss == pytest.approx(wanted.val_loss, rel=1e-3)
    assert of(Tested, found)[0].loss == pytest.approx(of(Tested, whole)[0].loss, rel=1e-3)
    row, _ = row_of(whole, result)
    assert pd.isna(row["features_saved_s"])


def test_a_linear_probe_is_a_trial_like_any_other(cache, tmp_path):
    """Killed after an epoch and taken up, it goes on with the next strength; what is tested is the best one."""
    recipe = Recipe(optimizer="lbfgs", frozen_until="features", horizontal_flip=True)
    quick = model_file(tmp_path, activation=', activation="softmax"')
    trial = make_trial(quick, cpus=(0,), epochs=5, recipe=recipe)
    folder = cut_off(trial, tmp_path / "trial", after_epoch=2)
    assert resume_point(folder).epochs_done >= 2
    result = LocalRun(trial, folder, observer=Silent()).run()
    assert (result.status, result.reason) == ("ok", "")
    first, again = (event for event in of(Extracted, folder) if event.split == "training")
    assert (first.images, first.reused_images) == (640, 0)  # both variants
    assert (again.images, again.reused_images) == (0, 640)
    row, epochs = row_of(folder, result)
    assert [epoch["epoch"] for epoch in epochs] == [1, 2, 3, 4, 5]
    accuracies = [epoch["val_accuracy"] for epoch in epochs]
    assert accuracies == sorted(accuracies)
    assert accuracies[-1] > 0.02
    assert len({epoch["l2"] for epoch in epochs}) > 1
    check_clocks(row)
    assert row["features_saved_s"] == 0.0  # its own first process had computed them
    assert not any("found, not computed" in flag for flag in row["flags"])
    last_steps, last = of(Steps, folder)[-1], of(Epoch, folder)[-1]
    assert last_steps.images == last.images == 640 * len(last_steps.counts)
    assert len(last_steps.counts) <= PROBE_PASSES
    (tested,) = of(Tested, folder)
    with np.load(folder.predictions) as predictions:
        assert (predictions["label"] == predictions["predicted"]).mean() == tested.accuracy
    # The checkpoint has the weights of the best strength: they give the figures that were told.
    assert validation_loss(folder, epoch=5) == pytest.approx(last.val_loss, rel=1e-4)


def validation_loss(folder, *, epoch):
    """What the weights of a checkpoint give for the validation images, without Keras."""
    from bench.data.loading import load
    from bench.store import checkpoint_file

    data = load("synthetic", limit_train=400, limit_test=100, validation=0.2)
    images = data.x_validation.astype(np.float64) / 255
    pooled = images.reshape(len(images), 8, 4, 8, 4, 3).max(axis=(2, 4)).reshape(len(images), -1)
    with np.load(checkpoint_file(folder.checkpoint, epoch)) as state:
        (kernel,) = (values for values in state.values() if values.shape == (192, 100))
        (bias,) = (values for values in state.values() if values.shape == (100,))
    logits = pooled @ kernel + bias
    logits -= logits.max(axis=1, keepdims=True)
    log_probabilities = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return -log_probabilities[np.arange(len(images)), data.y_validation].mean()


def test_a_calibration_computes_some_features_under_xla(tmp_path, monkeypatch):
    """It says what an image takes, makes steps with the features that it has, and remembers none; with flips here."""
    monkeypatch.setenv("HOURGLASS_CACHE_DIR", str(tmp_path / "cache"))
    recipe = replace(SGD, horizontal_flip="alternating")
    trial = replace(make_trial(model_file(tmp_path), epochs=1000, recipe=recipe, jit="on"), mode="calibrate")
    folder = TrialFolder(tmp_path / "trial")
    folder.create(trial)
    result = LocalRun(trial, folder, observer=Silent(), timeout_s=200, enough_s=0.3).run()
    assert (result.status, result.reason) == ("ok", "")
    (extracted,) = of(Extracted, folder)
    assert extracted == replace(extracted, split="training", values=192, reused_images=0, stored_bytes=0)
    assert extracted.images > 0
    assert 0 < extracted.seconds < 10
    assert sum(sum(steps.counts) for steps in of(Steps, folder)) > 0
    assert len(of(Done, folder)) == 1
    assert not of(Tested, folder)
    pace = find_pace(folder.read_trial(), folder.read_events()[0])
    image_s = extracted.seconds / extracted.images
    assert pace.feature_image_s == pytest.approx(image_s)
    assert pace.features_s >= (2 * 320 + 80) * image_s
    assert not list((tmp_path / "cache").rglob("*.f32"))
