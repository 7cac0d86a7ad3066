"""The doctor's conclusions: from facts to one cause, what shows it, and the commands that cure it."""

from __future__ import annotations

import ast
import importlib
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.console import Console

import bench
import doctor_cases_machine
import doctor_cases_software
from bench.cli.doctor_view import show
from bench.hardware.doctor.checkup import Checkup, Driver, Facts, LibraryProbe, Pin, TensorFlowProbe, Wheel
from bench.hardware.doctor.diagnose import CAUSES, diagnose
from bench.hardware.doctor.diagnose import NOTES as NOTED
from bench.hardware.tensorflow_log import OneDnn
from doctor_cases_notes import NOTES, SECOND
from facts_for_tests import (
    CARD,
    GPU,
    HEALTHY,
    LIBCUDA,
    LISTED,
    SITE,
    UNLISTED,
    UNTRIED,
    driver,
    installation,
    refused,
    system,
    trial,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOUSE = Path(bench.__file__).parent
DOCUMENTATION = Path(__file__).parent.parent / "docs" / "gpu-doctor.md"
CASES = [*doctor_cases_machine.CASES, *doctor_cases_software.CASES]


@pytest.mark.parametrize(("cause", "exit_code", "facts", "seen", "cure"), CASES)
def test_cause(cause: str, exit_code: int, facts: Facts, seen: list[str], cure: list[str]) -> None:
    """Each cause is concluded from the facts that show it, which the evidence names, and comes with its exact cure."""
    diagnosis = diagnose(facts).diagnosis

    assert (diagnosis.cause, diagnosis.exit_code, list(diagnosis.cure)) == (cause, exit_code, cure)
    for words in seen:
        assert any(words in line for line in diagnosis.evidence), diagnosis.evidence


@pytest.mark.parametrize(("cause", "exit_code", "facts", "seen", "cure"), NOTES)
def test_note(cause: str, exit_code: int, facts: Facts, seen: list[str], cure: list[str]) -> None:
    """What does not keep a GPU from computing is a note beside the diagnosis, with evidence and cure likewise."""
    checkup = diagnose(facts)
    (note,) = checkup.notes

    assert (checkup.diagnosis.cause, checkup.diagnosis.exit_code) == ("verified", 0)
    assert (note.cause, note.exit_code, list(note.cure)) == (cause, exit_code, cure)
    for words in seen:
        assert any(words in line for line in note.evidence), note.evidence


def test_a_healthy_machine_has_nothing_to_note() -> None:
    """Where everything works nothing is noted, and the diagnosis names the GPU that computed."""
    checkup = diagnose(HEALTHY)

    assert checkup.notes == ()
    assert "gpu:0 (NVIDIA GeForce RTX 3050)" in checkup.diagnosis.found


def test_instances_are_no_lost_gpus() -> None:
    """A card that is split counts as its instances, so that their number tells nothing of cards that are lost."""
    instances = tuple(replace(GPU, index=index, uuid=f"MIG-{index}") for index in range(2))
    facts = driver(HEALTHY, boards=3, gpus=instances)

    assert diagnose(facts).notes == ()


def test_a_gpu_that_does_not_compute_is_not_outvoted() -> None:
    """With two GPUs, one of which computes and one of which is too old, the old one is the diagnosis."""
    old = trial("not_listed", "TensorFlow lists no GPU", gpu=SECOND.uuid)
    facts = driver(replace(HEALTHY, trials=(*HEALTHY.trials, old)))
    facts = driver(facts, gpus=(GPU, replace(SECOND, compute_capability="5.0")))

    diagnosis = diagnose(facts).diagnosis
    assert (diagnosis.cause, diagnosis.exit_code) == ("capability-too-low", 15)
    assert "gpu:1 (NVIDIA GeForce GTX 750)" in diagnosis.found


def test_causes_come_from_the_ground_up() -> None:
    """Of many faults at once the one below the others is named, and each cure uncovers the next."""
    lost = LibraryProbe(soname="libcufft.so.11", problem="libcufft.so.11: cannot open shared object file")
    sick = refused(12, module_version=None, device_files=())
    sick = installation(system(sick, container="docker"), distributions={"tensorflow": "2", "tensorflow-cpu": "2"})
    sick = replace(sick, libraries=(LIBCUDA, lost), platform=replace(sick.platform, python="3.9.1"))
    cures: list[Callable[[Facts], Facts]] = [
        lambda facts: replace(facts, platform=HEALTHY.platform),
        lambda facts: system(facts, container=None),
        lambda facts: driver(facts, nvml_error=18),
        lambda facts: replace(facts, driver=replace(HEALTHY.driver, gpus=(), hidden=(GPU,))),
        lambda facts: driver(facts, gpus=(GPU,), hidden=()),
        lambda facts: replace(facts, installation=HEALTHY.installation),
        lambda facts: replace(facts, libraries=(LIBCUDA,), trials=(trial("timeout", "did not finish"),)),
        lambda facts: replace(facts, trials=HEALTHY.trials),
    ]
    named = [diagnose(sick).diagnosis.cause]
    for cure in cures:
        sick = cure(sick)
        named.append(diagnose(sick).diagnosis.cause)

    assert named == [
        "python-version",
        "container-without-gpu",
        "no-driver",
        "driver-mismatch",
        "masked-empty",
        "two-tensorflows",
        "library-missing",
        "probe-timeout",
        "verified",
    ]


def maybe(*values: object) -> st.SearchStrategy[object]:
    """One of the values, or None."""
    return st.sampled_from([None, *values])


def some(strategy: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    """A few."""
    return st.lists(strategy, max_size=3).map(tuple)


sonames = st.sampled_from(["libcuda.so.1", "libcublas.so.12", "libcudnn.so.9", "libnvJitLink.so.12", "libc.so.6"])
outcomes = st.sampled_from(["works", "not_listed", "operation_failed", "failed", "crashed", "timeout"])
said = maybe(
    "did not finish",
    "No DNN",
    "libdevice",
    "no kernel image",
    "out of memory",
    f"{SITE}/nvidia",
    "a: undefined symbol",
)
versions = maybe("", "unknown", "470", "525.60.13", "550.54.15-open", "v1")
answers = st.builds(
    replace,
    st.sampled_from([LISTED, UNLISTED]),
    cuda_build=st.booleans(),
    failed_operation=maybe("convolution", "compiled"),
    problem=said,
)
probes = st.builds(
    TensorFlowProbe,
    outcome=outcomes,
    gpu=maybe(GPU.uuid, SECOND.uuid, "GPU-gone"),
    preloaded=st.booleans(),
    problem=said,
    answer=st.none() | answers,
    missing=some(sonames),
    messages=some(st.text(max_size=5)),
)
gpus = some(
    st.builds(replace, st.sampled_from([GPU, SECOND]), compute_capability=maybe("5.0", "9.0", "12.0"), driver=versions)
)
drivers = st.builds(
    Driver,
    pci_gpus=some(st.sampled_from([CARD, replace(CARD, vendor="amd", kernel_driver="vfio-pci")])),
    device_files=some(st.sampled_from(["nvidia0", "nvidia-uvm", "dxg", "kfd"])),
    module_version=versions,
    nvml_error=maybe(0, 4, 9, 12, 18, 999),
    nvml_problem=said,
    version=versions,
    boards=st.integers(0, 2),
    gpus=gpus,
    hidden=gpus,
    wsl_libraries=some(st.sampled_from(["libcuda.so.1", "libdxcore.so"])),
)
installations = st.builds(
    replace,
    st.just(HEALTHY.installation),
    distributions=st.dictionaries(st.sampled_from(["tensorflow", "tf-nightly", "tensorflow-metal"]), st.just("2")),
    cuda_build=maybe(True, False),
    native_capabilities=st.sampled_from([(), ("6.0", "8.9")]),
    wheels=some(
        st.builds(
            Wheel,
            distribution=st.sampled_from(["nvidia-cublas-cu12", "nvidia-cudnn-cu12"]),
            required=st.just(">=1"),
            installed=versions,
            fits=st.booleans(),
        )
    ),
    pins=some(st.just(Pin(framework="torch", distribution="nvidia-cudnn-cu12", required="==9.1"))),
    libraries=some(st.sampled_from(HEALTHY.installation.libraries)),
    cuda_tools=st.booleans(),
)
machines = st.builds(
    replace,
    st.just(UNTRIED),
    platform=st.just(HEALTHY.platform)
    | st.builds(
        replace,
        st.just(HEALTHY.platform),
        system=st.sampled_from(["Linux", "Linux", "Linux", "Darwin", "Windows"]),
        machine=st.sampled_from(["x86_64", "aarch64", ""]),
        python=st.sampled_from(["3.12.1", "3.13.0", "3.9.2", "3.15.0a1+"]),
    ),
    operating_system=st.builds(
        replace, st.just(HEALTHY.operating_system), wsl=st.booleans(), container=maybe("docker"), kernel=maybe("6")
    ),
    installation=installations,
    driver=st.just(HEALTHY.driver) | drivers,
    environment=st.dictionaries(
        st.sampled_from(["CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH", "NVIDIA_DRIVER_CAPABILITIES"]),
        st.sampled_from(["", "-1", ":", "/nowhere:", "utility"]),
    ),
    libraries=some(
        st.builds(
            LibraryProbe,
            soname=sonames,
            path=maybe("/usr/lib/one.so"),
            problem=said,
            version=maybe(0, 8907, 90100, 90300),
            init_error=maybe("100 CUDA_ERROR_NO_DEVICE", "803", "7"),
            crashed=st.booleans(),
        )
    ),
    listings=some(probes),
    trials=some(probes),
)


@settings(max_examples=300)
@given(machines)
def test_whatever_the_facts_there_is_one_diagnosis(facts: Facts) -> None:
    """No facts end in an error; verified means that all that was tried worked; each cure says something."""
    for cause in (*CAUSES, *NOTED):  # also those that another one comes before
        cause(facts)
    checkup = diagnose(facts)

    assert checkup.diagnosis.exit_code in {0, *range(10, 17)}
    if checkup.diagnosis.exit_code == 0:
        assert facts.trials
        assert all(probe.outcome == "works" for probe in facts.trials)
    for one in (checkup.diagnosis, *checkup.notes):
        assert one.found
        assert all(line.strip() for line in one.cure)
    assert checkup.diagnosis.exit_code == 0 or checkup.diagnosis.cure
    assert msgspec.json.decode(msgspec.json.encode(checkup), type=Checkup) == checkup


@pytest.mark.parametrize(("cause", "exit_code", "facts", "seen", "cure"), [*CASES, *NOTES])
def test_terminal_shows_all(cause: str, exit_code: int, facts: Facts, seen: list[str], cure: list[str]) -> None:
    """The terminal is told what is the matter, each cure on a line of its own as it is to be typed, and the code."""
    out = io.StringIO()
    checkup = diagnose(facts)
    show(checkup, Console(file=out, width=80, highlight=False, markup=False, emoji=False))
    lines = out.getvalue().splitlines()

    assert lines[0] == checkup.diagnosis.found
    for line in cure:
        assert f"  cure: {line}" in lines
    assert lines[-1].startswith(f"{checkup.diagnosis.cause}; exit code {exit_code}: ")


def test_terminal_tells_of_the_processor() -> None:
    """What keeps TensorFlow from the whole processor is told: quota, memory limit, nodes, instructions, oneDNN."""
    cpu = replace(
        HEALTHY.cpu,
        processor=replace(HEALTHY.cpu.processor, numa_nodes=2),
        siblings=True,
        usable_cores=2,
        quota_cores=2.5,
        memory_limit_bytes=4 << 30,
        unused_instructions=("avx512_vnni",),
        onednn=OneDnn(enabled=False, requested=False),
    )
    out = io.StringIO()
    show(diagnose(replace(HEALTHY, cpu=cpu)), Console(file=out, width=200))

    for words in (
        "2 of 4 usable, with sibling threads",
        "grants 2.5 cores of CPU time, below the core count",
        "2 nodes",
        "of which the control group grants 4",
        "avx512_vnni: in oneDNN's kernels alone",
        "TF_ENABLE_ONEDNN_OPTS=0; unset it",
    ):
        assert words in out.getvalue()


def slugs_of_the_code() -> set[str]:
    """The names that the package gives: as the keyword `cause`, or as the first argument of `_failure`."""

    def chosen(value: ast.expr) -> Iterator[str]:
        match value:
            case ast.Constant(value=str(slug)):
                yield slug
            case ast.IfExp(body=body, orelse=orelse):
                yield from chosen(body)
                yield from chosen(orelse)

    found: set[str] = set()
    for path in (HOUSE / "hardware" / "doctor").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            match node:
                case ast.keyword(arg="cause", value=value) | ast.Call(func=ast.Name(id="_failure"), args=[value, *_]):
                    found.update(chosen(value))
    return found


def rows_of_the_documentation() -> list[tuple[str, list[str]]]:
    """The table's causes in its order, each with the tests that its last column names."""
    rows = []
    for line in DOCUMENTATION.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if len(cells) == 5 and (slug := re.fullmatch(r"`([a-z0-9-]+)`", cells[0])):
            rows.append((slug[1], re.findall(r"`tests/(\S+?)`", cells[4])))
    return rows


def test_documentation_has_every_cause() -> None:
    """The documentation's table has one row for each cause that the code can name, and no other."""
    named = [slug for slug, _ in rows_of_the_documentation()]

    assert sorted(named) == sorted(slugs_of_the_code())
    assert {mark.values[0] for mark in [*CASES, *NOTES]} <= set(named)


def test_documentation_keeps_the_order() -> None:
    """The table's rows stand in the order in which causes are tried, then come the notes."""

    def tried_as(facts: Facts) -> int:
        fitting = (number for number, cause in enumerate(CAUSES) if cause(facts))
        return next(fitting, len(CAUSES))

    numbers = [tried_as(mark.values[2]) for mark in CASES]
    assert numbers == sorted(numbers)  # the cases stand in that order, so that the rows can be compared with them
    order = list(dict.fromkeys(mark.values[0] for mark in [*CASES, *NOTES]))
    assert [slug for slug, _ in rows_of_the_documentation() if slug in order] == order


@pytest.mark.parametrize(("slug", "tests"), rows_of_the_documentation())
def test_documentation_names_tests_that_are_there(slug: str, tests: list[str]) -> None:
    """Each cause in the documentation has a test, and every test that is named there exists with that parameter."""
    assert tests
    for test in tests:
        node = re.fullmatch(r"(?P<file>\w+)\.py::(?P<name>\w+)(\[(?P<id>\S+)\])?", test)
        assert node
        function = getattr(importlib.import_module(node["file"]), node["name"])
        marks = [mark for mark in getattr(function, "pytestmark", ()) if mark.name == "parametrize"]
        ids = [
            one
            for mark in marks
            for one in mark.kwargs.get("ids") or [getattr(row, "id", None) for row in mark.args[1]]
        ]
        assert node["id"] is None or node["id"] in ids
