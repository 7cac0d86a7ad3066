"""The examination: a static pass that imports no TensorFlow, then child processes where they can tell more."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from msgspec.structs import replace

from bench.errors import DeviceError, UnusableGpuError
from bench.hardware import child
from bench.hardware.cgroup import read_memory_limit_bytes
from bench.hardware.doctor import software_causes
from bench.hardware.doctor.checkup import EXIT_VERIFIED, Checkup, CpuUse, Facts
from bench.hardware.doctor.diagnose import diagnose
from bench.hardware.doctor.driver import inspect_driver
from bench.hardware.doctor.installation import detect_platform, inspect_installation
from bench.hardware.doctor.probes import list_gpus, probe_libraries, try_gpu
from bench.hardware.gpus import detect_gpus
from bench.hardware.operating_system import detect_operating_system
from bench.hardware.processor import detect_processor
from bench.hardware.tensorflow_log import onednn_state, unused_instructions
from bench.hardware.topology import detect_topology

if TYPE_CHECKING:
    from bench.hardware.doctor.checkup import TensorFlowProbe
    from bench.hardware.gpus import GpuSurvey

# Variables that decide which GPUs and libraries are found.
VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "NVIDIA_DRIVER_CAPABILITIES",
    "NVIDIA_VISIBLE_DEVICES",
    "TF_CPP_MIN_LOG_LEVEL",
    "XLA_FLAGS",
)


def examine(root: Path = Path("/")) -> Checkup:
    """Find out whether TensorFlow uses the GPU, else why not. Takes seconds; never raises for what it finds.

    Args:
        root: Of the file system that holds `proc`, `sys` and `dev`.
    """
    facts = look(root)
    with child.threads(1) as pool:
        # TensorFlow's start takes seconds and tells of the processor too, so it is asked in any case.
        listing = pool.submit(list_gpus) if software_causes.no_tensorflow(facts) is None else None
        if facts.driver.shows_nvidia_card:
            facts = replace(facts, libraries=probe_libraries(facts.installation.libraries))
    listings: list[TensorFlowProbe] = []
    if listing is not None:
        held = {Path(path).name for path in facts.installation.libraries}
        alone, said = listing.result()
        listings.append(alone)
        facts = replace(facts, cpu=_with_tensorflow(facts.cpu, said))
        if held.intersection(alone.missing):
            listings.append(list_gpus(facts.installation.libraries)[0])
    facts = replace(facts, listings=tuple(listings))
    if listings and listings[-1].answer and listings[-1].answer.gpus:
        preloaded = bool(facts.installation.libraries)
        facts = replace(facts, trials=tuple(try_gpu(gpu, preloaded=preloaded) for gpu in facts.driver.gpus))
    return diagnose(facts)


def look(root: Path = Path("/"), *, survey: GpuSurvey | None = None) -> Facts:
    """The static pass: what files, metadata and NVML tell, in a fraction of a second.

    Args:
        root: Of the file system that holds `proc`, `sys` and `dev`.
        survey: What NVML says. Defaults to asking it.
    """
    topology = detect_topology(root)
    return Facts(
        platform=detect_platform(),
        operating_system=detect_operating_system(root),
        installation=inspect_installation(),
        driver=inspect_driver(detect_gpus() if survey is None else survey, root),
        environment={name: os.environ[name] for name in VARIABLES if name in os.environ},
        cpu=CpuUse(
            processor=detect_processor(root),
            physical_cores=len(topology.cores),
            usable_cores=topology.usable_cores,
            siblings=topology.smt,
            quota_cores=topology.quota_cores,
            memory_bytes=psutil.virtual_memory().total,
            memory_limit_bytes=read_memory_limit_bytes(root),
        ),
    )


def explain(error: UnusableGpuError) -> DeviceError:
    """Say why a GPU that was asked for cannot be used, and how to cure it, as `doctor` does.

    Args:
        error: What was asked for and cannot be had.

    Returns:
        The error with the diagnosis and its exit code; as it was if every GPU that is there works.
    """
    diagnosis = examine().diagnosis
    if diagnosis.exit_code == EXIT_VERIFIED:
        return error
    return DeviceError(
        f"{error}\n{diagnosis}\n`python -m bench doctor` shows all that was looked at", exit_code=diagnosis.exit_code
    )


def find_neglected_card(survey: GpuSurvey, root: Path = Path("/")) -> str | None:
    """One line about a card that TensorFlow cannot use, found without starting TensorFlow.

    Args:
        survey: What NVML says.
        root: Of the file system that holds `proc`, `sys` and `dev`.

    Returns:
        The line, or None where there is no card, or where nothing short of an operation tells what is wrong with it. It
        says no more than it can know: TensorFlow may find libraries by ways of its own.
    """
    driver = inspect_driver(survey, root)
    if not driver.shows_nvidia_card and not any(card.vendor == "amd" for card in driver.pci_gpus):
        return None
    facts = look(root, survey=survey)
    if driver.shows_nvidia_card:
        facts = replace(facts, libraries=probe_libraries(facts.installation.libraries))
    diagnosis = diagnose(facts).diagnosis
    if diagnosis.cause in {"unknown", "no-hardware"}:
        return None
    verb = "is not used" if software_causes.is_certain(diagnosis, facts) else "may not be usable"
    return f"this machine's GPU {verb} by TensorFlow: {diagnosis.found}; `python -m bench doctor` has the cure"


def _with_tensorflow(cpu: CpuUse, said: str) -> CpuUse:
    return replace(cpu, unused_instructions=unused_instructions(said), onednn=onednn_state(said, os.environ))
