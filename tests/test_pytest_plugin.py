"""`pytest --bench-model`: warm workers and what becomes of them, what is collected, what pytest-benchmark says."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from msgspec.structs import replace

from bench.hardware.gpus import detect_gpus
from bench.pytest_plugin.suite import WorkerClock, _benchmark, _setting
from bench.pytest_plugin.workers import TimingError, Workers
from bench.records import Device
from bench.timings import PARTS, TimingAnswer, TimingRequest
from records_for_tests import DATASET, trial

FAKE = Path(__file__).with_name("fake_timing_worker.py")
HERE = Path(__file__).parent
TINY = '''"""A tiny model."""

import keras


def build(input_shape, num_classes):
    return keras.Sequential([keras.Input(input_shape), keras.layers.Flatten(), keras.layers.Dense(num_classes)])
'''


def fake(behaviour, *, patience_s=60.0):
    """Workers that behave so."""
    return Workers((sys.executable, "-P", str(FAKE), behaviour), patience_s=patience_s)


def asked(rounds=1, **cell):
    """A request for training steps."""
    return TimingRequest(cell=trial(**cell).cell, part="training_step", rounds=rounds)


@pytest.fixture(autouse=True)
def path_of_tests(monkeypatch):
    """The fake worker finds the package, whatever this process was started with."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))


def children():
    """Processes of ours that are alive."""
    return [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]


# Workers


def test_a_worker_is_started_once_and_stays_warm() -> None:
    """Two requests for a device go to one process, and it is gone with its session."""
    before = len(children())
    workers = fake("ok")
    assert workers.time(asked(rounds=3)).seconds == pytest.approx((0.01, 0.02, 0.03))
    (first,) = children()[before:]
    assert workers.time(asked(model="other")).seconds == pytest.approx((0.01,))
    assert children()[before:] == [first]
    workers.close()
    assert len(children()) == before


def test_another_device_gets_another_worker_and_the_first_one_goes() -> None:
    """Two warm ones would share memory and cores."""
    before = len(children())
    workers = fake("ok")
    workers.time(asked())
    (first,) = children()[before:]
    workers.time(asked(device=Device(kind="cpu", threads=1)))
    (second,) = children()[before:]
    assert first != second
    workers.close()


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        ("crash", "the worker ended with 7; last it said: a last word"),
        ("killed", "the worker was killed by signal 9; last it said: nothing"),
        ("hang", "did not answer within 2 s and was ended"),
        ("garbage", "answered what cannot be understood"),
        ("problem", "no such layer"),
        ("short", "timed 2 rounds; asked for 1"),
    ],
)
def test_a_worker_that_does_not_answer_is_told_and_leaves_nothing_behind(behaviour, said) -> None:
    """Whatever it does, the benchmark fails with a sentence, and no process stays."""
    before = len(children())
    workers = fake(behaviour, patience_s=2.0 if behaviour == "hang" else 60.0)
    with pytest.raises(TimingError, match=said):
        workers.time(asked())
    workers.close()
    assert len(children()) == before


def test_after_a_crash_the_next_request_gets_a_new_worker() -> None:
    """One model that crashes does not take the others along."""
    workers = fake("crash later")
    workers.time(asked())
    with pytest.raises(TimingError, match="ended with 7"):
        workers.time(asked())
    assert workers.time(asked()).seconds == pytest.approx((0.01,))
    workers.close()


def test_patience_grows_with_what_is_asked_for() -> None:
    """Many rounds of a long step take longer than any answer to one."""
    workers = fake("slow", patience_s=0.3)
    with pytest.raises(TimingError, match=r"did not answer within 0\.3 s"):
        workers.time(asked())
    assert workers.time(asked(), expected_s=30.0).seconds == pytest.approx((0.01,))
    workers.close()


def test_a_worker_ends_with_its_launcher_though_it_is_busy() -> None:
    """One that goes on computing after pytest was killed would disturb whatever runs next on its cores."""
    busy = "import time; from bench.worker import launcher_watch; launcher_watch.watch(); time.sleep(600)"
    ours, theirs = socket.socketpair()
    with theirs:
        worker = subprocess.Popen([sys.executable, "-c", busy], stdin=theirs.fileno(), start_new_session=True)
    ours.sendall(b"a request that nobody reads\n")
    with pytest.raises(subprocess.TimeoutExpired):
        worker.wait(1.0)
    ours.close()
    assert worker.wait(60.0) == -signal.SIGKILL


def test_rounds_are_as_many_as_the_time_holds(monkeypatch, request) -> None:
    """A round of the input pipeline is an epoch of batches: it is the round that counts, not the batch."""
    rounds = []

    class Batched:
        def time(self, request, *, expected_s=0.0):
            rounds.append((request.rounds, expected_s))
            return TimingAnswer(seconds=(0.001,) * request.rounds, batches=50.0)

    class Benchmark:
        disabled, extra_info = False, {}

        def pedantic(self, replay, *, rounds, iterations):
            replay()

    options = {"benchmark_min_rounds": 5, "benchmark_max_time": 1.0, "bench_data_dir": None}
    marker = SimpleNamespace(kwargs={"timer": WorkerClock()})
    asked_by = SimpleNamespace(
        config=SimpleNamespace(getoption=options.get), node=SimpleNamespace(get_closest_marker=lambda _: marker)
    )
    _benchmark(trial().cell, "input_pipeline")(Benchmark(), Batched(), asked_by)
    assert rounds == [(1, 0.0), (20, pytest.approx(1.0))]


def test_a_users_data_set_is_named_without_its_place() -> None:
    """Saved results are compared by name on another machine too, and where the data lie is nobody's business."""
    cell = trial(dataset=replace(DATASET, name="/home/ann/photos", sha256="0123456789")).cell
    assert _setting(cell) == f"{cell.model.name}-cpu:2-photos-012345-batch{cell.batch_size}"


def test_a_command_that_is_none_is_an_error_of_its_own() -> None:
    """A program that ends at once has closed its channel."""
    workers = Workers((sys.executable, "-c", "print('hello')"))
    with pytest.raises(TimingError, match="ended with 0; last it said: hello"):
        workers.time(asked())
    workers.close()


def test_the_clock_stands_still_unless_it_is_told() -> None:
    """What asking a worker takes is no part of what it measured."""
    clock = WorkerClock()
    assert clock() == clock() == 0.0
    clock.advance(0.25)
    assert clock() == 0.25


# In a session


def session(place, *arguments, plugins=("hourglass_pytest",)):
    """Run pytest on a project of its own."""
    options = [option for plugin in plugins for option in ("-p", plugin)]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, "-p", "no:cacheprovider", *map(str, arguments)],
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "160", "NO_COLOR": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )


BENCHMARK = "pytest_benchmark.plugin"
PLUGIN = "hourglass_pytest"
UNUSED_IS_AN_ERROR = ("-W", "error:Benchmark fixture was not used")


@pytest.fixture
def project(tmp_path):
    """A folder with a model and a test."""
    (tmp_path / "mine.py").write_text(TINY)
    (tmp_path / "test_mine.py").write_text("def test_it():\n    assert True\n")
    return tmp_path


def test_without_a_model_a_session_is_what_it_was(project) -> None:
    """The plugin is loaded everywhere and must cost nothing there."""
    done = session(project, "-q", plugins=(PLUGIN, BENCHMARK))
    assert "1 passed" in done.stdout
    code = "import sys; import hourglass_pytest; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "pandas", "tensorflow", "psutil", "msgspec", "bench"} & set(loaded)


def test_a_project_may_have_a_bench_of_its_own(project) -> None:
    """The plugin is imported in every session, and takes nobody's module for its own."""
    (project / "bench.py").write_text("raise RuntimeError('not this one')\n")
    done = session(project, "-q", plugins=(PLUGIN, BENCHMARK))
    assert "1 passed" in done.stdout


def test_a_model_needs_pytest_benchmark(project) -> None:
    """The message says what to install."""
    done = session(project, "--bench-model", "mine.py", plugins=(PLUGIN,))
    assert done.returncode == 4
    assert "pip install 'hourglass-bench[pytest]'" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--bench-model", "nothing.py"], "no model file 'nothing.py'"),
        (["--bench-model", "mine.py", "--bench-device", "tpu"], "cannot understand --device 'tpu'"),
        (["--bench-model", "mine.py", "--bench-part", "backward"], "received 'backward'"),
        (["--bench-model", "mine.py", "--bench-batch-size", "4096"], "a batch of 4096 is more than the 1800 images"),
    ],
)
def test_what_is_not_known_is_refused_before_anything_runs(project, arguments, said) -> None:
    """A usage error, as of any other option."""
    done = session(project, *arguments, plugins=(PLUGIN, BENCHMARK))
    assert done.returncode == 4
    assert said in done.stderr


@pytest.mark.tf
def test_a_models_parts_are_ordinary_results(project) -> None:
    """They are collected under stable names, chosen by -k, saved, compared, and failed by --benchmark-compare-fail."""
    common = ("--bench-model", "mine.py", "--bench-batch-size", "8", "--benchmark-max-time", "0.05")
    done = session(project, *common, "--bench-device", "cpu:1", "--benchmark-autosave", plugins=(PLUGIN, BENCHMARK))
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout
    (saved,) = project.glob(".benchmarks/*/0001_*.json")
    content = json.loads(saved.read_bytes())
    assert [one["fullname"] for one in content["benchmarks"]] == [
        f"hourglass::{part}[mine-cpu:1-synthetic-batch8]" for part in PARTS
    ]
    assert len(content["machine_info"]["hourglass"]["fingerprint"]) == 16
    for one in content["benchmarks"]:
        assert one["stats"]["rounds"] >= 5
        assert one["stats"]["min"] > 0
        assert one["extra_info"]["images_per_s"] == pytest.approx(8 / one["stats"]["median"])

    chosen = session(
        project,
        *common,
        *("--bench-device", "cpu:1", "-k", "prediction", "--benchmark-compare", "--benchmark-histogram=drawn"),
        *("--benchmark-compare-fail", "median:100000%", "-v"),
        plugins=(PLUGIN, BENCHMARK),
    )
    assert chosen.returncode == 0, chosen.stdout
    assert "1 passed, 3 deselected" in chosen.stdout
    assert "0001_" in chosen.stdout  # the saved one stands beside it
    assert b"<svg" in next(project.glob("drawn*.svg")).read_bytes()

    # A saved result that is a thousand times as fast makes this one a regression.
    for one in content["benchmarks"]:
        one["stats"] |= {name: one["stats"][name] / 1000 for name in ("min", "max", "mean", "median")}
    saved.write_text(json.dumps(content))
    failed = session(
        project,
        *common,
        *("--bench-device", "cpu:1", "-k", "prediction", "--benchmark-compare=0001"),
        *("--benchmark-compare-fail", "median:50%"),
        plugins=(PLUGIN, BENCHMARK),
    )
    assert failed.returncode != 0
    assert "Performance has regressed" in failed.stdout + failed.stderr


@pytest.mark.skipif(bool(detect_gpus().gpus), reason="this machine has a GPU")
def test_a_device_that_is_not_there_is_skipped_with_its_reason(project) -> None:
    """`--bench-device all` names what the machine has; what of it cannot be used is told, and fails nothing."""
    asked_for = ("--bench-model", "mine.py", "--bench-device", "all", "--bench-part", "prediction")
    how = (*UNUSED_IS_AN_ERROR, "-k", "gpu", "-rs", "--benchmark-autosave")
    done = session(project, *asked_for, *how, plugins=(PLUGIN, BENCHMARK))
    assert done.returncode == 0, done.stdout
    assert "1 skipped" in done.stdout
    assert not list(project.glob(".benchmarks/*/*"))  # of nothing: a later session would be compared with it
    assert "management library cannot be loaded" in done.stdout


@pytest.mark.tf
def test_a_model_that_cannot_be_built_fails_alone(project) -> None:
    """The other model's benchmarks pass; a broken one is told with its reason."""
    (project / "broken.py").write_text(
        '"""Broken."""\n\n\ndef build(input_shape, num_classes):\n    raise ValueError("no")\n'
    )
    common = ("--bench-model", "broken.py,mine.py", "--bench-part", "prediction", "--benchmark-max-time", "0.05")
    done = session(project, *common, *UNUSED_IS_AN_ERROR, "--bench-device", "cpu:1", plugins=(PLUGIN, BENCHMARK))
    assert "1 failed, 2 passed in" in done.stdout
    assert "raised ValueError: no" in done.stdout
