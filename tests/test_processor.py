"""What the processor and its operating system are, and what TensorFlow says of them, read from invented machines."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec
import pytest

from bench.hardware.kernel_files import read_cpuinfo, read_number, read_text
from bench.hardware.operating_system import detect_operating_system
from bench.hardware.processor import detect_processor, read_current_mhz
from bench.hardware.tensorflow_log import OneDnn, onednn_state, unused_instructions
from bench.machine import Cache, FrequencyScaling, OperatingSystem, Processor

if TYPE_CHECKING:
    from pathlib import Path

KIB = 2**10

XEON = (
    "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Imaginary Xeon 9000\ncpu MHz\t\t: 2000.500\n"
    "flags\t\t: fpu amx_tile avx512_vnni fma avx2 avx sse4_1 tsc\n\n"
    "processor\t: 1\nvendor_id\t: GenuineIntel\nmodel name\t: Imaginary Xeon 9000\ncpu MHz\t\t: 3000.500\n"
    "flags\t\t: fpu\n"
)
GUEST = "processor\t: 0\nflags\t\t: fpu avx2 hypervisor\n"
NEOVERSE = (
    "processor\t: 0\nBogoMIPS\t: 2100.00\nFeatures\t: fp asimd sve bf16 i8mm dcpodp\n"
    "CPU implementer\t: 0x41\nCPU part\t: 0xd40\n"
)


def write(root: Path, files: dict[str, str]) -> None:
    """Write files of an invented /proc and /sys, with the newline that the kernel ends them with."""
    for path, text in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")


def write_per_cpu(root: Path, file: str, *values: str) -> None:
    """Write the same file of each CPU in turn."""
    write(root, {f"sys/devices/system/cpu/cpu{cpu}/{file}": value for cpu, value in enumerate(values)})


# The kernel's files


def test_missing_files_are_nothing(tmp_path: Path) -> None:
    """A file that is missing, or is a folder, reads as nothing and raises nothing."""
    assert (read_text(tmp_path / "none"), read_text(tmp_path)) == ("", "")
    assert read_number(tmp_path / "none") is None
    assert read_cpuinfo(tmp_path) == {}


@pytest.mark.parametrize(("text", "number"), [("12", 12), ("<unknown>", None), ("-1", None), ("", None), ("max", None)])
def test_numbers(tmp_path: Path, text: str, number: int | None) -> None:
    """Only a decimal number is a number."""
    write(tmp_path, {"file": text})
    assert read_number(tmp_path / "file") == number


def test_text_of_any_encoding(tmp_path: Path) -> None:
    """Firmware that names its maker in Latin-1 is read all the same."""
    (tmp_path / "vendor").write_bytes("Müller".encode("latin-1"))
    assert read_text(tmp_path / "vendor").startswith("M")


# The processor


def test_x86(tmp_path: Path) -> None:
    """The first CPU's names count, and of its flags those that matter, in an order that is not the kernel's."""
    write(tmp_path, {"proc/cpuinfo": XEON})
    processor = detect_processor(tmp_path)
    assert (processor.model, processor.vendor) == ("Imaginary Xeon 9000", "GenuineIntel")
    assert processor.architecture == platform.machine()
    assert processor.flags == ("sse4_1", "avx", "avx2", "fma", "avx512_vnni", "amx_tile")


@pytest.mark.parametrize(
    ("implementer", "part", "model", "vendor"),
    [
        ("0x41", "0xd40", "Neoverse-V1", "ARM"),
        ("0x41", "0xfff", "ARM part 0xfff", "ARM"),
        ("0x61", "0xd40", "Apple part 0xd40", "Apple"),  # numbers are each company's own
        ("0x99", "0x001", "0x99 part 0x001", "0x99"),
    ],
)
def test_arm(tmp_path: Path, implementer: str, part: str, model: str, vendor: str) -> None:
    """An ARM core is named by its registered numbers, and unknown ones still tell two processors apart."""
    write(tmp_path, {"proc/cpuinfo": NEOVERSE.replace("0x41", implementer).replace("0xd40", part)})
    processor = detect_processor(tmp_path)
    assert (processor.model, processor.vendor) == (model, vendor)
    assert processor.flags == ("asimd", "sve", "bf16", "i8mm")


def test_unknown_processor(tmp_path: Path) -> None:
    """Without the kernel's tables (macOS, sandboxes) the model is the platform's and the rest is empty."""
    processor = detect_processor(tmp_path)
    assert processor.model
    assert processor == Processor(model=processor.model, architecture=platform.machine())
    assert read_current_mhz(tmp_path) is None


def test_sockets_nodes_and_smt(tmp_path: Path) -> None:
    """Packages are counted once each, nodes by their folders alone, and SMT is what the kernel's switch says."""
    write_per_cpu(tmp_path, "topology/physical_package_id", "0", "1", "0", "1")
    write(tmp_path, {f"sys/devices/system/node/{name}": "" for name in ("node0/cpulist", "node1/cpulist", "online")})
    write(tmp_path, {"sys/devices/system/cpu/smt/active": "1"})
    processor = detect_processor(tmp_path)
    assert (processor.sockets, processor.numa_nodes, processor.smt_active) == (2, 2, True)


def test_package_that_the_kernel_does_not_know(tmp_path: Path) -> None:
    """A package number of -1 is no socket."""
    write_per_cpu(tmp_path, "topology/physical_package_id", "-1", "-1")
    assert detect_processor(tmp_path).sockets is None


def test_caches(tmp_path: Path) -> None:
    """Each cache has its size in bytes and the number of CPUs that share it, more than 32 of them too."""
    folder = "sys/devices/system/cpu/cpu0/cache"
    write(tmp_path, {f"{folder}/index0/{name}": text for name, text in (("level", "1"), ("type", "Data"))})
    write(tmp_path, {f"{folder}/index0/size": "32K", f"{folder}/index0/shared_cpu_map": "00000000,00000003"})
    write(tmp_path, {f"{folder}/index1/{name}": text for name, text in (("level", "3"), ("type", "Unified"))})
    write(tmp_path, {f"{folder}/index1/size": "32768K", f"{folder}/index1/shared_cpu_map": "0000ffff,ffffffff"})
    write(tmp_path, {f"{folder}/index2/{name}": text for name, text in (("level", "4"), ("type", "Unified"))})
    write(tmp_path, {f"{folder}/index3/type": "Unified", f"{folder}/uevent": ""})
    assert detect_processor(tmp_path).caches == (
        Cache(level=1, kind="data", size_bytes=32 * KIB, shared_by_cpus=2),
        Cache(level=3, kind="unified", size_bytes=32768 * KIB, shared_by_cpus=48),
        Cache(level=4, kind="unified"),
    )


def test_frequency_scaling(tmp_path: Path) -> None:
    """Of cores of two kinds the lowest and the highest frequency count, and each governor once."""
    write_per_cpu(tmp_path, "cpufreq/cpuinfo_min_freq", "800000", "400000")
    write_per_cpu(tmp_path, "cpufreq/cpuinfo_max_freq", "5200500", "3900000")
    write_per_cpu(tmp_path, "cpufreq/scaling_governor", "powersave", "performance", "powersave")
    write_per_cpu(tmp_path, "cpufreq/scaling_driver", "intel_pstate")
    assert detect_processor(tmp_path).scaling == FrequencyScaling(
        driver="intel_pstate", governor="performance, powersave", min_mhz=400.0, max_mhz=5200.5
    )


@pytest.mark.parametrize(
    ("file", "value", "boost"),
    [
        ("cpufreq/boost", "1", True),
        ("cpufreq/boost", "0", False),
        ("intel_pstate/no_turbo", "1", False),
        ("intel_pstate/no_turbo", "0", True),
        ("intel_pstate/status", "off", None),
    ],
)
def test_boost(tmp_path: Path, file: str, value: str, boost: bool | None) -> None:
    """Boost is on where its switch is on, or where Intel's switch against it is off."""
    write(tmp_path, {f"sys/devices/system/cpu/{file}": value})
    assert detect_processor(tmp_path).scaling.boost is boost


def test_current_frequency(tmp_path: Path) -> None:
    """The mean is over the CPUs that tell; /proc/cpuinfo is asked only if none does."""
    write(tmp_path, {"proc/cpuinfo": XEON})
    assert read_current_mhz(tmp_path) == pytest.approx(2500.5)
    write_per_cpu(tmp_path, "cpufreq/scaling_cur_freq", "1000000", "<unknown>", "2000000")
    assert read_current_mhz(tmp_path) == pytest.approx(1500.0)


def test_this_machine_survives_json() -> None:
    """What is found on the real machine is read back from JSON as it was."""
    for found in (detect_processor(), detect_operating_system()):
        assert msgspec.json.decode(msgspec.json.encode(found), type=type(found)) == found


# The operating system


def test_kernel_settings(tmp_path: Path) -> None:
    """Release, swap space and the huge pages' setting in brackets are read."""
    write(
        tmp_path,
        {
            "proc/sys/kernel/osrelease": "6.1.0-18-amd64",
            "proc/meminfo": "MemTotal: 9 kB\nSwapCached:      1 kB\nSwapTotal:    2048 kB\nSwapFree: 0 kB",
            "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never",
        },
    )
    assert detect_operating_system(tmp_path, environ={}) == OperatingSystem(
        kernel="6.1.0-18-amd64", swap_bytes=2048 * KIB, transparent_hugepages="madvise"
    )


def test_unknown_operating_system(tmp_path: Path) -> None:
    """Without the kernel's tables nothing is known, and nothing is claimed."""
    assert detect_operating_system(tmp_path, environ={}) == OperatingSystem()


@pytest.mark.parametrize(
    ("cpuinfo", "firmware", "clocks", "expected"),
    [
        (GUEST, ("Amazon EC2", "m7i.large"), "kvm-clock tsc", "KVM (Amazon EC2)"),
        (GUEST, ("", ""), "tsc kvm-clock", "KVM"),
        (GUEST, ("QEMU", "Standard PC (Q35 + ICH9, 2009)"), "tsc kvm-clock acpi_pm", "KVM (QEMU)"),
        (GUEST, ("QEMU", "Standard PC (Q35 + ICH9, 2009)"), "tsc acpi_pm", "QEMU"),
        (GUEST, ("VMware, Inc.", "VMware7,1"), "tsc acpi_pm", "VMware"),
        (GUEST, ("innotek GmbH", "VirtualBox"), "tsc", "VirtualBox (innotek GmbH)"),
        (GUEST, ("Microsoft Corporation", "Virtual Machine"), "tsc", "Hyper-V (Microsoft Corporation)"),
        (GUEST, ("Example", "Box"), "tsc", "unknown hypervisor (Example)"),
        (XEON, ("Amazon EC2", "m7i.metal-24xl"), "tsc hpet", None),
        (XEON, ("Dell Inc.", "PowerEdge R740"), "tsc hpet", None),
        (NEOVERSE, ("Amazon EC2", "c7g.large"), "arch_sys_counter", "KVM (Amazon EC2)"),
        (NEOVERSE, ("Amazon EC2", "c7g.metal"), "arch_sys_counter", None),
        (NEOVERSE, ("Microsoft Corporation", "Surface"), "arch_sys_counter", None),
    ],
)
def test_virtualization(
    tmp_path: Path, cpuinfo: str, firmware: tuple[str, str], clocks: str, expected: str | None
) -> None:
    """The hypervisor is named by the guest's clocks, else by the firmware; bare metal has none, a cloud's neither."""
    write(tmp_path, {"proc/cpuinfo": cpuinfo})
    write(tmp_path, {"sys/class/dmi/id/sys_vendor": firmware[0], "sys/class/dmi/id/product_name": firmware[1]})
    write(tmp_path, {"sys/devices/system/clocksource/clocksource0/available_clocksource": clocks})
    assert detect_operating_system(tmp_path, environ={}).virtualization == expected


@pytest.mark.parametrize("release", ["5.15.90.1-microsoft-standard-WSL2", "4.4.0-19041-Microsoft"])
def test_wsl(tmp_path: Path, release: str) -> None:
    """Both versions of WSL are known by their kernel's name."""
    write(tmp_path, {"proc/sys/kernel/osrelease": release, "proc/cpuinfo": GUEST})
    system = detect_operating_system(tmp_path, environ={})
    assert (system.wsl, system.virtualization) == (True, "WSL")


@pytest.mark.parametrize(
    ("files", "environ", "expected"),
    [
        ({"proc/1/cgroup": "0::/init.scope"}, {}, None),
        ({".dockerenv": ""}, {}, "docker"),
        ({"run/.containerenv": 'engine="podman-4"'}, {}, "podman"),
        ({".singularity.d/runscript": ""}, {}, "apptainer"),
        ({"run/systemd/container": "lxc"}, {}, "lxc"),
        ({"run/systemd/container": "wsl"}, {}, None),
        ({"run/systemd/container": "wsl", ".dockerenv": ""}, {}, "docker"),
        ({"proc/1/cgroup": "4:memory:/docker/0a1b\n0::/"}, {}, "docker"),
        ({"proc/1/cgroup": "4:memory:/kubepods/burstable/pod1/docker"}, {}, "kubernetes"),
        ({".dockerenv": ""}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "kubernetes"),
    ],
)
def test_container(tmp_path: Path, files: dict[str, str], environ: dict[str, str], expected: str | None) -> None:
    """A container is known by what its maker leaves in it; Kubernetes is named rather than its runtime."""
    write(tmp_path, files)
    assert detect_operating_system(tmp_path, environ=environ).container == expected


# TensorFlow's log

IMPORTED = "I0000 00:00:1.2   7 cudart_stub.cc:31] Could not find cuda drivers on your machine, GPU will not be used.\n"
ONEDNN_ON = "I0000 00:00:1.1   7 port.cc:153] oneDNN custom operations are on. You may see slightly different results\n"
USED_CPU = (
    "I0000 00:00:1.3   7 cpu_feature_guard.cc:227] This TensorFlow binary is optimized to use available CPU "
    "instructions in performance-critical operations.\nTo enable the following instructions: SSE4.1 AVX512F "
    "AVX_VNNI_INT8 FMA, in other operations, rebuild TensorFlow with the appropriate compiler flags.\n"
)


def test_unused_instructions() -> None:
    """What TensorFlow names is returned as the kernel spells it; nothing is named where it says nothing."""
    assert unused_instructions(IMPORTED + USED_CPU) == ("sse4_1", "avx512f", "avx_vnni_int8", "fma")
    assert unused_instructions(IMPORTED) == ()


@pytest.mark.parametrize(
    ("told", "environ", "expected"),
    [
        (ONEDNN_ON + IMPORTED, {}, OneDnn(enabled=True)),
        (ONEDNN_ON, {"TF_ENABLE_ONEDNN_OPTS": "off"}, OneDnn(enabled=True)),  # a word that TensorFlow does not know
        (ONEDNN_ON, {"TF_ENABLE_ONEDNN_OPTS": "1"}, OneDnn(enabled=True, requested=True)),
        (IMPORTED, {"TF_ENABLE_ONEDNN_OPTS": "1"}, OneDnn(enabled=False, requested=True)),  # a build without oneDNN
        (IMPORTED, {}, OneDnn(enabled=False)),
        ("", {}, OneDnn()),
        ("", {"TF_ENABLE_ONEDNN_OPTS": "False"}, OneDnn(enabled=False, requested=False)),
        (ONEDNN_ON, {"ONEDNN_MAX_CPU_ISA": "AVX2"}, OneDnn(enabled=True, max_cpu_isa="AVX2")),
        ("", {"DNNL_MAX_CPU_ISA": "SSE41"}, OneDnn(max_cpu_isa="SSE41")),
    ],
)
def test_onednn_state(told: str, environ: dict[str, str], expected: OneDnn) -> None:
    """OneDNN is on if TensorFlow says so, off if it is told to or says other things only, else unknown."""
    assert onednn_state(told, environ) == expected


@pytest.mark.tf
@pytest.mark.skipif(sys.platform != "linux", reason="TensorFlow has oneDNN on Linux")
@pytest.mark.parametrize("switch", ["0", "1"])
def test_tensorflow_still_speaks_so(switch: str) -> None:
    """The installed TensorFlow says of oneDNN and of the CPU's instructions what is looked for."""
    environ = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": switch, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "0"}
    code = "import tensorflow as tf; tf.zeros(1)"
    told = subprocess.run(
        [sys.executable, "-P", "-c", code], env=environ, capture_output=True, text=True, errors="replace", check=True
    ).stderr
    assert onednn_state(told, environ).enabled is (switch == "1")
    assert bool(unused_instructions(told)) == ("cpu_feature_guard" in told)
