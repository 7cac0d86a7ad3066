"""What the devices of a run attain at best, measured before its clocks start, or remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.hardware.peak import attainable_peak
from bench.peaks import DevicePeak, Peak

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bench.records import Run, Trial
    from bench.store import RunFolder


def record_peaks(
    folder: RunFolder, run: Run, trials: Iterable[Trial], *, machine: str, announce: Callable[[str], None]
) -> None:
    """Find out what the trials' devices attain at best and write it into the run folder.

    A device whose peak cannot be measured costs its trials the comparison, and nothing else.

    Args:
        folder: The run's.
        run: The run; `run.config.peak` says whether to measure, and whether anew.
        trials: The trials that will run.
        machine: Digest of this machine.
        announce: Is told what is being looked for, before each device.

    Raises:
        StoreError: The folder cannot be written.
    """
    if run.config.peak == "off":
        return
    known = {(found.machine, found.device, found.precision, found.jit): found for found in folder.read_peaks()}
    tried = set()
    for cell in dict.fromkeys(trial.cell for trial in trials):
        place = machine, cell.device.local_label, cell.precision, cell.jit
        if place in tried or (place in known and known[place].is_reliable):
            continue
        tried.add(place)
        announce(f"what {cell.device.local_label} attains at best in {cell.precision}, measured once for each machine")
        found = attainable_peak(
            cell.device,
            precision=cell.precision,
            jit=cell.jit,
            fingerprint=machine,
            refresh=run.config.peak == "refresh",
        )
        peak, problem = (found, None) if isinstance(found, Peak) else (None, found)
        known[place] = DevicePeak(
            machine=machine,
            device=cell.device.local_label,
            precision=cell.precision,
            jit=cell.jit,
            peak=peak,
            problem=problem,
        )
        folder.write_peaks(tuple(known.values()))
