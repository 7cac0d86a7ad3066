"""The NVIDIA GPUs of this machine, as NVML names them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import pynvml

from bench.machine import Gpu

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_T = TypeVar("_T")

_NVML_PROBLEMS = {
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: (
        "the NVIDIA management library cannot be loaded (libnvidia-ml.so.1 not found): "
        "no NVIDIA driver on this machine, or not in this container"
    ),
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: (
        "the NVIDIA driver is installed but not loaded: load its kernel module (`modprobe nvidia`) or restart"
    ),
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: (
        "the loaded NVIDIA driver and its libraries are of different versions: restart after the driver's update"
    ),
    pynvml.NVML_ERROR_NO_PERMISSION: "this user may not open the NVIDIA driver's device files (/dev/nvidia*)",
}


@dataclass(frozen=True, kw_only=True)
class GpuSurvey:
    """The GPUs that a process of this user may use.

    Attributes:
        gpus: In PCI bus order; a GPU in MIG mode is listed as its instances.
        problem: Why there are none, in words; None if there are some.
        hidden: GPUs that `CUDA_VISIBLE_DEVICES` hides.
        boards: How many NVML counts, those included that offer nothing to run on.
        nvml_error: The code with which NVML refused to start; None if it did start.
        driver: Version of the driver.
    """

    gpus: tuple[Gpu, ...]
    problem: str | None = None
    hidden: tuple[Gpu, ...] = ()
    boards: int = 0
    nvml_error: int | None = None
    driver: str | None = None


def detect_gpus() -> GpuSurvey:
    """Ask NVML for the GPUs and keep those that `CUDA_VISIBLE_DEVICES` leaves visible. Never raises."""
    try:
        pynvml.nvmlInit()
        try:
            driver = _try(pynvml.nvmlSystemGetDriverVersion)
            boards = pynvml.nvmlDeviceGetCount()
            gpus = tuple(_list_gpus(boards, driver=driver, cuda=_newest_cuda()))
        finally:
            _try(pynvml.nvmlShutdown)
    except pynvml.NVMLError as error:
        problem = _NVML_PROBLEMS.get(error.value, f"the NVIDIA management library answers: {error}")
        return GpuSurvey(gpus=(), problem=problem, nvml_error=error.value)
    if not gpus:
        problem = "the NVIDIA driver is loaded but offers no GPU (none there, lost, or MIG without instances)"
        return GpuSurvey(gpus=(), problem=problem, boards=boards, driver=driver)
    value = os.environ.get("CUDA_VISIBLE_DEVICES")
    visible = gpus if value is None else select_visible(gpus, value)
    return GpuSurvey(
        gpus=visible,
        problem=None
        if visible
        else f"CUDA_VISIBLE_DEVICES hides them all ({value!r}): {describe(gpus)}; unset it to use them",
        hidden=tuple(gpu for gpu in gpus if gpu not in visible),
        boards=boards,
        driver=driver,
    )


def read_free_memory_bytes(uuid: str) -> int | None:
    """Memory of a GPU that nobody uses now; None if NVML does not tell. Never raises."""
    try:
        pynvml.nvmlInit()
        try:
            return int(pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByUUID(uuid)).free)
        finally:
            _try(pynvml.nvmlShutdown)
    except pynvml.NVMLError:
        return None


def select_visible(gpus: Sequence[Gpu], value: str) -> tuple[Gpu, ...]:
    """Keep the GPUs that CUDA would show for a value of `CUDA_VISIBLE_DEVICES`, in their own order.

    An entry is an index in PCI bus order (`CUDA_DEVICE_ORDER=PCI_BUS_ID`, which every worker gets), a UUID, or the
    beginning of one that fits a single GPU. An entry that names no GPU hides itself and all that follow (CUDA
    Programming Guide, CUDA environment variables).
    """
    visible: set[str] = set()
    for entry in (part.strip() for part in value.split(",")):
        named = [gpu.uuid for gpu in gpus if _names(entry, gpu)]
        if len(named) != 1:
            break
        visible.update(named)
    return tuple(gpu for gpu in gpus if gpu.uuid in visible)


def _names(entry: str, gpu: Gpu) -> bool:
    if entry.startswith(("GPU-", "MIG-")):
        return gpu.uuid.startswith(entry)
    return entry == str(gpu.index)


def describe(gpus: Sequence[Gpu]) -> str:
    """Index and name of each GPU, for a sentence."""
    return ", ".join(f"gpu:{gpu.index} ({gpu.name})" for gpu in gpus)


def _list_gpus(boards: int, *, driver: str | None, cuda: str | None) -> Iterator[Gpu]:
    """What CUDA can run on, numbered in PCI bus order, which is NVML's own; lost GPUs keep their number."""
    index = 0
    for number in range(boards):
        board = _try(pynvml.nvmlDeviceGetHandleByIndex, number)
        for handle in [None] if board is None else _mig_instances(board):
            uuid = None if handle is None else _try(pynvml.nvmlDeviceGetUUID, handle)
            if uuid is not None:
                yield _read_gpu(handle, index=index, uuid=uuid, driver=driver, cuda=cuda)
            index += 1


def _mig_instances(board: object) -> list[object]:
    """The handles of a GPU's MIG instances, or its own if it is not split."""
    mode = _try(pynvml.nvmlDeviceGetMigMode, board)
    if mode is None or mode[0] != pynvml.NVML_DEVICE_MIG_ENABLE:
        return [board]
    slots = range(_try(pynvml.nvmlDeviceGetMaxMigDeviceCount, board) or 0)
    instances = [_try(pynvml.nvmlDeviceGetMigDeviceHandleByIndex, board, slot) for slot in slots]
    return [instance for instance in instances if instance is not None]


def _newest_cuda() -> str | None:
    """What the driver serves, such as 12.8, which NVML writes as 12080."""
    version = _try(pynvml.nvmlSystemGetCudaDriverVersion_v2)
    return None if version is None else f"{version // 1000}.{version % 1000 // 10}"


def _read_gpu(handle: object, *, index: int, uuid: str, driver: str | None, cuda: str | None) -> Gpu:
    limit_milliwatts = _try(pynvml.nvmlDeviceGetPowerManagementLimit, handle)
    memory = _try(pynvml.nvmlDeviceGetMemoryInfo, handle)
    capability = _try(pynvml.nvmlDeviceGetCudaComputeCapability, handle)
    return Gpu(
        index=index,
        uuid=uuid,
        name=_try(pynvml.nvmlDeviceGetName, handle) or "unnamed NVIDIA GPU",
        memory_bytes=None if memory is None else int(memory.total),
        driver=driver,
        compute_capability=None if capability is None else f"{capability[0]}.{capability[1]}",
        cuda=cuda,
        power_limit_watts=None if limit_milliwatts is None else limit_milliwatts / 1e3,
    )


def _try(call: Callable[..., _T], *arguments: object) -> _T | None:
    """The answer, or None where this driver or GPU does not give one; no other answer suffers."""
    try:
        return call(*arguments)
    except pynvml.NVMLError:
        return None
