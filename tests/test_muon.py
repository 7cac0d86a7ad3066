"""Muon: which variables it takes, and what a step of it does to a kernel."""
# ruff: noqa: TID251 -- models are taken apart here, in functions: collecting tests imports no TensorFlow

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.tf

RATE = 0.1


def optimizer(**options):
    """Return Muon with a momentum, and no weight decay unless asked for."""
    from bench.worker.muon import Muon

    asked = {"momentum": 0.6, "nesterov": True, "adam_lr_ratio": 0.1, "weight_decay": None} | options
    return Muon(learning_rate=RATE, **asked)


def network():
    """Return a network with every kind of variable that Muon tells apart."""
    import keras
    from keras import layers

    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(8, 3, name="convolution"),
            layers.DepthwiseConv2D(3, name="depthwise"),
            layers.BatchNormalization(name="normalization"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(16, name="hidden"),
            layers.Dense(5, name="predictions"),
        ]
    )


def by_adamw(model, muon) -> set[str]:
    """The variables with a second moment, which only AdamW keeps."""
    kept = zip(model.trainable_variables, muon.adam_velocities, strict=True)
    return {variable.path.split("/", 1)[-1] for variable, velocity in kept if velocity is not None}


def test_kernels_but_the_last_are_muon_s():
    """Convolutions and hidden layers are orthogonalised; vectors, depthwise kernels and the classifier are AdamW's."""
    model, muon = network(), optimizer()
    muon.build(model.trainable_variables)
    every = {variable.path.split("/", 1)[-1] for variable in model.trainable_variables}
    assert every - by_adamw(model, muon) == {"convolution/kernel", "hidden/kernel"}


@pytest.mark.parametrize("shape", [(3, 3, 8, 16), (3, 3, 2, 64), (24, 10), (10, 24)])
def test_a_step_is_nearly_orthogonal_whatever_the_gradient_s_size(shape):
    """All singular values of a step are near the learning rate: that of a small gradient as that of a large one."""
    import keras

    rng = np.random.default_rng(0)
    gradient = rng.normal(size=shape).astype("float32")
    for scale in (1e-3, 1e3):
        kernel, last = keras.Variable(np.zeros(shape, "float32")), keras.Variable(np.zeros((4, 4), "float32"))
        muon = optimizer(nesterov=False)
        muon.apply([scale * gradient, np.zeros((4, 4), "float32")], [kernel, last])
        step = -kernel.numpy().reshape(-1, shape[-1])
        values = np.linalg.svd(step, compute_uv=False)
        assert values.max() < 1.3 * RATE
        assert np.median(values) > 0.5 * RATE
        # It keeps the directions: U Vᵀ of the gradient's own decomposition is what it comes close to.
        u, _, v = np.linalg.svd(gradient.reshape(-1, shape[-1]), full_matrices=False)
        exact = RATE * u @ v
        assert (step * exact).sum() / (np.linalg.norm(step) * np.linalg.norm(exact)) > 0.9


def test_the_momentum_is_of_the_gradients():
    """A second step without momentum forgets the first gradient, and one with it does not."""
    import keras

    first, second = (np.eye(6, dtype="float32")[list(order)] for order in ((0, 1, 2, 3, 4, 5), (1, 2, 3, 4, 5, 0)))
    moved = {}
    for momentum in (0.0, 0.9):
        kernel, last = keras.Variable(np.zeros((6, 6), "float32")), keras.Variable(np.zeros((2, 2), "float32"))
        muon = optimizer(momentum=momentum, nesterov=False)
        muon.apply([first, np.zeros((2, 2), "float32")], [kernel, last])
        before = kernel.numpy()
        muon.apply([second, np.zeros((2, 2), "float32")], [kernel, last])
        moved[momentum] = (before - kernel.numpy()) / RATE
    assert (moved[0.0] * first).sum() == pytest.approx(0, abs=1e-3)
    assert (moved[0.9] * first).sum() > 1


def test_weights_decay_by_the_rate():
    """A kernel without a gradient shrinks by rate × decay; so do AdamW's variables, by the same rate."""
    import keras

    kernel, last = (keras.Variable(np.ones((4, 4), "float32")) for _ in range(2))
    muon = optimizer(weight_decay=0.5)
    muon.apply([np.zeros((4, 4), "float32")] * 2, [kernel, last])
    np.testing.assert_allclose(kernel.numpy(), 1 - RATE * 0.5, rtol=1e-6)
    np.testing.assert_allclose(last.numpy(), 1 - RATE * 0.5, rtol=1e-6)


def test_a_network_learns_with_it():
    """A few steps on a handful of images halve the loss, compiled as a trial compiles it."""
    import keras

    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    images, labels = rng.normal(size=(32, 8, 8, 3)).astype("float32"), rng.integers(0, 5, 32)
    model = network()
    model.compile(optimizer(), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    losses = model.fit(images, labels, batch_size=32, epochs=40, verbose=0).history["loss"]
    assert losses[-1] < losses[0] / 2
