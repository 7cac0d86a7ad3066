"""`--device`: the grammar, what it means on invented machines, and what is said when it cannot be had."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import BenchError, DeviceError, UsageError
from bench.hardware.devices import GRAMMAR, Choice, default_requests, resolve
from bench.hardware.gpus import GpuSurvey
from bench.hardware.topology import Topology
from bench.records import Device, Gpu

SMT4 = Topology(cores=((0, 4), (1, 5), (2, 6), (3, 7)), smt=True)
NO_GPU = GpuSurvey(gpus=(), problem="no NVIDIA driver on this machine")
TWO_GPUS = GpuSurvey(
    gpus=(Gpu(index=0, uuid="GPU-a", name="Toy 4000"), Gpu(index=1, uuid="GPU-b", name="Toy 4000")),
)


def works(gpu: Gpu) -> None:
    """Every GPU works."""


def fails_on_b(gpu: Gpu) -> str | None:
    """The second GPU does not."""
    return "TensorFlow lists no GPU" if gpu.uuid == "GPU-b" else None


def labels(*requests: str, topology: Topology = SMT4, survey: GpuSurvey = TWO_GPUS) -> list[str]:
    """The labels of the devices that are found when every GPU works."""
    return [choice.device.label for choice in resolve(requests, topology=topology, survey=survey, verify=works)]


@pytest.mark.parametrize(
    ("requests", "expected"),
    [
        (["cpu"], ["cpu:4"]),
        (["cpu:1"], ["cpu:1"]),
        (["gpu"], ["gpu:0", "gpu:1"]),
        (["gpu:1"], ["gpu:1"]),
        (["gpu:0+1"], ["gpu:0+1"]),
        (["all"], ["cpu:4", "gpu:0", "gpu:1"]),
        (["cpu:2,gpu:1", "cpu:1"], ["cpu:2", "gpu:1", "cpu:1"]),
        ([" cpu:2 , cpu "], ["cpu:2", "cpu:4"]),
        (["cpu:scan"], ["cpu:1", "cpu:2", "cpu:4", "cpu:8smt"]),
        (["cpu:smt,cpu:1"], ["cpu:8smt", "cpu:1"]),
        ([], []),
    ],
)
def test_grammar(requests: list[str], expected: list[str]) -> None:
    """Every word of the grammar gives its devices, in the order in which they were asked for."""
    assert labels(*requests) == expected


@pytest.mark.parametrize(
    ("requests", "expected"),
    [
        (["cpu:4", "cpu"], ["cpu:4"]),
        (["gpu", "gpu:1"], ["gpu:0", "gpu:1"]),
        (["gpu:1+0", "gpu:0+1"], ["gpu:0+1"]),
        (["all,all"], ["cpu:4", "gpu:0", "gpu:1"]),
        (["cpu:scan,cpu:smt", "cpu,cpu:2"], ["cpu:1", "cpu:2", "cpu:4", "cpu:8smt"]),
    ],
)
def test_duplicates_count_once(requests: list[str], expected: list[str]) -> None:
    """A device that is asked for in two ways is one device."""
    assert labels(*requests) == expected


@pytest.mark.parametrize(
    "word",
    [
        *("", "cpu,", "tpu", "CPU", "cpu 2", "cpu:", "cpu:0", "cpu:-1", "cpu:two", "cpu:1+2", "cpu:1.5"),
        *("cpu:scan:2", "cpu:smt:1", "cpu:2smt", "cpu:scan+smt", "gpu:scan", "smt"),
        *("gpu:", "gpu:0+", "gpu:0+0", "gpu:²", "all:1", "cpu:" + "9" * 5000),
    ],
)
def test_nonsense_is_a_usage_error(word: str) -> None:
    """What is no word of the grammar is refused with the grammar."""
    with pytest.raises(UsageError) as caught:
        labels(word)
    assert GRAMMAR in str(caught.value)
    assert caught.value.exit_code == 2


@given(
    st.text(alphabet="cpugal:+,0123456789 ", max_size=12)
    | st.lists(st.sampled_from(["cpu", "gpu", "all", ":", "scan", "smt", ",", "1"]), max_size=6).map("".join)
)
def test_any_word_is_answered(word: str) -> None:
    """Whatever is typed, there are devices or an error that is meant for the user."""
    try:
        choices = resolve([word], topology=SMT4, survey=TWO_GPUS, verify=works)
    except BenchError as error:
        assert "--device" in str(error)  # noqa: PT017 -- an error is one of two right outcomes
    else:
        assert choices
        assert len({choice.device for choice in choices}) == len(choices)


def test_one_logical_cpu_a_core() -> None:
    """`cpu:N` pins to the first logical CPU of the first N cores, so that no two threads share a core."""
    (choice,) = resolve(["cpu:3"], topology=SMT4, survey=NO_GPU, verify=works)
    assert choice == Choice(device=Device(kind="cpu", threads=3, cpus=(0, 1, 2)), problem=None)


def test_no_pinning() -> None:
    """Where processes cannot be pinned, a CPU device names no logical CPUs."""
    (choice,) = resolve(["cpu"], topology=Topology(cores=((), ())), survey=NO_GPU, verify=works)
    assert choice.device == Device(kind="cpu", threads=2, cpus=())


@given(
    cores=st.integers(1, 130), siblings=st.integers(1, 2), quota_cores=st.none() | st.floats(0.1, 300, allow_nan=False)
)
def test_a_scan_doubles_up_to_all_cores(cores: int, siblings: int, quota_cores: float | None) -> None:
    """A scan starts at one core, at most doubles, reaches all usable cores, and may end with their siblings."""
    topology = Topology(
        cores=tuple(tuple(range(core, siblings * cores, cores)) for core in range(cores)),
        quota_cores=quota_cores,
        smt=siblings > 1,
    )
    found = [choice.device for choice in resolve(["cpu:scan"], topology=topology, survey=NO_GPU, verify=works)]
    alone = [device.threads for device in found if not device.siblings]
    assert (alone[0], alone[-1]) == (1, topology.usable_cores)
    assert all(fewer < more <= 2 * fewer for fewer, more in itertools.pairwise(alone))
    assert [device.siblings for device in found[len(alone) :]] in ([], [True])
    assert all(len(device.cpus) == device.threads <= max(1, quota_cores or 300) for device in found)


def test_siblings_of_a_core_are_used_together() -> None:
    """`cpu:smt` pins to all logical CPUs of each core, a thread each, and says so in its record and label."""
    (choice,) = resolve(["cpu:smt"], topology=SMT4, survey=NO_GPU, verify=works)
    assert choice.device == Device(kind="cpu", threads=8, cpus=(0, 4, 1, 5, 2, 6, 3, 7), siblings=True)
    assert choice.device.label == "cpu:8smt"


@pytest.mark.parametrize(
    ("topology", "reason"),
    [
        (Topology(cores=((0,), (1,))), "no core that this process may use has a sibling thread"),
        (Topology(cores=((), ()), smt=True), "processes cannot be pinned to sibling threads"),
        (
            Topology(cores=SMT4.cores, quota_cores=6.0, smt=True),
            r"4 physical cores with siblings are 8 threads, and the control group grants 6 of CPU time",
        ),
    ],
    ids=["none", "no pinning", "quota"],
)
def test_no_siblings_to_be_had(topology: Topology, reason: str) -> None:
    """Where siblings cannot be used, `cpu:smt` says why and what to ask for, and a scan goes without them."""
    with pytest.raises(DeviceError, match=rf"--device cpu:smt: {reason}.*; ask for cpu, one thread on each core"):
        labels("cpu:smt", topology=topology)
    usable = topology.usable_cores
    assert labels("cpu:scan", topology=topology)[-1] == f"cpu:{usable}"


def test_more_cores_than_there_are() -> None:
    """Asking for more cores than there are is an error that says how many there are."""
    with pytest.raises(DeviceError, match=r"cpu:5.* 4 physical cores; ask for cpu:4 or less") as caught:
        labels("cpu:5")
    assert caught.value.exit_code == 10


def test_quota_is_named_as_the_cause() -> None:
    """When the control group's quota is what limits, the error says so, and `cpu` keeps to it."""
    limited = Topology(cores=SMT4.cores, quota_cores=2.5)
    with pytest.raises(DeviceError, match=r"2 physical cores \(it has 4 physical cores, .* grants 2\.5 of CPU time"):
        labels("cpu:3", topology=limited)
    assert labels("cpu", topology=limited) == ["cpu:2"]


def test_gpu_device() -> None:
    """A GPU's device names its UUID and index, and all usable cores feed it."""
    (choice,) = resolve(["gpu:1"], topology=SMT4, survey=TWO_GPUS, verify=works)
    assert choice.device == Device(kind="gpu", threads=4, cpus=(0, 1, 2, 3), gpu_uuids=("GPU-b",), gpu_indices=(1,))


@pytest.mark.parametrize("word", ["gpu", "gpu:0", "gpu:0+1"])
def test_no_gpu_is_an_error(word: str) -> None:
    """A GPU that was asked for by name and is not there ends the run with the reason; the CPU never stands in."""
    with pytest.raises(DeviceError, match="no NVIDIA driver on this machine") as caught:
        labels("cpu", word, survey=NO_GPU)
    assert caught.value.exit_code == 10
    assert "python -m bench devices" in str(caught.value)


def test_missing_index() -> None:
    """An index that no visible GPU has is an error that lists the visible ones."""
    with pytest.raises(DeviceError, match=r"no gpu:2 among the visible GPUs, gpu:0 \(Toy 4000\), gpu:1"):
        labels("gpu:0+2")


def test_gpu_that_does_not_work() -> None:
    """A GPU that TensorFlow cannot use is an error with TensorFlow's reason, also as a part of several."""
    for word in ("gpu", "gpu:1", "gpu:0+1"):
        with pytest.raises(DeviceError, match=r"gpu:1 \(Toy 4000\): TensorFlow lists no GPU"):
            resolve([word], topology=SMT4, survey=TWO_GPUS, verify=fails_on_b)


def test_all_keeps_what_does_not_work_as_a_row() -> None:
    """`all` goes on without a GPU that does not work and carries its reason."""
    choices = resolve(["all"], topology=SMT4, survey=TWO_GPUS, verify=fails_on_b)
    assert [(choice.device.label, choice.problem is None) for choice in choices] == [
        ("cpu:4", True),
        ("gpu:0", True),
        ("gpu:1", False),
    ]
    assert choices[2].device.gpu_uuids == ("GPU-b",)


def test_all_without_any_gpu() -> None:
    """`all` on a machine without GPU still has a GPU row, which says why it is empty."""
    _, gpu = resolve(["all"], topology=SMT4, survey=NO_GPU, verify=works)
    assert (gpu.device.kind, gpu.device.label, gpu.device.gpu_uuids) == ("gpu", "gpu", ())
    assert gpu.problem == NO_GPU.problem


def test_lenient() -> None:
    """What a preset asks for by itself may lack its GPU: it becomes a row with the reason, not an error."""
    choices = resolve(["gpu"], topology=SMT4, survey=TWO_GPUS, verify=fails_on_b, lenient=True)
    assert [choice.problem is None for choice in choices] == [True, False]


def test_naming_a_gpu_beside_all_is_strict() -> None:
    """`all` does not excuse a GPU that was asked for by name."""
    with pytest.raises(DeviceError, match="gpu:1"):
        resolve(["all,gpu:1"], topology=SMT4, survey=TWO_GPUS, verify=fails_on_b)


def test_each_gpu_is_verified_once() -> None:
    """The probe takes seconds, so it runs once a GPU, however often that is named."""
    seen = []

    def count(gpu: Gpu) -> None:
        seen.append(gpu.uuid)

    resolve(["gpu,all,gpu:0+1"], topology=SMT4, survey=TWO_GPUS, verify=count)
    assert seen == ["GPU-a", "GPU-b"]


def test_cpu_requests_verify_nothing() -> None:
    """CPU devices wait for no GPU probe."""

    def refuse(gpu: Gpu) -> str:
        raise AssertionError(gpu)

    assert resolve(["cpu,cpu:1"], topology=SMT4, survey=TWO_GPUS, verify=refuse)


def test_defaults() -> None:
    """Presets run on one core, on all cores, and on the GPUs if any are visible; on one core only once."""
    assert default_requests(SMT4, TWO_GPUS) == ("cpu:1", "cpu", "gpu")
    assert default_requests(SMT4, NO_GPU) == ("cpu:1", "cpu")
    assert default_requests(Topology(cores=((0,),)), NO_GPU) == ("cpu:1",)
