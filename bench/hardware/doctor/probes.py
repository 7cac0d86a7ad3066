"""The doctor's child processes: one per library, one in which TensorFlow lists GPUs, one per GPU that computes."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from bench.hardware import child
from bench.hardware.cuda_libraries import LIBRARIES
from bench.hardware.doctor.checkup import LibraryProbe, TensorFlowProbe
from bench.hardware.doctor.library_probe import LIBCUDA
from bench.hardware.environment import tensorflow_environment
from bench.hardware.verify import PROBE, TIMEOUT_S, probe, verify_gpu
from bench.probes import ProbeRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.hardware.verify import Verdict
    from bench.records import Gpu

LIBRARY_PROBE = (sys.executable, "-P", "-m", "bench.hardware.doctor.library_probe")
LIBRARY_TIMEOUT_S = 20.0
AT_ONCE = 4
# TensorFlow's loader and CUDA platform tell what they do; without this the reason for an empty list stays unsaid.
_VERBOSE = {"TF_CPP_MIN_LOG_LEVEL": "0", "TF_CPP_VMODULE": "dso_loader=1,cuda_platform=1"}
# A line of its log: severity, time, thread, file, message.
_LINE = re.compile(r"^[IWEF]\d{4} \S+\s+\d+ (?P<file>\S+?):\d+\] (?P<message>.*)", re.MULTILINE)
_BESIDE_THE_POINT = re.compile(r"oneDNN|available CPU instructions|Successfully opened")
_LONGEST = 300
_MISSING = re.compile(r"Could not load dynamic library '([^']+)'")


def probe_libraries(
    wheels: Sequence[str], *, command: Sequence[str] = LIBRARY_PROBE, timeout_s: float = LIBRARY_TIMEOUT_S
) -> tuple[LibraryProbe, ...]:
    """Load the driver's library and each that TensorFlow asks for, each in a child, a few at a time.

    Args:
        wheels: Paths of the libraries that wheels installed, in loading order; a library that is not among them is
            searched for as the loader does.
        command: What to run; it answers as `library_probe` does.
        timeout_s: After which a child is killed.
    """
    names = (LIBCUDA, *(library.soname for library in LIBRARIES if library.asked_for))
    with child.threads(AT_ONCE) as pool:
        return tuple(pool.map(lambda name: _probe_library(name, wheels, command, timeout_s), names))


def _probe_library(soname: str, wheels: Sequence[str], command: Sequence[str], timeout_s: float) -> LibraryProbe:
    names = [Path(path).name for path in wheels]
    paths = list(wheels[: names.index(soname) + 1]) if soname in names else []
    answer = child.ask(
        f"the process that loads {soname}",
        [*command, soname, *paths],
        environment=tensorflow_environment(),
        timeout_s=timeout_s,
    )
    if answer.outcome == "ended":
        try:
            return msgspec.json.decode(answer.last_line, type=LibraryProbe)
        except msgspec.MsgspecError:
            pass
    problem = answer.problem or f"the process that loads {soname} gave no answer"
    return LibraryProbe(soname=soname, problem=problem, crashed=True)


def list_gpus(
    libraries: Sequence[str] = (), *, command: Sequence[str] = PROBE, timeout_s: float = TIMEOUT_S
) -> tuple[TensorFlowProbe, str]:
    """Let TensorFlow list the GPUs that the user's own environment leaves visible.

    Args:
        libraries: Paths of libraries to load first.
        command: What to run; it answers as `bench.worker.probe` does.
        timeout_s: After which the child is killed.

    Returns:
        What it did, and all that it said.
    """
    verdict = probe(
        ProbeRequest(libraries=tuple(libraries)),
        environment={**tensorflow_environment(), **_VERBOSE},
        command=command,
        timeout_s=timeout_s,
    )
    return _record(verdict, preloaded=bool(libraries)), verdict.said


def try_gpu(
    gpu: Gpu, *, preloaded: bool, command: Sequence[str] = PROBE, timeout_s: float | None = None
) -> TensorFlowProbe:
    """Let TensorFlow compute on one GPU, as a worker does.

    Args:
        gpu: The one GPU that the child sees.
        preloaded: Whether there are wheels whose libraries it loads first.
        command: What to run; it answers as `bench.worker.probe` does.
        timeout_s: After which the child is killed. Defaults to what the GPU needs.
    """
    return _record(verify_gpu(gpu, command=command, timeout_s=timeout_s), preloaded=preloaded, gpu=gpu.uuid)


def _record(verdict: Verdict, *, preloaded: bool, gpu: str | None = None) -> TensorFlowProbe:
    messages = (f"{line['file']}: {line['message'][:_LONGEST]}" for line in _LINE.finditer(verdict.said))
    return TensorFlowProbe(
        outcome=verdict.outcome,
        gpu=gpu,
        preloaded=preloaded,
        problem=verdict.problem,
        answer=verdict.answer,
        missing=tuple(dict.fromkeys(_MISSING.findall(verdict.said))),
        messages=tuple(dict.fromkeys(text for text in messages if not _BESIDE_THE_POINT.search(text))),
    )
