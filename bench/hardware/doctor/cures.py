"""Cures that several causes share, in the words of the place where they must be done.

Sources: NVIDIA's Container Toolkit guide, CUDA on WSL guide, CUDA compatibility guide and Fabric Manager guide;
Kubernetes' and Apptainer's guides to GPUs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.hardware.doctor.checkup import Facts, LibraryProbe

ON_CPU = "python -m bench run --device cpu"
RESTART = "sudo reboot"
_DOCKER = "docker run --gpus all ...   (needs the NVIDIA Container Toolkit on the host: `nvidia-ctk --version`)"
_CONTAINERS = {
    "podman": "podman run --device nvidia.com/gpu=all ...   (on the host, once: `sudo nvidia-ctk cdi generate "
    "--output=/etc/cdi/nvidia.yaml`)",
    "kubernetes": "in the pod's container: resources.limits `nvidia.com/gpu: 1`   (needs NVIDIA's device plugin in the "
    "cluster)",
    "apptainer": "apptainer exec --nv ...",
}


def give_gpus(facts: Facts) -> str:
    """How this container is given the host's GPUs, with the driver's libraries."""
    return _CONTAINERS.get(facts.operating_system.container or "", _DOCKER)


def install_driver(oldest: int) -> str:
    """How a driver is installed.

    Args:
        oldest: The branch that it must be of, or a newer one.
    """
    return (
        f"install NVIDIA's driver, {oldest} or newer: `sudo ubuntu-drivers install` (Ubuntu), `sudo apt install "
        "nvidia-driver` (Debian, section non-free), `sudo dnf install akmod-nvidia xorg-x11-drv-nvidia-cuda` (Fedora, "
        "RPM Fusion)"
    )


def where_the_driver_is(facts: Facts, *cure: str) -> tuple[str, ...]:
    """What cures a driver: on this machine, on the host of a container, or on the Windows beneath WSL."""
    if facts.operating_system.wsl:
        return ("install NVIDIA's newest driver on Windows (never a Linux driver in WSL), then: wsl --shutdown",)
    if facts.operating_system.container is not None:
        return tuple(f"on the container's host: {step}" for step in cure)
    return cure


def cure_init(facts: Facts, libcuda: LibraryProbe, code: str) -> tuple[str, ...]:
    """What cures an answer of `cuInit`, by its number in the CUDA driver API."""
    if code == "100":  # CUDA_ERROR_NO_DEVICE
        return where_the_driver_is(facts, "nvidia-smi", "look for the card's fault: sudo dmesg | grep -i nvrm")
    if code == "802":  # CUDA_ERROR_SYSTEM_NOT_READY
        return where_the_driver_is(
            facts,
            "sudo systemctl enable --now nvidia-fabricmanager   (GPUs behind NVSwitch wait for it; it must be of the "
            f"driver's version, {facts.driver.version})",
        )
    if code in {"803", "804"}:  # CUDA_ERROR_SYSTEM_DRIVER_MISMATCH, CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE
        return (
            f"remove what does not belong to this driver: {libcuda.path} (of cuda-compat, or on LD_LIBRARY_PATH)",
            *where_the_driver_is(facts, RESTART),
        )
    return where_the_driver_is(
        facts,
        "sudo nvidia-modprobe -u -c=0   (makes /dev/nvidia-uvm)",
        "after a suspend: sudo rmmod nvidia_uvm && sudo modprobe nvidia_uvm",
        RESTART,
    )
