"""The installed distribution works away from the checkout; run by `tox -e wheel`."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

import bench
from bench.reference.shelf import SHIPPED, load

INSTALLED = Path(bench.__file__).resolve().parent.parent.name == "site-packages"

pytestmark = [
    pytest.mark.tf,
    pytest.mark.skipif(not INSTALLED, reason="bench is imported from the checkout; `tox -e wheel` installs it"),
]


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A folder of a user who has a `models` and a `bench` of their own."""
    for name in ("models", "bench"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('the wrong package')\n")
    (tmp_path / "models" / "mnist_cnn.py").write_text("raise RuntimeError('the wrong model')\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def console_script(*arguments):
    """Run the installed script."""
    script = Path(sys.executable).with_name("hourglass")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run([script, *arguments], capture_output=True, text=True, env=environment, check=False)


def test_the_console_script_trains_a_built_in_model_beside_a_folder_called_models(elsewhere):
    """The wheel's own models are found, and a user's `models` and `bench` folders are left alone."""
    done = console_script(
        *("run", "--peak", "off", "--model", "mnist_cnn", "--device", "cpu:1", "--epochs", "1"),
        *("--limit-train", "200", "--limit-test", "50"),
    )
    assert done.returncode == 0, done.stderr
    assert "mnist_cnn" in done.stdout
    assert list((elsewhere / "reports").glob("*/report/trials.csv"))


def test_a_users_own_models_are_imported_as_without_the_plugin(elsewhere):
    """Pytest rewrites the assertions of all packages that a plugin's distribution has, by their names."""
    (elsewhere / "models" / "__init__.py").write_text("def check(n):\n    assert n > 0, 'must be positive'\n")
    (elsewhere / "test_mine.py").write_text(
        "import models\n\n\ndef test_it():\n    try:\n        models.check(0)\n    except AssertionError as error:\n"
        "        assert str(error) == 'must be positive'\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], capture_output=True, text=True, check=False
    )
    assert "1 passed" in done.stdout, done.stdout


def test_the_distribution_says_what_it_is():
    """Version, licence, type marker and reference curves are in the wheel."""
    metadata = importlib.metadata.metadata("hourglass-bench")
    assert metadata["Version"] == bench.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert (Path(bench.__file__).parent / "py.typed").is_file()
    assert load([SHIPPED]).curves
