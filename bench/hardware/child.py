"""Questions that are put to a child process, because the answer may be a crash, or none."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PATIENCE_S = 5.0  # for a killed child to be gone
KEPT_BYTES = 1 << 18  # of the beginning and of the end of what a child says

_lock = threading.Lock()
_live: set[subprocess.Popen[bytes]] = set()
_ending = threading.Event()  # set while all are ended: none is started


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What became of a child.

    Attributes:
        outcome: It ended with exit code 0; with another one; by a signal; or not in time, and was killed.
        problem: In words, unless `ended`.
        last_line: Of its standard output, where our children put their answer.
        said: Its standard error.
        seconds: From start to end.
    """

    outcome: Literal["ended", "failed", "crashed", "timeout"]
    problem: str | None
    last_line: str
    said: str
    seconds: float


def ask(who: str, command: Sequence[str], *, environment: Mapping[str, str], timeout_s: float) -> Answer:
    """Run a child to its end.

    Args:
        who: The child's name, as the subject of a sentence.
        command: The child.
        environment: Its environment.
        timeout_s: After which it is killed.
    """
    began_s = time.monotonic()
    try:
        child = _start(command, environment)
    except OSError as error:
        reason = f"{who} could not be started: {error.strerror or error}"
        return Answer(outcome="failed", problem=reason, last_line="", said="", seconds=0.0)
    streams = _Ends(child.stdout), _Ends(child.stderr)
    try:
        child.wait(timeout_s)
    except subprocess.TimeoutExpired:
        _end(child)
        _, said = (stream.close() for stream in streams)
        late = f"{who} did not finish within {timeout_s:g} s and was killed"
        return Answer(outcome="timeout", problem=late, last_line="", said=said, seconds=timeout_s)
    except BaseException:  # Ctrl-C: the child is in a session of its own and has not heard it
        _end(child)
        raise
    finally:
        with _lock:
            _live.discard(child)
    out, said = (stream.close() for stream in streams)
    outcome, problem = _how_it_ended(who, child.returncode)
    words = _last_words(said)
    return Answer(
        outcome=outcome,
        problem=f"{problem}; its last words: {words}" if problem and words else problem,
        last_line=_last_line(out),
        said=said,
        seconds=time.monotonic() - began_s,
    )


@contextmanager
def threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that ask children; Ctrl-C, which only the main thread hears, ends all children and waits for none."""
    pool = ThreadPoolExecutor(count)
    try:
        yield pool
        pool.shutdown()
    except BaseException:
        _ending.set()
        pool.shutdown(wait=False, cancel_futures=True)
        with _lock:
            for child in _live:
                if child.returncode is None:
                    _kill(child)
        pool.shutdown()
        _ending.clear()
        raise


def _start(command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    with _lock:  # so that a child is either known or never started
        if _ending.is_set():
            raise InterruptedError(errno.EINTR, os.strerror(errno.EINTR))
        child = subprocess.Popen(  # not in a `with`, which would wait for a child that is stuck in a driver's call
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # so that what the child started ends with it
        )
        _live.add(child)
    return child


def _how_it_ended(who: str, returncode: int) -> tuple[Literal["ended", "failed", "crashed"], str | None]:
    if returncode < 0:
        return "crashed", f"{who} was killed by signal {-returncode} ({signal.strsignal(-returncode)})"
    if returncode > 0:
        return "failed", f"{who} ended with exit code {returncode}"
    return "ended", None


class _Ends:
    """The beginning and the end of what a stream says, read as it comes; a driver's fault can fill gigabytes."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        self._stream = stream
        self._head = bytearray()
        self._tail = bytearray()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def close(self) -> str:
        """Return what was kept; waits for the end of the stream, but not long: a grandchild may hold it open."""
        self._reader.join(PATIENCE_S)
        if self._stream and not self._reader.is_alive():
            self._stream.close()
        return (bytes(self._head) + bytes(self._tail)).decode("utf-8", "replace")

    def _read(self) -> None:
        while self._stream and (chunk := os.read(self._stream.fileno(), 1 << 16)):
            if len(self._head) < KEPT_BYTES:
                self._head += chunk
            else:
                self._tail = (self._tail + chunk)[-KEPT_BYTES:]


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kill the child and its own; one that is stuck in a driver's call is left behind."""
    _kill(child)
    with suppress(subprocess.TimeoutExpired):
        child.wait(PATIENCE_S)


def _kill(child: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        if sys.platform == "win32":  # which the doctor only has to recognise
            child.kill()
        else:
            os.killpg(child.pid, signal.SIGKILL)


def _last_words(said: str) -> str:
    """The line of a failed check of C++ code, below which its stack is printed, else the last line."""
    fatal = [line for line in said.splitlines() if line.startswith("F0")]
    return fatal[-1].partition("] ")[2] if fatal else _last_line(said)


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else ""
