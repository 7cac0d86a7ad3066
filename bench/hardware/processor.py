"""The processor of this machine, as the kernel's tables describe it."""

from __future__ import annotations

import platform
import re
import statistics
from pathlib import Path

from bench.hardware.kernel_files import read_cpuinfo, read_number, read_text
from bench.machine import Cache, FrequencyScaling, Processor

# The instructions that TensorFlow's builds and oneDNN's kernels choose between, in the kernel's spelling. The kernel
# lists no amx_fp16 nor avx_vnni_int8, although TensorFlow names them when it starts.
INSTRUCTIONS = (
    *("sse4_1", "sse4_2", "avx", "avx2", "fma", "f16c", "avx_vnni"),
    *("avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512cd", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_tile", "amx_int8", "amx_bf16"),
    *("neon", "asimd", "sve", "sve2", "bf16", "i8mm"),
)

# ARM has no names in /proc/cpuinfo but registered numbers; lscpu's table (util-linux, sys-utils/lscpu-arm.c) has all.
_ARM_VENDORS = {
    "0x41": "ARM",
    "0x46": "Fujitsu",
    "0x48": "HiSilicon",
    "0x4e": "NVIDIA",
    "0x51": "Qualcomm",
    "0x61": "Apple",
    "0xc0": "Ampere",
}
_ARM_CORES = {
    "0xd08": "Cortex-A72",
    "0xd0b": "Cortex-A76",
    "0xd0c": "Neoverse-N1",
    "0xd40": "Neoverse-V1",
    "0xd49": "Neoverse-N2",
    "0xd4f": "Neoverse-V2",
    "0xd84": "Neoverse-V3",
    "0xd8e": "Neoverse-N3",
}


def detect_processor(root: Path = Path("/")) -> Processor:
    """Describe the processor by what stays the same from run to run.

    Args:
        root: Of the file system that holds `proc` and `sys`.
    """
    cpuinfo = read_cpuinfo(root)
    words = {*cpuinfo.get("flags", "").split(), *cpuinfo.get("Features", "").split()}  # x86, ARM
    implementer = cpuinfo.get("CPU implementer", "")
    return Processor(
        model=_model(cpuinfo),
        architecture=platform.machine(),
        vendor=cpuinfo.get("vendor_id") or _ARM_VENDORS.get(implementer, implementer) or None,
        flags=tuple(flag for flag in INSTRUCTIONS if flag in words),
        sockets=_sockets(root),
        numa_nodes=len(list((root / "sys/devices/system/node").glob("node[0-9]*"))) or None,
        smt_active=_switch(root / "sys/devices/system/cpu/smt/active"),
        caches=_caches(root),
        scaling=_scaling(root),
    )


def read_current_mhz(root: Path = Path("/")) -> float | None:
    """The mean clock frequency of all CPUs at this moment; virtual machines tell the nominal one, if any.

    Args:
        root: Of the file system that holds `proc` and `sys`.
    """
    kilohertz = [read_number(path) for path in _per_cpu(root, "cpufreq/scaling_cur_freq")]
    frequencies = [number / 1000 for number in kilohertz if number is not None]
    if not frequencies:
        text = read_text(root / "proc/cpuinfo")
        frequencies = [float(number) for number in re.findall(r"^cpu MHz\s*:\s*(\d+(?:\.\d+)?)", text, re.MULTILINE)]
    return statistics.fmean(frequencies) if frequencies else None


def _model(cpuinfo: dict[str, str]) -> str:
    """The kernel's name for the processor, or the core's on ARM, or what the platform calls it."""
    return cpuinfo.get("model name") or _arm_core(cpuinfo) or platform.processor() or platform.machine() or "unknown"


def _arm_core(cpuinfo: dict[str, str]) -> str:
    """The core's name; its number where ARM's own table has none, or another company designed it."""
    implementer, part = cpuinfo.get("CPU implementer", ""), cpuinfo.get("CPU part", "")
    if implementer == "0x41" and part in _ARM_CORES:
        return _ARM_CORES[part]
    return f"{_ARM_VENDORS.get(implementer, implementer)} part {part}".strip() if part else ""


def _sockets(root: Path) -> int | None:
    """Distinct packages; the kernel's -1 is a package that it does not know."""
    packages = {read_number(path) for path in _per_cpu(root, "topology/physical_package_id")}
    return len(packages - {None}) or None


def _caches(root: Path) -> tuple[Cache, ...]:
    caches = []
    for folder in sorted((root / "sys/devices/system/cpu/cpu0/cache").glob("index[0-9]*")):
        level, kind = read_number(folder / "level"), read_text(folder / "type").lower()
        size = re.fullmatch(r"(\d+)K", read_text(folder / "size"))
        sharers = read_text(folder / "shared_cpu_map").replace(",", "")  # one bit a CPU, in groups of 8 hex digits
        if level is None or not kind:
            continue
        caches.append(
            Cache(
                level=level,
                kind=kind,
                size_bytes=int(size[1]) * 1024 if size else None,
                shared_by_cpus=int(sharers, 16).bit_count() if sharers else None,
            )
        )
    return tuple(caches)


def _scaling(root: Path) -> FrequencyScaling:
    lowest = [read_number(path) for path in _per_cpu(root, "cpufreq/cpuinfo_min_freq")]
    highest = [read_number(path) for path in _per_cpu(root, "cpufreq/cpuinfo_max_freq")]
    governors = {read_text(path) for path in _per_cpu(root, "cpufreq/scaling_governor")}
    return FrequencyScaling(
        driver=read_text(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_driver") or None,
        governor=", ".join(sorted(filter(None, governors))) or None,
        min_mhz=min((number / 1000 for number in lowest if number is not None), default=None),
        max_mhz=max((number / 1000 for number in highest if number is not None), default=None),
        boost=_boost(root),
    )


def _boost(root: Path) -> bool | None:
    """The switch that most drivers share, or intel_pstate's own, which is the other way round."""
    boost = _switch(root / "sys/devices/system/cpu/cpufreq/boost")
    no_turbo = _switch(root / "sys/devices/system/cpu/intel_pstate/no_turbo")
    return boost if no_turbo is None else not no_turbo


def _switch(path: Path) -> bool | None:
    return {"0": False, "1": True}.get(read_text(path))


def _per_cpu(root: Path, file: str) -> list[Path]:
    return list((root / "sys/devices/system/cpu").glob(f"cpu[0-9]*/{file}"))
