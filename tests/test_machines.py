"""Whether two runs were made on the same machine: what counts, what does not, and what was never recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from bench.analysis.frame import frames
from bench.analysis.machines import MachineComparison, compare_hosts, fingerprint
from bench.machine import Cache, FrequencyScaling, Gpu, Host, OperatingSystem, Processor, Revision
from bench.report.markdown import markdown
from bench.report.summary import summarize
from bench.store import read_run
from records_for_tests import HOST, ok_trial, run_data, trial

FOUNDING = (Path(__file__).parent.parent / "reports" / "reference").glob("cifar100-m*/run.json")
REFERENCE = sorted(FOUNDING)

PROCESSOR = Processor(
    model="Example CPU",
    architecture="x86_64",
    flags=("avx2", "avx512f"),
    sockets=1,
    numa_nodes=1,
    smt_active=True,
    caches=(Cache(level=1, kind="data", size_bytes=32768, shared_by_cpus=2),),
    scaling=FrequencyScaling(driver="acpi-cpufreq", governor="performance", boost=True),
)
SYSTEM = OperatingSystem(kernel="6.1.0", swap_bytes=0, transparent_hugepages="madvise")
GPU = Gpu(
    index=0, uuid="GPU-1", name="Example GPU", memory_bytes=8_000_000_000, driver="570.1", power_limit_watts=300.0
)
KNOWN = replace(
    HOST, processor=PROCESSOR, operating_system=SYSTEM, machine_id="m", boot_id="b", revision=Revision(commit="a" * 40)
)


def changed(host: Host, **changes: Any) -> Host:
    """The host with fields replaced, those of its processor and its operating system too."""
    for part in ("processor", "operating_system"):
        if isinstance(changes.get(part), dict):
            changes[part] = replace(getattr(host, part), **changes[part])
    return replace(host, **changes)


def test_a_machine_is_the_same_as_itself() -> None:
    """Nothing differs, nothing is missing, and the machine is known to be one."""
    assert compare_hosts(KNOWN, KNOWN) == MachineComparison(verdict="same machine", differences=(), software=())


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict"),
    [
        ({}, {"boot_id": "later"}, "same machine"),
        ({"machine_id": None}, {"machine_id": None}, "same machine"),
        ({"machine_id": None}, {"machine_id": None, "boot_id": "other"}, "same hardware"),
        ({"machine_id": None, "boot_id": None}, {"machine_id": None, "boot_id": None}, "same hardware"),
        ({}, {"machine_id": "other", "boot_id": "other"}, "same hardware"),
    ],
)
def test_one_identifier_is_enough(ours: dict[str, Any], theirs: dict[str, Any], verdict: str) -> None:
    """Equal hardware is one machine if an identifier says so; two that are missing are not equal."""
    assert compare_hosts(changed(KNOWN, **ours), changed(KNOWN, **theirs)).verdict == verdict


def test_gpus_are_identifiers() -> None:
    """A machine is known by its GPUs, whatever was installed on it anew; equal GPUs of other serials are hardware."""
    here = replace(KNOWN, gpus=(GPU,))
    anew = replace(here, machine_id="new", boot_id="new")
    other = replace(anew, gpus=(replace(GPU, uuid="GPU-2"),))
    assert compare_hosts(here, anew).verdict == "same machine"
    assert compare_hosts(here, other).verdict == "same hardware"


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"cpu": "Other CPU"}, "processor: Example CPU against Other CPU"),
        ({"physical_cores": 8}, "physical cores: 4 against 8"),
        ({"logical_cpus": 4}, "logical CPUs: 8 against 4"),
        ({"usable_cores": 4}, "usable cores: 2 against 4"),
        ({"smt": False}, "sibling threads that may be used: yes against no"),
        ({"quota_cores": 1.5}, "quota of CPU time: none against 1.5 cores"),
        ({"memory_limit_bytes": 4_000_000_000}, "memory limit: none against 4.00 GB"),
        ({"memory_bytes": 15_500_000_000}, "memory: 16.00 GB against 15.50 GB"),
        ({"processor": {"architecture": "aarch64"}}, "architecture: x86_64 against aarch64"),
        ({"processor": {"flags": ("avx2",)}}, "instructions: avx2, avx512f against avx2"),
        ({"processor": {"sockets": 2}}, "sockets: 1 against 2"),
        ({"processor": {"numa_nodes": 4}}, "NUMA nodes: 1 against 4"),
        ({"processor": {"smt_active": False}}, "SMT: yes against no"),
        (
            {"processor": {"caches": (Cache(level=1, kind="data", size_bytes=49152),)}},
            "caches: L1 data 32 KiB for 2 CPUs against L1 data 48 KiB",
        ),
        ({"gpus": (GPU,)}, "GPUs: none against Example GPU"),
    ],
)
def test_other_hardware_is_said_in_words(changes: dict[str, Any], difference: str) -> None:
    """Each fact of the hardware, and each limit on its use, makes a machine a different one, identifiers or not."""
    comparison = compare_hosts(KNOWN, changed(KNOWN, **changes))
    assert (comparison.verdict, comparison.differences) == ("different", (difference,))


def test_a_gpu_of_other_memory_is_another() -> None:
    """Boards of one name come with different memory; a driver that keeps a little more for itself is no difference."""
    here = replace(KNOWN, gpus=(GPU,))
    larger = replace(KNOWN, gpus=(replace(GPU, memory_bytes=12_000_000_000),))
    reserved = replace(KNOWN, gpus=(replace(GPU, memory_bytes=7_900_000_000),))
    assert compare_hosts(here, larger).differences == ("memory of Example GPU: 8.00 GB against 12.00 GB",)
    assert compare_hosts(here, reserved).verdict == "same machine"


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"memory_bytes": 15_900_000_000}, None),
        ({"os": "Linux 6.2"}, "system: Linux 6.1 against Linux 6.2"),
        ({"python": "3.13.0"}, "Python: 3.12.1 against 3.13.0"),
        ({"packages": {"tensorflow": "2.22.0"}}, "tensorflow: 2.21.0 against 2.22.0"),
        ({"packages": {}}, "tensorflow: 2.21.0 against not installed"),
        ({"environment": {"OMP_NUM_THREADS": "1"}}, "OMP_NUM_THREADS: not set against 1"),
        ({"operating_system": {"virtualization": "KVM"}}, "virtualization: none against KVM"),
        ({"operating_system": {"container": "docker"}}, "container: none against docker"),
        ({"operating_system": {"swap_bytes": 2_000_000_000}}, "swap: 0.00 GB against 2.00 GB"),
        (
            {"processor": {"scaling": replace(PROCESSOR.scaling, governor="powersave")}},
            "frequency governor: performance against powersave",
        ),
        ({"processor": {"scaling": replace(PROCESSOR.scaling, boost=False)}}, "boost: yes against no"),
        (
            {"revision": Revision(commit="a" * 40, dirty=True)},
            "project: commit aaaaaaaaaaaa against commit aaaaaaaaaaaa with changes",
        ),
        ({"revision": None}, None),
    ],
)
def test_what_runs_on_it_does_not_change_the_verdict(changes: dict[str, Any], difference: str | None) -> None:
    """Software and settings are told, and the machine stays the same."""
    comparison = compare_hosts(KNOWN, changed(KNOWN, **changes))
    assert (comparison.verdict, comparison.differences) == ("same machine", ())
    assert comparison.software == (() if difference is None else (difference,))


def test_a_gpus_driver_and_limit_are_software() -> None:
    """A driver can be changed and a power limit set: both are told."""
    other = replace(GPU, driver="580.1", power_limit_watts=250.0)
    comparison = compare_hosts(replace(KNOWN, gpus=(GPU,)), replace(KNOWN, gpus=(other,)))
    assert comparison.software == ("GPU driver: 570.1 against 580.1", "GPU power limit: 300 W against 250 W")


def test_what_was_not_recorded_is_no_difference() -> None:
    """A run from before a fact was recorded is compared by the others, and the comparison names what it lacks."""
    comparison = compare_hosts(HOST, changed(KNOWN, environment={"OMP_NUM_THREADS": "1"}))
    assert (comparison.verdict, comparison.differences, comparison.software) == ("same hardware", (), ())
    assert set(comparison.not_recorded) == {
        *("architecture", "instructions", "sockets", "NUMA nodes", "SMT", "caches", "quota of CPU time")
    }
    assert compare_hosts(HOST, replace(KNOWN, usable_cores=4)).verdict == "different"


@pytest.mark.parametrize("path", REFERENCE, ids=lambda path: path.parent.name)
def test_reference_runs_can_be_compared(path: Path) -> None:
    """The committed runs, made before machines were described in detail, are of the same hardware as each other."""
    host = read_run(path.parent).run.host
    comparison = compare_hosts(host, read_run(REFERENCE[0].parent).run.host)
    assert (comparison.verdict, comparison.differences) == ("same hardware", ())
    assert "caches" in comparison.not_recorded
    assert compare_hosts(host, KNOWN).verdict == "different"


# The fingerprint


def test_a_fingerprint_is_short_and_stays() -> None:
    """A peak that was measured with an earlier version is found again: this digest was computed when it was made."""
    assert fingerprint(KNOWN) == "0ee9b69a534ea255"


def test_the_fingerprint_changes_with_what_changes_speed() -> None:
    """A peak that was measured under other conditions is not taken for this machine's."""
    others: list[dict[str, Any]] = [
        {"cpu": "Other CPU"},
        {"usable_cores": 1},
        {"quota_cores": 1.5},
        {"memory_bytes": 32_000_000_000},
        {"processor": {"flags": ("avx2",)}},
        {"processor": {"scaling": replace(PROCESSOR.scaling, governor="powersave")}},
        {"operating_system": {"virtualization": "KVM"}},
        {"environment": {"ONEDNN_MAX_CPU_ISA": "AVX2"}},
        {"gpus": (GPU,)},
        {"gpus": (replace(GPU, driver="580.1"),)},
        {"gpus": (replace(GPU, power_limit_watts=250.0),)},
    ]
    digests = {fingerprint(KNOWN), *(fingerprint(changed(KNOWN, **changes)) for changes in others)}
    assert len(digests) == 1 + len(others)


@pytest.mark.parametrize(
    "changes",
    [
        {"boot_id": "later", "machine_id": None, "name": "node7", "revision": None},
        {"memory_bytes": 15_990_000_000},
        {"os": "Linux 6.2", "python": "3.13.0", "packages": {}},
        {"operating_system": {"kernel": "6.2.0", "swap_bytes": 1, "container": "docker"}},
        {"gpus": ()},
    ],
)
def test_the_fingerprint_ignores_what_does_not(changes: dict[str, Any]) -> None:
    """A new kernel, another start or another package costs no new measurement."""
    assert fingerprint(changed(KNOWN, **changes)) == fingerprint(KNOWN)


# The line in the report


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, None),
        ({"operating_system": {"virtualization": "KVM (Amazon EC2)"}}, "under KVM (Amazon EC2)"),
        (
            {"operating_system": {"container": "docker", "virtualization": "KVM"}, "quota_cores": 1.5},
            "under KVM, in a docker container, 1.5 cores of CPU time granted",
        ),
        (
            {"processor": {"scaling": FrequencyScaling(driver="intel_pstate", governor="powersave", boost=False)}},
            "frequency governor powersave (intel_pstate), no boost of the frequency",
        ),
    ],
)
def test_what_the_times_depend_on_stands_below_the_machine(changes: dict[str, Any], line: str | None) -> None:
    """A report says in one line what is special about its machine, and has no such line where nothing is."""
    about = summarize(frames(run_data(ok_trial(trial()), host=changed(KNOWN, **changes)))).about
    plain = summarize(frames(run_data(ok_trial(trial()), host=HOST))).about
    assert about == (plain[0], *([line] if line else []), *plain[1:])


def test_the_projects_commit_stands_where_the_report_says_how_to_make_it_again() -> None:
    """The commit is told whole, with a word on changes that it lacks; a run outside of any project has no such line."""
    data = ok_trial(trial())
    dirty = replace(KNOWN, revision=Revision(commit="a" * 40, dirty=True))
    assert f"- project: commit {'a' * 40}\n" in markdown(frames(run_data(data, host=KNOWN)))
    assert f"- project: commit {'a' * 40}, with changes" in markdown(frames(run_data(data, host=dirty)))
    assert "project:" not in markdown(frames(run_data(data, host=HOST)))
