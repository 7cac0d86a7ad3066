"""The cards and the driver: the PCI bus, the kernel module, the device files, NVML."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bench.hardware.doctor.checkup import Driver, PciGpu
from bench.hardware.kernel_files import read_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.hardware.gpus import GpuSurvey

_VENDORS: dict[str, Literal["nvidia", "amd"]] = {"0x10de": "nvidia", "0x1002": "amd"}
_DISPLAY_CLASS = "0x03"  # the PCI base class of display controllers; data-centre cards are 0x0302
_WSL_LIBRARIES = "usr/lib/wsl/lib"


def inspect_driver(survey: GpuSurvey, root: Path = Path("/")) -> Driver:
    """Look at cards and driver.

    Args:
        survey: What NVML says.
        root: Of the file system that holds `proc`, `sys` and `dev`.
    """
    return Driver(
        pci_gpus=tuple(_pci_gpus(root)),
        device_files=_device_files(root),
        module_version=_module_version(root),
        nvml_error=survey.nvml_error,
        nvml_problem=survey.problem,
        version=survey.driver,
        boards=survey.boards,
        gpus=survey.gpus,
        hidden=survey.hidden,
        wsl_libraries=_names(root / _WSL_LIBRARIES, "lib*.so*"),
    )


def _pci_gpus(root: Path) -> Iterator[PciGpu]:
    for folder in sorted((root / "sys/bus/pci/devices").glob("*")):
        vendor = _VENDORS.get(read_text(folder / "vendor"))
        if vendor is not None and read_text(folder / "class").startswith(_DISPLAY_CLASS):
            driver = folder / "driver"
            yield PciGpu(
                address=folder.name,
                vendor=vendor,
                kernel_driver=driver.resolve().name if driver.exists() else None,
            )


def _device_files(root: Path) -> tuple[str, ...]:
    return (*_names(root / "dev", "nvidia*"), *_names(root / "dev", "dxg"), *_names(root / "dev", "kfd"))


def _module_version(root: Path) -> str | None:
    """From a line such as `NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar 5 ...`."""
    match = re.search(r"Kernel Module.*?\s(\d+(?:\.\d+)+)", read_text(root / "proc/driver/nvidia/version"))
    return match[1] if match else None


def _names(folder: Path, pattern: str) -> tuple[str, ...]:
    return tuple(sorted(path.name for path in folder.glob(pattern)))
