"""What README and documentation tell people to type is carried out, by a worker that trains nothing."""

from __future__ import annotations

import functools
import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from bench.catalog import ModelDescription, StepDescription
from bench.cli.app import app
from bench.hardware.doctor.checkup import EXIT_NO_HARDWARE, EXIT_PROBE_FAILED
from bench.hardware.gpus import GpuSurvey
from bench.launch.schedule import run_trials
from bench.launch.tuning import Ascent
from bench.records import TrialData
from bench.store import read_run
from bench.weights.spec import WeightsSpec
from calibrations_for_tests import calibration
from commands_for_tests import ROOT, TYPED
from records_for_tests import epoch, ok_trial, run_data, start_up, trial, write_run
from test_compare import ELSEWHERE, in_turns, run_of
from test_data import cifar100_files, write_cifar10, write_cifar100

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.catalog import Build
    from bench.records import RunData

FAKE_WORKER = (sys.executable, str(Path(__file__).with_name("fake_worker.py")), "as_asked")
SECONDS = (10.0, 10.1, 9.9, 10.2, 10.0)  # of the epochs of five repeats
SAME = [1.0] * 6  # two models in turns, one as fast as the other

MODEL = '''"""A model of somebody's own."""


def build(input_shape, num_classes):
    """Is never called here."""
'''
PLACEHOLDERS = {  # what a page writes where anything of a kind may stand
    "BASE": "reports/20261122T101500-base",
    "NEW": "reports/20261122T103000-new",
    "MODEL": "mnist_cnn",
    "FIELD=A,B": "label_smoothing=0,0.1",
}


def half_done() -> TrialData:
    """A trial that was cut off after the first of two epochs."""
    asked = trial(seed=1)
    return TrialData(trial=asked, events=(*start_up(asked), *epoch(asked, 1, start_s=5.0, train_s=10.0)))


# Run folders that pages name; what they hold fits the commands that name them.
RUNS: dict[str, Callable[[], RunData]] = {
    "20261122T101500-base": functools.partial(run_of, *SECONDS, name="base"),
    "20261122T103000-new": functools.partial(run_of, *reversed(SECONDS), name="new"),
    "laptop": functools.partial(run_of, *SECONDS, name="laptop"),
    "server": functools.partial(run_of, *SECONDS, name="server", host=ELSEWHERE),
    "20261122T101500-quick": lambda: run_data(ok_trial(trial()), half_done(), name="quick"),
    "20261122T103000-quick": lambda: run_data(ok_trial(trial()), name="quick", host=ELSEWHERE),
    "20261125T215454-forecast": lambda: run_data(calibration(trial(epochs=9)), name="forecast"),
}
# Runs of two models, which are compared in turns: what the command that names the models finds.
IN_TURNS = {
    ("before/mine", "proj/mine"): "reports/20261122T101500-quick",
    ("before/mine", "after/mine"): "runs/1",
}
LINES = sorted({line for _, line in TYPED})
DOCTOR = {0, *range(EXIT_NO_HARDWARE, EXIT_PROBE_FAILED)}  # what it finds on whatever machine
FEW = 40  # images of a data set


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all that the pages speak of, in which everything is there but training and the network."""
    desk = tmp_path / "checkout"
    desk.mkdir()
    monkeypatch.chdir(desk)
    for name, make in RUNS.items():
        write_run(desk / "reports" / name, make())
    for folder in ("path/to", "before", "after"):
        (desk / folder).mkdir(parents=True)
    for path in ("path/to/mine.py", "before/mine.py", "after/mine.py", "mine.py"):
        (desk / path).write_text(MODEL, encoding="utf-8")
    (desk / "reports" / "20261125T231500-tune").mkdir()
    (desk / "reports" / "20261125T231500-tune" / "bench.toml").write_text('device = ["cpu:1"]\n', encoding="utf-8")
    shutil.copytree(ROOT / "reports" / "reference", desk / "reports" / "reference")
    write_data(desk, monkeypatch)
    stand_in(monkeypatch)
    return desk


def write_data(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small data sets where Keras keeps its own, an .npz file and a folder of photos."""
    known = folder / "datasets"
    known.mkdir()
    write_cifar100(known, cifar100_files(FEW, FEW))
    write_cifar10(known)
    monkeypatch.setenv("HOURGLASS_DATA_DIR", str(known))
    monkeypatch.setenv("KERAS_HOME", str(folder / "keras"))
    pictures = np.random.default_rng(0).integers(256, size=(FEW, 32, 32, 3)).astype(np.uint8)
    labels = np.arange(FEW) % 2
    np.savez(folder / "mine.npz", x_train=pictures, y_train=labels, x_test=pictures, y_test=labels)
    for number, picture in enumerate(pictures):
        place = folder / "photos" / ("train" if number < FEW // 2 else "test") / f"kind{number % 2}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(place / f"{number}.png")


def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put others in the place of what trains, describes models, measures devices, downloads and opens a browser."""

    def describe(builds: Sequence[Build], **_: Any) -> tuple[ModelDescription, ...]:
        step = StepDescription(operations=100, fixed_bytes=1000, image_bytes=1000)
        return tuple(ModelDescription(name=build.spec.name, parameters=1000, step=step) for build in builds)

    def weights(request: str, *_: Any, **__: Any) -> WeightsSpec:
        return WeightsSpec(name=request, path="/somewhere/weights", sha256="b" * 64)

    for module in ("launch.planning", "hardware.gpus"):  # a machine's own card would be tried by TensorFlow
        monkeypatch.setattr(f"bench.{module}.detect_gpus", lambda: GpuSurvey(gpus=(), problem="none here"))
    monkeypatch.setitem(run_trials.__kwdefaults__, "command", FAKE_WORKER)
    monkeypatch.setitem(Ascent.__init__.__kwdefaults__, "worker", FAKE_WORKER)
    monkeypatch.setattr("bench.launch.preflight.describe_models", describe)
    monkeypatch.setattr("bench.launch.describing.describe_models", describe)
    monkeypatch.setattr("bench.launch.peaks.attainable_peak", lambda *_, **__: "not measured")
    monkeypatch.setattr("bench.weights.shelf.ensure", weights)
    monkeypatch.setattr("bench.weights.shelf.fetch", weights)
    monkeypatch.setattr("bench.data.fetching.fetch", lambda name, **_: Path(name))
    monkeypatch.setattr("webbrowser.open", lambda _: True)
    now_s = time.time()
    monkeypatch.setattr("psutil.Process.create_time", lambda _: now_s)  # or a forecast's time began with the tests'


def prepare_for(line: str, desk: Path) -> list[str]:
    """The words of a command as they are typed, with what it alone needs in its place."""
    words = [PLACEHOLDERS.get(word, word) for word in shlex.split(line)]
    if "../before/mine.py,../after/mine.py" in words:  # typed in a checkout, with the two that are compared beside it
        for side in ("before", "after"):
            shutil.copytree(desk / side, desk.parent / side, dirs_exist_ok=True)
    for (old, new), name in IN_TURNS.items():
        if f"{old},{new}" in words:
            shutil.rmtree(desk / name, ignore_errors=True)
            write_run(desk / name, in_turns(*SAME, new=new))
    return [found for word in words for found in expand(word, desk)]


def expand(word: str, desk: Path) -> list[str]:
    """As a shell expands it."""
    return sorted(str(path.relative_to(desk)) for path in desk.glob(word)) if word.endswith("/*") else [word]


def runs(desk: Path) -> set[Path]:
    """The run folders that there are."""
    return {path.parent for path in desk.glob("*/*/run.json")}


@pytest.mark.parametrize(
    "line", [pytest.param(line, marks=pytest.mark.tf) if line.startswith("doctor") else line for line in LINES]
)
def test_a_command_does_what_the_page_says(line: str, desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends well, but for `doctor` where there is no GPU, and says something; a run leaves no trial out."""
    words = prepare_for(line, desk)
    there = runs(desk)
    monkeypatch.setattr(sys, "argv", ["bench", *words])
    done = CliRunner().invoke(app, words)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code in (DOCTOR if words[0] == "doctor" else {0}), done.output
    assert done.output.strip()
    written = runs(desk) - there
    if words[0] == "run":
        assert len(written) == (not {"--dry-run", "--resume"} & set(words))
        for folder in written:
            assert {data.result and data.result.status for data in read_run(folder).trials} == {"ok"}
