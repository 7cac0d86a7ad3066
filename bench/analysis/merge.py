"""Runs of several machines as one: the same trials, each on a device that is said to be its machine's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace

from bench.analysis.machines import compare_hosts, fingerprint
from bench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from bench.machine import Host
    from bench.peaks import DevicePeak
    from bench.records import Run, RunData, Trial


@dataclass(frozen=True, kw_only=True)
class Merged:
    """Several runs as one.

    Attributes:
        run: What was asked for in all of them.
        sources: For the key of each of its trials, which of the runs it is from, and its key there.
        peaks: What the machines' devices attain at best.
        left_out: Trials that are not in it, each with the reason.
    """

    run: Run
    sources: Mapping[str, tuple[int, str]]
    peaks: tuple[DevicePeak, ...]
    left_out: tuple[str, ...]


def merge(runs: Sequence[RunData], names: Sequence[str | None], *, name: str, command: Sequence[str]) -> Merged:
    """Merge runs.

    Args:
        runs: Two or more, of trainings.
        names: What the machine of each is called; None for the name of its processor or its GPUs.
        name: Of the whole.
        command: By which it was made.

    Raises:
        UsageError: A run that was merged already, or of calibrations; or one name for two machines, or for one that is
            not as it was.
    """
    for data in runs:
        if data.run.hosts:
            raise UsageError(f"{data.run.name} was merged already; merge the runs that it is from")
        if data.run.tuning is not None or any(trial.mode == "calibrate" for trial in data.run.trials):
            raise UsageError(f"{data.run.name} holds calibrations, not trainings; give runs of `run`")
    called = _names([data.run.host for data in runs], names)
    sources: dict[str, tuple[int, str]] = {}
    trials: dict[str, Trial] = {}
    left_out = []
    ended_ok = set()
    for number, data in enumerate(runs):
        for one in data.trials:
            moved, is_ok = _on(one.trial, called[number]), one.result is not None and one.result.status == "ok"
            if moved.key in sources:
                other = runs[sources[moved.key][0]].run.name
                is_better = is_ok and moved.key not in ended_ok  # the first one counts, unless it failed
                lost, kept = (other, data.run.name) if is_better else (data.run.name, other)
                left_out.append(f"{moved.cell.label}, seed {moved.seed} of {lost}: {kept} has it too")
                if not is_better:
                    continue
            if is_ok:
                ended_ok.add(moved.key)
            sources[moved.key] = number, one.trial.key
            trials[moved.key] = moved
    first = runs[0].run
    run = replace(
        first,
        name=name,
        created_unix_s=max(data.run.created_unix_s for data in runs),
        command=tuple(command),
        trials=tuple(trials.values()),
        estimates={
            key: estimate
            for key, (number, old) in sources.items()
            if (estimate := runs[number].run.estimates.get(old)) is not None
        },
        hosts={host: data.run.host for host, data in zip(called, runs, strict=True)},
    )
    peaks = {
        (host, peak.machine, peak.device, peak.precision, peak.jit): replace(peak, host=host)
        for host, data in zip(called, runs, strict=True)
        for peak in data.peaks
    }
    return Merged(run=run, sources=sources, peaks=tuple(peaks.values()), left_out=tuple(left_out))


def _on(trial: Trial, host: str) -> Trial:
    cell = trial.cell
    return replace(trial, cell=replace(cell, device=replace(cell.device, host=host)))


def _names(hosts: Sequence[Host], given: Sequence[str | None]) -> list[str]:
    """A name for each host: the same one for one machine, another one for another, or after a change to its speed."""
    known: list[tuple[str, Host]] = []
    names = []
    for host, asked in zip(hosts, given, strict=True):
        name = asked or next(_free(host, known))
        taken = next((other for called, other in known if called == name), None)
        if taken is not None and not _is_as_it_was(taken, host):
            compared = compare_hosts(taken, host)
            what = "two machines are" if compared.differences else "a machine before and after a change is"
            difference = "; ".join((*compared.differences, *compared.software)) or "its settings"
            raise UsageError(f"{what} called {name} ({difference}); give each a name: NAME=FOLDER")
        known.append((name, host))
        names.append(name)
    return names


def _free(host: Host, known: Iterable[tuple[str, Host]]) -> Iterator[str]:
    """The name of the same machine, or one that no other machine has."""
    known = list(known)
    for name, other in known:
        if compare_hosts(other, host).verdict == "same machine" and _is_as_it_was(other, host):
            yield name
    base = host.name or ", ".join(dict.fromkeys(gpu.name for gpu in host.gpus)) or host.cpu
    taken = {name for name, _ in known}
    yield from (name for number in range(1, len(known) + 2) if (name := _numbered(base, number)) not in taken)


def _is_as_it_was(before: Host, host: Host) -> bool:
    """Whether nothing changed by which its trials would be said to have run elsewhere."""
    return fingerprint(before) == fingerprint(host) and compare_hosts(before, host).verdict != "different"


def _numbered(base: str, number: int) -> str:
    return base if number == 1 else f"{base} ({number})"
