"""What competes with a trial for its CPUs: other processes, the hypervisor, a quota; and how fast these are clocked."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from bench.meter.control_group import CgroupThrottling, CpuPressure
from bench.meter.cpus import CpuFrequency, CpuTimes
from bench.meter.pace import Budget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.meter.readings import Ledger

# Share of one core. The kernel makes all of /proc/stat for each reading, which costs more the more CPUs there are. All
# that is read here but the frequency is a count that grows, so a reading that is left out loses nothing.
CONTENTION_SHARE = 0.0005


class ContentionMeter:
    """Reads what competes for CPUs.

    Args:
        cpus: Logical CPUs that the trial is pinned to; empty leaves all that belongs to CPUs unread.
    """

    def __init__(self, cpus: Sequence[int]) -> None:
        self._budget = Budget(CONTENTION_SHARE)
        self._times = CpuTimes(cpus)
        self._frequency = CpuFrequency(cpus)
        self._throttling = CgroupThrottling()
        self._pressure = CpuPressure()

    def read(self, now_s: float, ledger: Ledger) -> dict[str, Any]:
        """Read once what is due.

        Args:
            now_s: The trial's clock.
            ledger: Books failures under the fields' names.

        Returns:
            Fields of `bench.records.Sample`; those that were not due are not among them.
        """
        values: dict[str, Any] = {
            "frequency_mhz": ledger.take("frequency_mhz", lambda: self._frequency.read_mhz(now_s))
        }
        if self._budget.due(now_s):
            with self._budget.spend(now_s):
                values |= ledger.take_together(("busy_s", "steal_s"), self._times.read)
                values |= ledger.take_together(("throttled_periods", "throttled_s"), self._throttling.read)
                values["cpu_pressure_s"] = ledger.take("cpu_pressure_s", self._pressure.read_s)
                values["parent_cpu_s"] = round(time.process_time(), 4)
        return values

    def close(self) -> None:
        """Release what is held open."""
        for source in (self._times, self._frequency, self._throttling, self._pressure):
            source.close()
