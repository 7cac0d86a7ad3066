"""What the doctor finds of TensorFlow and its libraries where wheels are spoiled; TensorFlow is not imported."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

import msgspec
import pytest
from msgspec.structs import replace

from bench.hardware import cuda_libraries
from bench.hardware.doctor import examine
from bench.hardware.doctor.diagnose import diagnose
from bench.hardware.doctor.examine import find_neglected_card, look
from bench.hardware.doctor.installation import inspect_installation
from bench.hardware.doctor.probes import probe_libraries
from bench.hardware.gpus import GpuSurvey
from bench.launch.local import LocalRun
from bench.records import Assignment, Device
from bench.store import TrialFolder
from facts_for_tests import GPU, LIBCUDA, NVIDIA, PYTHON, UNTRIED, check, plant, write_distribution, write_tensorflow
from records_for_tests import trial as make_trial
from silent import Silent
from stand_ins import cuda

if TYPE_CHECKING:
    from pathlib import Path

    from bench.hardware.doctor.checkup import Facts, LibraryProbe

PIP = f"{PYTHON} -m pip install"
INSTALL_CUDA = f"{PIP} 'tensorflow[and-cuda]==2.21.0'"
NEW_ENVIRONMENT = (
    "python3 -m venv .venv && .venv/bin/pip install '.[gpu]'   (in the checkout: an environment of its own)"
)


@pytest.fixture
def spoiled(stand_in_site: Path, tmp_path: Path) -> Path:
    """A copy of all that, to be spoiled."""
    return shutil.copytree(stand_in_site, tmp_path.resolve() / "site")


def library_facts(site: Path, *, libraries: tuple[LibraryProbe, ...] | None = None) -> Facts:
    """The healthy card with what is installed in a folder, each library of it loaded in a process of its own."""
    found = inspect_installation([str(site)])
    probes = probe_libraries(found.libraries) if libraries is None else libraries
    return replace(
        UNTRIED, installation=found, libraries=(LIBCUDA, *(one for one in probes if one.soname != LIBCUDA.soname))
    )


def test_whole_installation(stand_in_site: Path) -> None:
    """With every wheel each library is loaded from its wheel, and nothing is the matter before TensorFlow is asked."""
    facts = library_facts(stand_in_site)

    assert [probe.path for probe in facts.libraries[1:]] == [
        path for path in facts.installation.libraries if path.endswith(tuple(one.soname for one in facts.libraries))
    ]
    assert facts.installation.cuda_tools
    assert all(wheel.fits for wheel in facts.installation.wheels)
    assert (facts.installation.native_capabilities, facts.installation.compiled_capability) == (("6.0", "8.9"), None)
    assert diagnose(facts).diagnosis.cause == "unknown"


def test_capabilities_are_numbers(tmp_path: Path) -> None:
    """Capabilities are put in the order of their numbers, and code for one architecture or family counts as its own."""
    write_tensorflow(tmp_path, capabilities=["sm_120f", "sm_60", "sm_90a", "compute_120", "compute_90"])
    found = inspect_installation([str(tmp_path)])

    assert (found.native_capabilities, found.compiled_capability) == (("6.0", "9.0", "12.0"), "12.0")


def test_no_tensorflow(tmp_path: Path) -> None:
    """A folder without TensorFlow leads to the command that installs it."""
    found = diagnose(library_facts(tmp_path, libraries=())).diagnosis
    check(found, "no-tensorflow", 13, PYTHON, [f"{PIP} 'tensorflow[and-cuda]==2.21.*'"])


def test_two_tensorflows(spoiled: Path) -> None:
    """A tensorflow-cpu beside TensorFlow is found by its metadata, and both are to go before one comes back."""
    write_distribution(spoiled, "tensorflow-cpu", "2.20.0")
    found = diagnose(library_facts(spoiled, libraries=())).diagnosis
    uninstall = f"{PYTHON} -m pip uninstall -y tensorflow tensorflow-cpu"
    check(found, "two-tensorflows", 13, "tensorflow-cpu 2.20.0", [uninstall, INSTALL_CUDA])


def test_cpu_build(tmp_path: Path) -> None:
    """A TensorFlow whose build_info denies CUDA is found without importing it."""
    write_distribution(tmp_path, "tensorflow_cpu", "2.21.0")
    write_tensorflow(tmp_path, cuda_build=False)
    found = diagnose(library_facts(tmp_path, libraries=())).diagnosis
    uninstall = f"{PYTHON} -m pip uninstall -y tensorflow-cpu"
    check(found, "cpu-build", 13, "is_cuda_build: False", [uninstall, f"{PIP} 'tensorflow[and-cuda]==2.21.*'"])


@pytest.mark.parametrize(
    ("wheel", "soname", "version"),
    [("cublas", "libcublasLt.so.12", "12.5.3.2"), ("nvjitlink", "libnvJitLink.so.12", "12.5.82")],
)
def test_library_broken(spoiled: Path, wheel: str, soname: str, version: str) -> None:
    """Of a library that is cut off and all that fail for its sake, its own wheel is the one to be installed again."""
    path = spoiled / "nvidia" / wheel / "lib" / soname
    path.write_bytes(path.read_bytes()[: cuda.BROKEN_BYTES])
    found = diagnose(library_facts(spoiled)).diagnosis
    again = f"{PIP} --force-reinstall --no-deps --no-cache-dir nvidia-{wheel}-cu12=={version}"
    check(found, "library-broken", 13, f"{path}: file too short", [again])


def test_cudnn_too_old(stand_in_site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CuDNN's own answer shows that it is too old, whatever its wheel says."""
    monkeypatch.setenv("FAKE_CUDNN_VERSION", "90100")
    found = diagnose(library_facts(stand_in_site)).diagnosis
    path = stand_in_site / "nvidia/cudnn/lib/libcudnn.so.9"
    check(found, "cudnn-too-old", 13, f"{path} answers 90100", [f"{PIP} 'nvidia-cudnn-cu12>=9.3,<10'"])
    assert found.found.startswith("cuDNN 9.1.0 ")


@pytest.mark.usefixtures("bare_loader")
@pytest.mark.parametrize(("wheel", "soname"), [("cufft", "libcufft.so.11"), ("nvjitlink", "libnvJitLink.so.12")])
def test_wheels_missing(spoiled: Path, wheel: str, soname: str) -> None:
    """A wheel that is not installed is named, also if only other libraries need it; TensorFlow's extra brings it."""
    shutil.rmtree(spoiled / "nvidia" / wheel)
    for folder in spoiled.glob(f"nvidia_{wheel}_cu12-*.dist-info"):
        shutil.rmtree(folder)
    found = diagnose(library_facts(spoiled)).diagnosis
    check(found, "wheels-missing", 13, f"{soname}: cannot open shared object file", [INSTALL_CUDA])
    assert found.found.endswith(f": nvidia-{wheel}-cu12")


@pytest.mark.usefixtures("bare_loader")
def test_library_missing(spoiled: Path) -> None:
    """A library that is gone though its wheel is installed calls for all to be installed anew."""
    (spoiled / "nvidia/cufft/lib/libcufft.so.11").unlink()
    found = diagnose(library_facts(spoiled)).diagnosis
    again = f"{INSTALL_CUDA} --force-reinstall --no-cache-dir"
    check(found, "library-missing", 13, "libcufft.so.11: cannot open shared object file", [again])


def test_wheel_versions(spoiled: Path) -> None:
    """A wheel in a version that PyTorch wants and TensorFlow does not calls for an environment of TensorFlow's own."""
    (folder,) = spoiled.glob("nvidia_cublas_cu12-*.dist-info")
    shutil.rmtree(folder)
    write_distribution(spoiled, "nvidia-cublas-cu12", "12.4.5.8")
    write_distribution(spoiled, "torch", "2.5.1", requires=["nvidia-cublas-cu12==12.4.5.8", "nvidia-nccl-cu12"])
    found = diagnose(library_facts(spoiled)).diagnosis
    check(found, "wheel-versions", 13, "torch requires nvidia-cublas-cu12==12.4.5.8", [NEW_ENVIRONMENT])
    assert "nvidia-cublas-cu12 12.4.5.8, required <99,>=12.5.3.2" in found.evidence


def test_only_wheels_that_fit_are_loaded_first(spoiled: Path) -> None:
    """A wheel in a version that TensorFlow does not take, and one without metadata, are left to its own search."""
    everything = inspect_installation([str(spoiled)]).libraries
    (cudnn,) = spoiled.glob("nvidia_cudnn_cu12-*.dist-info")
    shutil.rmtree(cudnn)
    write_distribution(spoiled, "nvidia-cudnn-cu12", "9.1.0.70")
    (cufft,) = spoiled.glob("nvidia_cufft_cu12-*.dist-info")
    shutil.rmtree(cufft)

    assert set(everything) - set(inspect_installation([str(spoiled)]).libraries) == {
        str(spoiled / "nvidia/cudnn/lib/libcudnn.so.9"),
        str(spoiled / "nvidia/cufft/lib/libcufft.so.11"),
    }


@pytest.mark.usefixtures("bare_loader")
@pytest.mark.parametrize(
    ("gone", "said"),
    [(("cufft",), "may not be usable"), (tuple(cuda.WHEELS), "is not used")],
    ids=["one", "all"],
)
def test_what_is_said_without_asking_tensorflow(
    spoiled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: tuple[str, ...], said: str
) -> None:
    """Of a lack that TensorFlow may make up for by a search of its own no more is said than is known."""
    for name in gone:
        shutil.rmtree(spoiled / "nvidia" / name)
        (folder,) = spoiled.glob(f"nvidia_{name}_cu12-*.dist-info")
        shutil.rmtree(folder)
    monkeypatch.setattr(examine, "inspect_installation", lambda: inspect_installation([str(spoiled)]))
    monkeypatch.setattr(examine, "probe_libraries", lambda wheels: (LIBCUDA, *probe_libraries(wheels)[1:]))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    survey = GpuSurvey(gpus=(GPU,), boards=1, driver="550.54.15")
    line = find_neglected_card(survey, plant(tmp_path / "root", cards=NVIDIA, devices=["nvidia0"]))

    assert line is not None
    assert line.startswith(f"this machine's GPU {said} by TensorFlow: ")


def test_xla_tools_missing(spoiled: Path) -> None:
    """Without ptxas and libdevice from a wheel it is noted what compiling with XLA will need."""
    shutil.rmtree(spoiled / "nvidia/cuda_nvcc")
    (note,) = diagnose(library_facts(spoiled, libraries=())).notes
    assert (note.cause, note.cure) == ("xla-tools-missing", (f"{PIP} 'nvidia-cuda-nvcc-cu12>=12.5,<13'",))


def test_stale_library_path(stand_in_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other copies on LD_LIBRARY_PATH are noted, and are not what is loaded once the wheels' come first."""
    old = tmp_path / "cuda-11.8"
    shutil.copytree(stand_in_site / "nvidia/cublas/lib", old)
    (tmp_path / "same").symlink_to(stand_in_site / "nvidia/cublas/lib")
    others = [str(tmp_path / "same"), "/usr/lib/wsl/lib"]
    monkeypatch.setenv("LD_LIBRARY_PATH", os.pathsep.join([str(old), *others]))
    monkeypatch.syspath_prepend(stand_in_site)
    survey = GpuSurvey(gpus=(GPU,), boards=1, driver="550.54.15")
    facts = look(plant(tmp_path / "root", cards=NVIDIA), survey=survey)
    (note,) = diagnose(facts).notes

    check(
        note,
        "stale-library-path",
        0,
        str(old / "libcublas.so.12"),
        [f"for your own programs: export LD_LIBRARY_PATH={os.pathsep.join(others)}"],
    )
    loaded = {probe.soname: probe.path for probe in probe_libraries(facts.installation.libraries)}
    assert loaded["libcublas.so.12"] == str(stand_in_site / "nvidia/cublas/lib/libcublas.so.12")
    alone = {probe.soname: probe.path for probe in probe_libraries(())}
    assert alone["libcublas.so.12"] == str(old / "libcublas.so.12")


RECORD = "import json, pathlib, sys; a = sys.argv[1]; pathlib.Path(json.loads(a)['folder'], 'asked').write_text(a)"


@pytest.mark.parametrize(
    "device",
    [
        Device(kind="cpu", threads=1),
        Device(kind="gpu", threads=1, gpu_uuids=(GPU.uuid,), gpu_indices=(0,)),
    ],
    ids=["cpu", "gpu"],
)
def test_only_a_gpu_worker_is_told_to_preload(
    stand_in_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: Device
) -> None:
    """The assignment of a GPU trial names the wheels' libraries in loading order, that of a CPU trial names none."""
    monkeypatch.syspath_prepend(stand_in_site)
    folder = TrialFolder(tmp_path / "trial")
    LocalRun(
        make_trial(device=device),
        folder,
        observer=Silent(),
        command=[sys.executable, "-c", RECORD],
    ).run()
    assignment = msgspec.json.decode((folder.path / "asked").read_bytes(), type=Assignment)

    libraries = [stand_in_site / "nvidia" / one.folder / "lib" / one.soname for one in cuda_libraries.LIBRARIES]
    there = [str(path) for path in libraries if path.exists()]  # the stand-ins have no parts of cuDNN
    assert len(there) >= 9
    assert list(assignment.libraries) == (there if device.kind == "gpu" else [])
