"""What the machine is: cores, quotas, limits, GPUs and a worker's environment, read from invented machines."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pynvml
import pytest

import bench
from bench.hardware.cgroup import find_control_group, read_memory_limit_bytes
from bench.hardware.environment import child_environment, overruled_onednn
from bench.hardware.gpus import detect_gpus, select_visible
from bench.hardware.host import detect_host
from bench.hardware.topology import Topology, detect_topology
from bench.records import Device, Gpu

if TYPE_CHECKING:
    from collections.abc import Callable

GIB = 2**30

V2_MOUNT = "30 23 0:26 {root} /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
V1_MOUNTS = (
    "25 23 0:22 / /sys/fs/cgroup ro - tmpfs  ro,mode=755\n"  # an empty source, as some container runtimes mount
    "32 25 0:29 {root} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "35 25 0:32 {root} /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "38 25 0:41 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
)


@dataclass
class Machine:
    """An invented /proc and /sys."""

    root: Path

    def write(self, path: str, text: str) -> None:
        """Write a file and the folders above it."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def siblings(self, **lists: str) -> None:
        """Write the kernel's list of siblings of each CPU."""
        for cpu, siblings in lists.items():
            self.write(f"sys/devices/system/cpu/{cpu}/topology/thread_siblings_list", siblings + "\n")

    def cgroup_v2(self, path: str, *, mount_root: str = "/") -> None:
        """Put this process into a group of the unified hierarchy."""
        self.write("proc/self/cgroup", f"0::{path}\n")
        self.write("proc/self/mountinfo", V2_MOUNT.format(root=mount_root))

    def cgroup_v1(self, path: str, *, mount_root: str = "/") -> None:
        """Put this process into a group of v1, beside an idle v2 as systemd mounts it."""
        self.write("proc/self/cgroup", f"7:cpu,cpuacct:{path}\n4:memory:{path}\n1:name=systemd:/x\n0::/\n")
        self.write("proc/self/mountinfo", V1_MOUNTS.format(root=mount_root))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine of which nothing is known yet."""
    return Machine(tmp_path)


# Cores


def test_siblings_are_one_core(machine: Machine) -> None:
    """A core with two threads counts once, with both of its logical CPUs."""
    machine.siblings(cpu0="0,2", cpu1="1,3", cpu2="0,2", cpu3="1,3")
    topology = detect_topology(machine.root, affinity={0, 1, 2, 3})
    assert topology == Topology(cores=((0, 2), (1, 3)), quota_cores=None, smt=True)
    assert topology.usable_cores == 2


def test_sibling_ranges(machine: Machine) -> None:
    """The kernel's ranges are understood: `0-1` is both."""
    machine.siblings(cpu0="0-1", cpu1="0-1", cpu2="2-3", cpu3="2-3")
    assert detect_topology(machine.root, affinity={0, 1, 2, 3}).cores == ((0, 1), (2, 3))


def test_affinity_takes_siblings_away(machine: Machine) -> None:
    """A core stays usable while one of its threads is, and there is no SMT if no core has two."""
    machine.siblings(cpu0="0,4", cpu1="1,5", cpu4="0,4", cpu5="1,5")
    topology = detect_topology(machine.root, affinity={1, 4})
    assert topology.cores == ((1,), (4,))
    assert not topology.smt


def test_numbers_sort_as_numbers(machine: Machine) -> None:
    """Core 10 comes after core 9."""
    machine.siblings(**{f"cpu{cpu}": str(cpu) for cpu in range(12)})
    assert detect_topology(machine.root, affinity=set(range(12))).cores[-2:] == ((10,), (11,))


def test_offline_sibling(machine: Machine) -> None:
    """A CPU that is offline is in nobody's affinity and in no core, although its folder is still there."""
    machine.siblings(cpu0="0", cpu1="1-2", cpu2="1-2")
    (machine.root / "sys/devices/system/cpu/cpu3").mkdir()
    assert detect_topology(machine.root, affinity={0, 1, 2}).cores == ((0,), (1, 2))


def test_no_topology_tables(machine: Machine) -> None:
    """Where the kernel tells no topology, each usable CPU counts as a core."""
    assert detect_topology(machine.root, affinity={0, 3}).cores == ((0,), (3,))


def test_without_affinity(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where processes cannot be pinned, psutil counts the cores and none names its CPUs."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr("psutil.cpu_count", lambda logical=True: 8 if logical else 4)
    topology = detect_topology(machine.root)
    assert (topology.cores, topology.smt, topology.usable_cores) == (((),) * 4, True, 4)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this platform has no affinity")
def test_this_machine() -> None:
    """On the real machine the cores are exactly the affinity, sorted into groups."""
    topology = detect_topology()
    assert sorted(cpu for core in topology.cores for cpu in core) == sorted(os.sched_getaffinity(0))
    assert 1 <= topology.usable_cores <= len(topology.cores)


# Control groups


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"a/b": "max 100000", "a": "max 100000"}, None),
        ({"a/b": "150000 100000"}, 1.5),
        ({"a/b": "max 100000", "a": "200000 100000"}, 2.0),
        ({"a/b": "300000 100000", "a": "50000 50000"}, 1.0),
        ({"a/b": "100000 100000", "a": "400000 100000"}, 1.0),
    ],
)
def test_quota_v2(machine: Machine, limits: dict[str, str], expected: float | None) -> None:
    """The smallest `cpu.max` from the process's group up to the mount counts."""
    machine.cgroup_v2("/a/b")
    for group, text in limits.items():
        machine.write(f"sys/fs/cgroup/{group}/cpu.max", text + "\n")
    assert detect_topology(machine.root, affinity={0, 1}).quota_cores == expected


@pytest.mark.parametrize(("inner", "outer", "expected"), [(-1, -1, None), (-1, 250000, 2.5), (100000, 250000, 1.0)])
def test_quota_v1(machine: Machine, inner: int, outer: int, expected: float | None) -> None:
    """The smallest quota over period counts in v1 too, where -1 is none."""
    machine.cgroup_v1("/docker/x")
    for group, quota in (("docker/x", inner), ("docker", outer)):
        machine.write(f"sys/fs/cgroup/cpu,cpuacct/{group}/cpu.cfs_quota_us", f"{quota}\n")
        machine.write(f"sys/fs/cgroup/cpu,cpuacct/{group}/cpu.cfs_period_us", "100000\n")
    assert detect_topology(machine.root, affinity={0, 1, 2, 3}).quota_cores == expected


@pytest.mark.parametrize(
    ("path", "mount_root"),
    [("/docker/x", "/docker/x"), ("/", "/"), ("/../..", "/"), ("/docker/x", "/elsewhere")],
    ids=["host's name, mounted", "own namespace", "above the namespace", "mounted from elsewhere"],
)
def test_quota_in_a_container(machine: Machine, path: str, mount_root: str) -> None:
    """A container's quota is found at the mount, whatever name its group has in /proc."""
    machine.cgroup_v2(path, mount_root=mount_root)
    machine.write("sys/fs/cgroup/cpu.max", "50000 100000\n")
    topology = detect_topology(machine.root, affinity={0, 1})
    assert topology.quota_cores == 0.5
    assert topology.usable_cores == 1


@pytest.mark.parametrize(("quota", "usable"), [(None, 4), (0.5, 1), (2.9, 2), (4.0, 4), (64.0, 4)])
def test_usable_cores(quota: float | None, usable: int) -> None:
    """Usable are the whole cores that affinity and quota both grant, and always one."""
    assert Topology(cores=((0,), (1,), (2,), (3,)), quota_cores=quota).usable_cores == usable


def test_memory_limit_v2(machine: Machine) -> None:
    """The smallest `memory.max` up the hierarchy counts, `max` being none."""
    machine.cgroup_v2("/a/b")
    assert read_memory_limit_bytes(machine.root) is None
    machine.write("sys/fs/cgroup/a/b/memory.max", "max\n")
    assert read_memory_limit_bytes(machine.root) is None
    machine.write("sys/fs/cgroup/a/memory.max", f"{4 * GIB}\n")
    assert read_memory_limit_bytes(machine.root) == 4 * GIB


def test_memory_limit_v1(machine: Machine) -> None:
    """v1's huge number is no limit; a real one above the process's group is."""
    machine.cgroup_v1("/x", mount_root="/")
    machine.write("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "9223372036854771712\n")
    assert read_memory_limit_bytes(machine.root) is None
    machine.write("sys/fs/cgroup/memory/memory.limit_in_bytes", f"{2 * GIB}\n")
    assert read_memory_limit_bytes(machine.root) == 2 * GIB


def test_no_control_groups(machine: Machine) -> None:
    """A system without control groups has no group and no limit."""
    assert find_control_group("cpu", machine.root) is None
    assert read_memory_limit_bytes(machine.root) is None


# The host


def test_host(machine: Machine) -> None:
    """The host names its CPU, limits and versions without importing what it names."""
    machine.write("proc/cpuinfo", "processor\t: 0\nmodel name\t: Imaginary 9000 @ 5 GHz\nflags\t\t: fpu\n")
    machine.cgroup_v2("/")
    machine.write("sys/fs/cgroup/memory.max", f"{GIB}\n")
    gpu = Gpu(index=0, uuid="GPU-0", name="Toy")
    host = detect_host(Topology(cores=((0, 1),), smt=True), (gpu,), root=machine.root)
    assert (host.cpu, host.usable_cores, host.smt) == ("Imaginary 9000 @ 5 GHz", 1, True)
    assert (host.memory_limit_bytes, host.gpus) == (GIB, (gpu,))
    assert host.packages["nvidia-ml-py"].split(".")[0].isdecimal()
    assert host.memory_bytes > 0


def test_host_without_model_name(machine: Machine) -> None:
    """A CPU without `model name`, as on ARM, is called something all the same."""
    machine.write("proc/cpuinfo", "processor\t: 0\nCPU part\t: 0xd0c\n")
    assert detect_host(Topology(cores=((0,),)), (), root=machine.root).cpu


def test_imports_stay_light() -> None:
    """The hardware rooms import neither TensorFlow nor NumPy nor pandas: `--help` and `devices` answer at once."""
    rooms = sorted(path.stem for path in Path(bench.__file__).parent.joinpath("hardware").glob("[!_]*.py"))
    code = (
        "import importlib, sys\n"
        f"for room in {rooms}: importlib.import_module('bench.hardware.' + room)\n"
        "print({'tensorflow', 'keras', 'numpy', 'pandas'} & set(sys.modules))"
    )
    child = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env=child_environment(Device(kind="cpu", threads=1)),
        capture_output=True,
        text=True,
        check=True,
    )
    assert child.stdout.strip() == "set()"


# GPUs


@dataclass
class Board:
    """A GPU as the fake NVML knows it; `missing` names the calls that it does not support."""

    uuid: str
    name: str = "Toy 4000"
    missing: frozenset[str] = frozenset()
    mig: list[Board] | None = None
    lost: bool = False


@dataclass
class FakeNvml:
    """Stands where pynvml meets the driver."""

    boards: list[Board] = field(default_factory=list)
    init_error: int | None = None
    open_count: int = 0

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Replace pynvml's calls for the length of a test."""
        answers: dict[str, Callable[..., Any]] = {
            "nvmlInit": self.init,
            "nvmlShutdown": self.shutdown,
            "nvmlSystemGetDriverVersion": lambda: "570.10",
            "nvmlDeviceGetCount": lambda: len(self.boards),
            "nvmlDeviceGetHandleByIndex": self.handle,
            "nvmlDeviceGetUUID": lambda board: board.uuid,
            "nvmlDeviceGetName": lambda board: board.name,
            "nvmlDeviceGetMemoryInfo": lambda _: SimpleNamespace(total=8 * GIB),
            "nvmlDeviceGetCudaComputeCapability": lambda _: (8, 6),
            "nvmlDeviceGetMigMode": lambda board: (int(board.mig is not None), 0),
            "nvmlDeviceGetMaxMigDeviceCount": lambda _: 7,
            "nvmlDeviceGetMigDeviceHandleByIndex": self.mig_handle,
        }
        for name, answer in answers.items():
            monkeypatch.setattr(pynvml, name, self.checked(name, answer))

    def checked(self, name: str, answer: Callable[..., Any]) -> Callable[..., Any]:
        """Let a call answer "not supported" on the boards that miss it."""

        def call(*arguments: Any) -> Any:
            if arguments and isinstance(arguments[0], Board) and name in arguments[0].missing:
                raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
            return answer(*arguments)

        return call

    def init(self) -> None:
        """Open NVML, or fail as the driver does."""
        if self.init_error is not None:
            raise pynvml.NVMLError(self.init_error)
        self.open_count += 1

    def shutdown(self) -> None:
        """Close NVML."""
        self.open_count -= 1

    def handle(self, index: int) -> Board:
        """A board stands for its own handle."""
        if self.boards[index].lost:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return self.boards[index]

    def mig_handle(self, board: Board, slot: int) -> Board:
        """Of seven slots only the first ones hold an instance."""
        if board.mig is None or slot >= len(board.mig):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return board.mig[slot]


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    """A driver with three GPUs, none of them hidden by the tester's own environment."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    fake = FakeNvml([Board("GPU-aaaa-1"), Board("GPU-aabb-2"), Board("GPU-cccc-3")])
    fake.install(monkeypatch)
    return fake


def test_gpus_are_read(nvml: FakeNvml) -> None:
    """Each GPU has its index, UUID, name, memory, driver and compute capability, and NVML is closed again."""
    survey = detect_gpus()
    assert survey.problem is None
    assert [gpu.uuid for gpu in survey.gpus] == ["GPU-aaaa-1", "GPU-aabb-2", "GPU-cccc-3"]
    assert survey.gpus[1] == Gpu(
        index=1,
        uuid="GPU-aabb-2",
        name="Toy 4000",
        memory_bytes=8 * GIB,
        driver="570.10",
        compute_capability="8.6",
    )
    assert nvml.open_count == 0


def test_unsupported_field_is_none(nvml: FakeNvml) -> None:
    """A call that a GPU does not support empties that field and no other."""
    nvml.boards[0].missing = frozenset({"nvmlDeviceGetMemoryInfo", "nvmlDeviceGetMigMode"})
    gpu = detect_gpus().gpus[0]
    assert gpu.memory_bytes is None
    assert (gpu.name, gpu.compute_capability) == ("Toy 4000", "8.6")


def test_lost_gpu_keeps_its_number(nvml: FakeNvml) -> None:
    """A GPU that has fallen off the bus is left out and the others keep their indices."""
    nvml.boards[0].lost = True
    assert [gpu.index for gpu in detect_gpus().gpus] == [1, 2]


def test_mig_instances_stand_for_their_gpu(nvml: FakeNvml) -> None:
    """A GPU in MIG mode is listed as its instances, because CUDA can use only those."""
    nvml.boards[0].mig = [Board("MIG-1"), Board("MIG-2")]
    assert [gpu.uuid for gpu in detect_gpus().gpus] == ["MIG-1", "MIG-2", "GPU-aabb-2", "GPU-cccc-3"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, "libnvidia-ml.so.1 not found"),
        (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "not loaded"),
        (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "different versions"),
        (pynvml.NVML_ERROR_NO_PERMISSION, "/dev/nvidia"),
        (pynvml.NVML_ERROR_UNKNOWN, "Unknown Error"),
    ],
)
def test_nvml_that_does_not_start(nvml: FakeNvml, error: int, words: str) -> None:
    """When NVML cannot be started there is no GPU and the survey says why."""
    nvml.init_error = error
    survey = detect_gpus()
    assert (survey.gpus, nvml.open_count) == ((), 0)
    assert words in (survey.problem or "")


@pytest.mark.parametrize("boards", [[], [Board("GPU-x", lost=True)], [Board("GPU-x", mig=[])]])
def test_driver_without_gpu(nvml: FakeNvml, boards: list[Board]) -> None:
    """A driver that offers no device is told apart from one that is not there."""
    nvml.boards = boards
    survey = detect_gpus()
    assert survey.gpus == ()
    assert "driver is loaded but offers no GPU" in (survey.problem or "")


@pytest.mark.parametrize("value", ["", "-1", "GPU-none"])
def test_hidden_gpus(nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """When the user's own variable hides every GPU, that is the reason given, with its value."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    survey = detect_gpus()
    assert survey.gpus == ()
    assert f"CUDA_VISIBLE_DEVICES hides them all ({value!r})" in (survey.problem or "")


@pytest.mark.parametrize(
    ("value", "visible"),
    [
        ("0", [0]),
        ("2,0", [0, 2]),
        ("0,2,-1,1", [0, 2]),
        ("7,0", []),
        ("1, 2", [1, 2]),
        ("1,", [1]),
        ("GPU-cccc-3", [2]),
        ("GPU-c,0", [0, 2]),
        ("GPU-aa", []),
        ("GPU-aab", [1]),
        ("nonsense", []),
        ("²", []),
    ],
)
def test_visible_devices(nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch, value: str, visible: list[int]) -> None:
    """Indices, UUIDs and unique beginnings of UUIDs select; an entry that names no GPU hides all that follow."""
    gpus = detect_gpus().gpus
    assert [gpu.index for gpu in select_visible(gpus, value)] == visible
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert [gpu.index for gpu in detect_gpus().gpus] == visible


# A worker's environment


def test_cpu_child_sees_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU cell's process sees no GPU, whatever the user's shell shows."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert child_environment(Device(kind="cpu", threads=2))["CUDA_VISIBLE_DEVICES"] == "-1"


def test_gpu_child_sees_its_gpus() -> None:
    """A GPU cell's process sees its GPUs by UUID, numbered by PCI bus."""
    environment = child_environment(Device(kind="gpu", threads=2, gpu_uuids=("GPU-a", "GPU-b"), gpu_indices=(0, 1)))
    assert environment["CUDA_VISIBLE_DEVICES"] == "GPU-a,GPU-b"
    assert environment["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


def test_child_finds_this_bench(monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder that holds this `bench` comes first on the path and no empty entry (the current folder) is added."""
    parent = str(Path(bench.__file__).parent.parent)
    device = Device(kind="cpu", threads=1)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert child_environment(device)["PYTHONPATH"] == parent
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["/mine", ""]))
    assert child_environment(device)["PYTHONPATH"] == os.pathsep.join([parent, "/mine"])


@pytest.mark.parametrize("users", ["0", "1", None])
def test_child_computes_with_onednn_as_its_cell_says(monkeypatch: pytest.MonkeyPatch, users: str | None) -> None:
    """The user's variable does not count, which is said where it asks for something else."""
    if users is None:
        monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    else:
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", users)
    device = Device(kind="cpu", threads=1)
    assert child_environment(device)["TF_ENABLE_ONEDNN_OPTS"] == "1"
    assert child_environment(device, onednn="off")["TF_ENABLE_ONEDNN_OPTS"] == "0"
    said = overruled_onednn(("on",))
    assert (said is not None) == (users == "0")
    if users is not None:
        assert said is None or said.startswith("TF_ENABLE_ONEDNN_OPTS=0 does not count here: trials run with oneDNN on")
        assert overruled_onednn(("on", "off")) is not None


def test_child_is_not_overridden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that would change threads, compilation or backend are dropped or set; others stay."""
    dropped = {"TF_NUM_INTRAOP_THREADS": "7", "OMP_NUM_THREADS": "7", "TF_XLA_FLAGS": "--tf_xla_auto_jit=2"}
    kept = {"XLA_FLAGS": "--xla_gpu_cuda_data_dir=/opt/cuda", "LD_LIBRARY_PATH": "/opt/cuda/lib"}
    for name, value in {**dropped, **kept, "KERAS_BACKEND": "jax"}.items():
        monkeypatch.setenv(name, value)
    environment = child_environment(Device(kind="cpu", threads=1))
    assert dropped.keys().isdisjoint(environment)
    assert kept.items() <= environment.items()
    assert environment["KERAS_BACKEND"] == "tensorflow"
