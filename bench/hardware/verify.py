"""Whether TensorFlow can train on a GPU, found out in a process of its own."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import msgspec

from bench.hardware import child, cuda_libraries
from bench.hardware.distributions import is_newer, read_build_info, read_capabilities
from bench.hardware.environment import child_environment
from bench.probes import ProbeAnswer, ProbeRequest
from bench.records import Device

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.records import Gpu

PROBE = (sys.executable, "-P", "-m", "bench.worker.probe")  # -P keeps the current folder off its path
TIMEOUT_S = 120.0
COMPILING_TIMEOUT_S = 600.0  # for a GPU that TensorFlow has no machine code for


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of a probe.

    Attributes:
        outcome: `works`: it lists a GPU, and the operations that were asked for worked. `not_listed`: it lists none.
            `operation_failed`; `failed`: the probe ended with an error; `crashed`; `timeout`.
        problem: In words, unless it works.
        answer: What TensorFlow said, if it came to that.
        said: TensorFlow's own messages.
    """

    outcome: Literal["works", "not_listed", "operation_failed", "failed", "crashed", "timeout"]
    problem: str | None
    answer: ProbeAnswer | None
    said: str


def probe(
    request: ProbeRequest,
    *,
    environment: Mapping[str, str],
    command: Sequence[str] = PROBE,
    timeout_s: float = TIMEOUT_S,
) -> Verdict:
    """Ask TensorFlow, in a child: a driver's fault may kill or hang its process.

    Args:
        request: What to ask.
        environment: The child's.
        command: What to run; it answers as `bench.worker.probe` does.
        timeout_s: After which the child is killed.
    """
    said = child.ask(
        "the GPU probe",
        [*command, msgspec.json.encode(request).decode()],
        environment=environment,
        timeout_s=timeout_s,
    )
    if said.outcome != "ended":
        return Verdict(outcome=said.outcome, problem=said.problem, answer=None, said=said.said)
    try:
        answer = msgspec.json.decode(said.last_line, type=ProbeAnswer)
    except msgspec.MsgspecError:
        problem = f"the GPU probe gave an answer that cannot be understood: {said.last_line!r}"
        return Verdict(outcome="failed", problem=problem, answer=None, said=said.said)
    if not answer.gpus:
        build = "" if answer.cuda_build else ": this build has no CUDA support"
        return Verdict(outcome="not_listed", problem=f"TensorFlow lists no GPU{build}", answer=answer, said=said.said)
    outcome: Literal["works", "operation_failed"] = "operation_failed" if answer.problem else "works"
    return Verdict(outcome=outcome, problem=answer.problem, answer=answer, said=said.said)


def verify_gpu(gpu: Gpu, *, command: Sequence[str] = PROBE, timeout_s: float | None = None) -> Verdict:
    """Run a convolution and a compiled operation on one GPU, as a worker would: with the wheels' libraries loaded.

    Args:
        gpu: The one GPU that the child sees.
        command: What to run; it answers as `bench.worker.probe` does.
        timeout_s: After which the child is killed. Defaults to what the GPU needs.
    """
    device = Device(kind="gpu", threads=1, gpu_uuids=(gpu.uuid,), gpu_indices=(gpu.index,))
    request = ProbeRequest(libraries=tuple(map(str, cuda_libraries.installed())), operations=True)
    patience_s = _patience_s(gpu) if timeout_s is None else timeout_s
    return probe(request, environment=child_environment(device), command=command, timeout_s=patience_s)


def _patience_s(gpu: Gpu) -> float:
    """Longer for a GPU whose operations the driver has to compile from PTX at their first use."""
    native, _ = read_capabilities(read_build_info(sys.path).get("cuda_compute_capabilities", ()))
    return COMPILING_TIMEOUT_S if is_newer(gpu.compute_capability, native) else TIMEOUT_S
