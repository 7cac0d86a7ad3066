"""What the doctor found, for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.cli.tables import table
from bench.report.format import size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from bench.hardware.doctor.checkup import Checkup, CpuUse, Diagnosis, Facts

_WORDS = {
    0: "verified by an operation",
    10: "no hardware",
    11: "unsupported platform",
    12: "driver",
    13: "libraries",
    14: "masked",
    15: "its operation failed",
    16: "a probe failed",
}


def show(checkup: Checkup, terminal: Console) -> None:
    """Print the diagnosis first, then what else should be known, then what was looked at."""
    _show_diagnosis(checkup.diagnosis, terminal, style="green" if checkup.diagnosis.exit_code == 0 else "red")
    for note in checkup.notes:
        _show_diagnosis(note, terminal, style="yellow")
    looked = table("looked at", "found")
    for what, found in _facts(checkup.facts):
        looked.add_row(what, found)
    terminal.print(looked)
    processor = table("CPU", "found")
    for what, found in _cpu(checkup.facts.cpu):
        processor.add_row(what, found)
    terminal.print(processor)
    code = checkup.diagnosis.exit_code
    terminal.print(f"{checkup.diagnosis.cause}; exit code {code}: {_WORDS[code]}", soft_wrap=True)


def _show_diagnosis(diagnosis: Diagnosis, terminal: Console, *, style: str) -> None:
    first, *rest = str(diagnosis).splitlines()
    terminal.print(first, style=style, soft_wrap=True)
    for line in rest:
        terminal.print(line, soft_wrap=True)


def _facts(facts: Facts) -> Iterator[tuple[str, str]]:
    platform, system, driver, installation = facts.platform, facts.operating_system, facts.driver, facts.installation
    yield "platform", f"{platform.system} {platform.machine}, Python {platform.python}"
    yield "surroundings", ", ".join(filter(None, (system.container, system.virtualization))) or "bare metal"
    cards = [
        f"{card.vendor.upper()} at {card.address} ({card.kernel_driver or 'no driver'})" for card in driver.pci_gpus
    ]
    yield "PCI bus", ", ".join(cards) or "no graphics card of NVIDIA or AMD"
    yield "device files", ", ".join(driver.device_files) or "none of /dev/nvidia*, /dev/dxg, /dev/kfd"
    yield "driver", driver.version or driver.module_version or "none"
    yield "NVML", ", ".join(f"gpu:{gpu.index} {gpu.name}" for gpu in driver.gpus) or str(driver.nvml_problem)
    for name, value in facts.environment.items():
        yield name, value or "(empty)"
    yield "TensorFlow", ", ".join(f"{name} {version}" for name, version in installation.distributions.items()) or "none"
    if installation.cuda_build:
        code = ", ".join(installation.native_capabilities)
        yield "its build", f"CUDA {installation.cuda_version}, cuDNN {installation.cudnn_version}, code for {code}"
    elif installation.cuda_build is False:
        yield "its build", "without CUDA"
    held = [wheel for wheel in installation.wheels if wheel.installed]
    wrong = [f"{wheel.distribution} {wheel.installed} (needs {wheel.required})" for wheel in held if not wheel.fits]
    count = f"{len(held)} of {len(installation.wheels)} installed"
    yield "CUDA wheels", f"{count}; not fitting: {', '.join(wrong)}" if wrong else count
    if facts.libraries:
        for library in facts.libraries:
            yield library.soname, library.problem or str(library.path)
    else:
        yield "libraries", "not tried: there is no card to use them"
    for listing in facts.listings:
        gpus = ", ".join(listing.answer.gpus) if listing.answer else ""
        preloaded = ", the wheels' libraries loaded first" if listing.preloaded else ""
        yield "TensorFlow lists", (gpus or listing.problem or "nothing") + preloaded
    for trial in facts.trials:
        yield f"computes on {trial.gpu}", trial.problem or "right"


def _cpu(cpu: CpuUse) -> Iterator[tuple[str, str]]:
    processor = cpu.processor
    yield "processor", f"{processor.model}, {processor.architecture}"
    siblings = "with sibling threads, of which a trial uses one a core" if cpu.siblings else "one thread each"
    yield "cores", f"{cpu.usable_cores} of {cpu.physical_cores} usable, {siblings}"
    if cpu.quota_cores is not None:
        below = ", below the core count" if cpu.quota_cores < cpu.physical_cores else ""
        yield "quota", f"the control group grants {cpu.quota_cores:g} cores of CPU time{below}"
    if processor.numa_nodes and processor.numa_nodes > 1:
        yield "NUMA", f"{processor.numa_nodes} nodes; a trial on all cores reaches across them"
    limit = f", of which the control group grants {size(cpu.memory_limit_bytes)}" if cpu.memory_limit_bytes else ""
    yield "memory", size(cpu.memory_bytes) + limit
    yield "instructions", " ".join(processor.flags) or "unknown"
    if cpu.unused_instructions:
        yield "used in part", " ".join(cpu.unused_instructions) + ": in oneDNN's kernels alone"
    if cpu.onednn is not None:
        yield "oneDNN", _onednn(cpu)


def _onednn(cpu: CpuUse) -> str:
    onednn = cpu.onednn
    if onednn is None or onednn.enabled is None:
        return "unknown"
    limit = f", limited to {onednn.max_cpu_isa} (ONEDNN_MAX_CPU_ISA)" if onednn.max_cpu_isa else ""
    if onednn.enabled:
        return f"on{limit}"
    if onednn.requested is False:
        return "off (TF_ENABLE_ONEDNN_OPTS=0; unset it)"
    return "off: TensorFlow turns it on for newer processors; TF_ENABLE_ONEDNN_OPTS=1 does so for this one"
