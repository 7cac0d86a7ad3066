"""A linear probe: the weights of least loss, and the strength of regularisation that validation images like best."""

from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np
import pytest
from msgspec.structs import replace
from scipy import optimize

from bench.errors import ModelError
from bench.recipe import PROBE_PASSES, Recipe
from bench.records import Assignment, Epoch, PhaseDone, Steps
from bench.store import Journal, TrialFolder
from records_for_tests import DATASET, trial

pytestmark = [
    pytest.mark.tf,
    # Keras's own, with NumPy 2: what a checkpoint writes is read that way.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]

ROWS, WIDTH, CLASSES = 400, 9, 5
PROBED = Recipe(optimizer="lbfgs", frozen_until="pool")


def draw(rows=ROWS, *, width=WIDTH, seed=0, noise=2.0):
    """Return features of very different scales, and labels that depend on them, not strictly."""
    truth = np.random.default_rng(99).normal(size=(width, CLASSES))
    draws = np.random.default_rng(seed)
    plain = draws.normal(size=(rows, width))
    labels = (plain @ truth + noise * draws.gumbel(size=(rows, CLASSES))).argmax(axis=1)
    scales, shifts = np.geomspace(0.05, 20, width), np.linspace(-4, 9, width)
    return (plain * scales + shifts).astype(np.float32), labels.astype(np.int32)


def head(*, width=WIDTH, seed=0, dropout=0.5, **options):
    """Return what is trained: one layer, behind dropout."""
    import keras  # noqa: TID251 -- stands in for a model file

    keras.utils.set_random_seed(seed)
    inputs = keras.Input((width,))
    x = keras.layers.Dropout(dropout)(inputs)
    return keras.Model(inputs, keras.layers.Dense(CLASSES, name="predictions", **options)(x), name="net")


def variant(features):
    """Features as a frozen part hands them over."""
    from bench.worker.frozen import Sample

    return Sample(features, len(features))


def probe_of(model, variants, labels, *, recipe=PROBED, evaluated=lambda: None):
    """Return the probe of a model."""
    from bench.worker.linear_probe import LinearProbe

    return LinearProbe(model, list(map(variant, variants)), labels, recipe=recipe, evaluated=evaluated)


@pytest.fixture
def to_the_end(monkeypatch):
    """The search goes on until nothing gets better."""
    from bench.worker import linear_probe

    monkeypatch.setattr(linear_probe, "PRECISION", 1e-13)
    monkeypatch.setattr(linear_probe, "PROBE_PASSES", 5000)


def solve(features, labels, l2, *, smoothing=0.0, use_bias=True):
    """Solve the same problem in float64 by Newton's method, which shares nothing with the probe; kernel, bias, loss.

    What is penalised are weights of features of mean 0 (where there is a bias) and deviation 1; the bias is not.
    """
    x = features.astype(np.float64)
    mean = x.mean(axis=0) if use_bias else np.zeros(x.shape[1])
    deviation = np.sqrt(((x - mean) ** 2).mean(axis=0))
    z = (x - mean) / deviation
    if use_bias:
        z = np.hstack([z, np.ones((len(z), 1))])
    penalty = np.full(z.shape[1], l2)
    penalty[x.shape[1] :] = 0.0
    targets = np.eye(CLASSES)[labels] * (1 - smoothing) + smoothing / CLASSES

    def probabilities(weights):
        logits = z @ weights
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        return shifted / shifted.sum(axis=1, keepdims=True)

    def objective(flat):
        weights = flat.reshape(-1, CLASSES)
        p = probabilities(weights)
        loss = -(targets * np.log(p)).sum() / len(z) + (penalty[:, None] * weights**2).sum() / 2
        return loss, (z.T @ (p - targets) / len(z) + penalty[:, None] * weights).ravel()

    def hessian_times(flat, step):
        p, v = probabilities(flat.reshape(-1, CLASSES)), step.reshape(-1, CLASSES)
        u = z @ v
        return (z.T @ (p * (u - (p * u).sum(axis=1, keepdims=True))) / len(z) + penalty[:, None] * v).ravel()

    found = optimize.minimize(
        objective, np.zeros(z.shape[1] * CLASSES), jac=True, hessp=hessian_times, method="trust-ncg", tol=1e-11
    )
    weights = found.x.reshape(-1, CLASSES)
    kernel = weights[: x.shape[1]] / deviation[:, None]
    bias = weights[x.shape[1]] - mean @ kernel if use_bias else np.zeros(CLASSES)
    return kernel, bias, found.fun


def centred(bias):
    """A bias that all classes have changes nothing."""
    return bias - bias.mean()


def weights_of(model):
    """Kernel and bias of the only layer."""
    kernel, *bias = (weight.numpy() for weight in model.layers[-1].weights)
    return kernel, (bias[0] if bias else np.zeros(CLASSES))


CASES = {
    "strong": (1.0, {}, 0.0),
    "middling": (0.03, {}, 0.0),
    "weak": (1e-4, {}, 0.0),
    "smoothed": (0.03, {}, 0.2),
    "softmax": (0.03, {"activation": "softmax"}, 0.0),
    "without a bias": (0.03, {"use_bias": False}, 0.0),
    "without a bias, smoothed softmax": (0.03, {"use_bias": False, "activation": "softmax"}, 0.1),
}


@pytest.mark.parametrize("case", CASES)
def test_a_probe_finds_the_weights_of_least_loss(to_the_end, case):
    """They are those of an independent float64 solution, whatever the scales of the features."""
    l2, options, smoothing = CASES[case]
    features, labels = draw()
    model = head(**options)
    probe = probe_of(model, [features], labels, recipe=replace(PROBED, label_smoothing=smoothing))
    probe.fit(l2)
    kernel, bias = weights_of(model)
    use_bias = options.get("use_bias", True)
    expected_kernel, expected_bias, least = solve(features, labels, l2, smoothing=smoothing, use_bias=use_bias)
    size = np.abs(expected_kernel).max(axis=1, keepdims=True)
    np.testing.assert_allclose(kernel / size, expected_kernel / size, atol=4e-3)
    np.testing.assert_allclose(centred(bias), centred(expected_bias), atol=0.01)
    deviation = features.std(axis=0) if use_bias else np.sqrt(np.square(features).mean(axis=0))
    assert probe.loss + l2 / 2 * ((kernel * deviation[:, None]) ** 2).sum() == pytest.approx(least, abs=2e-5)


@pytest.mark.parametrize("l2", [1.0, 0.1, 0.001])
def test_few_passes_come_near_enough(l2):
    """As a trial asks for it, the loss is within a thousandth of the least one after a few passes."""
    features, labels = draw()
    passes = []
    model = head()
    probe = probe_of(model, [features], labels, evaluated=lambda: passes.append(1))
    probe.fit(l2)
    kernel, _ = weights_of(model)
    *_, least = solve(features, labels, l2)
    assert probe.loss + l2 / 2 * ((kernel * features.std(axis=0)[:, None]) ** 2).sum() < least + 1e-3
    assert 2 < len(passes) < 20


def test_a_probe_makes_no_more_passes_than_it_may(monkeypatch):
    """A strength ends with the last pass that it may make, if it has not ended before."""
    from bench.worker import linear_probe

    monkeypatch.setattr(linear_probe, "PRECISION", 0.0)
    monkeypatch.setattr(linear_probe, "PROBE_PASSES", 7)
    passes = []
    probe_of(head(), [draw()[0]], draw()[1], evaluated=lambda: passes.append(1)).fit(1e-3)
    assert len(passes) == 7
    assert PROBE_PASSES >= 50


def test_loss_and_accuracy_are_those_of_the_layer():
    """What is told of the training images is what the model, with its softmax, says of them."""
    features, labels = draw()
    model = head(activation="softmax")
    probe = probe_of(model, [features], labels)
    probe.fit(0.01)
    outputs = model(features).numpy()
    assert probe.accuracy == pytest.approx((outputs.argmax(axis=1) == labels).mean(), abs=1e-9)
    assert probe.loss == pytest.approx(-np.log(outputs[np.arange(ROWS), labels]).mean(), rel=1e-4)
    assert probe.accuracy > 1.5 / CLASSES


def test_every_variant_counts(to_the_end, monkeypatch):
    """Two variants are one training set of twice the images, also in pieces that do not divide them."""
    from bench.worker import linear_probe

    monkeypatch.setattr(linear_probe, "CHUNK_BYTES", 4 * WIDTH * 33)
    (features, labels), (other, _) = draw(), draw(seed=1)
    model = head()
    probe = probe_of(model, [features, other], labels)
    assert probe.images == 2 * ROWS
    probe.fit(0.03)
    kernel, bias = weights_of(model)
    expected_kernel, expected_bias, _ = solve(np.concatenate([features, other]), np.concatenate([labels, labels]), 0.03)
    size = np.abs(expected_kernel).max(axis=1, keepdims=True)
    np.testing.assert_allclose(kernel / size, expected_kernel / size, atol=4e-3)
    np.testing.assert_allclose(centred(bias), centred(expected_bias), atol=0.01)


@pytest.mark.parametrize("value", [0.0, 1.0, -0.3, 1000.0, 1e5])
def test_constant_features_do_no_harm(value):
    """A feature that is always the same, or differs by rounding alone, gets no weight and changes nothing."""
    features, labels = draw()
    rounded = np.float32(value) * (1 + 1e-7 * np.random.default_rng(0).choice([-1, 1], ROWS)).astype(np.float32)
    constant = np.stack([np.full(ROWS, value, np.float32), rounded], axis=1)
    passes, losses, models = {}, {}, {}
    for name, x in {"without": features, "with": np.hstack([features, constant])}.items():
        made = passes[name] = []
        models[name] = head(width=x.shape[1])
        probe = probe_of(models[name], [x], labels, evaluated=lambda made=made: made.append(1))
        for l2 in (1.0, 0.1, 1e-3):
            probe.fit(l2)
        losses[name] = probe.loss
    assert losses["with"] == pytest.approx(losses["without"], rel=1e-4)
    assert len(passes["with"]) == len(passes["without"])
    kernel, bias = weights_of(models["with"])
    assert not kernel[WIDTH:].any()
    np.testing.assert_allclose(kernel[:WIDTH], weights_of(models["without"])[0], rtol=1e-3, atol=1e-5)
    assert np.isfinite(bias).all()


def test_features_that_are_all_constant_leave_the_shares_of_the_classes():
    """Where nothing can be told apart, the bias says how often each class occurs."""
    _, labels = draw()
    model = head()
    probe_of(model, [np.full((ROWS, WIDTH), 7, np.float32)], labels).fit(1e-3)
    logits = model(np.full((1, WIDTH), 7, np.float32)).numpy()[0].astype(np.float64)
    shares = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(shares, np.bincount(labels, minlength=CLASSES) / ROWS, atol=0.01)


def test_a_constant_stands_in_for_a_bias_that_is_not_there(to_the_end):
    """Without a bias nothing is moved: a feature that is always 1 counts like any other."""
    features, labels = draw()
    features = np.hstack([features, np.ones((ROWS, 1), np.float32)])
    model = head(width=WIDTH + 1, use_bias=False)
    probe_of(model, [features], labels).fit(0.01)
    expected, *_ = solve(features, labels, 0.01, use_bias=False)
    np.testing.assert_allclose(weights_of(model)[0][-1], expected[-1], atol=0.01)
    assert np.abs(expected[-1]).max() > 0.01


def test_features_in_tiny_numbers_are_worth_as_much(to_the_end):
    """The strength is of standardised features: their unit changes nothing but the weights' unit."""
    features, labels = draw()
    kernels = []
    for unit in (1.0, 1e-6, 1e4):
        model = head()
        probe_of(model, [features * np.float32(unit)], labels).fit(0.03)
        kernels.append(weights_of(model)[0] * unit)
    for kernel in kernels[1:]:
        np.testing.assert_allclose(kernel, kernels[0], rtol=0.01, atol=1e-3 * np.abs(kernels[0]).max())


def test_each_strength_begins_where_the_stronger_one_ended():
    """What was found is where the next search begins, in this process and, from the layer's weights, in another."""
    from bench.worker.linear_probe import strength

    features, labels = draw()
    counts = []

    def counting():
        counts[-1] += 1

    def fit(probe, epoch):
        counts.append(0)
        probe.fit(strength(epoch))

    model = head()
    probe = probe_of(model, [features], labels, evaluated=counting)
    for epoch in (1, 2, 3):
        fit(probe, epoch)
    kept = model.get_weights()
    fit(probe, 4)
    expected = model.get_weights()
    model.set_weights(kept)
    again = probe_of(model, [features], labels, evaluated=counting)
    again.take_up()
    fit(again, 4)
    assert counts[4] == counts[3]
    for received, wanted in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(received, wanted, rtol=1e-3, atol=1e-4)
    fit(again, 4)
    assert counts[5] < counts[4]


@pytest.mark.parametrize("options", [{}, {"use_bias": False}])
def test_weights_that_are_taken_up_stay_as_they_are(options):
    """Constant features, which have no weight, included."""
    features, labels = draw()
    features = np.hstack([features, np.full((ROWS, 1), 3.0, np.float32), np.zeros((ROWS, 1), np.float32)])
    model = head(width=WIDTH + 2, **options)
    probe = probe_of(model, [features], labels)
    probe.fit(0.1)
    before = model.get_weights()
    again = probe_of(model, [features], labels)
    again.take_up()
    for received, wanted in zip(again._unscaled(again._solution), before, strict=False):
        np.testing.assert_allclose(received, wanted, rtol=1e-4, atol=1e-5)


def test_strengths_grow_weaker_by_the_root_of_ten():
    """From 1 on; two epochs are a factor of ten."""
    from bench.worker.linear_probe import strength

    assert strength(1) == 1.0
    assert strength(3) == pytest.approx(0.1)
    assert strength(2) / strength(3) == pytest.approx(10**0.5)


def heads():
    """Models that are no linear probe, by what is wrong with them."""
    import keras  # noqa: TID251 -- stands in for model files

    layers = keras.layers

    def stack(*made, shape=(WIDTH,)):
        return keras.Sequential([keras.Input(shape), *made], name="net")

    return {
        "two layers": stack(layers.Dense(8, name="hidden"), layers.Dense(CLASSES, name="predictions")),
        "relu": stack(layers.Dense(CLASSES, activation="relu", name="predictions")),
        "normalised": stack(layers.BatchNormalization(name="norm"), layers.Dense(CLASSES, name="predictions")),
        "pooled": stack(
            layers.GlobalAveragePooling2D(name="pool"), layers.Dense(CLASSES, name="predictions"), shape=(2, 2, WIDTH)
        ),
        "a layer on each place": stack(layers.Dense(CLASSES, name="predictions"), shape=(4, WIDTH)),
        "convolution": stack(layers.Conv1D(CLASSES, 1, name="predictions"), shape=(4, WIDTH)),
        "softmax apart": stack(layers.Dense(CLASSES, name="predictions"), layers.Softmax(name="softmax")),
    }


def test_other_heads_are_refused():
    """The error names what is there and what would do, before anything is computed."""
    for model in heads().values():
        with pytest.raises(ModelError, match=r"lbfgs fits a single Dense layer.*predictions \(.*later layer") as caught:
            probe_of(model, [draw()[0]], draw()[1])
        for layer in model.layers:
            assert f"{layer.name} ({type(layer).__name__})" in str(caught.value)


# One strength an epoch, recorded and kept.


def dataset_of(features, labels):
    """What is validated on, in batches."""
    import tensorflow as tf  # noqa: TID251 -- stands in for the worker

    return tf.data.Dataset.from_tensor_slices((features, labels)).batch(64)


class Training:
    """A linear probe as a trial trains it, in a folder; another one in the same folder takes it up."""

    def __init__(self, path, *, epochs=7, noise=2.0, width=WIDTH, features=None, validated=True):
        from bench.worker import building
        from bench.worker.clock import Clock, Phases

        self.folder = TrialFolder(path)
        dataset = replace(DATASET, num_train=ROWS, num_classes=CLASSES)
        self.cell = trial(recipe=PROBED, epochs=epochs, dataset=dataset).cell
        x, y = draw(width=width, noise=noise)
        self.validation = draw(300, width=width, seed=7, noise=noise)
        self.model = head(width=width)
        building.compile_model(self.model, self.cell, output="logits")
        path.mkdir(exist_ok=True)
        self.journal = Journal(self.folder.events)
        clock = Clock(Assignment(folder=str(path), started_s=time.monotonic()))
        self.phases = Phases(clock, self.journal, lambda: None)
        batches = SimpleNamespace(
            features=SimpleNamespace(variants=[variant(x if features is None else features)], labels=y),
            validation=dataset_of(*self.validation) if validated else None,
        )
        self.ready = SimpleNamespace(model=self.model, batches=batches)

    def fit(self, *, done=0, stop_after=None):
        """Train; the process may be lost once an epoch's checkpoint is written."""
        from bench.worker import checkpoint
        from bench.worker.probing import fit_probe

        def save(epoch):
            checkpoint.save(self.folder.checkpoint, self.model, epoch=epoch)
            if epoch == stop_after:
                raise KeyboardInterrupt

        if done:
            checkpoint.restore(self.folder.checkpoint, self.model, epoch=done)
        fit_probe(
            self.ready, self.cell, folder=self.folder, journal=self.journal, phases=self.phases, save=save, done=done
        )

    def of(self, kind):
        """Events of one kind."""
        return [event for event in self.folder.read_events()[0] if isinstance(event, kind)]

    def validation_accuracy(self):
        """Of the model as it is."""
        x, y = self.validation
        return float((self.model(x).numpy().argmax(axis=1) == y).mean())


# Few images of many features and noisy labels: the best strength is neither the first nor the last.
NOISY = {"width": 60, "noise": 6.0, "epochs": 7}


def test_the_best_strength_is_kept(tmp_path):
    """Each epoch is a strength; what is told is the best one so far, and its weights are those that stay."""
    from bench.worker.linear_probe import strength

    training = Training(tmp_path / "trial", **NOISY)
    training.fit()
    epochs = training.of(Epoch)
    assert [epoch.epoch for epoch in epochs] == list(range(1, 8))
    accuracies = [epoch.val_accuracy for epoch in epochs]
    assert accuracies == sorted(accuracies)
    best = epochs[-1]
    assert strength(1) > best.l2 > strength(7)  # or this test sees nothing
    assert training.validation_accuracy() == pytest.approx(best.val_accuracy, abs=1e-6)
    # Each strength by itself says the same.
    x, y = training.validation
    alone = head(width=NOISY["width"])
    probe = probe_of(alone, [draw(width=60, noise=6.0)[0]], draw(width=60, noise=6.0)[1])
    found = []
    for number in range(1, 8):
        probe.fit(strength(number))
        found.append(float((alone(x).numpy().argmax(axis=1) == y).mean()))
        assert epochs[number - 1].val_accuracy == pytest.approx(max(found), abs=1e-6)
    assert found[-1] < max(found)
    # The whole is in phases, and passes are steps.
    looked, *phases = training.of(PhaseDone)
    assert looked.phase == "warmup"
    assert [(phase.phase, phase.epoch) for phase in phases] == [
        (phase, epoch) for epoch in range(1, 8) for phase in ("train", "validate", "checkpoint")
    ]
    for steps, epoch in zip(training.of(Steps), epochs, strict=True):
        assert len(steps.ends_s) == len(steps.counts) == sum(steps.counts) <= PROBE_PASSES
        assert steps.images == epoch.images == len(steps.counts) * ROWS
        assert steps.start_s <= steps.ends_s[0]
        assert list(steps.ends_s) == sorted(steps.ends_s)
        assert steps.ends_s[-1] <= epoch.end_s


@pytest.mark.parametrize("stop_after", [1, 3, 6])
def test_a_probe_that_is_taken_up_goes_on(tmp_path, stop_after):
    """It goes on with the next strength, knows the best one before, and ends as one that was left alone."""
    whole, cut = Training(tmp_path / "whole", **NOISY), Training(tmp_path / "cut", **NOISY)
    whole.fit()
    with pytest.raises(KeyboardInterrupt):
        cut.fit(stop_after=stop_after)
    again = Training(tmp_path / "cut", **NOISY)
    again.fit(done=stop_after)
    assert [epoch.epoch for epoch in again.of(Epoch)] == list(range(1, 8))
    for received, expected in zip(again.of(Epoch), whole.of(Epoch), strict=True):
        assert received.l2 == expected.l2
        assert received.val_accuracy == pytest.approx(expected.val_accuracy, abs=0.004)
        assert received.val_loss == pytest.approx(expected.val_loss, rel=5e-5)
    assert again.validation_accuracy() == pytest.approx(again.of(Epoch)[-1].val_accuracy, abs=1e-6)


def test_a_probe_that_is_over_does_nothing(tmp_path):
    """Taken up after its last epoch, it trains nothing, and the model stays as it was restored."""
    training = Training(tmp_path / "trial", epochs=2)
    training.fit()
    before, events = training.validation_accuracy(), training.folder.read_events()[0]
    again = Training(tmp_path / "trial", epochs=2)
    again.fit(done=2)
    *known, looked = again.folder.read_events()[0]
    assert tuple(known) == events
    assert looked.phase == "warmup"
    assert again.validation_accuracy() == before


def test_a_probe_needs_validation_images(tmp_path):
    """Without them nothing could be chosen: it says so, with the flag."""
    with pytest.raises(ModelError, match="--validation"):
        Training(tmp_path / "trial", validated=False).fit()


def test_features_that_are_no_numbers_diverge(tmp_path):
    """A loss that is no number ends the trial as diverged, with the strength."""
    from bench.worker.recorder import DivergedError

    features = draw()[0]
    features[17, 3] = np.nan
    training = Training(tmp_path / "trial", features=features)
    with pytest.raises(DivergedError, match="training loss became nan at an L2 strength of 1"):
        training.fit()
    assert not training.of(Epoch)


class Course:
    """A training that is over after so many passes."""

    def __init__(self, passes):
        self.left = passes
        self.began = False

    def begin_epoch(self, now_s):
        """It begins."""
        self.began = True

    def end_steps(self, step_s):
        """A pass is over."""
        assert self.began
        assert step_s >= 0
        self.left -= 1

    def is_over(self, now_s):
        """Whether it was the last one."""
        return self.left <= 0


@pytest.mark.parametrize("passes", [1, 3, 1000])
def test_passes_are_timed_until_it_is_enough(tmp_path, passes):
    """A calibration makes as many passes as its course asks for, or as the first strength takes, and records them."""
    from bench.worker.probing import time_passes

    training = Training(tmp_path / "trial")
    time_passes(training.ready, training.cell, Course(passes), journal=training.journal, phases=training.phases)
    (steps,) = training.of(Steps)
    assert sum(steps.counts) == len(steps.ends_s)
    assert len(steps.ends_s) == passes if passes < 1000 else 3 < len(steps.ends_s) < PROBE_PASSES
    assert steps.images == len(steps.ends_s) * ROWS
    looked, phase = training.of(PhaseDone)
    assert [(looked.phase, looked.epoch), (phase.phase, phase.epoch)] == [("warmup", None), ("train", 1)]
    assert phase.end_s >= steps.ends_s[-1]
    assert not training.of(Epoch)
