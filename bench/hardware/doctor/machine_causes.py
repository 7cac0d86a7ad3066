"""Causes that no software on this machine can cure: its platform, and what cards it has.

Sources: TensorFlow's installation guide and tested build table; NVIDIA's CUDA on WSL guide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.hardware.doctor import cures, words
from bench.hardware.doctor.checkup import EXIT_DRIVER, EXIT_NO_HARDWARE, EXIT_UNSUPPORTED_PLATFORM, Diagnosis

if TYPE_CHECKING:
    from bench.hardware.doctor.checkup import Facts

_PYTHONS = ((3, 10), (3, 13))  # that TensorFlow 2.21 has wheels for


def windows(facts: Facts) -> Diagnosis | None:
    """Native Windows: TensorFlow's GPU builds ended with 2.10."""
    if facts.platform.system != "Windows":
        return None
    return Diagnosis(
        cause="windows",
        exit_code=EXIT_UNSUPPORTED_PLATFORM,
        found="TensorFlow above 2.10 has no GPU support on native Windows",
        evidence=(f"system {facts.platform.system}",),
        cure=("wsl --install   (in PowerShell as administrator; then install Hourglass inside WSL 2)",),
    )


def macos(facts: Facts) -> Diagnosis | None:
    """macOS: no CUDA; Apple's plugin follows its own pace."""
    if facts.platform.system != "Darwin":
        return None
    metal = facts.installation.distributions.get("tensorflow-metal")
    return Diagnosis(
        cause="macos",
        exit_code=EXIT_UNSUPPORTED_PLATFORM,
        found="TensorFlow has no official GPU support on macOS, and Hourglass measures NVIDIA GPUs only",
        evidence=(f"system {facts.platform.system} on {facts.platform.machine}",)
        + ((f"tensorflow-metal {metal} is installed",) if metal else ()),
        cure=(
            cures.ON_CPU,
            (
                "Apple's plugin for your own programs: `pip install tensorflow-metal==1.2.0` (1.1.0 breaks the "
                "import of TensorFlow from 2.18 on)"
            ),
        ),
    )


def python_version(facts: Facts) -> Diagnosis | None:
    """A Python that the installed, or any, TensorFlow has no wheels for."""
    version = tuple(int(part) for part in facts.platform.python.split(".")[:2])
    if _PYTHONS[0] <= version <= _PYTHONS[1]:
        return None
    return Diagnosis(
        cause="python-version",
        exit_code=EXIT_UNSUPPORTED_PLATFORM,
        found=f"TensorFlow 2.21 has wheels for Python 3.10 to 3.13; this is {facts.platform.python}",
        evidence=(f"{facts.platform.executable} is Python {facts.platform.python}",),
        cure=("python3.12 -m venv .venv && .venv/bin/pip install '.[gpu]'   (in the checkout)",),
    )


def machine_architecture(facts: Facts) -> Diagnosis | None:
    """Linux on something else than x86-64: TensorFlow's wheels there have no CUDA."""
    if facts.platform.machine.lower() in {"x86_64", "amd64"}:
        return None
    return Diagnosis(
        cause="machine-architecture",
        exit_code=EXIT_UNSUPPORTED_PLATFORM,
        found=f"TensorFlow's CUDA builds are for x86-64; this machine is {facts.platform.machine}",
        evidence=(f"machine {facts.platform.machine}",),
        cure=(
            (
                "on NVIDIA's own ARM machines (Grace, Jetson) use NVIDIA's TensorFlow container: "
                "docker run --gpus all -it nvcr.io/nvidia/tensorflow:25.02-tf2-py3"
            ),
        ),
    )


def amd_gpu(facts: Facts) -> Diagnosis | None:
    """An AMD card and no NVIDIA one."""
    cards = [card for card in facts.driver.pci_gpus if card.vendor == "amd"]
    computes = "kfd" in facts.driver.device_files
    if facts.driver.shows_nvidia_card or not (cards and computes):
        return None
    return Diagnosis(
        cause="amd-gpu",
        exit_code=EXIT_UNSUPPORTED_PLATFORM,
        found="the card is AMD's; TensorFlow's own builds support NVIDIA's, and so does Hourglass",
        evidence=(words.on_the_bus(cards), "/dev/kfd, the device of AMD's compute driver, is there"),
        cure=("AMD builds TensorFlow for its cards: https://rocm.docs.amd.com, tensorflow-rocm",),
    )


def no_hardware(facts: Facts) -> Diagnosis | None:
    """Nothing shows an NVIDIA card."""
    if facts.driver.shows_nvidia_card:
        return None
    system = facts.operating_system
    if system.wsl and system.container and "dxg" not in facts.driver.device_files:
        return None  # Docker Desktop: what Windows has does not show until it is given
    if system.wsl:
        return _wsl_without_gpu(facts)
    where = f" (inside {system.container}, which sees the host's bus)" if system.container else ""
    cure = [cures.ON_CPU]
    if system.container:
        cure.append(f"if the host has one: {cures.give_gpus(facts)}")
    if system.virtualization:
        cure.append("in a virtual machine: choose a machine type with an NVIDIA GPU, or pass one through")
    return Diagnosis(
        cause="no-hardware",
        exit_code=EXIT_NO_HARDWARE,
        found="this machine has no NVIDIA GPU",
        evidence=(
            f"no display controller of NVIDIA on the PCI bus{where}, no /dev/nvidia*, no driver",
            f"NVML: {facts.driver.nvml_problem}",
        ),
        cure=tuple(cure),
    )


def _wsl_without_gpu(facts: Facts) -> Diagnosis:
    if "dxg" in facts.driver.device_files:
        return Diagnosis(
            cause="wsl-no-driver",
            exit_code=EXIT_DRIVER,
            found="WSL shows a GPU of Windows, but Windows gives it no NVIDIA driver",
            evidence=("/dev/dxg is there", f"{words.WSL_FOLDER} holds no libcuda.so.1"),
            cure=(
                (
                    "if it is NVIDIA's: install its Windows driver on Windows (never a Linux driver in WSL), then: "
                    "wsl --shutdown"
                ),
            ),
        )
    return Diagnosis(
        cause="no-hardware",
        exit_code=EXIT_NO_HARDWARE,
        found="WSL shows no GPU: this is WSL 1, or Windows has none to share",
        evidence=("no /dev/dxg", f"kernel {facts.operating_system.kernel}"),
        cure=("wsl --update && wsl --set-version <distribution> 2   (in PowerShell)",),
    )


def container_without_gpu(facts: Facts) -> Diagnosis | None:
    """In a container whose host has a card, but which was not given it."""
    driver = facts.driver
    given = any(name.startswith("nvidia") for name in driver.device_files) or "dxg" in driver.device_files
    system = facts.operating_system
    if system.container is None or given or driver.boards:
        return None
    shown = driver.shows_nvidia_card
    return Diagnosis(
        cause="container-without-gpu",
        exit_code=EXIT_DRIVER,
        found=f"the machine has an NVIDIA card, but this {system.container} container was not given it"
        if shown
        else f"this {system.container} container under WSL was not given a GPU of Windows",
        evidence=(*words.cards_on_the_bus(facts), "no /dev/nvidia* in the container")
        if shown
        else ("no /dev/dxg in the container", f"kernel {system.kernel}"),
        cure=(cures.give_gpus(facts),)
        if shown
        else (cures.give_gpus(facts), f"if Windows has no NVIDIA card: {cures.ON_CPU}"),
    )
