"""Whether two runs were made on the same machine, and what else differed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bench.machine import Cache, Gpu, Host, Revision

MEMORY_TOLERANCE = 0.03  # kernels and drivers keep different amounts of it for themselves
_GIGA = 1e9
_GIBI = 1 << 30

Facts = dict[str, str | None]  # in words; None is what was not recorded


@dataclass(frozen=True, kw_only=True)
class MachineComparison:
    """Two machines side by side.

    Attributes:
        verdict: Times can be compared on the same machine, and with care on the same hardware.
        differences: Of the hardware and of how much of it may be used, such as `usable cores: 2 against 4`.
        software: Differences of what runs on it and how it is set, likewise; they do not change the verdict.
        not_recorded: Facts of the hardware that one of the runs lacks, and that could be a difference.
    """

    verdict: Literal["same machine", "same hardware", "different"]
    differences: tuple[str, ...]
    software: tuple[str, ...]
    not_recorded: tuple[str, ...] = ()


def compare_hosts(a: Host, b: Host) -> MachineComparison:
    """Compare the machines of two runs.

    Args:
        a: The first run's.
        b: The second one's; `1 against 2` names this one last.

    Returns:
        `same machine` where the hardware is the same and an identifier is: the machine's, its kernel's from start to
        start, or the GPUs'. Without such an identifier, two equal machines are `same hardware`.
    """
    ours, theirs = _hardware(a), _hardware(b)
    differences = (
        *_differences(ours, theirs),
        *_memory_difference("memory", a.memory_bytes, b.memory_bytes),
        *_gpu_differences(a.gpus, b.gpus),
    )
    return MachineComparison(
        verdict="different" if differences else "same machine" if _is_one(a, b) else "same hardware",
        differences=differences,
        software=tuple(_differences(_software(a, b), _software(b, a))),
        not_recorded=tuple(name for name in ours if ours[name] is None or theirs[name] is None),
    )


def fingerprint(host: Host) -> str:
    """A digest of what changes how fast the machine can compute: 16 hexadecimal digits.

    It covers the processor and how its frequency is chosen, the cores that may be used, memory to the gibibyte, the
    GPUs with their driver and power limit, the hypervisor, and the variables that kernels of TensorFlow obey. It leaves
    out what varies without changing speed: identifiers, the kernel's release, free memory, versions of Python packages.
    """
    system = host.operating_system
    gpus = [
        (gpu.name, gpu.memory_bytes, gpu.driver, gpu.compute_capability, gpu.power_limit_watts) for gpu in host.gpus
    ]
    content = (
        (host.cpu, host.physical_cores, host.logical_cpus, host.processor),
        (host.usable_cores, host.smt, host.quota_cores, round(host.memory_bytes / _GIBI)),
        gpus,
        system.virtualization if system else None,
        host.environment,
    )
    return hashlib.sha256(msgspec.json.encode(content, order="sorted")).hexdigest()[:16]


def _is_one(a: Host, b: Host) -> bool:
    gpus_a, gpus_b = ({gpu.uuid for gpu in host.gpus} for host in (a, b))
    return (
        (a.machine_id is not None and a.machine_id == b.machine_id)
        or (a.boot_id is not None and a.boot_id == b.boot_id)
        or (bool(gpus_a) and gpus_a == gpus_b)
    )


def _hardware(host: Host) -> Facts:
    facts: Facts = {
        "processor": host.cpu,
        "physical cores": str(host.physical_cores),
        "logical CPUs": str(host.logical_cpus),
        "usable cores": str(host.usable_cores),
        "sibling threads that may be used": _yes(host.smt),
        "memory limit": "none" if host.memory_limit_bytes is None else _gigabytes(host.memory_limit_bytes),
    }
    names = ("architecture", "instructions", "sockets", "NUMA nodes", "SMT", "caches", "quota of CPU time")
    processor = host.processor
    if processor is None:
        return facts | dict.fromkeys(names)
    values = (
        processor.architecture,
        ", ".join(processor.flags) or None,
        _number(processor.sockets),
        _number(processor.numa_nodes),
        _yes(processor.smt_active),
        ", ".join(map(_cache, processor.caches)) or None,
        "none" if host.quota_cores is None else f"{host.quota_cores:g} cores",
    )
    return facts | dict(zip(names, values, strict=True))


def _software(host: Host, other: Host) -> Facts:
    """What `host` runs; the names depend on what `other` has too, so that what one lacks can be told."""
    facts: Facts = {"system": host.os, "Python": host.python, "CUDA of TensorFlow": host.cuda, "cuDNN": host.cudnn}
    if system := host.operating_system:
        facts |= {
            "virtualization": system.virtualization or "none",
            "container": system.container or "none",
            "swap": None if system.swap_bytes is None else _gigabytes(system.swap_bytes),
            "transparent huge pages": system.transparent_hugepages,
        }
    if host.processor:
        scaling = host.processor.scaling
        facts |= {
            "frequency driver": scaling.driver,
            "frequency governor": scaling.governor,
            "boost": _yes(scaling.boost),
        }
    if host.gpus:
        limits = {f"{gpu.power_limit_watts:g} W" for gpu in host.gpus if gpu.power_limit_watts is not None}
        facts |= {"GPU driver": host.gpus[0].driver, "GPU power limit": ", ".join(sorted(limits)) or None}
    if host.revision:
        facts["project"] = _commit(host.revision)
    # Runs from before processors were recorded have some packages and no variables at all.
    known = host.processor is not None and other.processor is not None
    facts |= _named(host.packages, other.packages, lacking="not installed" if known else None)
    return facts | _named(host.environment, other.environment, lacking="not set" if known else None)


def _named(ours: Mapping[str, str], theirs: Mapping[str, str], *, lacking: str | None) -> Facts:
    return {name: ours.get(name, lacking) for name in sorted({*ours, *theirs})}


def _differences(ours: Facts, theirs: Facts) -> Iterator[str]:
    for name, value in ours.items():
        other = theirs.get(name)
        if value is not None and other is not None and value != other:
            yield f"{name}: {value} against {other}"


def _gpu_differences(ours: Sequence[Gpu], theirs: Sequence[Gpu]) -> Iterator[str]:
    ours, theirs = (sorted(gpus, key=lambda gpu: gpu.name) for gpus in (ours, theirs))
    names_a, names_b = ([gpu.name for gpu in gpus] for gpus in (ours, theirs))
    if names_a != names_b:
        yield f"GPUs: {', '.join(names_a) or 'none'} against {', '.join(names_b) or 'none'}"
        return
    for a, b in zip(ours, theirs, strict=True):
        if a.memory_bytes is not None and b.memory_bytes is not None:
            yield from _memory_difference(f"memory of {a.name}", a.memory_bytes, b.memory_bytes)


def _memory_difference(name: str, a_bytes: int, b_bytes: int) -> Iterator[str]:
    if abs(a_bytes - b_bytes) > MEMORY_TOLERANCE * max(a_bytes, b_bytes):
        yield f"{name}: {_gigabytes(a_bytes)} against {_gigabytes(b_bytes)}"


def _cache(cache: Cache) -> str:
    size = "of unknown size" if cache.size_bytes is None else f"{cache.size_bytes // 1024} KiB"
    shared = f" for {cache.shared_by_cpus} CPUs" if (cache.shared_by_cpus or 1) > 1 else ""
    return f"L{cache.level} {cache.kind} {size}{shared}"


def _commit(revision: Revision) -> str:
    return f"commit {revision.commit[:12]}{' with changes' if revision.dirty else ''}"


def _gigabytes(size_bytes: int) -> str:
    return f"{size_bytes / _GIGA:.2f} GB"


def _number(value: int | None) -> str | None:
    return None if value is None else str(value)


def _yes(value: bool | None) -> str | None:
    return None if value is None else "yes" if value else "no"
