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
    folder: RunFolder, run: Run, trials: Iterable[Trial], *, fingerprint: str, announce: Callable[[str], None]
) -> None:
    """Find out what the trials' devices attain at best and write it into the run folder.

    A device whose peak cannot be measured costs its trials the comparison, and nothing else.

    Args:
        folder: The run's.
        run: The run; `run.config.peak` says whether to measure, and whether anew.
        trials: The trials that will run.
        fingerprint: Of this machine.
        announce: Is told what is being looked for, before each device.

    Raises:
        StoreError: The folder cannot be written.
    """
    if run.config.peak == "off":
        return
    known = {(found.device, found.precision, found.jit): found for found in folder.read_peaks()}
    for cell in dict.fromkeys(trial.cell for trial in trials):
        place = cell.device.label, cell.precision, cell.jit
        if place in known:
            continue
        announce(f"what {cell.device.label} attains at best in {cell.precision}, measured once for each machine")
        found = attainable_peak(
            cell.device,
            precision=cell.precision,
            jit=cell.jit,
            fingerprint=fingerprint,
            refresh=run.config.peak == "refresh",
        )
        peak, problem = (found, None) if isinstance(found, Peak) else (None, found)
        label, precision, jit = place
        known[place] = DevicePeak(device=label, precision=precision, jit=jit, peak=peak, problem=problem)
        folder.write_peaks(tuple(known.values()))
