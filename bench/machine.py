"""The machine that a run is made on; part of the run folder's format, which `bench.records` describes."""

from __future__ import annotations

import msgspec

from bench.record import Record


class Cache(Record, frozen=True):
    """One cache of the first CPU.

    Attributes:
        level: 1 is nearest to the core.
        kind: `data`, `instruction` or `unified`.
        size_bytes: Of this one cache; None where the firmware does not tell.
        shared_by_cpus: Logical CPUs that use it, the first one counted.
    """

    level: int
    kind: str
    size_bytes: int | None = None
    shared_by_cpus: int | None = None


class FrequencyScaling(Record, frozen=True):
    """How the kernel chooses the clock frequency (its `cpufreq` tables); a virtual machine mostly has none.

    Attributes:
        driver: Such as `intel_pstate`, whose governor `powersave` does reach the highest frequency under load.
        governor: Such as `performance`; all that are in use, sorted, with commas between them if CPUs differ.
        min_mhz: The lowest frequency that the hardware of any CPU offers.
        max_mhz: The highest one, boost included as far as the driver tells.
        boost: Whether frequencies above the nominal one (turbo) are allowed.
    """

    driver: str | None = None
    governor: str | None = None
    min_mhz: float | None = None
    max_mhz: float | None = None
    boost: bool | None = None


class Processor(Record, frozen=True):
    """The processor; what the kernel does not tell is None or empty.

    Attributes:
        model: Such as `AMD EPYC 9R14` or `Neoverse-V1`.
        architecture: Such as `x86_64`.
        vendor: Such as `GenuineIntel`.
        flags: Those of `bench.hardware.processor.INSTRUCTIONS` that the first CPU has, in that order.
        sockets: Processor packages with a CPU that is online.
        numa_nodes: Memory nodes.
        smt_active: Whether cores run several threads, be they usable by this process or not.
        caches: Of the first CPU, nearest first.
        scaling: How the clock frequency is chosen.
    """

    model: str
    architecture: str
    vendor: str | None = None
    flags: tuple[str, ...] = ()
    sockets: int | None = None
    numa_nodes: int | None = None
    smt_active: bool | None = None
    caches: tuple[Cache, ...] = ()
    scaling: FrequencyScaling = FrequencyScaling()


class OperatingSystem(Record, frozen=True):
    """The kernel and its settings; what it does not tell is None.

    Attributes:
        kernel: Release, such as `6.1.0-18-amd64`.
        wsl: Whether this is Linux under Windows (WSL 1 or 2).
        virtualization: The hypervisor and who runs it, such as `KVM (Amazon EC2)`; None on bare metal.
        container: What made the container, such as `docker` or `kubernetes`; None outside of any.
        swap_bytes: Swap space, used or not.
        transparent_hugepages: `always`, `madvise` or `never`.
    """

    kernel: str | None = None
    wsl: bool = False
    virtualization: str | None = None
    container: str | None = None
    swap_bytes: int | None = None
    transparent_hugepages: str | None = None


class Gpu(Record, frozen=True):
    """One GPU (or MIG instance) as NVML names it; what NVML does not tell is None.

    Attributes:
        index: In NVML's order, which is that of the PCI bus.
        uuid: Of the board, or of the instance.
        name: Of the product.
        memory_bytes: Its own.
        driver: Version of NVIDIA's driver.
        compute_capability: Such as `9.0`.
        cuda: The newest CUDA version that the driver serves.
        power_limit_watts: What the board may draw; a MIG instance has none of its own.
    """

    index: int
    uuid: str
    name: str
    memory_bytes: int | None = None
    driver: str | None = None
    compute_capability: str | None = None
    cuda: str | None = None
    power_limit_watts: float | None = None


class Revision(Record, frozen=True):
    """The commit of the project that was worked in.

    Attributes:
        commit: Its hash.
        dirty: Whether tracked files differ from it.
    """

    commit: str
    dirty: bool = False


class Host(Record, frozen=True):
    """The machine that a run was made on, and what is installed on it; runs made before a field was added lack it.

    It holds no host name (unless that was asked for), no user name and no path.

    Attributes:
        cpu: Model name.
        physical_cores: Cores of the machine.
        logical_cpus: Logical CPUs of the machine.
        usable_cores: Physical cores that this process may use: affinity and control-group quota taken together.
        smt: Whether cores have sibling threads that are in use.
        memory_bytes: Of the machine.
        os: Name and release.
        python: Version.
        packages: Versions of what the measurement depends on, and of every distribution of NVIDIA's.
        memory_limit_bytes: Of the control group; None for no limit.
        gpus: As NVML names them.
        quota_cores: CPU time per time passed that the control group grants, in cores; None for no quota.
        processor: The processor in detail.
        operating_system: The kernel, and what stands between it and the metal.
        cuda: CUDA version that TensorFlow was built with; None for a build that uses no NVIDIA GPUs.
        cudnn: cuDNN version likewise.
        environment: Variables of the user's shell that can change speed or results, each path in them shortened to its
            last part. Workers are started without some of these; what they got, `Runtime.environment` tells.
        revision: The project's; None outside of a Git repository.
        machine_id: Tells this machine from others and tells nothing else of it; None where it has no identity of its
            own, as in a container.
        boot_id: The same for the time from one start of its kernel to the next.
        name: Its network name, where it was asked for.
    """

    cpu: str
    physical_cores: int
    logical_cpus: int
    usable_cores: int
    smt: bool
    memory_bytes: int
    os: str
    python: str
    packages: dict[str, str]
    memory_limit_bytes: int | None = None
    gpus: tuple[Gpu, ...] = ()
    quota_cores: float | None = None
    processor: Processor | None = None
    operating_system: OperatingSystem | None = None
    cuda: str | None = None
    cudnn: str | None = None
    environment: dict[str, str] = msgspec.field(default_factory=dict)
    revision: Revision | None = None
    machine_id: str | None = None
    boot_id: str | None = None
    name: str | None = None

    @property
    def is_virtual(self) -> bool:
        """Whether it is known to be a virtual machine, whose speed others change."""
        return self.operating_system is not None and self.operating_system.virtualization is not None
