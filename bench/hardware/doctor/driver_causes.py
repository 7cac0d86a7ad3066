"""Causes that lie in NVIDIA's driver, and in what hides GPUs from this process.

Sources: NVIDIA's CUDA release notes (minimum drivers), CUDA on WSL guide, Container Toolkit guide (capabilities),
Multi-Instance GPU guide, NVML and CUDA driver API (nvmlReturn_t, CUresult), CUDA Programming Guide (environment).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pynvml

from bench.hardware.doctor import cures, words
from bench.hardware.doctor.checkup import EXIT_DRIVER, EXIT_MASKED, Diagnosis
from bench.hardware.doctor.library_probe import LIBCUDA
from bench.hardware.gpus import describe

if TYPE_CHECKING:
    from bench.hardware.doctor.checkup import Facts, LibraryProbe

# The oldest driver branch that CUDA 12 runs on, by minor-version compatibility (525.60.13).
OLDEST_DRIVER = 525
_ERRORS = {
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: "library not found",
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: "driver not loaded",
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: "driver/library version mismatch",
    pynvml.NVML_ERROR_NO_PERMISSION: "no permission",
}


def wsl_loader_path(facts: Facts) -> Diagnosis | None:
    """Under WSL the driver's libraries are Windows's, in a folder that the loader must know."""
    lost = _libcuda_problem(facts) is not None or facts.driver.nvml_error == pynvml.NVML_ERROR_LIBRARY_NOT_FOUND
    if not (facts.operating_system.wsl and "libcuda.so.1" in facts.driver.wsl_libraries and lost):
        return None
    return Diagnosis(
        cause="wsl-loader-path",
        exit_code=EXIT_DRIVER,
        found=f"Windows's driver is there, but the loader does not look in {words.WSL_FOLDER}",
        evidence=(f"{words.WSL_FOLDER}/libcuda.so.1 exists", _libcuda_problem(facts) or str(facts.driver.nvml_problem)),
        cure=(
            f"export LD_LIBRARY_PATH={words.WSL_FOLDER}:$LD_LIBRARY_PATH",
            f"for good: echo {words.WSL_FOLDER} | sudo tee /etc/ld.so.conf.d/wsl.conf && sudo ldconfig",
        ),
    )


def no_driver(facts: Facts) -> Diagnosis | None:
    """A card on the bus and no driver of NVIDIA's."""
    driver = facts.driver
    if driver.nvml_error != pynvml.NVML_ERROR_LIBRARY_NOT_FOUND or driver.module_version is not None:
        return None
    holders = {card.kernel_driver for card in driver.pci_gpus if card.vendor == "nvidia"} - {None}
    evidence = [*words.cards_on_the_bus(facts), "libnvidia-ml.so.1 cannot be loaded, no NVIDIA kernel module"]
    if "vfio-pci" in holders:
        return Diagnosis(
            cause="no-driver",
            exit_code=EXIT_DRIVER,
            found="the card is handed to a virtual machine (vfio-pci), so the host cannot use it",
            evidence=tuple(evidence),
            cure=("run Hourglass inside that virtual machine, or give the card back: remove its vfio-pci binding",),
        )
    if facts.operating_system.container is not None:
        return Diagnosis(
            cause="no-driver",
            exit_code=EXIT_DRIVER,
            found=f"this {facts.operating_system.container} container was given an NVIDIA card without the driver's "
            "libraries",
            evidence=(*evidence, *(f"/dev/{name}" for name in driver.device_files)),
            cure=(cures.give_gpus(facts),),
        )
    return Diagnosis(
        cause="no-driver",
        exit_code=EXIT_DRIVER,
        found="the machine has an NVIDIA card, but NVIDIA's driver is not installed"
        + (" (the card is held by nouveau, which has no CUDA)" if "nouveau" in holders else ""),
        evidence=tuple(evidence),
        cure=cures.where_the_driver_is(facts, cures.install_driver(OLDEST_DRIVER), cures.RESTART),
    )


def nvml_missing(facts: Facts) -> Diagnosis | None:
    """The kernel module is loaded, the library is not to be found: TensorFlow then lists nothing and says nothing."""
    driver = facts.driver
    if driver.nvml_error != pynvml.NVML_ERROR_LIBRARY_NOT_FOUND or driver.module_version is None:
        return None
    package = f"libnvidia-compute-{driver.module_version.partition('.')[0]}"
    return Diagnosis(
        cause="nvml-missing",
        exit_code=EXIT_DRIVER,
        found="NVIDIA's kernel module is loaded, but its management library is missing; TensorFlow then lists no GPU",
        evidence=(f"kernel module {driver.module_version}", "libnvidia-ml.so.1 cannot be loaded"),
        cure=(
            (
                "docker run --gpus all -e NVIDIA_DRIVER_CAPABILITIES=compute,utility ...",
                "the library comes with the capability `utility`",
            )
            if facts.operating_system.container
            else (f"sudo apt install {package}   (Ubuntu; elsewhere the driver's package of user-space libraries)",)
        ),
    )


def module_not_loaded(facts: Facts) -> Diagnosis | None:
    """The libraries are there, the kernel module is not."""
    if facts.driver.nvml_error != pynvml.NVML_ERROR_DRIVER_NOT_LOADED:
        return None
    return Diagnosis(
        cause="module-not-loaded",
        exit_code=EXIT_DRIVER,
        found="NVIDIA's driver is installed but its kernel module is not loaded",
        evidence=_nvml_evidence(facts),
        cure=cures.where_the_driver_is(
            facts,
            "sudo modprobe nvidia",
            (
                "if that fails after a kernel update: sudo dkms autoinstall && sudo reboot; with Secure Boot the "
                "module must be signed (mokutil --sb-state)"
            ),
        ),
    )


def driver_mismatch(facts: Facts) -> Diagnosis | None:
    """The driver was updated under the running kernel module."""
    if facts.driver.nvml_error != pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH:
        return None
    return Diagnosis(
        cause="driver-mismatch",
        exit_code=EXIT_DRIVER,
        found="the loaded kernel module and the driver's libraries are of different versions",
        evidence=_nvml_evidence(facts),
        cure=(
            (f"restart the container after the host's driver is consistent again; on the host: {cures.RESTART}",)
            if facts.operating_system.container
            else cures.where_the_driver_is(facts, cures.RESTART)
        ),
    )


def driver_permission(facts: Facts) -> Diagnosis | None:
    """This user may not open the device files."""
    if facts.driver.nvml_error != pynvml.NVML_ERROR_NO_PERMISSION:
        return None
    return Diagnosis(
        cause="driver-permission",
        exit_code=EXIT_DRIVER,
        found="this user may not open the NVIDIA driver's device files",
        evidence=_nvml_evidence(facts),
        cure=("ls -l /dev/nvidia*", "sudo usermod -aG video $USER   (the group that ls shows; then log in again)"),
    )


def driver_too_old(facts: Facts) -> Diagnosis | None:
    """A driver from before CUDA 12."""
    version = facts.driver.version or facts.driver.module_version
    branch = words.branch(version)
    if branch is None or branch >= OLDEST_DRIVER:
        return None
    return Diagnosis(
        cause="driver-too-old",
        exit_code=EXIT_DRIVER,
        found=f"the driver, {version}, is older than {OLDEST_DRIVER}.60.13, the oldest that CUDA 12 runs on",
        evidence=(f"driver {version}", f"TensorFlow was built with CUDA {facts.installation.cuda_version or '12'}"),
        cure=cures.where_the_driver_is(facts, cures.install_driver(OLDEST_DRIVER), cures.RESTART),
    )


def driver_refuses(facts: Facts) -> Diagnosis | None:
    """NVML fails for a reason of its own, or counts no card though there is one."""
    driver = facts.driver
    if driver.nvml_error is None and driver.boards:
        return None
    return Diagnosis(
        cause="driver-refuses",
        exit_code=EXIT_DRIVER,
        found=f"there is an NVIDIA card, but the driver offers none: {driver.nvml_problem}",
        evidence=_nvml_evidence(facts),
        cure=cures.where_the_driver_is(
            facts, "nvidia-smi   (its words are the driver's own)", "sudo dmesg | grep -i nvrm", cures.RESTART
        ),
    )


def mig_empty(facts: Facts) -> Diagnosis | None:
    """Multi-Instance GPU is on, and no instance was made."""
    driver = facts.driver
    if not driver.boards or driver.gpus or driver.hidden:
        return None
    return Diagnosis(
        cause="mig-empty",
        exit_code=EXIT_MASKED,
        found=f"the driver counts {driver.boards} GPU but none to run on: MIG is on without an instance, or it is lost",
        evidence=(f"NVML: {driver.nvml_problem}",),
        cure=(
            "nvidia-smi -L   (a GPU without `MIG` lines below it has no instance; one that is missing is lost)",
            "sudo nvidia-smi mig -cgi 0 -C   (one instance of the whole GPU), or sudo nvidia-smi -mig 0 (MIG off)",
        ),
    )


def masked(facts: Facts) -> Diagnosis | None:
    """`CUDA_VISIBLE_DEVICES` hides every GPU."""
    driver = facts.driver
    if driver.gpus or not driver.hidden:
        return None
    value = facts.environment.get("CUDA_VISIBLE_DEVICES", "")
    empty = not value.strip() or value.strip() == "-1"
    return Diagnosis(
        cause="masked-empty" if empty else "masked-invalid",
        exit_code=EXIT_MASKED,
        found="CUDA_VISIBLE_DEVICES hides every GPU"
        if empty
        else "CUDA_VISIBLE_DEVICES begins with what names no GPU, which hides that and all after it",
        evidence=(f"CUDA_VISIBLE_DEVICES={value!r}", f"there: {describe(driver.hidden)}"),
        cure=("unset CUDA_VISIBLE_DEVICES",),
    )


def container_without_compute(facts: Facts) -> Diagnosis | None:
    """NVML works, the CUDA driver's library is missing: the container was given `utility` alone."""
    problem = _libcuda_problem(facts)
    if problem is None or not facts.driver.gpus:
        return None
    capabilities = facts.environment.get("NVIDIA_DRIVER_CAPABILITIES")
    in_container = facts.operating_system.container is not None
    package = f"libnvidia-compute-{(facts.driver.version or '').partition('.')[0]}"
    return Diagnosis(
        cause="container-without-compute" if in_container else "libcuda-missing",
        exit_code=EXIT_DRIVER,
        found="the GPU is there, but not the driver's CUDA library"
        + (": this container was not given the capability `compute`" if in_container else ""),
        evidence=(
            f"NVML sees {describe(facts.driver.gpus)}",
            problem,
            *((f"NVIDIA_DRIVER_CAPABILITIES={capabilities!r}",) if capabilities is not None else ()),
        ),
        cure=("docker run --gpus all -e NVIDIA_DRIVER_CAPABILITIES=compute,utility ...",)
        if in_container
        else cures.where_the_driver_is(
            facts, f"sudo apt install {package}   (Ubuntu; Debian: libcuda1)", "sudo ldconfig"
        ),
    )


def driver_failed(facts: Facts) -> Diagnosis | None:
    """`cuInit` fails though NVML works."""
    libcuda = _libcuda(facts)
    if libcuda is None or libcuda.init_error is None:
        return None
    return Diagnosis(
        cause="driver-failed",
        exit_code=EXIT_DRIVER,
        found=f"the driver's CUDA library does not start: cuInit answers {libcuda.init_error}",
        evidence=(f"{libcuda.path or LIBCUDA}", *_nvml_evidence(facts), *_uvm_evidence(facts)),
        cure=cures.cure_init(facts, libcuda, libcuda.init_error.partition(" ")[0]),
    )


def _libcuda(facts: Facts) -> LibraryProbe | None:
    return next((probe for probe in facts.libraries if probe.soname == LIBCUDA), None)


def _libcuda_problem(facts: Facts) -> str | None:
    """Why the loader does not find it; a crash says nothing of that."""
    libcuda = _libcuda(facts)
    return None if libcuda is None or libcuda.crashed else libcuda.problem


def _uvm_evidence(facts: Facts) -> tuple[str, ...]:
    files = facts.driver.device_files
    missing = files and "nvidia-uvm" not in files and not facts.operating_system.wsl
    return ("no /dev/nvidia-uvm",) if missing else ()


def _nvml_evidence(facts: Facts) -> tuple[str, ...]:
    driver = facts.driver
    said = f"NVML: {_ERRORS.get(driver.nvml_error, driver.nvml_problem)}" if driver.nvml_problem else ""
    module = f"kernel module {driver.module_version}" if driver.module_version else "no kernel module is loaded"
    return (*((said,) if said else ()), *words.cards_on_the_bus(facts), module)
