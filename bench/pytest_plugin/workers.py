"""Warm worker processes, one for each device and setting, that time parts of trainings."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from typing import IO, TYPE_CHECKING

import msgspec

from bench.errors import BenchError
from bench.hardware import cuda_libraries
from bench.hardware.environment import child_environment
from bench.timings import TimingAnswer, TimingRequest

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from bench.records import Cell

WORKER = (sys.executable, "-P", "-m", "bench.worker.timing")
PATIENCE_S = 600.0  # for an answer: XLA may compile for minutes
LOG_BYTES = 2000


class TimingError(BenchError):
    """A part of a training could not be timed; says why."""


class Workers:
    """The warm workers of a session, one at a time: those of other devices would hold memory.

    Args:
        command: The worker; tests put another in its place.
        patience_s: How long an answer may take.
    """

    def __init__(self, command: Sequence[str] = WORKER, *, patience_s: float = PATIENCE_S) -> None:
        self._command = tuple(command)
        self._patience_s = patience_s
        self._key: Hashable = None
        self._worker: _Worker | None = None

    def time(self, request: TimingRequest, *, expected_s: float = 0.0) -> TimingAnswer:
        """Return the seconds of each round.

        Args:
            request: What to time.
            expected_s: How long the rounds should take; twice as much is waited for, beyond patience.

        Raises:
            TimingError: The worker cannot do it, crashed, hung, or answered what cannot be understood.
        """
        cell = request.cell
        key = cell.device, cell.precision, cell.onednn
        if self._worker is None or self._key != key:
            self.close()
            self._key, self._worker = key, _Worker(self._command, cell)
        try:
            answer = self._worker.ask(request, patience_s=self._patience_s + 2 * expected_s)
        except BaseException:  # a time-out of the test too: a late answer would be taken for the next one's
            self.close()  # the next request gets a new one
            raise
        if answer.problem:
            raise TimingError(answer.problem)
        if len(answer.seconds) != request.rounds:
            self.close()
            raise TimingError(f"the worker timed {len(answer.seconds)} rounds; asked for {request.rounds}")
        return answer

    def close(self) -> None:
        """End the worker, if there is one."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None


class _Worker:
    """One process."""

    def __init__(self, command: Sequence[str], cell: Cell) -> None:
        libraries = cuda_libraries.installed() if cell.device.kind == "gpu" else ()
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 -- closed by `close`
        self._channel, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [*command, *map(str, libraries)],
                stdin=theirs.fileno(),
                stdout=self._log,
                stderr=subprocess.STDOUT,
                env=child_environment(cell.device, onednn=cell.onednn),
                start_new_session=True,  # what it starts ends with it, and Ctrl-C reaches pytest alone
            )
        self._answers = self._channel.makefile("rb")

    def ask(self, request: TimingRequest, *, patience_s: float) -> TimingAnswer:
        self._channel.settimeout(patience_s)
        try:
            self._channel.sendall(msgspec.json.encode(request) + b"\n")
            line = self._answers.readline()
        except TimeoutError:
            raise TimingError(f"the worker did not answer within {patience_s:g} s and was ended") from None
        except OSError:
            line = b""
        if not line:
            raise TimingError(self._how_it_ended())
        try:
            return msgspec.json.decode(line, type=TimingAnswer)
        except msgspec.DecodeError as error:
            raise TimingError(f"the worker answered what cannot be understood: {error}") from None

    def close(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._answers.close()
        self._channel.close()
        self._log.close()

    def _how_it_ended(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(5.0)
        code = self._process.poll()
        how = (
            "closed its channel"
            if code is None
            else f"was killed by signal {-code}"
            if code < 0
            else f"ended with {code}"
        )
        self._log.seek(max(0, self._log.seek(0, os.SEEK_END) - LOG_BYTES))
        said = [line.strip() for line in self._log.read().decode("utf-8", "replace").splitlines() if line.strip()]
        return f"the worker {how}; last it said: {said[-1] if said else 'nothing'}"
