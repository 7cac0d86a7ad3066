"""Machines for the doctor's tests: the facts of a healthy one, fake roots of file systems, stub distributions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from bench.hardware.doctor.checkup import (
    CpuUse,
    Diagnosis,
    Driver,
    Facts,
    Installation,
    LibraryProbe,
    PciGpu,
    Platform,
    TensorFlowProbe,
    Wheel,
)
from bench.hardware.operating_system import OperatingSystem
from bench.hardware.processor import Processor
from bench.probes import ProbeAnswer
from bench.records import Gpu
from stand_ins import cuda

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

PYTHON = "/env/bin/python"
SITE = "/env/lib/site-packages"
NVIDIA: dict[str, tuple[str, str | None]] = {"0000:01:00.0": ("0x10de", "nvidia")}  # a card as `plant` takes it
CARD = PciGpu(address="0000:01:00.0", vendor="nvidia", kernel_driver="nvidia")
GPU = Gpu(
    index=0,
    uuid="GPU-a",
    name="NVIDIA GeForce RTX 3050",
    memory_bytes=8 << 30,
    driver="550.54.15",
    compute_capability="8.6",
)
LISTED = ProbeAnswer(version="2.21.0", cuda_build=True, gpus=("/physical_device:GPU:0",))
UNLISTED = replace(LISTED, gpus=())
WORKS = TensorFlowProbe(outcome="works", gpu=GPU.uuid, preloaded=True, answer=LISTED)
LISTS_NONE = TensorFlowProbe(outcome="not_listed", problem="TensorFlow lists no GPU", answer=UNLISTED)

PLATFORM = Platform(system="Linux", machine="x86_64", python="3.12.3", executable=PYTHON)
SYSTEM = OperatingSystem(kernel="6.8.0-45-generic")
DRIVER = Driver(
    pci_gpus=(CARD,),
    device_files=("nvidia-uvm", "nvidia0", "nvidiactl"),
    module_version="550.54.15",
    version="550.54.15",
    boards=1,
    gpus=(GPU,),
)
INSTALLATION = Installation(
    distributions={"tensorflow": "2.21.0"},
    cuda_build=True,
    cuda_version="12.5.1",
    cudnn_version="9",
    native_capabilities=("6.0", "7.0", "8.0", "8.9"),
    compiled_capability="9.0",
    wheels=tuple(
        Wheel(distribution=f"nvidia-{name.replace('_', '-')}-cu12", required=">=1", installed=wheel.version, fits=True)
        for name, wheel in cuda.WHEELS.items()
    ),
    libraries=tuple(
        f"{SITE}/nvidia/{name}/lib/{soname}" for name, wheel in cuda.WHEELS.items() for soname in wheel.libraries
    ),
    cuda_tools=True,
)
LIBCUDA = LibraryProbe(soname="libcuda.so.1", path="/usr/lib/libcuda.so.550.54.15", version=12040)
HEALTHY = Facts(
    platform=PLATFORM,
    operating_system=SYSTEM,
    installation=INSTALLATION,
    driver=DRIVER,
    environment={},
    cpu=CpuUse(
        processor=Processor(model="Toy CPU", architecture="x86_64"),
        physical_cores=4,
        usable_cores=4,
        siblings=False,
        memory_bytes=16 << 30,
    ),
    libraries=(LIBCUDA,),
    listings=(TensorFlowProbe(outcome="works", answer=LISTED),),
    trials=(WORKS,),
)
# The same, before anything was run on it.
UNTRIED = replace(HEALTHY, libraries=(), listings=(), trials=())


def platform(**changes: Any) -> Facts:
    """The healthy machine on another platform."""
    return replace(HEALTHY, platform=replace(HEALTHY.platform, **changes))


def driver(facts: Facts = UNTRIED, **changes: Any) -> Facts:
    """The machine with another driver."""
    return replace(facts, driver=replace(facts.driver, **changes))


def refused(error: int, **changes: Any) -> Facts:
    """The machine whose NVML does not start."""
    fields: dict[str, Any] = {
        "nvml_error": error,
        "nvml_problem": f"error {error}",
        "version": None,
        "boards": 0,
        "gpus": (),
    }
    return driver(**fields | changes)


def system(facts: Facts, **changes: Any) -> Facts:
    """The machine under another operating system."""
    return replace(facts, operating_system=replace(facts.operating_system, **changes))


def installation(facts: Facts = UNTRIED, **changes: Any) -> Facts:
    """The machine with another TensorFlow."""
    return replace(facts, installation=replace(facts.installation, **changes))


def case(cause: str, exit_code: int, facts: Facts, seen: list[str], cure: list[str], *, variant: str = "") -> Any:
    """A row of the table; its id is the cause's name, and how it differs from others of that name."""
    return pytest.param(cause, exit_code, facts, seen, cure, id=f"{cause}-{variant}" if variant else cause)


def listing(**changes: Any) -> TensorFlowProbe:
    """A listing without a GPU."""
    return replace(LISTS_NONE, **changes)


def trial(outcome: str, problem: str, *, operation: str | None = None, **changes: Any) -> TensorFlowProbe:
    """A trial of the GPU that did not work; one that failed in an operation says in which."""
    answer = replace(LISTED, failed_operation=operation, problem=problem) if operation else None
    return replace(WORKS, outcome=outcome, problem=problem, answer=answer, **changes)


def plant(
    root: Path,
    *,
    cards: dict[str, tuple[str, str | None]] | None = None,
    devices: Iterable[str] = (),
    module: str | None = None,
    kernel: str = "6.8.0-45-generic",
    files: Iterable[str] = (),
) -> Path:
    """Write as much of `proc`, `sys` and `dev` as the doctor reads.

    Args:
        root: The folder that stands for `/`.
        cards: Display controllers on the PCI bus: the vendor's number and the kernel driver, by address.
        devices: Names in `dev`.
        module: Version of NVIDIA's kernel module that is loaded.
        kernel: Its release.
        files: Further empty files.

    Returns:
        The same folder.
    """
    texts = {"proc/sys/kernel/osrelease": kernel}
    if module is not None:
        line = f"NVRM version: NVIDIA UNIX x86_64 Kernel Module  {module}  Tue Mar  5 22:23:56 UTC 2024\n"
        texts["proc/driver/nvidia/version"] = line
    texts |= dict.fromkeys([*(f"dev/{name}" for name in devices), *files], "")
    for address, (vendor, holder) in (cards or {}).items():
        folder = root / "sys/bus/pci/devices" / address
        texts |= {f"{folder.relative_to(root)}/vendor": vendor, f"{folder.relative_to(root)}/class": "0x030200"}
        if holder is not None:
            target = root / "sys/bus/pci/drivers" / holder
            target.mkdir(parents=True, exist_ok=True)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "driver").symlink_to(target)
    for name, text in texts.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")
    return root


def write_distribution(site: Path, name: str, version: str, *, requires: Iterable[str] = ()) -> None:
    """Write as much of an installed distribution as `importlib.metadata` reads."""
    folder = site / f"{name.replace('-', '_')}-{version}.dist-info"
    folder.mkdir(parents=True)
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", "Requires-Python: >=3.10"]
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    (folder / "METADATA").write_text("\n".join([*lines, "", ""]), encoding="utf-8")


def write_tensorflow(site: Path, *, cuda_build: bool = True, capabilities: Iterable[str] = ("sm_60", "sm_89")) -> None:
    """Write a package `tensorflow` that says how it was built, and that must not be imported."""
    package = site / "tensorflow"
    (package / "python/platform").mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError('imported')\n", encoding="utf-8")
    facts: list[tuple[str, object]] = [("is_cuda_build", cuda_build)]
    if cuda_build:
        facts += [("cuda_version", "12.5.1"), ("cudnn_version", "9"), ("cuda_compute_capabilities", [*capabilities])]
    text = f"import collections\n\nbuild_info = collections.OrderedDict({facts!r})\n"
    (package / "python/platform/build_info.py").write_text(text, encoding="utf-8")


def check(found: Diagnosis, name: str, exit_code: int, seen: str, cure: list[str] | str) -> None:
    """The diagnosis has the cause's name, its exit code, evidence that tells of what was planted, and its cure."""
    assert (found.cause, found.exit_code) == (name.partition("/")[0], exit_code)
    assert any(seen in line for line in found.evidence), found.evidence
    if isinstance(cure, str):
        assert found.cure[0].startswith(cure)
    else:
        assert list(found.cure) == cure
