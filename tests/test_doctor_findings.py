"""What the doctor finds where a cause is planted: fake file systems, the stand-in driver, fake probes.

Each test goes from what is planted through the code that looks, to the diagnosis; none imports TensorFlow.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from msgspec.structs import replace

from bench.hardware.doctor.checkup import Checkup
from bench.hardware.doctor.diagnose import diagnose
from bench.hardware.doctor.examine import find_neglected_card
from bench.hardware.doctor.probes import list_gpus, probe_libraries, try_gpu
from bench.hardware.gpus import GpuSurvey
from facts_for_tests import GPU, HEALTHY, LIBCUDA, LISTED, NVIDIA, UNLISTED, UNTRIED, check, plant
from stand_ins import cuda

if TYPE_CHECKING:
    from pathlib import Path

    from bench.hardware.doctor.checkup import LibraryProbe

SURVEY = GpuSurvey(gpus=(GPU,), boards=1, driver="550.54.15")

# Looks at one planted machine after the other. The stand-ins read their environment at every call.
LOOK = """
import os, sys
from pathlib import Path
import msgspec
from msgspec.structs import replace
from bench.hardware.doctor.diagnose import diagnose
from bench.hardware.doctor.examine import look
from bench.hardware.doctor.library_probe import LIBCUDA, load

for name in ("KUBERNETES_SERVICE_HOST", "NVIDIA_DRIVER_CAPABILITIES", "NVIDIA_VISIBLE_DEVICES"):
    os.environ.pop(name, None)
sys.path = {search}  # what is installed here is beside the point
for root, environment in {asked}:
    os.environ.update(environment)
    facts = look(Path(root))
    if facts.driver.shows_nvidia_card:
        facts = replace(facts, libraries=(load(LIBCUDA, []),))
    print(msgspec.json.encode(diagnose(facts)).decode())
    for name in environment:
        del os.environ[name]
"""

DEVICES = ["nvidia0", "nvidiactl", "nvidia-uvm"]
CARD: dict[str, Any] = {"cards": NVIDIA, "devices": DEVICES, "module": "550.54.15"}
WSL = "5.15.153.1-microsoft-standard-WSL2"
REBOOT = "sudo reboot"
UNSET = ["unset CUDA_VISIBLE_DEVICES"]
SMI = "nvidia-smi   (its words are the driver's own)"
INIT = "FAKE_NVML_ERRORS"
MISSING = {INIT: "nvmlInitWithFlags=12"}
MIG = [
    "nvidia-smi -L   (a GPU without `MIG` lines below it has no instance; one that is missing is lost)",
    "sudo nvidia-smi mig -cgi 0 -C   (one instance of the whole GPU), or sudo nvidia-smi -mig 0 (MIG off)",
]


@dataclass(frozen=True)
class Planted:
    """A machine with a cause."""

    name: str
    """The cause's; how it differs from others of that name follows a slash."""
    exit_code: int
    root: dict[str, Any]
    """As `plant` takes it."""
    environment: dict[str, str]
    """Answers of the stand-in driver, and what the user may have set."""
    seen: str
    """What the evidence must hold."""
    cure: list[str] | str
    """All of it, or how it begins."""


PLANTED = [
    Planted("no-hardware", 10, {}, MISSING, "no /dev/nvidia*", "python -m bench run --device cpu"),
    Planted("no-hardware/wsl-1", 10, {"kernel": "4.4.0-19041-Microsoft"}, MISSING, "no /dev/dxg", "wsl --update"),
    Planted(
        "no-hardware/driver-without-card", 10, {}, {INIT: "nvmlInitWithFlags=9"}, "modprobe", "python -m bench run"
    ),
    Planted(
        "amd-gpu",
        11,
        {"cards": {"0000:03:00.0": ("0x1002", "amdgpu")}, "devices": ["kfd"]},
        MISSING,
        "0000:03:00.0 (amdgpu)",
        ["AMD builds TensorFlow for its cards: https://rocm.docs.amd.com, tensorflow-rocm"],
    ),
    Planted(
        "wsl-no-driver",
        12,
        {"kernel": WSL, "devices": ["dxg"], "files": ["usr/lib/wsl/lib/libd3d12.so", "usr/lib/wsl/lib/libdxcore.so"]},
        MISSING,
        "/dev/dxg",
        "if it is NVIDIA's: install its Windows driver on Windows",
    ),
    Planted(
        "wsl-loader-path",
        12,
        {"kernel": WSL, "devices": ["dxg"], "files": ["usr/lib/wsl/lib/libcuda.so.1"]},
        MISSING,
        "libnvidia-ml.so.1 not found",
        [
            "export LD_LIBRARY_PATH=/usr/lib/wsl/lib:$LD_LIBRARY_PATH",
            "for good: echo /usr/lib/wsl/lib | sudo tee /etc/ld.so.conf.d/wsl.conf && sudo ldconfig",
        ],
    ),
    Planted(
        "container-without-gpu",
        12,
        {"cards": NVIDIA, "module": "550.54.15", "files": [".dockerenv"]},
        MISSING,
        "0000:01:00.0 (nvidia)",
        ["docker run --gpus all ...   (needs the NVIDIA Container Toolkit on the host: `nvidia-ctk --version`)"],
    ),
    Planted(
        "no-driver",
        12,
        {"cards": {"0000:01:00.0": ("0x10de", "nouveau")}},
        MISSING,
        "0000:01:00.0 (nouveau)",
        "install NVIDIA's driver, 525 or newer: `sudo ubuntu-drivers install` (Ubuntu)",
    ),
    Planted(
        "no-driver/none", 12, {"cards": {"0:1": ("0x10de", None)}}, MISSING, "(no kernel driver)", "install NVIDIA's"
    ),
    Planted(
        "no-driver/vfio", 12, {"cards": {"0:1": ("0x10de", "vfio-pci")}}, MISSING, "(vfio-pci)", "run Hourglass inside"
    ),
    Planted("nvml-missing", 12, CARD, MISSING, "kernel module 550.54.15", "sudo apt install libnvidia-compute-550 "),
    Planted(
        "nvml-missing/container",
        12,
        {**CARD, "files": ["run/.containerenv"]},
        MISSING,
        "kernel module 550.54.15",
        "docker run --gpus all -e NVIDIA_DRIVER_CAPABILITIES=compute,utility ...",
    ),
    Planted(
        "module-not-loaded",
        12,
        {"cards": {"0:1": ("0x10de", None)}},
        {INIT: "nvmlInitWithFlags=9"},
        "NVML: driver not loaded",
        "sudo modprobe nvidia",
    ),
    Planted(
        "driver-mismatch", 12, CARD, {INIT: "nvmlInitWithFlags=18"}, "NVML: driver/library version mismatch", [REBOOT]
    ),
    Planted("driver-permission", 12, CARD, {INIT: "nvmlInitWithFlags=4"}, "NVML: no permission", "ls -l /dev/nvidia*"),
    Planted(
        "driver-too-old", 12, CARD, {"FAKE_NVML_DRIVER": "470.256.02"}, "470.256.02", "install NVIDIA's driver, 525"
    ),
    Planted("driver-refuses", 12, CARD, {INIT: "nvmlInitWithFlags=999"}, "Unknown Error", SMI),
    Planted("driver-refuses/counts-none", 12, CARD, {"FAKE_NVML_DEVICES": "0"}, "offers no GPU", SMI),
    Planted("mig-empty", 14, CARD, {"FAKE_NVML_VALUES": "nvmlDeviceGetMigMode=1"}, "MIG without instances", MIG),
    Planted("mig-empty/lost", 14, CARD, {INIT: "nvmlDeviceGetUUID=15"}, "lost", MIG),
    Planted("masked-empty", 14, CARD, {"CUDA_VISIBLE_DEVICES": ""}, "CUDA_VISIBLE_DEVICES=''", UNSET),
    Planted("masked-empty/minus-one", 14, CARD, {"CUDA_VISIBLE_DEVICES": "-1"}, "gpu:0 (Stand-in GPU)", UNSET),
    Planted("masked-invalid", 14, CARD, {"CUDA_VISIBLE_DEVICES": "7,0"}, "CUDA_VISIBLE_DEVICES='7,0'", UNSET),
    Planted(
        "driver-failed",
        12,
        {**CARD, "devices": ["nvidia0"]},
        {"FAKE_CUDA_INIT": "999"},
        "no /dev/nvidia-uvm",
        [
            "sudo nvidia-modprobe -u -c=0   (makes /dev/nvidia-uvm)",
            "after a suspend: sudo rmmod nvidia_uvm && sudo modprobe nvidia_uvm",
            REBOOT,
        ],
    ),
    Planted("driver-failed/no-device", 12, CARD, {"FAKE_CUDA_INIT": "100"}, "libcuda.so.1", "nvidia-smi"),
    Planted("driver-failed/compat", 12, CARD, {"FAKE_CUDA_INIT": "803"}, "libcuda.so.1", "remove what does not belong"),
]
AMPERE = {"FAKE_NVML_VALUES": "nvmlDeviceGetCudaComputeCapability=86"}
NAMES = [machine.name for machine in PLANTED]
NOTED = [
    Planted(
        "hidden-gpus",
        0,
        CARD,
        {"FAKE_NVML_DEVICES": "2", "CUDA_VISIBLE_DEVICES": "1", **AMPERE},
        "CUDA_VISIBLE_DEVICES='1'",
        UNSET,
    ),
    Planted(
        "compiled-from-ptx",
        0,
        CARD,
        {"FAKE_NVML_VALUES": "nvmlDeviceGetCudaComputeCapability=120", "FAKE_NVML_DRIVER": "570.86.15"},
        "compute capability 12.0, machine code up to 8.9",
        [],
    ),
]


@pytest.fixture(scope="module")
def looked(
    tmp_path_factory: pytest.TempPathFactory, stand_in_driver: tuple[Path, Path], stand_in_site: Path
) -> dict[str, Checkup]:
    """What is concluded of every planted machine, by its name; one process looks at all."""
    machines = [*PLANTED, *NOTED]
    roots = [str(plant(tmp_path_factory.mktemp("root"), **machine.root)) for machine in machines]
    asked = [(root, machine.environment) for root, machine in zip(roots, machines, strict=True)]
    code = LOOK.format(asked=asked, search=[str(stand_in_site)])
    done = cuda.run_python(code, libraries=stand_in_driver)
    assert done.returncode == 0, done.stderr
    answers = [msgspec.json.decode(line, type=Checkup) for line in done.stdout.splitlines()]
    return dict(zip((machine.name for machine in machines), answers, strict=True))


@pytest.mark.parametrize("machine", PLANTED, ids=NAMES)
def test_planted(looked: dict[str, Checkup], machine: Planted) -> None:
    """What is planted in proc, sys and dev, in the driver's answers or in the environment is found, and it alone."""
    check(looked[machine.name].diagnosis, machine.name, machine.exit_code, machine.seen, machine.cure)


@pytest.mark.parametrize("machine", NOTED, ids=[machine.name for machine in NOTED])
def test_planted_note(looked: dict[str, Checkup], machine: Planted) -> None:
    """What is no reason against the GPU is found as well, and noted."""
    (note,) = looked[machine.name].notes
    check(note, machine.name, machine.exit_code, machine.seen, machine.cure)


def test_cuinit_is_named_by_its_number_and_name(looked: dict[str, Checkup]) -> None:
    """What cuInit answers is reported as the driver's API names it."""
    assert looked["driver-failed/compat"].diagnosis.found.endswith("803 CUDA_ERROR_SYSTEM_DRIVER_MISMATCH")


def libcuda(**options: Any) -> LibraryProbe:
    """The driver's library, loaded in a child that finds it as any program does."""
    return next(probe for probe in probe_libraries((), **options) if probe.soname == LIBCUDA.soname)


@pytest.mark.usefixtures("bare_loader")
@pytest.mark.parametrize(
    ("container", "cause", "cure"),
    [
        (None, "libcuda-missing", "sudo apt install libnvidia-compute-550 "),
        ("docker", "container-without-compute", "docker run --gpus all -e NVIDIA_DRIVER_CAPABILITIES=compute,utility"),
    ],
    ids=["libcuda-missing", "container-without-compute"],
)
def test_without_libcuda(container: str | None, cause: str, cure: str) -> None:
    """Where NVML sees a GPU and the loader finds no libcuda, it is the container's or the driver's lack."""
    system = replace(HEALTHY.operating_system, container=container)
    found = diagnose(replace(UNTRIED, operating_system=system, libraries=(libcuda(),))).diagnosis
    check(found, cause, 12, "libcuda.so.1: cannot open shared object file", cure)


@pytest.mark.parametrize(
    ("variable", "cause", "said"),
    [
        ("FAKE_CUDA_CRASH", "probe-crashed", "the process that loads libcuda.so.1 was killed by signal 6"),
        ("FAKE_CUDA_HANG", "probe-timeout", "the process that loads libcuda.so.1 did not finish within 2 s"),
    ],
    ids=["crash", "hang"],
)
def test_driver_takes_its_process_along(
    stand_in_driver: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, variable: str, cause: str, said: str
) -> None:
    """A driver that crashes or hangs costs a child; that, and no missing library, is the diagnosis."""
    monkeypatch.setenv("LD_LIBRARY_PATH", str(stand_in_driver[0]))
    monkeypatch.setenv(variable, "cuInit")
    found = diagnose(replace(UNTRIED, libraries=(libcuda(timeout_s=2.0),))).diagnosis

    assert (found.cause, found.exit_code) == (cause, 16)
    assert found.found.startswith(said)
    assert found.cure[0].startswith("nvidia-smi")


def fake_probe(tmp_path: Path, answer: object, *, log: str = "", code: str = "") -> list[str]:
    """The command of a probe that says this of TensorFlow."""
    script = tmp_path / "fake_probe.py"
    said = msgspec.json.encode(answer).decode()
    script.write_text(
        f"import os, resource, sys, time\nsys.stderr.write({log!r})\n{code}\nprint({said!r})\n", encoding="utf-8"
    )
    return [sys.executable, str(script)]


LOG = (
    "I0000 00:00:1758 12 dso_loader.cc:133] Successfully opened dynamic library libcuda.so.1\n"
    "W0000 00:00:1758 12 dso_loader.cc:137] Could not load dynamic library 'libcusolver.so.11'; dlerror: no\n"
    "W0000 00:00:1758 12 gpu_device.cc:2431] Cannot dlopen some GPU libraries.\n"
)


def test_not_listed(tmp_path: Path) -> None:
    """A TensorFlow that lists nothing for no reason that is known is quoted."""
    probe, _ = list_gpus(command=fake_probe(tmp_path, UNLISTED, log=LOG.splitlines(keepends=True)[2]))
    found = diagnose(replace(UNTRIED, listings=(probe,))).diagnosis
    check(found, "not-listed", 13, "gpu_device.cc: Cannot dlopen some GPU libraries.", "TF_CPP_MIN_LOG_LEVEL=0 ")


def test_runpath_gap(tmp_path: Path) -> None:
    """What TensorFlow misses alone and finds after the wheels' libraries is a note that names the library's path."""
    alone, said = list_gpus(command=fake_probe(tmp_path, UNLISTED, log=LOG))
    after, _ = list_gpus(["/any"], command=fake_probe(tmp_path, LISTED))
    checkup = diagnose(replace(HEALTHY, listings=(alone, after)))

    assert (alone.missing, said) == (("libcusolver.so.11",), LOG)
    assert checkup.diagnosis.exit_code == 0
    (note,) = checkup.notes
    check(note, "runpath-gap", 0, "/nvidia/cusolver/lib/libcusolver.so.11", "for your own programs: export LD_LIB")


TRIALS: list[tuple[str, int, str, tuple[str, str] | str]] = [
    ("verified", 0, "8.6", ""),
    ("capability-too-low", 15, "5.0", "os.abort()"),
    ("capability-too-new", 15, "12.0", ("convolution", "INVALID_PTX")),
    ("driver-too-old-for-ptx", 12, "9.0", ("convolution", "CUDA_ERROR_UNSUPPORTED_PTX_VERSION")),
    ("still-compiling", 16, "12.0", "time.sleep(60)"),
    ("gpu-memory-full", 15, "8.6", ("convolution", "failed to allocate 1.0KiB: out of memory")),
    ("xla-tools-missing", 15, "8.6", ("compiled", "Couldn't get ptxas version")),
    ("cudnn-failed", 15, "8.6", ("convolution", "CUDNN_STATUS_INTERNAL_ERROR")),
    ("operation-failed", 15, "8.6", ("compiled", "gave 0 instead of 72")),
    ("probe-crashed", 16, "8.6", "os.abort()"),
    ("probe-timeout", 16, "8.6", "time.sleep(60)"),
]


@pytest.mark.parametrize(("cause", "exit_code", "capability", "fate"), TRIALS, ids=[row[0] for row in TRIALS])
def test_trial(tmp_path: Path, cause: str, exit_code: int, capability: str, fate: tuple[str, str] | str) -> None:
    """What becomes of the operations, or of the process that runs them, is one cause each."""
    gpu = replace(GPU, compute_capability=capability)
    operation, problem = (None, None) if isinstance(fate, str) else fate
    answer = replace(LISTED, failed_operation=operation, problem=problem)
    code = f"resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); {fate}" if isinstance(fate, str) else ""
    timeout_s = 1.0 if "sleep" in code else 60.0
    probe = try_gpu(gpu, preloaded=True, command=fake_probe(tmp_path, answer, code=code), timeout_s=timeout_s)
    facts = replace(HEALTHY, driver=replace(HEALTHY.driver, gpus=(gpu,)), trials=(probe,))
    found = diagnose(facts).diagnosis

    assert (found.cause, found.exit_code) == (cause, exit_code)
    assert problem is None or any(problem in line for line in found.evidence)


@pytest.mark.parametrize(("root", "said"), [({}, None), (CARD, "libcuda")])
@pytest.mark.usefixtures("bare_loader")
def test_a_neglected_card_gets_one_line(tmp_path: Path, root: dict[str, Any], said: str | None) -> None:
    """A card that TensorFlow cannot use is told of in one line, found without TensorFlow; no card, no line."""
    survey = SURVEY if root else GpuSurvey(gpus=(), problem="no driver", nvml_error=12)
    line = find_neglected_card(survey, plant(tmp_path, **root))

    if said is None:
        assert line is None
    else:
        assert line is not None
        assert "\n" not in line
        assert line.startswith(
            "this machine's GPU is not used by TensorFlow: the GPU is there, but not the driver's CUDA"
        )
        assert "`python -m bench doctor`" in line
