"""The built-in models are what their docstrings say."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from bench import catalog
from bench.launch.describing import describe_models

pytestmark = pytest.mark.tf

PUBLISHED = [
    ("mnist_cnn", (28, 28, 1), 10, 1_199_882),
    ("mnist_cnn", (32, 32, 3), 100, 1_638_052),
    ("mbn", (32, 32, 3), 100, 15_795_556),
    ("mbn_quarter", (32, 32, 3), 100, 1_012_132),
]


@pytest.mark.parametrize(("name", "input_shape", "num_classes", "parameters"), PUBLISHED)
def test_a_model_has_the_parameters_that_its_source_gives(name, input_shape, num_classes, parameters):
    """Parameter counts are those of the founding report, and each model's docstring states them."""
    found = catalog.find(name)
    (described,) = describe_models([catalog.Build(spec=found.spec)], input_shape=input_shape, num_classes=num_classes)
    assert described.problem is None
    assert described.parameters == parameters
    assert f"{parameters:,}" in found.description


def test_mbn_is_the_report_s_network_layer_for_layer():
    """MBN has the layers of its source in their order, with the options that differ from Keras's own."""
    (described,) = describe_models(
        [catalog.Build(spec=catalog.find("mbn").spec)], input_shape=(32, 32, 3), num_classes=100
    )
    pair = ["Conv2D", "BatchNormalization", "Activation"] * 2 + ["MaxPooling2D", "Dropout"]
    head = ["Flatten", "Dense", "Dropout", "BatchNormalization", "Dense"]
    assert [layer.kind for layer in described.layers] == ["InputLayer", *pair * 4, *head]
    filters = [layer.output_shape[-1] for layer in described.layers if layer.kind == "Conv2D"]
    assert filters == [256] * 2 + [512] * 6


def test_mbn_s_last_batch_normalization_starts_as_its_source_says():
    """Momentum 0.95, epsilon 0.005, gamma 0.9 and beta near 0 with deviation 0.05; no other layer differs."""
    code = """
import json, sys
from bench import catalog
from bench.worker import building
model = building.build(catalog.find("mbn").spec, (32, 32, 3), 100)
layer = [l for l in model.layers if type(l).__name__ == "BatchNormalization"][-1]
beta = layer.beta.numpy()
rates = [l.rate for l in model.layers if type(l).__name__ == "Dropout"]
print(json.dumps([layer.momentum, layer.epsilon, sorted(set(layer.gamma.numpy().round(6).tolist())),
                  float(beta.mean()), float(beta.std()), sorted(set(rates))]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    momentum, epsilon, gammas, mean, deviation, rates = json.loads(done.stdout.splitlines()[-1])
    assert (momentum, epsilon, gammas, rates) == (0.95, 0.005, [pytest.approx(0.9)], [0.2])
    assert abs(mean) < 0.01
    assert deviation == pytest.approx(0.05, rel=0.15)


def test_a_broken_model_is_described_by_its_problem(tmp_path):
    """Describing a model that raises says what it raised, and does not take the others with it."""
    path = tmp_path / "broken.py"
    path.write_text("def build(input_shape, num_classes):\n    raise ValueError('too small')\n")
    broken, fine = describe_models(
        [catalog.Build(spec=catalog.find(name).spec) for name in (str(path), "mnist_cnn")],
        input_shape=(32, 32, 3),
        num_classes=100,
    )
    assert "too small" in (broken.problem or "")
    assert fine.problem is None
