"""From facts to one diagnosis: the first cause that fits, from the ground up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.hardware.doctor import driver_causes as driver
from bench.hardware.doctor import machine_causes as machine
from bench.hardware.doctor import notes
from bench.hardware.doctor import operation_causes as operation
from bench.hardware.doctor import software_causes as software
from bench.hardware.doctor.checkup import EXIT_PROBE_FAILED, Checkup, Diagnosis, Facts

if TYPE_CHECKING:
    from collections.abc import Callable

# Each is the reason for what comes after it: without a driver no library matters, without a library no operation.
CAUSES: tuple[Callable[[Facts], Diagnosis | None], ...] = (
    machine.windows,
    machine.macos,
    operation.verified,
    machine.python_version,
    machine.machine_architecture,
    machine.amd_gpu,
    machine.no_hardware,
    machine.container_without_gpu,
    driver.wsl_loader_path,
    driver.no_driver,
    driver.nvml_missing,
    driver.module_not_loaded,
    driver.driver_mismatch,
    driver.driver_permission,
    driver.driver_too_old,
    driver.driver_refuses,
    driver.mig_empty,
    driver.masked,
    driver.container_without_compute,
    driver.driver_failed,
    software.no_tensorflow,
    software.two_tensorflows,
    software.cpu_build,
    software.library_broken,
    software.cudnn_too_old,
    software.wheels_missing,
    software.wheel_versions,
    software.library_missing,
    operation.operation_failed,
    operation.probe_crashed,
    operation.not_listed,
)
NOTES: tuple[Callable[[Facts], Diagnosis | None], ...] = (
    notes.runpath_gap,
    notes.stale_library_path,
    notes.hidden_gpus,
    notes.lost_gpu,
    notes.compiled_from_ptx,
    notes.tools_missing,
)


def diagnose(facts: Facts) -> Checkup:
    """Conclude."""
    concluded = next(filter(None, (cause(facts) for cause in CAUSES)), None)
    diagnosis = concluded or Diagnosis(
        cause="unknown",
        exit_code=EXIT_PROBE_FAILED,
        found="the facts fit no cause that is known",
        cure=("python -m bench doctor --json   (please report what it prints)",),
    )
    noted = tuple(note for note in (look(facts) for look in NOTES) if note and note.cause != diagnosis.cause)
    return Checkup(diagnosis=diagnosis, notes=noted, facts=facts)
