"""The trial's GPUs, through NVML.

Utilization is the share of time in which any kernel ran, over the driver's window of 1/6 to 1 s: not occupancy. Memory
is that of all processes. Energy counts from the driver's start: what a trial used is a difference of two readings, and
better than a sum over power, whose sensor sees a quarter of the time on A100 and H100 (arXiv 2312.02741).
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import pynvml

from bench.meter.pace import Budget
from bench.meter.readings import NotNowError, UnreadableError
from bench.records import GpuSample

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from bench.meter.readings import Ledger

_T = TypeVar("_T")

# Share of one core for all GPUs together: what NVML's calls cost differs between drivers.
NVML_SHARE = 0.003
PROCESSES_SHARE = 0.0005  # likewise, for the lists of processes, which no sum or mean needs often


class GpuMeter:
    """Reads GPUs and MIG instances by UUID. Without a UUID, NVML is never touched."""

    def __init__(self, uuids: Sequence[str]) -> None:
        self._uuids = tuple(uuids)
        self._budget = Budget(NVML_SHARE)
        self._processes_budget = Budget(PROCESSES_SHARE)
        self._is_running = False
        self._failure: str | None = None
        self._handles: dict[str, object] = {}
        if uuids:
            self._start()

    def read(self, now_s: float, ledger: Ledger, *, own_pids: Collection[int]) -> tuple[GpuSample, ...]:
        """Read each GPU once.

        Args:
            now_s: The trial's clock.
            own_pids: The trial's processes.
            ledger: Books failures, under the metric's place in a sample, such as `gpus[0].power_watts`.

        Returns:
            The GPUs in the order of their UUIDs; none if their budget is used up.
        """
        if not self._uuids or not self._budget.due(now_s):
            return ()
        with self._budget.spend(now_s):
            samples = [self._read_gpu(index, ledger) for index in range(len(self._uuids))]
        if self._processes_budget.due(now_s):
            with self._processes_budget.spend(now_s):
                samples = [
                    msgspec.structs.replace(sample, foreign_processes=self._count_foreign(index, own_pids, ledger))
                    for index, sample in enumerate(samples)
                ]
        return tuple(samples)

    def close(self) -> None:
        """Shut NVML down, if it was started."""
        if self._is_running:
            self._is_running = False
            with suppress(pynvml.NVMLError):  # its driver may be gone
                pynvml.nvmlShutdown()

    def _start(self) -> None:
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            self._failure = f"NVML did not start: {error}"
        else:
            self._is_running = True

    def _read_gpu(self, index: int, ledger: Ledger) -> GpuSample:
        uuid = self._uuids[index]
        values: dict[str, Any] = {
            metric: ledger.take(f"gpus[{index}].{metric}", partial(self._try, uuid, read))
            for metric, read in _METRICS.items()
        }
        return GpuSample(uuid=uuid, **values)

    def _count_foreign(self, index: int, own_pids: Collection[int], ledger: Ledger) -> int | None:
        read = partial(_count_foreign_processes, own_pids=own_pids)
        return ledger.take(f"gpus[{index}].foreign_processes", partial(self._try, self._uuids[index], read))

    def _try(self, uuid: str, read: Callable[[object], _T]) -> _T:
        if self._failure is not None:
            raise UnreadableError(self._failure)
        try:
            if uuid not in self._handles:
                self._handles[uuid] = pynvml.nvmlDeviceGetHandleByUUID(uuid)
            return read(self._handles[uuid])
        except (pynvml.NVMLError, AttributeError) as error:  # AttributeError: bindings without the function
            raise UnreadableError(f"NVML: {error}") from error


def _newest(*calls: Callable[[], _T]) -> _T:
    """The answer of the first call that both the driver and the bindings have: names change with CUDA's versions."""
    *newer, oldest = calls
    for call in newer:
        with suppress(pynvml.NVMLError_FunctionNotFound, AttributeError):
            return call()
    return oldest()


def _memory_used_bytes(gpu: object) -> int:
    """Version 1 of the call counts the driver's own reserve as used; version 2 does not."""
    memory = _newest(
        lambda: pynvml.nvmlDeviceGetMemoryInfo(gpu, version=pynvml.nvmlMemory_v2),
        lambda: pynvml.nvmlDeviceGetMemoryInfo(gpu),
    )
    return int(memory.used)


def _temperature_celsius(gpu: object) -> float:
    return float(
        _newest(
            lambda: pynvml.nvmlDeviceGetTemperatureV(gpu, pynvml.NVML_TEMPERATURE_GPU),
            lambda: pynvml.nvmlDeviceGetTemperature(gpu, pynvml.NVML_TEMPERATURE_GPU),
        )
    )


def _clock_event_reasons(gpu: object) -> int:
    """Bits of `nvmlClocksEventReasons`: 0x1 idle (no throttling), 0x4 power cap, 0x20 and 0x40 heat, 0x8 hardware."""
    return int(
        _newest(
            lambda: pynvml.nvmlDeviceGetCurrentClocksEventReasons(gpu),
            lambda: pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu),
        )
    )


def _count_foreign_processes(gpu: object, *, own_pids: Collection[int]) -> int:
    """Only beside the trial's own: in a container NVML may tell the host's process ids, and all would look foreign."""
    pids = {process.pid for process in pynvml.nvmlDeviceGetComputeRunningProcesses(gpu)}
    if pids.isdisjoint(own_pids):
        raise NotNowError("NVML: the trial's process is not among those that it sees on this GPU")
    return len(pids.difference(own_pids))


# NVML counts power in milliwatts and energy in millijoules.
_METRICS: dict[str, Callable[[object], float]] = {
    "utilization_percent": lambda gpu: float(pynvml.nvmlDeviceGetUtilizationRates(gpu).gpu),
    "memory_used_bytes": _memory_used_bytes,
    "power_watts": lambda gpu: pynvml.nvmlDeviceGetPowerUsage(gpu) / 1e3,
    "energy_joules": lambda gpu: pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu) / 1e3,
    "temperature_celsius": _temperature_celsius,
    "sm_clock_mhz": lambda gpu: float(pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_SM)),
    "memory_clock_mhz": lambda gpu: float(pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_MEM)),
    "clock_event_reasons": _clock_event_reasons,
}
