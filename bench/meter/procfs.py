"""One process as Linux shows it in /proc; see proc(5)."""

from __future__ import annotations

import os
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from bench.meter.processes import GoneError, Switches
from bench.meter.readings import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_LARGEST_BYTES = 1 << 14  # of what is read of a process

# Fields of /proc/PID/stat after the parenthesised name: the state, then among others four counts of clock ticks, of the
# process in user and kernel mode and of the children that it has waited for.
_STATE = 0
_CPU_TICKS = slice(11, 15)

_NOT_FOUND = (FileNotFoundError, ProcessLookupError)  # when it is opened, when it is read


class HeldFile:
    """A small file under /proc or /sys that is held open and read again in place.

    That costs a third of opening it each time, and what is open stays with the process that it was opened for, even
    when the process id is given to another one.
    """

    def __init__(self, path: Path, *, most_bytes: int = _LARGEST_BYTES) -> None:
        self._fd = os.open(path, os.O_RDONLY)
        self._most_bytes = most_bytes

    def read(self) -> bytes:
        """The content as of now, as far as `most_bytes`."""
        return os.pread(self._fd, self._most_bytes, 0)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


class Source:
    """A held file, or the reason why there is none: then every reading fails with it, and nothing else does.

    Args:
        find: Returns the file's path; raises `UnreadableError` if there is none.
        most_bytes: Of what is read.
    """

    def __init__(self, find: Callable[[], Path], *, most_bytes: int = _LARGEST_BYTES) -> None:
        self._file: HeldFile | None = None
        self._reason = ""
        try:
            self._file = HeldFile(find(), most_bytes=most_bytes)
        except OSError as error:
            self._reason = f"{error.strerror}: {error.filename}"
        except UnreadableError as error:
            self._reason = str(error)

    def read(self) -> bytes:
        """The content as of now.

        Raises:
            UnreadableError: If there is no such file.
            OSError: If it cannot be read.
        """
        if self._file is None:
            raise UnreadableError(self._reason)
        return self._file.read()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


class ProcfsProcess:
    """One process, read from /proc. Its CPU time has the resolution of a clock tick, 10 ms as a rule."""

    def __init__(self, pid: int, root: Path = Path("/")) -> None:
        self._pid = pid
        self._proc = root / "proc"
        self._folder = self._proc / str(pid)
        self._switches: dict[str, Switches] = {}
        self._ticks_per_s = os.sysconf("SC_CLK_TCK")
        self._stat: list[bytes] = []
        self._status = b""
        with _gone_if_not_found(), ExitStack() as files:
            self._stat_file = files.enter_context(closing(HeldFile(self._folder / "stat")))
            self._status_file = files.enter_context(closing(HeldFile(self._folder / "status")))
            self.close = files.pop_all().close
        # Only kernels built with CONFIG_PROC_CHILDREN have this file; distributions' kernels are.
        self._lists_children = (self._folder / "task" / str(pid) / "children").exists()

    @property
    def is_zombie(self) -> bool:
        """Whether the process has ended and is not waited for yet."""
        return self._stat[_STATE] in (b"Z", b"X")

    def refresh(self) -> None:
        """Look again."""
        with _gone_if_not_found():
            self._stat = self._stat_file.read().rpartition(b")")[2].split()
            self._status = self._status_file.read()

    def rss_bytes(self) -> int:
        """Resident set."""
        return _field(self._status, b"VmRSS") * 1024

    def peak_rss_bytes(self) -> int:
        """Highest resident set since the process began."""
        return _field(self._status, b"VmHWM") * 1024

    def cpu_s(self) -> float:
        """CPU time of the process and of the children that it has waited for."""
        return sum(map(int, self._stat[_CPU_TICKS])) / self._ticks_per_s

    def threads(self) -> int:
        """Threads."""
        return _field(self._status, b"Threads")

    def pss_bytes(self) -> int:
        """Proportional set."""
        try:
            return _field((self._folder / "smaps_rollup").read_bytes(), b"Pss") * 1024
        except _NOT_FOUND as error:
            if self._folder.exists():
                raise UnreadableError("this kernel has no /proc/PID/smaps_rollup (Linux 4.14 has)") from error
            raise GoneError("the process had ended") from error

    def switches(self) -> Switches:
        """Context switches of all threads that were ever seen; what one did after it was last seen is lost.

        /proc/PID/status counts those of the main thread alone, which mostly waits for the others.
        """
        for thread in _threads(self._folder):
            with suppress(*_NOT_FOUND):
                status = _read(f"{thread}/status")
                self._switches[thread] = Switches(
                    voluntary=_field(status, b"voluntary_ctxt_switches"),
                    involuntary=_field(status, b"nonvoluntary_ctxt_switches"),
                )
        if not self._switches:
            raise GoneError("the process had ended")
        voluntary, involuntary = zip(*self._switches.values(), strict=True)
        return Switches(voluntary=sum(voluntary), involuntary=sum(involuntary))

    def descendants(self) -> Sequence[int]:
        """Process ids of its children, their children and so on."""
        if not self._lists_children:
            try:
                return [child.pid for child in psutil.Process(self._pid).children(recursive=True)]
            except psutil.NoSuchProcess as error:
                raise GoneError("the process had ended") from error
        found: list[int] = []
        pending = [self._pid]
        while pending:
            children = list(self._children(pending.pop()))
            found += children
            pending += children
        return found

    def _children(self, pid: int) -> Iterator[int]:
        """A child belongs to the thread that started it, so every thread is asked."""
        for thread in _threads(self._proc / str(pid)):
            with suppress(*_NOT_FOUND):
                yield from map(int, _read(f"{thread}/children").split())


@contextmanager
def _gone_if_not_found() -> Iterator[None]:
    try:
        yield
    except _NOT_FOUND as error:
        raise GoneError("the process had ended") from error


def _threads(process: Path) -> list[str]:
    """The folders of a process's threads; none if it has ended. Not as `Path`s: these would double the cost."""
    tasks = f"{process}/task"
    with suppress(*_NOT_FOUND):
        return [f"{tasks}/{thread}" for thread in os.listdir(tasks)]  # noqa: PTH208 - see above
    return []


def _read(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - see _threads
        return file.readall()


def _field(text: bytes, name: bytes) -> int:
    """The number of a line such as `VmRSS:     1768 kB`."""
    _, found, rest = (b"\n" + text).partition(b"\n" + name + b":")
    if not found:
        raise UnreadableError(f"this kernel does not tell {name.decode()}")
    return int(rest.split(None, 1)[0])
