"""What the doctor looks at and what it concludes, as plain data: `doctor --json` prints a `Checkup`."""

from __future__ import annotations

from typing import Literal

import msgspec

from bench.hardware.tensorflow_log import OneDnn
from bench.machine import OperatingSystem, Processor
from bench.probes import ProbeAnswer
from bench.records import Gpu, Record

EXIT_VERIFIED = 0
EXIT_NO_HARDWARE = 10
EXIT_UNSUPPORTED_PLATFORM = 11
EXIT_DRIVER = 12
EXIT_LIBRARIES = 13
EXIT_MASKED = 14
EXIT_OPERATION_FAILED = 15
EXIT_PROBE_FAILED = 16

_NVIDIA_FILES = ("libcuda", "libnvidia")  # under WSL beside Windows's own, which are there for every card


class Platform(Record, frozen=True):
    """What the wheels of TensorFlow must fit.

    Attributes:
        system: `Linux`, `Darwin` or `Windows`.
        machine: Architecture, such as `x86_64`.
        python: Version.
        executable: The Python that runs this, for commands.
    """

    system: str
    machine: str
    python: str
    executable: str


class Wheel(Record, frozen=True):
    """One distribution that TensorFlow's extra `and-cuda` asks for."""

    distribution: str
    required: str
    installed: str | None = None
    fits: bool = False


class Pin(Record, frozen=True):
    """Another framework's demand on a wheel that TensorFlow needs too."""

    framework: str
    distribution: str
    required: str


class Installation(Record, frozen=True):
    """TensorFlow as it is installed, read without importing it.

    Attributes:
        distributions: Those that bring a `tensorflow` package, with versions.
        python_requires: What Python the installed one is for.
        cuda_build: Whether the build can use NVIDIA GPUs; None if it does not say.
        cuda_version: That it was built with.
        cudnn_version: Likewise, the major version.
        native_capabilities: Compute capabilities that it has machine code for, ascending.
        compiled_capability: The capability whose PTX newer GPUs compile from; None for none.
        wheels: What its extra `and-cuda` asks for.
        pins: What other frameworks here ask of the same wheels.
        libraries: Paths of the CUDA libraries that wheels installed, in loading order.
        cuda_tools: Whether `ptxas` and libdevice, which XLA needs, came with a wheel.
    """

    distributions: dict[str, str] = msgspec.field(default_factory=dict)
    python_requires: str | None = None
    cuda_build: bool | None = None
    cuda_version: str | None = None
    cudnn_version: str | None = None
    native_capabilities: tuple[str, ...] = ()
    compiled_capability: str | None = None
    wheels: tuple[Wheel, ...] = ()
    pins: tuple[Pin, ...] = ()
    libraries: tuple[str, ...] = ()
    cuda_tools: bool = False


class PciGpu(Record, frozen=True):
    """A display controller on the PCI bus, and the kernel driver that holds it."""

    address: str
    vendor: Literal["nvidia", "amd"]
    kernel_driver: str | None = None


class Driver(Record, frozen=True):
    """The cards and the driver, as the kernel and NVML show them.

    Attributes:
        pci_gpus: Cards of NVIDIA and AMD on the PCI bus; a container sees the host's.
        device_files: `nvidia*`, `dxg` and `kfd` in /dev.
        module_version: Of the NVIDIA kernel module that is loaded.
        nvml_error: The code with which NVML refused to start; None if it did start.
        nvml_problem: Why no GPU is usable, in words.
        version: Of the driver, as NVML says.
        boards: Cards that NVML counts.
        gpus: Usable GPUs.
        hidden: GPUs that `CUDA_VISIBLE_DEVICES` hides.
        wsl_libraries: Driver libraries of Windows that are there under WSL.
    """

    pci_gpus: tuple[PciGpu, ...] = ()
    device_files: tuple[str, ...] = ()
    module_version: str | None = None
    nvml_error: int | None = None
    nvml_problem: str | None = None
    version: str | None = None
    boards: int = 0
    gpus: tuple[Gpu, ...] = ()
    hidden: tuple[Gpu, ...] = ()
    wsl_libraries: tuple[str, ...] = ()

    @property
    def shows_nvidia_card(self) -> bool:
        """Whether anything shows an NVIDIA card: the bus, a device file, the driver, Windows beneath WSL."""
        return (
            any(card.vendor == "nvidia" for card in self.pci_gpus)
            or self.boards > 0
            or self.module_version is not None
            or any(name.startswith("nvidia") for name in self.device_files)
            or ("dxg" in self.device_files and any(name.startswith(_NVIDIA_FILES) for name in self.wsl_libraries))
        )


class LibraryProbe(Record, frozen=True):
    """One library, loaded in a process of its own.

    Attributes:
        soname: What was asked for.
        path: The file that was loaded.
        problem: Why none was.
        version: cuDNN's own, such as 90300; the CUDA version of the driver, such as 12080, of libcuda.
        init_error: What `cuInit` answered, such as `100 CUDA_ERROR_NO_DEVICE`; of libcuda alone.
        crashed: Whether the process did not survive it.
    """

    soname: str
    path: str | None = None
    problem: str | None = None
    version: int | None = None
    init_error: str | None = None
    crashed: bool = False


class TensorFlowProbe(Record, frozen=True):
    """What TensorFlow did in a process of its own.

    Attributes:
        outcome: As `bench.hardware.verify.Verdict` has it.
        gpu: UUID of the GPU that operations were run on; None where TensorFlow was only asked to list.
        preloaded: Whether the wheels' libraries were loaded first.
        problem: In words, unless it works.
        answer: What it said, if it came to that.
        missing: Libraries that it said it could not load.
        messages: Lines of its log that tell of GPUs and libraries.
    """

    outcome: str
    gpu: str | None = None
    preloaded: bool = False
    problem: str | None = None
    answer: ProbeAnswer | None = None
    missing: tuple[str, ...] = ()
    messages: tuple[str, ...] = ()


class CpuUse(Record, frozen=True):
    """How far TensorFlow can use the processor.

    Attributes:
        processor: What it is.
        physical_cores: That the affinity allows.
        usable_cores: Of these, what the quota lets one keep busy.
        siblings: Whether cores have sibling threads.
        quota_cores: CPU time that the control group grants, in cores; None for no quota.
        memory_bytes: Of the machine.
        memory_limit_bytes: Of the control group; None for no limit.
        unused_instructions: Instruction sets that this build of TensorFlow uses in oneDNN's kernels alone.
        onednn: Whether TensorFlow computes with oneDNN; None where it was not asked.
    """

    processor: Processor
    physical_cores: int
    usable_cores: int
    siblings: bool
    memory_bytes: int
    quota_cores: float | None = None
    memory_limit_bytes: int | None = None
    unused_instructions: tuple[str, ...] = ()
    onednn: OneDnn | None = None


class Facts(Record, frozen=True):
    """All that was looked at.

    Attributes:
        platform: What wheels must fit.
        operating_system: The kernel, and what stands between it and the metal.
        installation: TensorFlow and its wheels.
        driver: Cards and driver.
        environment: Variables that decide which GPUs and libraries are found.
        cpu: How far TensorFlow can use the processor.
        libraries: Each library that TensorFlow asks for, loaded; empty where no card makes it worth trying.
        listings: What TensorFlow listed: on its own, then with the wheels' libraries loaded first if it missed any.
        trials: What it computed on each visible GPU.
    """

    platform: Platform
    operating_system: OperatingSystem
    installation: Installation
    driver: Driver
    environment: dict[str, str]
    cpu: CpuUse
    libraries: tuple[LibraryProbe, ...] = ()
    listings: tuple[TensorFlowProbe, ...] = ()
    trials: tuple[TensorFlowProbe, ...] = ()


class Diagnosis(Record, frozen=True):
    """One conclusion.

    Attributes:
        cause: A short name, as in the documentation's table.
        exit_code: What `doctor`, and `run --device gpu`, end with.
        found: What is the matter, in a sentence.
        evidence: What shows it.
        cure: Commands and steps, in order; empty where there is nothing to cure.
    """

    cause: str
    exit_code: int
    found: str
    evidence: tuple[str, ...] = ()
    cure: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The whole of it, in lines."""
        lines = [self.found, *(f"  seen: {line}" for line in self.evidence), *(f"  cure: {line}" for line in self.cure)]
        return "\n".join(lines)


class Checkup(Record, frozen=True):
    """The facts and what follows from them.

    Attributes:
        diagnosis: Whether TensorFlow uses the GPU, else the one reason why not.
        notes: What else should be known: gaps that were cured, what would go wrong next.
        facts: What was looked at.
    """

    diagnosis: Diagnosis
    notes: tuple[Diagnosis, ...]
    facts: Facts
