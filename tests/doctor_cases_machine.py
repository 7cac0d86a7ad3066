"""What the doctor must conclude of the machine, its cards and their driver: facts, exit code, evidence, cure."""

from __future__ import annotations

from msgspec.structs import replace

from bench.hardware.doctor.checkup import Driver, LibraryProbe, PciGpu
from facts_for_tests import (
    CARD,
    GPU,
    HEALTHY,
    LIBCUDA,
    PYTHON,
    UNTRIED,
    case,
    driver,
    installation,
    platform,
    refused,
    system,
)

ON_CPU = "python -m bench run --device cpu"
REBOOT = "sudo reboot"
NEWER_DRIVER = (
    "install NVIDIA's driver, 525 or newer: `sudo ubuntu-drivers install` (Ubuntu), `sudo apt install nvidia-driver` "
    "(Debian, section non-free), `sudo dnf install akmod-nvidia xorg-x11-drv-nvidia-cuda` (Fedora, RPM Fusion)"
)
BY_PODMAN = (
    "podman run --device nvidia.com/gpu=all ...   (on the host, once: `sudo nvidia-ctk cdi generate "
    "--output=/etc/cdi/nvidia.yaml`)"
)
ON_WINDOWS = "install NVIDIA's newest driver on Windows (never a Linux driver in WSL), then: wsl --shutdown"
GIVE_GPUS = "docker run --gpus all ...   (needs the NVIDIA Container Toolkit on the host: `nvidia-ctk --version`)"
BOTH = "docker run --gpus all -e NVIDIA_DRIVER_CAPABILITIES=compute,utility ..."
KERNEL_LOG = "sudo dmesg | grep -i nvrm"
IN_WSL = "/usr/lib/wsl/lib"
NOTHING = Driver(nvml_error=12, nvml_problem="libnvidia-ml.so.1 not found")
LOST = LibraryProbe(soname="libcuda.so.1", problem="libcuda.so.1: cannot open shared object file")

CASES = [
    case(
        "windows",
        11,
        platform(system="Windows"),
        ["system Windows"],
        ["wsl --install   (in PowerShell as administrator; then install Hourglass inside WSL 2)"],
    ),
    case(
        "macos",
        11,
        installation(
            platform(system="Darwin", machine="arm64"),
            distributions={"tensorflow": "2.21.0", "tensorflow-metal": "1.1.0"},
        ),
        ["system Darwin on arm64", "tensorflow-metal 1.1.0 is installed"],
        [
            ON_CPU,
            (
                "Apple's plugin for your own programs: `pip install tensorflow-metal==1.2.0` (1.1.0 breaks the "
                "import of TensorFlow from 2.18 on)"
            ),
        ],
    ),
    case("verified", 0, HEALTHY, [], []),
    case(
        "python-version",
        11,
        replace(platform(python="3.14.0rc1"), trials=()),
        [f"{PYTHON} is Python 3.14.0rc1"],
        ["python3.12 -m venv .venv && .venv/bin/pip install '.[gpu]'   (in the checkout)"],
    ),
    case(
        "machine-architecture",
        11,
        replace(platform(machine="aarch64"), trials=()),
        ["machine aarch64"],
        [
            (
                "on NVIDIA's own ARM machines (Grace, Jetson) use NVIDIA's TensorFlow container: "
                "docker run --gpus all -it nvcr.io/nvidia/tensorflow:25.02-tf2-py3"
            )
        ],
    ),
    case(
        "amd-gpu",
        11,
        replace(
            UNTRIED,
            driver=replace(
                NOTHING,
                pci_gpus=(PciGpu(address="0000:03:00.0", vendor="amd", kernel_driver="amdgpu"),),
                device_files=("kfd",),
            ),
        ),
        ["0000:03:00.0 (amdgpu)", "/dev/kfd"],
        ["AMD builds TensorFlow for its cards: https://rocm.docs.amd.com, tensorflow-rocm"],
    ),
    case(
        "no-hardware",
        10,
        replace(UNTRIED, driver=NOTHING),
        ["no display controller of NVIDIA on the PCI bus, no /dev/nvidia*", "libnvidia-ml.so.1 not found"],
        [ON_CPU],
    ),
    case(
        "no-hardware",
        10,
        system(replace(UNTRIED, driver=NOTHING), container="podman", virtualization="KVM (Amazon EC2)"),
        ["inside podman"],
        [
            ON_CPU,
            f"if the host has one: {BY_PODMAN}",
            "in a virtual machine: choose a machine type with an NVIDIA GPU, or pass one through",
        ],
        variant="guest",
    ),
    case(
        "no-hardware",
        10,
        system(replace(UNTRIED, driver=NOTHING), wsl=True, kernel="4.4.0-19041-Microsoft"),
        ["no /dev/dxg", "4.4.0-19041-Microsoft"],
        ["wsl --update && wsl --set-version <distribution> 2   (in PowerShell)"],
        variant="wsl-1",
    ),
    case(
        "wsl-no-driver",
        12,
        system(
            replace(UNTRIED, driver=replace(NOTHING, device_files=("dxg",), wsl_libraries=("libdxcore.so",))), wsl=True
        ),
        ["/dev/dxg is there", f"{IN_WSL} holds no libcuda.so.1"],
        [
            (
                "if it is NVIDIA's: install its Windows driver on Windows (never a Linux driver in WSL), then: "
                "wsl --shutdown"
            )
        ],
    ),
    case(
        "container-without-gpu",
        12,
        system(refused(12, device_files=()), container="docker"),
        ["0000:01:00.0 (nvidia)", "no /dev/nvidia* in the container"],
        [GIVE_GPUS],
    ),
    *(
        case(
            "container-without-gpu",
            12,
            system(refused(12, device_files=()), container=container),
            ["0000:01:00.0 (nvidia)"],
            [cure],
            variant=container,
        )
        for container, cure in (
            ("podman", BY_PODMAN),
            (
                "kubernetes",
                (
                    "in the pod's container: resources.limits `nvidia.com/gpu: 1`   (needs NVIDIA's device plugin in "
                    "the cluster)"
                ),
            ),
            ("apptainer", "apptainer exec --nv ..."),
        )
    ),
    case(
        "container-without-gpu",
        12,
        system(replace(UNTRIED, driver=NOTHING), container="docker", wsl=True, kernel="5.15-microsoft-standard-WSL2"),
        ["no /dev/dxg in the container", "5.15-microsoft-standard-WSL2"],
        [GIVE_GPUS, f"if Windows has no NVIDIA card: {ON_CPU}"],
        variant="docker-desktop",
    ),
    case(
        "wsl-loader-path",
        12,
        system(
            refused(12, module_version=None, pci_gpus=(), device_files=("dxg",), wsl_libraries=("libcuda.so.1",)),
            wsl=True,
        ),
        [f"{IN_WSL}/libcuda.so.1 exists", "error 12"],
        [
            f"export LD_LIBRARY_PATH={IN_WSL}:$LD_LIBRARY_PATH",
            f"for good: echo {IN_WSL} | sudo tee /etc/ld.so.conf.d/wsl.conf && sudo ldconfig",
        ],
    ),
    case(
        "no-driver",
        12,
        refused(12, module_version=None, pci_gpus=(replace(CARD, kernel_driver="nouveau"),)),
        ["0000:01:00.0 (nouveau)", "no NVIDIA kernel module"],
        [NEWER_DRIVER, REBOOT],
    ),
    case(
        "no-driver",
        12,
        refused(12, module_version=None, pci_gpus=(replace(CARD, kernel_driver="vfio-pci"),)),
        ["0000:01:00.0 (vfio-pci)"],
        ["run Hourglass inside that virtual machine, or give the card back: remove its vfio-pci binding"],
        variant="vfio",
    ),
    case(
        "no-driver",
        12,
        system(refused(12, module_version=None, pci_gpus=()), container="lxc"),
        ["/dev/nvidia0", "libnvidia-ml.so.1 cannot be loaded"],
        [GIVE_GPUS],
        variant="container",
    ),
    case(
        "no-driver",
        12,
        system(refused(12, module_version=None, device_files=("dxg",), wsl_libraries=("libnvidia-ml.so.1",)), wsl=True),
        ["no NVIDIA kernel module"],
        [ON_WINDOWS],
        variant="wsl",
    ),
    case(
        "nvml-missing",
        12,
        refused(12),
        ["kernel module 550.54.15", "libnvidia-ml.so.1 cannot be loaded"],
        ["sudo apt install libnvidia-compute-550   (Ubuntu; elsewhere the driver's package of user-space libraries)"],
    ),
    case(
        "nvml-missing",
        12,
        system(refused(12), container="docker"),
        ["kernel module 550.54.15"],
        [BOTH, "the library comes with the capability `utility`"],
        variant="container",
    ),
    case(
        "module-not-loaded",
        12,
        refused(9, module_version=None),
        ["NVML: driver not loaded", "0000:01:00.0", "no kernel module is loaded"],
        [
            "sudo modprobe nvidia",
            (
                "if that fails after a kernel update: sudo dkms autoinstall && sudo reboot; with Secure Boot the "
                "module must be signed (mokutil --sb-state)"
            ),
        ],
    ),
    case(
        "module-not-loaded",
        12,
        system(refused(9, module_version=None), wsl=True),
        ["NVML: driver not loaded"],
        [ON_WINDOWS],
        variant="wsl",
    ),
    case(
        "driver-mismatch",
        12,
        refused(18),
        ["NVML: driver/library version mismatch", "kernel module 550.54.15"],
        [REBOOT],
    ),
    case(
        "driver-mismatch",
        12,
        system(refused(18), container="docker"),
        ["mismatch"],
        [f"restart the container after the host's driver is consistent again; on the host: {REBOOT}"],
        variant="container",
    ),
    case(
        "driver-permission",
        12,
        refused(4),
        ["NVML: no permission"],
        ["ls -l /dev/nvidia*", "sudo usermod -aG video $USER   (the group that ls shows; then log in again)"],
    ),
    case(
        "driver-too-old",
        12,
        driver(version="470.256.02"),
        ["driver 470.256.02", "CUDA 12.5.1"],
        [NEWER_DRIVER, REBOOT],
    ),
    case(
        "driver-too-old",
        12,
        system(driver(version="470.256.02"), container="docker"),
        ["driver 470.256.02"],
        [f"on the container's host: {NEWER_DRIVER}", f"on the container's host: {REBOOT}"],
        variant="container",
    ),
    case(
        "driver-refuses",
        12,
        refused(999),
        ["NVML: error 999"],
        ["nvidia-smi   (its words are the driver's own)", KERNEL_LOG, REBOOT],
    ),
    case(
        "mig-empty",
        14,
        driver(gpus=(), nvml_problem="MIG without instances"),
        ["MIG without instances"],
        [
            "nvidia-smi -L   (a GPU without `MIG` lines below it has no instance; one that is missing is lost)",
            "sudo nvidia-smi mig -cgi 0 -C   (one instance of the whole GPU), or sudo nvidia-smi -mig 0 (MIG off)",
        ],
    ),
    case(
        "masked-empty",
        14,
        replace(driver(gpus=(), hidden=(GPU,)), environment={"CUDA_VISIBLE_DEVICES": ""}),
        ["CUDA_VISIBLE_DEVICES=''", "gpu:0 (NVIDIA GeForce RTX 3050)"],
        ["unset CUDA_VISIBLE_DEVICES"],
    ),
    case(
        "masked-invalid",
        14,
        replace(driver(gpus=(), hidden=(GPU,)), environment={"CUDA_VISIBLE_DEVICES": "3,0"}),
        ["CUDA_VISIBLE_DEVICES='3,0'", "gpu:0 (NVIDIA GeForce RTX 3050)"],
        ["unset CUDA_VISIBLE_DEVICES"],
    ),
    case(
        "container-without-compute",
        12,
        system(
            replace(UNTRIED, libraries=(LOST,), environment={"NVIDIA_DRIVER_CAPABILITIES": "utility"}),
            container="docker",
        ),
        ["NVML sees gpu:0", "cannot open shared object file", "NVIDIA_DRIVER_CAPABILITIES='utility'"],
        [BOTH],
    ),
    case(
        "libcuda-missing",
        12,
        replace(UNTRIED, libraries=(LOST,)),
        ["NVML sees gpu:0", "cannot open shared object file"],
        ["sudo apt install libnvidia-compute-550   (Ubuntu; Debian: libcuda1)", "sudo ldconfig"],
    ),
    case(
        "driver-failed",
        12,
        replace(driver(device_files=("nvidia0",)), libraries=(replace(LIBCUDA, init_error="999 CUDA_ERROR_UNKNOWN"),)),
        ["/usr/lib/libcuda.so.550.54.15", "no /dev/nvidia-uvm"],
        [
            "sudo nvidia-modprobe -u -c=0   (makes /dev/nvidia-uvm)",
            "after a suspend: sudo rmmod nvidia_uvm && sudo modprobe nvidia_uvm",
            REBOOT,
        ],
    ),
    case(
        "driver-failed",
        12,
        replace(UNTRIED, libraries=(replace(LIBCUDA, init_error="802 CUDA_ERROR_SYSTEM_NOT_READY"),)),
        ["/usr/lib/libcuda.so.550.54.15"],
        [
            (
                "sudo systemctl enable --now nvidia-fabricmanager   (GPUs behind NVSwitch wait for it; it must be of "
                "the driver's version, 550.54.15)"
            )
        ],
        variant="nvswitch",
    ),
    case(
        "driver-failed",
        12,
        system(
            replace(UNTRIED, libraries=(replace(LIBCUDA, init_error="804 CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE"),)),
            container="docker",
        ),
        ["/usr/lib/libcuda.so.550.54.15"],
        [
            (
                "remove what does not belong to this driver: /usr/lib/libcuda.so.550.54.15 (of cuda-compat, or on "
                "LD_LIBRARY_PATH)"
            ),
            f"on the container's host: {REBOOT}",
        ],
        variant="compat",
    ),
]
