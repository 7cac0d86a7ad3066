"""What a worker and its descendants cost, summed from their processes, whichever way these are read."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeVar

from bench.meter.pace import Budget
from bench.meter.readings import NotNowError, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_Number = TypeVar("_Number", int, float)

# Shares of one core. Proportional sets take a walk over page tables (11 ms a GB), the others one over threads (15 us
# a thread), so that a worker of 30 threads is walked twice a second.
PSS_SHARE = 0.002
SWITCHES_SHARE = 0.001
DESCENDANTS_SHARE = 0.001


class GoneError(NotNowError):
    """The process has ended."""


class Switches(NamedTuple):
    """Context switches of a process since it began; None for a kind that the system does not count."""

    voluntary: int | None
    involuntary: int | None


class Process(Protocol):
    """One process, from when it was opened until nobody waits for it any more.

    Every method may raise `GoneError` when the process has ended, and `UnreadableError` or `OSError` otherwise.
    """

    @property
    def is_zombie(self) -> bool:
        """Whether the process has ended and is not waited for yet: its memory is gone, its CPU time still stands."""
        ...

    def refresh(self) -> None:
        """Look again."""

    def rss_bytes(self) -> int:
        """Resident set."""
        ...

    def peak_rss_bytes(self) -> int:
        """Highest resident set since the process began."""
        ...

    def cpu_s(self) -> float:
        """CPU time of the process and of those children that it has waited for, where the system adds it."""
        ...

    def threads(self) -> int:
        """Threads."""
        ...

    def pss_bytes(self) -> int:
        """Proportional set: each page divided by the number of processes that share it. Costly."""
        ...

    def switches(self) -> Switches:
        """Context switches of all its threads. Costly."""
        ...

    def descendants(self) -> Sequence[int]:
        """Process ids of its children, their children and so on. Costly."""
        ...

    def close(self) -> None:
        """Release what is held open."""


class ProcessTree:
    """A worker and its descendants.

    Descendants are looked for within a budget, so one may be found late: it is counted from then on, with the CPU time
    that it has used until then.
    """

    def __init__(self, pid: int, open_process: Callable[[int], Process]) -> None:
        self._pid = pid
        self._open_process = open_process
        self._worker: Process | None = None
        self._descendants: dict[int, Process] = {}
        self._present: tuple[Process, ...] = ()  # the worker first; empty if it cannot be looked at
        self._absence: Exception = GoneError("the process had ended")
        self._now_s = 0.0
        self._cpu_before: tuple[float, float] | None = None
        self._switches: Switches | Exception = self._absence
        self._pss_budget = Budget(PSS_SHARE)
        self._switches_budget = Budget(SWITCHES_SHARE)
        self._descendants_budget = Budget(DESCENDANTS_SHARE)
        try:
            self._worker = open_process(pid)
        except (UnreadableError, OSError) as error:
            self._absence = error

    @property
    def pids(self) -> frozenset[int]:
        """Process ids of the worker and of those descendants that are known."""
        return frozenset((self._pid, *self._descendants))

    def refresh(self, now_s: float) -> None:
        """Look at the tree; what is read below is as of then."""
        self._now_s = now_s
        self._present = ()
        if self._worker is None:
            return
        try:
            self._present = self._look(self._worker)
            self._switches = self._read_switches(self._worker)
        except (UnreadableError, OSError) as error:
            self._absence = self._switches = error

    def rss_bytes(self) -> int:
        """Resident sets, summed."""
        return _sum(self._running(), lambda process: process.rss_bytes())

    def pss_bytes(self) -> int:
        """Proportional sets, summed; within a budget."""
        running = self._running()
        with self._pss_budget.spend(self._now_s):
            return _sum(running, lambda process: process.pss_bytes())

    def peak_rss_bytes(self) -> int:
        """Highest resident set of the worker."""
        return self._tree()[0].peak_rss_bytes()

    def cpu_s(self) -> float:
        """CPU time of the tree; less than before if a process left it whose CPU time was not handed on."""
        return _sum(self._tree(), lambda process: process.cpu_s())

    def cpu_percent(self) -> float:
        """CPU time of the tree since the last reading over time passed; 100 is one core."""
        cpu_s = self.cpu_s()
        before, self._cpu_before = self._cpu_before, (self._now_s, cpu_s)
        if before is None:
            raise NotNowError("takes two samples")
        before_s, cpu_before_s = before
        if cpu_s < cpu_before_s:
            raise UnreadableError("a process left the tree and its CPU time was not handed on")
        return 100.0 * (cpu_s - cpu_before_s) / (self._now_s - before_s)

    def threads(self) -> int:
        """Threads, summed."""
        return _sum(self._running(), lambda process: process.threads())

    def voluntary_switches(self) -> int:
        """Context switches of the worker in which it waited; within a budget."""
        return self._counted("voluntary")

    def involuntary_switches(self) -> int:
        """Context switches of the worker in which it was pushed off its core; within the same budget."""
        return self._counted("involuntary")

    def close(self) -> None:
        """Release every process."""
        for process in self._descendants.values():
            process.close()
        if self._worker is not None:
            self._worker.close()

    def _look(self, worker: Process) -> tuple[Process, ...]:
        worker.refresh()
        if worker.is_zombie:
            raise GoneError("the process had ended")
        if self._descendants_budget.due(self._now_s):
            self._find_descendants(worker)
        for pid, process in list(self._descendants.items()):
            try:
                process.refresh()
            except GoneError:
                self._descendants.pop(pid).close()
        return (worker, *self._descendants.values())

    def _find_descendants(self, worker: Process) -> None:
        with self._descendants_budget.spend(self._now_s):
            pids = worker.descendants()
        for pid in pids:
            if pid not in self._descendants:
                with suppress(GoneError):
                    self._descendants[pid] = self._open_process(pid)

    def _read_switches(self, worker: Process) -> Switches | Exception:
        """Both kinds come from one costly reading, so its outcome is kept for both."""
        try:
            with self._switches_budget.spend(self._now_s):
                return worker.switches()
        except (UnreadableError, OSError) as error:
            return error

    def _counted(self, kind: Literal["voluntary", "involuntary"]) -> int:
        if isinstance(self._switches, Exception):
            raise self._switches
        count = getattr(self._switches, kind)
        if count is None:
            raise UnreadableError(f"this system does not count {kind} context switches")
        return int(count)

    def _tree(self) -> tuple[Process, ...]:
        if not self._present:
            raise self._absence
        return self._present

    def _running(self) -> list[Process]:
        return [process for process in self._tree() if not process.is_zombie]


def _sum(processes: Sequence[Process], read: Callable[[Process], _Number]) -> _Number:
    """Sum over the tree; a descendant may have ended in between, the worker (the first) must answer."""
    total = read(processes[0])
    for process in processes[1:]:
        with suppress(GoneError):
            total += read(process)
    return total
