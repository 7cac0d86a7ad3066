"""One process as psutil shows it: for systems without /proc, such as macOS."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil

from bench.meter.processes import GoneError, Switches
from bench.meter.readings import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class PsutilProcess:
    """One process, read through psutil. It can tell no peak and no proportional set."""

    def __init__(self, pid: int) -> None:
        self._is_zombie = False
        with _translated():
            self._process = psutil.Process(pid)

    @property
    def is_zombie(self) -> bool:
        """Whether the process has ended and is not waited for yet."""
        return self._is_zombie

    def refresh(self) -> None:
        """Look whether the process is still there; all else is read when it is asked for."""
        with _translated():
            if not self._process.is_running():  # knows an id that was given to another process
                raise GoneError("the process had ended")
            self._is_zombie = self._process.status() == psutil.STATUS_ZOMBIE

    def rss_bytes(self) -> int:
        """Resident set."""
        with _translated():
            return self._process.memory_info().rss

    def peak_rss_bytes(self) -> int:
        """Not to be had from another process.

        Raises:
            UnreadableError: Always.
        """
        raise UnreadableError("this system tells no peak of another process; the worker's own report has one")

    def cpu_s(self) -> float:
        """CPU time of the process and, where the system adds it (macOS does not), of children waited for."""
        with _translated():
            times = self._process.cpu_times()
        return times.user + times.system + times.children_user + times.children_system

    def threads(self) -> int:
        """Threads."""
        with _translated():
            return self._process.num_threads()

    def pss_bytes(self) -> int:
        """Not to be had.

        Raises:
            UnreadableError: Always.
        """
        raise UnreadableError("only Linux tells proportional sets")

    def switches(self) -> Switches:
        """Context switches; macOS counts both kinds as one, which psutil calls voluntary."""
        with _translated():
            counts = self._process.num_ctx_switches()
        return Switches(voluntary=counts.voluntary, involuntary=None if psutil.MACOS else counts.involuntary)

    def descendants(self) -> Sequence[int]:
        """Process ids of its children, their children and so on."""
        with _translated():
            return [child.pid for child in self._process.children(recursive=True)]

    def close(self) -> None:
        """Nothing is held open."""


@contextmanager
def _translated() -> Iterator[None]:
    """Raise the meter's errors for psutil's."""
    try:
        yield
    except psutil.NoSuchProcess as error:  # a zombie's is one of these
        raise GoneError("the process had ended") from error
    except psutil.Error as error:
        raise UnreadableError(str(error)) from error
