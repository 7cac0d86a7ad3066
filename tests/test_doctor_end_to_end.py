"""The command line beside a card that is not there: the stand-in driver, the stand-in wheels, and the real TensorFlow.

A card that works cannot be shown so, since no stand-in computes; every way in which one does not work can.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from msgspec.structs import replace

from bench.hardware.doctor.checkup import Checkup
from bench.hardware.doctor.examine import look
from bench.hardware.doctor.installation import inspect_installation
from bench.launch.local import LocalRun
from bench.records import Device
from bench.store import TrialFolder
from facts_for_tests import NVIDIA, plant
from silent import Silent
from stand_ins import cuda, nvml
from test_cli import hourglass
from test_training import TINY_MODEL, make_trial

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

pytestmark = [pytest.mark.tf, pytest.mark.usefixtures("bare_loader")]

PIP = f"{shlex.quote(sys.executable)} -m pip install"
# The command line as it is, but for where it finds `proc`, `sys` and `dev`: so a container is no part of the machine.
START = """
import os, sys
from pathlib import Path
from bench.hardware.doctor import examine

os.environ.pop("KUBERNETES_SERVICE_HOST", None)
for function in (examine.examine, examine.look, examine.find_neglected_card):
    function.__defaults__ = (Path({root!r}),)
sys.argv = ["bench", *{arguments!r}]
from bench.__main__ import main
main()
"""


@pytest.fixture(autouse=True)
def _no_wheels() -> None:
    """What the tests take away must not be there after all."""
    installed = inspect_installation().libraries
    if installed:
        pytest.skip(f"NVIDIA's wheels are installed here: {', '.join(installed)}")


@pytest.fixture
def machine(tmp_path: Path, stand_in_driver: tuple[Path, Path], stand_in_wheels: Path) -> Any:
    """Runs the command line on a machine with a card and its driver.

    With `wheels_but`, all wheels are installed, and the loader finds the libraries of all but these.
    """

    def run(
        *arguments: str, module: str = "570.86.15", wheels_but: tuple[str, ...] | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        root = tmp_path / "root"
        if not root.exists():
            plant(root, cards=NVIDIA, devices=["nvidia0", "nvidiactl", "nvidia-uvm"], module=module)
        code = START.format(root=str(root), arguments=arguments)
        folders = [] if wheels_but is None else cuda.library_folders(stand_in_wheels, without=wheels_but)
        return cuda.run_python(
            code,
            libraries=[*stand_in_driver, *folders],
            site=None if wheels_but is None else stand_in_wheels,
            COLUMNS="80",
            **environment,
        )

    return run


def diagnosis_of(done: subprocess.CompletedProcess[str], cause: str, exit_code: int) -> str:
    """What was printed, if it ends with this cause and the process with this code."""
    assert done.returncode == exit_code, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith(f"{cause}; exit code {exit_code}: ")
    return done.stdout


def test_a_machine_without_a_card() -> None:
    """Without a card the doctor says so and ends with 10; its JSON is a whole checkup, of the processor too."""
    facts = look()
    if facts.driver.shows_nvidia_card or facts.driver.pci_gpus:
        pytest.skip("this machine has a graphics card")
    done = hourglass("doctor", "--json")
    checkup = msgspec.json.decode(done.stdout, type=Checkup)

    assert (done.returncode, checkup.diagnosis.cause) == (10, "no-hardware")
    assert checkup.diagnosis.cure[0] == "python -m bench run --device cpu"
    assert checkup.facts.listings[0].answer is not None
    assert checkup.facts.cpu.onednn is not None


def test_libraries_that_were_never_installed(machine: Any) -> None:
    """A card whose libraries are not installed gets the one command that installs them, as it is to be typed."""
    said = diagnosis_of(machine("doctor"), "wheels-missing", 13)
    version = inspect_installation().distributions["tensorflow"]

    assert "TensorFlow's CUDA libraries are not installed" in said
    assert f"  cure: {PIP} 'tensorflow[and-cuda]=={version}'\n" in said


def test_runpath_gap_is_cured(machine: Any, stand_in_wheels: Path) -> None:
    """What TensorFlow alone does not find it finds once the wheels' libraries are loaded first, and lists the card.

    The card is one that TensorFlow has no code for, since no stand-in computes.
    """
    done = machine(
        "doctor",
        "--json",
        wheels_but=("cusolver",),
        FAKE_CUDA_CAPABILITY="120",
        FAKE_NVML_VALUES="nvmlDeviceGetCudaComputeCapability=120",
    )
    checkup = msgspec.json.decode(done.stdout, type=Checkup)
    alone, preloaded = checkup.facts.listings
    path = stand_in_wheels / "nvidia/cusolver/lib/libcusolver.so.11"

    assert (done.returncode, checkup.diagnosis.cause) == (15, "capability-too-new")
    assert (alone.outcome, alone.preloaded, alone.missing) == ("not_listed", False, ("libcusolver.so.11",))
    assert (preloaded.outcome, preloaded.preloaded, preloaded.missing) == ("works", True, ())
    assert {note.cause: note.evidence for note in checkup.notes}["runpath-gap"] == (str(path),)


def test_a_mask_says_the_same_to_doctor_and_run(machine: Any) -> None:
    """`run --device gpu` gives the doctor's diagnosis and ends with the doctor's code; nothing runs on the CPU."""
    said = diagnosis_of(machine("doctor", CUDA_VISIBLE_DEVICES="7"), "masked-invalid", 14)
    diagnosis = said[: said.index("  cure: unset CUDA_VISIBLE_DEVICES\n")]
    done = machine("run", "--device", "gpu", CUDA_VISIBLE_DEVICES="7")

    assert (done.returncode, done.stdout) == (14, "")
    assert "  seen: CUDA_VISIBLE_DEVICES='7'\n" in diagnosis
    assert diagnosis in done.stderr
    assert "  cure: unset CUDA_VISIBLE_DEVICES\n" in done.stderr


def test_a_driver_that_was_updated_without_a_restart(machine: Any) -> None:
    """A kernel module and libraries of different versions call for a restart."""
    done = machine("doctor", module="550.54.15", FAKE_NVML_ERRORS="nvmlInitWithFlags=18")
    said = diagnosis_of(done, "driver-mismatch", 12)

    assert "  seen: kernel module 550.54.15\n" in said
    assert "  cure: sudo reboot\n" in said


@pytest.mark.parametrize(
    ("cause", "exit_code", "environment", "seen"),
    [
        ("probe-crashed", 16, {"FAKE_CUDA_CRASH": "cuInit"}, "loads libcuda.so.1 was killed by signal 6"),
        (
            "cudnn-failed",
            15,
            {"FAKE_CUDA_ERRORS": "cudaLaunchKernel=0,cudnnCreate=1"},
            "No DNN in stream executor",
        ),
        (
            "capability-too-low",
            15,
            {"FAKE_CUDA_CAPABILITY": "50", "FAKE_NVML_VALUES": "nvmlDeviceGetCudaComputeCapability=50"},
            "no kernel image is available for execution on the device",
        ),
    ],
    ids=["probe-crashed", "cudnn-failed", "capability-too-low"],
)
def test_what_tensorflow_does_about_it(
    machine: Any, cause: str, exit_code: int, environment: dict[str, str], seen: str
) -> None:
    """A driver or a card that fails, with every library in place, is named in TensorFlow's or the driver's words."""
    assert seen in diagnosis_of(machine("doctor", wheels_but=(), **environment), cause, exit_code)


@pytest.mark.parametrize("arguments", [("devices",), ("run", "--device", "cpu", "--model", "mnist_cnn", "--dry-run")])
def test_a_neglected_card_is_never_silent(machine: Any, arguments: tuple[str, ...]) -> None:
    """A card that TensorFlow cannot use is told of in one line that names the doctor, also if only the CPU is used."""
    done = machine(*arguments)
    lines = [line for line in (done.stdout + done.stderr).splitlines() if "is not used by TensorFlow" in line]

    assert done.returncode == 0, done.stderr
    assert len(lines) == 1
    assert "`python -m bench doctor`" in lines[0]


def test_a_gpu_worker_preloads(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stand_in_driver: tuple[Path, Path],
    stand_in_wheels: Path,
) -> None:
    """A real worker loads the wheels' libraries before TensorFlow, which then sees the GPU; what fails is a row."""
    monkeypatch.setenv("LD_LIBRARY_PATH", os.pathsep.join(map(str, stand_in_driver)))
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    monkeypatch.setenv("TF_CPP_VMODULE", "dso_loader=1")
    monkeypatch.setenv("FAKE_CUDA_ERRORS", "cudaLaunchKernel=0")
    monkeypatch.syspath_prepend(stand_in_wheels)
    model = tmp_path / "tiny.py"
    model.write_text(TINY_MODEL.format(activation=""), encoding="utf-8")
    device = Device(kind="gpu", threads=1, gpu_uuids=(nvml.gpu_uuid(0),), gpu_indices=(0,))
    trial = make_trial(model)
    trial = replace(trial, cell=replace(trial.cell, device=device))
    folder = TrialFolder(tmp_path / "trial")
    result = LocalRun(trial, folder, observer=Silent()).run()

    assert result.status == "failed"
    # The stand-in has no pinned memory, which TensorFlow repeats for 10 s: on a quick disk it says more than it may.
    with folder.log.open(encoding="utf-8") as log:
        said = log.read(1_000_000)
    assert "Successfully opened dynamic library libcusolver.so.11" in said
    assert re.search(r"Created device \S*/device:GPU:0 with .*name: Stand-in GPU", said)  # none without the libraries
