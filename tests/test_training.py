"""A trial through the real worker: what it records, and that taking it up changes nothing."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from itertools import pairwise

import msgspec
import numpy as np
import pytest

from bench import catalog
from bench.analysis.frame import frames
from bench.data.loading import load
from bench.launch.local import LocalRun
from bench.launch.resume import resume_point
from bench.recipe import Recipe
from bench.records import (
    Built,
    Cell,
    Device,
    Epoch,
    Flops,
    PhaseDone,
    Runtime,
    Sentinel,
    Steps,
    Tested,
    Trial,
    TrialData,
)
from bench.store import TrialFolder, checkpoint_file
from records_for_tests import run_data
from silent import Silent

pytestmark = pytest.mark.tf

TINY_MODEL = '''
"""A model that trains in a moment."""
import keras
from keras import layers


def build(input_shape, num_classes):
    return keras.Sequential([
        keras.Input(input_shape),
        layers.MaxPooling2D(4),
        layers.Flatten(),
        layers.Dropout(0.5),
        layers.Dense(num_classes{activation}),
    ])
'''
START_UP = ["import", "data", "build", "compile", "probe", "checkpoint", "warmup", "probe", "checkpoint", "probe"]


@pytest.fixture
def tiny(tmp_path):
    """A model file whose outputs are softmax."""
    path = tmp_path / "tiny.py"
    path.write_text(TINY_MODEL.format(activation=', activation="softmax"'))
    return path


def make_trial(
    model, *, cpus=(), threads=1, seed=3, epochs=2, recipe=None, batch_size=64, limit_train=400, **cell
) -> Trial:
    """Return a trial on 320 training, 80 validation and 100 test images, or a fifth of other limits for validation."""
    dataset = load("synthetic", limit_train=limit_train, limit_test=100, validation=0.2).spec
    return Trial(
        cell=Cell(
            model=catalog.find(str(model)).spec,
            device=Device(kind="cpu", threads=threads, cpus=cpus),
            precision=cell.pop("precision", "float32"),
            jit=cell.pop("jit", "off"),
            batch_size=batch_size,
            epochs=epochs,
            dataset=dataset,
            recipe=recipe or Recipe(),
            **cell,
        ),
        seed=seed,
    )


def run(trial, path, **options):
    """Run a trial in a new folder; return the folder and how it ended."""
    folder = TrialFolder(path)
    folder.create(trial)
    return folder, LocalRun(trial, folder, observer=Silent(), **options).run()


def of(kind, folder):
    """Return the events of one kind."""
    return [event for event in folder.read_events()[0] if isinstance(event, kind)]


def test_a_trial_records_every_phase_epoch_step_and_its_predictions(tiny, tmp_path):
    """A trial leaves phases in order, all its steps and images, epochs, a test and predictions that agree with it."""
    folder, result = run(make_trial(tiny, cpus=(0,)), tmp_path / "trial")
    assert (result.status, result.reason) == ("ok", "")
    phases = of(PhaseDone, folder)
    assert [p.phase for p in phases if p.epoch is None] == [*START_UP, "test", "probe"]
    assert [(p.phase, p.epoch) for p in phases if p.epoch] == [
        (phase, epoch) for epoch in (1, 2) for phase in ("train", "validate", "checkpoint")
    ]
    for before, after in pairwise(phases):
        assert before.start_s <= before.end_s <= after.start_s
    assert [sum(sum(s.counts) for s in of(Steps, folder) if s.epoch == epoch) for epoch in (1, 2)] == [5, 5]
    assert sum(s.images for s in of(Steps, folder)) == 2 * 320
    assert [(e.epoch, e.images) for e in of(Epoch, folder)] == [(1, 320), (2, 320)]
    assert all(e.val_accuracy is not None and 0 <= e.val_accuracy <= 1 for e in of(Epoch, folder))
    (tested,) = of(Tested, folder)
    with np.load(folder.predictions) as predictions:
        assert (predictions["label"] == predictions["predicted"]).mean() == tested.accuracy
        assert ((predictions["confidence"] > 0) & (predictions["confidence"] <= 1)).all()
    assert folder.checkpoints() == {2}
    assert all(
        0 <= e.data_wait_s < p.end_s - p.start_s for e, p in zip(of(Epoch, folder), trained(phases), strict=True)
    )
    assert [sentinel.when for sentinel in of(Sentinel, folder)] == ["before", "after"]
    (flops,) = of(Flops, folder)
    assert flops.problem is None
    assert flops.forward < flops.training
    (runtime,) = of(Runtime, folder)
    assert runtime.cpus == (0,)
    assert runtime.intra_threads == 1
    events, _ = folder.read_events()
    report = frames(run_data(TrialData(trial=folder.read_trial(), events=events, result=result)))
    assert report.trials["test_accuracy"].iloc[0] == tested.accuracy


def trained(phases):
    """The phases of training."""
    return [phase for phase in phases if phase.phase == "train"]


def test_the_clocks_add_up(tmp_path):
    """The phases account for a trial's time within 1 %, and for each epoch's within 2 %."""
    folder, result = run(make_trial("mnist_cnn", cpus=(0,), limit_train=5000), tmp_path / "trial")
    events, _ = folder.read_events()
    report = frames(run_data(TrialData(trial=folder.read_trial(), events=events, result=result)))
    (row,) = report.trials.to_dict("records")
    assert row["status"] == "ok"
    assert 0 <= row["other_s"] < 0.01 * row["wall_s"]
    for epoch in report.epochs.to_dict("records"):
        whole_s = epoch["train_s"] + epoch["validate_s"] + epoch["checkpoint_s"] + epoch["other_s"]
        assert 0 <= epoch["other_s"] < 0.02 * whole_s


@contextmanager
def hog(cpu):
    """Keep a CPU busy meanwhile."""
    code = f"import os; os.sched_setaffinity(0, {{{cpu}}})\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        try:
            yield
        finally:
            process.kill()


def test_a_trial_beside_a_hog_is_flagged(tmp_path):
    """A trial that shares its core with something else says so on its row."""
    with hog(0):
        folder, result = run(make_trial("mnist_cnn", cpus=(0,), limit_train=2000), tmp_path / "trial")
    events, _ = folder.read_events()
    samples, _ = folder.read_samples()
    data = TrialData(trial=folder.read_trial(), events=events, samples=samples, result=result)
    (row,) = frames(run_data(data)).trials.to_dict("records")
    assert row["others_cpu_percent"] > 25
    assert any("other processes took" in flag for flag in row["flags"]), row["flags"]


def test_one_thread_is_asked_for_and_one_works(tiny, tmp_path):
    """A cell of one core gets one thread that works, on the core it was pinned to."""
    folder, _ = run(make_trial(tiny, cpus=(0,), epochs=1), tmp_path / "trial")
    assert of(Runtime, folder)[0].threads_used == 1


@pytest.mark.parametrize(
    "recipe", [Recipe(), Recipe(optimizer="sgd", learning_rate=0.1, momentum=0.9, horizontal_flip=True)]
)
def test_a_trial_that_is_taken_up_reaches_the_weights_of_one_that_was_not(tiny, tmp_path, monkeypatch, recipe):
    """Killed within its third epoch and taken up, a trial ends with bit for bit the predictions of one left alone."""
    trial = make_trial("mnist_cnn", cpus=(0,), epochs=4, recipe=recipe)
    whole, result = run(trial, tmp_path / "whole")
    assert result.status == "ok"

    class Stop(Silent):
        def event(self, trial, event):
            super().event(trial, event)
            if isinstance(event, PhaseDone) and event.phase == "checkpoint" and event.epoch == 2:
                raise RuntimeError

    cut = TrialFolder(tmp_path / "cut")
    cut.create(trial)
    with pytest.raises(RuntimeError):
        LocalRun(trial, cut, observer=Stop(), sample_interval_s=0.01).run()
    point = resume_point(cut)
    assert point.attempt == 2
    assert point.epochs_done in {2, 3, 4}  # it went on until the launcher noticed
    again = LocalRun(trial, cut, observer=Silent()).run()
    assert (again.status, again.attempts) == ("ok", 2)
    epochs = [event.epoch for event in of(Epoch, cut)]
    assert epochs[-(4 - point.epochs_done) :] == list(range(point.epochs_done + 1, 5)) or point.epochs_done == 4
    with np.load(whole.predictions) as expected, np.load(cut.predictions) as received:
        np.testing.assert_array_equal(received["confidence"], expected["confidence"])
        np.testing.assert_array_equal(received["predicted"], expected["predicted"])
    assert of(Tested, cut)[-1] == of(Tested, whole)[-1]


def test_a_model_of_logits_is_asked_and_trained_as_such(tmp_path):
    """A model without softmax is found to end in logits and gets a loss that is of the size of chance."""
    path = tmp_path / "logits.py"
    path.write_text(TINY_MODEL.format(activation=""))
    folder, result = run(make_trial(path, epochs=1, recipe=Recipe(label_smoothing=0.1)), tmp_path / "trial")
    assert result.status == "ok", result.reason
    assert of(Built, folder)[0].output == "logits"
    assert of(Epoch, folder)[0].loss < 10


def test_a_loss_that_is_no_number_is_diverged(tiny, tmp_path):
    """A learning rate that blows the weights up ends as `diverged`, with the epoch in the reason."""
    recipe = Recipe(optimizer="sgd", learning_rate=1e38)
    path = tmp_path / "logits.py"
    path.write_text(TINY_MODEL.format(activation=""))
    _, result = run(make_trial(path, recipe=recipe), tmp_path / "trial")
    assert result.status == "diverged"
    assert "epoch" in result.reason


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def build(input_shape, num_classes:\n", "is not Python"),
        ("def make(): ...\n", "defines no build"),
        (
            "def build(input_shape, num_classes):\n    raise RuntimeError('no weights')\n",
            "raised RuntimeError: no weights",
        ),
        ("def build(input_shape, num_classes):\n    return 7\n", "must return a keras.Model; received int"),
        (TINY_MODEL.replace("num_classes{activation}", "7"), "must end in 100 classes"),
        ("import nowhere_to_be_found\ndef build(a, b): ...\n", "failed while it was imported"),
    ],
)
def test_a_broken_model_file_is_a_failed_row_with_its_reason(tmp_path, source, said):
    """A model file that cannot be used costs its own trial, and the reason says what is wrong with it."""
    path = tmp_path / "broken.py"
    path.write_text(source)
    _, result = run(make_trial(path), tmp_path / "trial")
    assert result.status == "failed"
    assert said in result.reason


PREPARED = """

def prepare(model, x_train):
    model.layers[-1].bias.assign([{bias}] * model.output_shape[-1])
"""


def test_a_model_is_prepared_by_training_images(tmp_path):
    """`prepare` sees the first training images as the model gets them; what it sets is what training begins with."""
    from bench.worker import building
    from bench.worker.setting_up import PREPARED_IMAGES

    path = tmp_path / "prepared.py"
    prepare = PREPARED.format(bias=3.5) + "    print('images', x_train.shape)\n"
    path.write_text(TINY_MODEL.format(activation="") + prepare)
    trial = make_trial(path, epochs=0, recipe=Recipe(normalization="standard"))
    folder, result = run(trial, tmp_path / "trial")
    assert result.status == "ok", result.reason
    assert "images (320, 32, 32, 3)" in folder.log.read_text()

    model = building.build_for(trial.cell, sample=lambda: np.zeros((2, 32, 32, 3), np.float32))
    assert set(model.layers[-1].bias.numpy()) == {3.5}
    assert set(building.build_for(trial.cell).layers[-1].bias.numpy()) == {0.0}
    assert PREPARED_IMAGES >= 320


def test_a_model_that_cannot_be_prepared_is_a_failed_row(tmp_path):
    """What `prepare` raises is the reason of the row."""
    path = tmp_path / "unprepared.py"
    path.write_text(TINY_MODEL.format(activation="") + PREPARED.format(bias="'much'"))
    _, result = run(make_trial(path), tmp_path / "trial")
    assert result.status == "failed"
    assert "prepare(model, x_train) of" in result.reason


def test_a_data_set_that_changed_since_the_plan_is_refused(tiny, tmp_path):
    """A worker that finds other data than the plan saw fails instead of training on them."""
    trial = make_trial(tiny)
    dataset = msgspec.structs.replace(trial.cell.dataset, sha256="0" * 64)
    trial = msgspec.structs.replace(trial, cell=msgspec.structs.replace(trial.cell, dataset=dataset))
    _, result = run(trial, tmp_path / "trial")
    assert result.status == "failed"
    assert "has changed since this run was planned" in result.reason


def test_a_cpu_that_may_not_be_used_is_said(tiny, tmp_path):
    """A trial whose CPUs are gone fails before TensorFlow starts."""
    _, result = run(make_trial(tiny, cpus=(4095,)), tmp_path / "trial")
    assert result.status == "failed"
    assert "cannot be pinned to CPUs 4095" in result.reason


@pytest.mark.parametrize("options", [{"jit": "on"}, {"precision": "mixed_bfloat16"}, {"steps_per_execution": 2}])
def test_every_setting_of_a_cell_trains(tiny, tmp_path, options):
    """XLA, mixed precision and several steps an execution train to the end, every step counted once."""
    folder, result = run(make_trial(tiny, **options), tmp_path / "trial")
    assert result.status == "ok", result.reason
    assert sum(sum(s.counts) for s in of(Steps, folder)) == 10


def test_a_damaged_checkpoint_is_said(tiny, tmp_path):
    """A checkpoint that is no checkpoint fails the trial with its path and a next step."""
    trial = make_trial(tiny)
    folder = TrialFolder(tmp_path / "trial")
    folder.create(trial)
    folder.checkpoint.mkdir()
    checkpoint_file(folder.checkpoint, 1).write_bytes(b"not an archive")
    folder.events.write_bytes(
        b'{"event":"attempt","number":1,"unix_s":1.0}\n'
        b'{"event":"epoch","epoch":1,"end_s":9.0,"images":320,"loss":4.6,"accuracy":0.01}\n'
    )
    result = LocalRun(trial, folder, observer=Silent()).run()
    assert result.status == "failed"
    assert "is damaged" in result.reason


SUBCLASSED = """
import keras


class Net(keras.Model):
    def __init__(self, num_classes):
        super().__init__()
        self.pool = keras.layers.GlobalAveragePooling2D()
        self.head = keras.layers.Dense(num_classes)

    def call(self, x):
        return self.head(self.pool(x))


def build(input_shape, num_classes):
    return Net(num_classes)
"""


def test_a_subclassed_model_is_a_model(tmp_path):
    """A keras.Model that knows its shapes only once it is called is trained like any other."""
    path = tmp_path / "subclassed.py"
    path.write_text(SUBCLASSED)
    folder, result = run(make_trial(path, epochs=1), tmp_path / "trial")
    assert result.status == "ok", result.reason
    assert of(Built, folder)[0].parameters == 400


def test_a_gpu_cell_without_a_gpu_never_runs_on_the_cpu(tiny, tmp_path):
    """A worker that is handed a GPU cell fails where TensorFlow sees no GPU, even if the cell names none."""
    trial = make_trial(tiny)
    device = Device(kind="gpu", threads=1)
    trial = msgspec.structs.replace(trial, cell=msgspec.structs.replace(trial.cell, device=device))
    _, result = run(trial, tmp_path / "trial")
    assert result.status == "failed"
    assert "TensorFlow sees 0" in result.reason


def test_a_model_that_needs_more_memory_than_there_is_is_out_of_memory(tmp_path):
    """An allocation that TensorFlow cannot make is `oom_host`, and the reason names what it asked for."""
    path = tmp_path / "huge.py"
    path.write_text(
        TINY_MODEL.format(activation="").replace(
            "layers.MaxPooling2D(4),", "layers.Flatten(), layers.Dense(2_000_000_000, use_bias=False),"
        )
    )
    _, result = run(make_trial(path, epochs=1), tmp_path / "trial")
    assert result.status == "oom_host", result.reason
    assert "alloc" in result.reason.lower()
    assert "Graph execution error" not in result.reason


# Budgets, schedules, stages.

ANY_SIZE = '''
"""A model that takes images of any size."""
import keras
from keras import layers


def build(input_shape, num_classes):
    return keras.Sequential([
        keras.Input(input_shape),
        layers.Conv2D(8, 3, padding="same", activation="relu"),
        layers.Dropout(0.2),
        layers.GlobalMaxPooling2D(),
        layers.Dense(num_classes),
    ])
'''
# A step takes 20 ms at least on any machine, so that an epoch takes longer than a budget wherever a test runs.
UNHURRIED = '''
"""A model that takes images of any size, and its time."""
import time

import keras
import numpy as np
import tensorflow as tf
from keras import layers


class Wait(layers.Layer):
    def call(self, x):
        waited = tf.numpy_function(self.wait, [], tf.int32)
        with tf.control_dependencies([waited]):
            return tf.identity(x)

    @staticmethod
    def wait():
        time.sleep(0.02)
        return np.int32(0)


def build(input_shape, num_classes):
    return keras.Sequential([
        keras.Input(input_shape),
        Wait(),
        layers.Conv2D(8, 3, padding="same", activation="relu"),
        layers.GlobalMaxPooling2D(),
        layers.Dense(num_classes),
    ])
'''
ANNEALED = Recipe(optimizer="sgd", learning_rate=0.05, momentum=0.9, schedule="linear", warmup=0.2)
ALL_OPTIONS = msgspec.structs.replace(
    ANNEALED,
    nesterov=True,
    ema_momentum=0.9,
    weight_decay=5e-4,
    label_smoothing=0.1,
    stages=((16, 0.3), (24, 0.6)),
    horizontal_flip="alternating",
    shift_pixels=2,
    rotation_degrees=10,
    cutout_pixels=8,
)


@pytest.fixture
def any_size(tmp_path):
    """A model file that takes images of any size."""
    path = tmp_path / "any_size.py"
    path.write_text(ANY_SIZE)
    return path


def row_of(folder, result):
    """The trial's row, and its epochs'."""
    events, _ = folder.read_events()
    report = frames(run_data(TrialData(trial=folder.read_trial(), events=events, result=result)))
    (row,) = report.trials.to_dict("records")
    return row, report.epochs.to_dict("records")


def test_convolutions_with_fewer_multiplications_train_to_the_same(tmp_path):
    """Losses differ by rounding, in stages too; a step is of fewer FLOPs."""
    path = tmp_path / "wide.py"
    layers = "layers.Conv2D(64, 1),\n        layers.MaxPooling2D(2),\n        layers.Conv2D(64,"
    path.write_text(ANY_SIZE.replace("layers.Conv2D(8,", layers))
    rows = []
    for convolutions in ("direct", "winograd"):
        recipe = Recipe(optimizer="sgd", learning_rate=0.01, stages=((20, 0.5),), convolutions=convolutions)
        folder, result = run(make_trial(path, cpus=(0,), recipe=recipe), tmp_path / convolutions)
        assert result.status == "ok", result.reason
        rows.append(row_of(folder, result))
    (direct, direct_epochs), (fewer, fewer_epochs) = rows
    assert [epoch["loss"] for epoch in fewer_epochs] == pytest.approx(
        [epoch["loss"] for epoch in direct_epochs], rel=1e-3
    )
    assert fewer["training_flops"] < 0.7 * direct["training_flops"]


@pytest.mark.parametrize("clock", ["train", "fit", "wall"])
def test_a_budget_ends_a_trial_when_its_clock_says_so(tmp_path, clock):
    """Train, fit or wall time stands at the budget within 1 % or a step, annealed, in an epoch or after several."""
    budget_s = {"train": 6.0, "fit": 6.0, "wall": 30.0}[clock]
    trial = make_trial(
        "mnist_cnn", cpus=(0,), epochs=None, recipe=ANNEALED, limit_train=2000, budget_s=budget_s, budget_clock=clock
    )
    folder, result = run(trial, tmp_path / "trial")
    assert result.status == "ok", result.reason
    row, epochs = row_of(folder, result)
    steps = sum(sum(steps.counts) for steps in of(Steps, folder))
    tolerance_s = max(0.01 * budget_s, row["train_s"] / steps)
    # What follows the last step was foreseen from a few batches, beside whatever else the machine does.
    slack_s = {"train": 0.0, "fit": 0.2, "wall": 1.5}[clock]
    assert abs(row[f"{clock}_s"] - budget_s) <= tolerance_s + slack_s
    assert [event.last for event in of(Epoch, folder)] == [False] * (len(epochs) - 1) + [True]
    assert sum(steps.images for steps in of(Steps, folder)) == sum(epoch["images"] for epoch in epochs)
    assert row["epochs_trained"] == pytest.approx(sum(epoch["images"] for epoch in epochs) / 1600)
    assert epochs[-1]["learning_rate"] < 0.1 * ANNEALED.learning_rate


def test_a_budget_shorter_than_an_epoch_ends_within_it(tmp_path):
    """The epoch is written with the images that it saw, validated and tested; the stages were gone through."""
    path = tmp_path / "unhurried.py"
    path.write_text(UNHURRIED)
    trial = make_trial(
        path, cpus=(0,), epochs=None, recipe=ALL_OPTIONS, limit_train=60_000, budget_s=10.0, budget_clock="train"
    )
    folder, result = run(trial, tmp_path / "trial")
    assert result.status == "ok", result.reason
    (epoch,) = of(Epoch, folder)
    assert 0 < epoch.images < 48_000
    assert epoch.images % 64 == 0
    assert epoch.val_accuracy is not None
    heights = [steps.image_height for steps in of(Steps, folder)]
    assert sorted(set(heights), key=heights.index) == [16, 24, None]
    assert [flops.image_height for flops in of(Flops, folder)] == [16, 24, None]
    row, _ = row_of(folder, result)
    whole, smallest = of(Flops, folder)[2], of(Flops, folder)[0]
    assert smallest.training < row["training_flops"] < whole.training
    assert row["epochs_done"] == 0
    assert row["epochs_trained"] == pytest.approx(epoch.images / 48_000)


def stop_after_epoch(number):
    """An observer that loses the trial once an epoch's checkpoint is on disk."""

    class Stop(Silent):
        def event(self, trial, event):
            super().event(trial, event)
            if isinstance(event, PhaseDone) and event.phase == "checkpoint" and event.epoch == number:
                raise RuntimeError

    return Stop()


def cut_off(trial, path, *, after_epoch):
    """Run a trial and kill it after an epoch; return its folder."""
    folder = TrialFolder(path)
    folder.create(trial)
    with pytest.raises(RuntimeError):
        LocalRun(trial, folder, observer=stop_after_epoch(after_epoch), sample_interval_s=0.01).run()
    return folder


def test_a_trial_with_every_option_is_taken_up_bit_for_bit(any_size, tmp_path):
    """Schedule, stages, augmentation and averaged weights go on where they were."""
    trial = make_trial(any_size, cpus=(0,), epochs=5, recipe=ALL_OPTIONS, limit_train=2000)
    whole, result = run(trial, tmp_path / "whole")
    assert result.status == "ok", result.reason
    cut = cut_off(trial, tmp_path / "cut", after_epoch=2)
    again = LocalRun(trial, cut, observer=Silent()).run()
    assert (again.status, again.attempts) == ("ok", 2)
    with np.load(whole.predictions) as expected, np.load(cut.predictions) as received:
        np.testing.assert_array_equal(received["confidence"], expected["confidence"])
    assert of(Tested, cut)[-1] == of(Tested, whole)[-1]
    last = {event.epoch: event for event in of(Epoch, cut)}[5]
    expected = of(Epoch, whole)[-1]
    assert (last.learning_rate, last.val_loss) == (expected.learning_rate, expected.val_loss)


def test_a_budget_is_resumed_with_its_clock(tmp_path):
    """Killed after its first epoch and taken up, a trial trains for what is left of its budget, not for all of it."""
    trial = make_trial(
        "mnist_cnn", cpus=(0,), epochs=None, recipe=ANNEALED, limit_train=2000, budget_s=8.0, budget_clock="train"
    )
    folder = cut_off(trial, tmp_path / "trial", after_epoch=1)
    point = resume_point(folder)
    assert point.spent is not None
    assert 0 < point.spent.train_s < 8.0
    result = LocalRun(trial, folder, observer=Silent()).run()
    assert (result.status, result.attempts) == ("ok", 2)
    row, epochs = row_of(folder, result)
    steps = sum(sum(steps.counts) for steps in of(Steps, folder))
    assert abs(row["train_s"] - 8.0) <= max(0.08, 8.0 / steps)
    assert row["epochs_trained"] > epochs[0]["images"] / 1600
    assert epochs[-1]["learning_rate"] < 0.1 * ANNEALED.learning_rate


def test_a_budget_that_was_spent_is_not_spent_again(tmp_path):
    """A trial that is killed between its last epoch and its test is tested when it is taken up, and not trained."""
    trial = make_trial(
        "mnist_cnn", cpus=(0,), epochs=None, recipe=ANNEALED, limit_train=20_000, budget_s=2.0, budget_clock="train"
    )
    folder = cut_off(trial, tmp_path / "trial", after_epoch=1)
    events = [event for event in folder.read_events()[0] if not isinstance(event, Tested)]
    before = [event for event in events if isinstance(event, Epoch)]
    result = LocalRun(trial, folder, observer=Silent()).run()
    assert result.status == "ok", result.reason
    assert of(Epoch, folder) == before
    assert of(Tested, folder)


def test_averaged_weights_are_what_is_tested(any_size, tmp_path):
    """Of the same training a long average is validated and tested as other weights, a short one as nearly the same."""
    plain = Recipe(optimizer="sgd", learning_rate=0.1)
    losses = {}
    for name, momentum in {"plain": 0.0, "long": 0.99, "short": 0.001}.items():
        recipe = msgspec.structs.replace(plain, ema_momentum=momentum)
        folder, result = run(make_trial(any_size, cpus=(0,), epochs=1, recipe=recipe), tmp_path / name)
        assert result.status == "ok", result.reason
        (epoch,), (tested,) = of(Epoch, folder), of(Tested, folder)
        losses[name] = (epoch.loss, epoch.val_loss, tested.loss)
    assert losses["plain"][0] == losses["long"][0] == losses["short"][0]
    for looked_at in (1, 2):
        change = losses["long"][looked_at] - losses["plain"][looked_at]
        assert abs(change) > 1e-4
        assert abs(losses["short"][looked_at] - losses["plain"][looked_at]) < 0.1 * abs(change)


def test_stages_need_a_model_of_any_size(tiny, tmp_path):
    """A model with a fixed number of inputs behind Flatten fails with the reason and what would do."""
    _, result = run(make_trial(tiny, recipe=Recipe(stages=((16, 0.5),))), tmp_path / "trial")
    assert result.status == "failed"
    assert "must take images of any size (global pooling does, Flatten does not)" in result.reason
