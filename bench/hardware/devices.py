"""`--device`: from its grammar to the devices of the matrix."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from bench.errors import DeviceError, UnusableGpuError, UsageError
from bench.hardware.gpus import describe
from bench.records import Device

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bench.hardware.gpus import GpuSurvey
    from bench.hardware.topology import Topology
    from bench.records import Gpu

GRAMMAR = (
    "cpu, cpu:N (N physical cores), cpu:scan (1, 2, 4 … all cores, then their siblings), cpu:smt (all cores with their "
    "siblings), gpu (each in turn), gpu:0, gpu:0+1 (one trial on both), all"
)

_REQUEST = re.compile(r"(?P<kind>cpu:scan|cpu:smt|cpu|gpu|all)(:(?P<numbers>\d{1,6}(\+\d{1,6})*))?", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A device of the matrix, and in words why it cannot be used, if so: its trials are skipped with that reason."""

    device: Device
    problem: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Request:
    """One word of the grammar, such as `gpu:0+1`; `numbers` are what stands after the colon."""

    text: str
    kind: str
    numbers: tuple[int, ...]


def default_requests(topology: Topology, survey: GpuSurvey) -> tuple[str, ...]:
    """What presets run on: one core, all cores, and each visible GPU."""
    cpu = ("cpu:1", "cpu") if topology.usable_cores > 1 else ("cpu:1",)
    return (*cpu, "gpu") if survey.gpus else cpu


def resolve(
    requests: Sequence[str],
    *,
    topology: Topology,
    survey: GpuSurvey,
    verify: Callable[[Gpu], str | None],
    lenient: bool = False,
) -> tuple[Choice, ...]:
    """Turn what was asked for into devices, in that order, each once. A GPU is never replaced by the CPU.

    Args:
        requests: Words of `GRAMMAR`, each maybe a comma list.
        topology: The cores that may be used.
        survey: The GPUs that may be used.
        verify: Tries a GPU: None if it works, else the reason in words. Called once a GPU.
        lenient: Treat GPUs that cannot be used as `all` does: as choices with their problem. Defaults to False.

    Raises:
        UsageError: A request is no word of the grammar.
        DeviceError: More cores than there are, or siblings where there are none to be had.
        UnusableGpuError: A GPU that is missing or does not work (not `lenient`).
    """
    parsed = [_parse(word) for request in requests for word in request.split(",")]
    resolver = _Resolver(topology, survey, verify)
    choices: dict[Device, Choice] = {}
    for request in parsed:
        for choice in resolver.choose(request):
            if choice.problem is not None and not lenient and request.kind != "all":
                raise UnusableGpuError(
                    f"cannot train on {choice.device.label}: {choice.problem}; "
                    "`python -m bench devices` lists what can be used, `--device cpu` trains on the processor instead"
                )
            choices.setdefault(choice.device, choice)
    return tuple(choices.values())


class _Resolver:
    """Finds the devices of one request at a time on one machine."""

    def __init__(self, topology: Topology, survey: GpuSurvey, verify: Callable[[Gpu], str | None]) -> None:
        self._topology = topology
        self._gpus = {gpu.index: gpu for gpu in survey.gpus}
        self._survey = survey
        self._verify = verify
        self._verdicts: dict[str, str | None] = {}

    def choose(self, request: _Request) -> Iterator[Choice]:
        """Yield the devices of one request, GPUs that cannot be used with their problem."""
        if request.kind in {"cpu", "all"}:
            yield Choice(device=self._cpu(request))
        if request.kind == "cpu:scan":
            for device in self._scan():
                yield Choice(device=device)
        if request.kind == "cpu:smt":
            yield Choice(device=self._with_siblings(request))
        if request.kind in {"gpu", "all"}:
            if request.numbers:
                yield self._gpu_set(request.numbers)
            elif self._gpus:
                for index in self._gpus:
                    yield self._gpu_set((index,))
            else:
                yield self._missing_gpu(())

    def _cpu(self, request: _Request) -> Device:
        usable = self._topology.usable_cores
        threads = request.numbers[0] if request.numbers else usable
        if threads > usable:
            raise DeviceError(
                f"--device {request.text}: this process may use {_count(usable)}{self._why_not_more()}; "
                f"ask for cpu:{usable} or less"
            )
        return self._cores(threads)

    def _cores(self, count: int) -> Device:
        return Device(kind="cpu", threads=count, cpus=self._first_cpus(count))

    def _scan(self) -> Iterator[Device]:
        """Cores doubled until all are in use, then their siblings where they can be had."""
        usable = self._topology.usable_cores
        threads = 1
        while threads < usable:
            yield self._cores(threads)
            threads *= 2
        yield self._cores(usable)
        if self._why_no_siblings() is None:
            yield self._siblings()

    def _with_siblings(self, request: _Request) -> Device:
        problem = self._why_no_siblings()
        if problem is not None:
            raise DeviceError(f"--device {request.text}: {problem}; ask for cpu, one thread on each core")
        return self._siblings()

    def _siblings(self) -> Device:
        """All usable cores with all their logical CPUs, those of a core side by side."""
        cpus = tuple(chain.from_iterable(self._topology.cores[: self._topology.usable_cores]))
        return Device(kind="cpu", threads=len(cpus), cpus=cpus, siblings=True)

    def _why_no_siblings(self) -> str | None:
        """Why no trial can run on the cores and their siblings; None if one can."""
        topology = self._topology
        if topology.smt and not any(topology.cores):
            return "processes cannot be pinned to sibling threads on this system"
        threads, cores, quota = self._siblings().threads, _count(topology.usable_cores), topology.quota_cores
        if threads <= topology.usable_cores:
            return "no core that this process may use has a sibling thread that it may use"
        if quota is not None and threads > quota:
            return f"{cores} with siblings are {threads} threads, and the control group grants {quota:g} of CPU time"
        return None

    def _gpu_set(self, indices: tuple[int, ...]) -> Choice:
        if any(index not in self._gpus for index in indices):
            return self._missing_gpu(indices)
        gpus = [self._gpus[index] for index in indices]
        device = self._gpu_device(indices, tuple(gpu.uuid for gpu in gpus))
        problems = [f"{describe([gpu])}: {problem}" for gpu in gpus if (problem := self._verdict(gpu)) is not None]
        return Choice(device=device, problem="; ".join(problems) or None)

    def _missing_gpu(self, indices: tuple[int, ...]) -> Choice:
        if self._survey.gpus:
            missing = ", ".join(f"gpu:{index}" for index in indices if index not in self._gpus)
            problem = f"there is no {missing} among the visible GPUs, {describe(self._survey.gpus)}"
        else:
            problem = self._survey.problem or "no GPU was found"
        return Choice(device=self._gpu_device(indices, ()), problem=problem)

    def _gpu_device(self, indices: tuple[int, ...], uuids: tuple[str, ...]) -> Device:
        """All usable cores feed the input pipeline."""
        threads = self._topology.usable_cores
        return Device(kind="gpu", threads=threads, cpus=self._first_cpus(threads), gpu_uuids=uuids, gpu_indices=indices)

    def _verdict(self, gpu: Gpu) -> str | None:
        if gpu.uuid not in self._verdicts:
            self._verdicts[gpu.uuid] = self._verify(gpu)
        return self._verdicts[gpu.uuid]

    def _first_cpus(self, count: int) -> tuple[int, ...]:
        """The first logical CPU of each of the first cores, so that no two threads share one; none without pinning."""
        return tuple(core[0] for core in self._topology.cores[:count] if core)

    def _why_not_more(self) -> str:
        """The control group's quota, where it and not the cores is what limits."""
        quota, cores = self._topology.quota_cores, len(self._topology.cores)
        if quota is None or self._topology.usable_cores >= cores:
            return ""
        return f" (it has {_count(cores)}, and its control group grants {quota:g} of CPU time)"


def _parse(word: str) -> _Request:
    text = word.strip()
    match = _REQUEST.fullmatch(text)
    if match is None:
        raise UsageError(f"cannot understand --device {text!r}; it takes {GRAMMAR}")
    kind = match["kind"]
    numbers = tuple(int(number) for number in (match["numbers"] or "").split("+") if number)
    if kind in {"all", "cpu:scan", "cpu:smt"} and numbers:
        raise UsageError(f"`{kind}` takes no number; received --device {text!r}; it takes {GRAMMAR}")
    if kind == "cpu" and numbers and (len(numbers) > 1 or numbers[0] < 1):
        raise UsageError(f"cpu takes one number of cores, at least 1; received --device {text!r}; it takes {GRAMMAR}")
    if len(set(numbers)) != len(numbers):
        raise UsageError(f"a GPU is named twice; received --device {text!r}; it takes {GRAMMAR}")
    return _Request(text=text, kind=kind, numbers=tuple(sorted(numbers)))


def _count(cores: int) -> str:
    return f"{cores} physical core" if cores == 1 else f"{cores} physical cores"
