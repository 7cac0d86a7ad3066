"""What the processor packages use, from the counters that Linux calls RAPL (running average power limit).

A package's counter holds its cores, caches and memory controller, whoever uses them; the memory modules are not part of
it. It counts microjoules up to a limit and then starts again. Format: Documentation/power/powercap/powercap.rst of the
Linux kernel.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.hardware.kernel_files import read_number, read_text
from bench.meter.procfs import HeldFile
from bench.meter.readings import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Linux has the counters of AMD's processors under the same name. Not `intel-rapl-mmio:*`, which repeats them.
_ZONES = "intel-rapl:*"

_ABSENT = (
    "this machine has no RAPL counters: most virtual machines have none; on bare metal, "
    "`sudo modprobe intel_rapl_msr` brings them if the processor has them"
)
_HIDDEN = (
    "the RAPL counters are hidden from this container: `docker run --security-opt systempaths=unconfined` shows them"
)
_FORBIDDEN = (
    "only root may read the RAPL counters since Linux 5.10 (CVE-2020-8694): "
    "`sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj` opens them until the next restart; for good, a line "
    'in /etc/udev/rules.d/70-powercap.rules does: SUBSYSTEM=="powercap", ACTION=="add", KERNEL=="intel-rapl:*", '
    'RUN+="/bin/chmod a+r /sys%p/energy_uj"'
)


class PackageEnergy:
    """Adds up what all processor packages use. Close it after use.

    Args:
        root: Of the file system that holds `sys`.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._counters: list[_Counter] = []
        self._reason = ""
        try:
            for zone in _packages(root):
                self._counters.append(_Counter(zone))
        except PermissionError:
            self._reason = _FORBIDDEN
        except (UnreadableError, OSError) as error:
            self._reason = str(error)

    def read_joules(self) -> float:
        """Energy since the first reading.

        Raises:
            UnreadableError: If some package's counter is not there or not open to this user.
            OSError: If one cannot be read.
        """
        if self._reason:
            raise UnreadableError(self._reason)
        return round(sum(counter.read_microjoules() for counter in self._counters) / 1e6, 6)

    def close(self) -> None:
        """Release the counters."""
        for counter in self._counters:
            counter.close()


class _Counter:
    """One package's, summed up over its restarts."""

    def __init__(self, zone: Path) -> None:
        self._file = HeldFile(zone / "energy_uj")
        self.close = self._file.close
        self._limit = read_number(zone / "max_energy_range_uj")
        self._last: int | None = None
        self._used = 0

    def read_microjoules(self) -> int:
        """Energy since the first reading; a counter takes minutes to start again, so it did at most once meanwhile."""
        now = int(self._file.read())
        last = now if self._last is None else self._last
        if now < last:
            if self._limit is None:
                raise UnreadableError("a RAPL counter started again and does not tell from where")
            self._used += self._limit
        self._used += now - last
        self._last = now
        return self._used


def _packages(root: Path) -> Iterator[Path]:
    """The packages' zones, not what lies in them (cores are counted in them, memory is not), nor the platform's."""
    if not (root / "sys").is_dir():
        raise UnreadableError("only Linux tells what processors use")
    zones = sorted((root / "sys/class/powercap").glob(_ZONES))
    if not zones:
        raise UnreadableError(_ABSENT)
    names = {zone: read_text(zone / "name") for zone in zones}
    packages = [zone for zone, name in names.items() if name.startswith("package")]
    if not packages:
        raise UnreadableError(_ABSENT if any(names.values()) else _HIDDEN)
    yield from packages
