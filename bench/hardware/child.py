"""Questions that are put to a child process, because the answer may be a crash, or none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PATIENCE_S = 5.0  # for a killed child to be gone


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
    child = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,  # so that what the child started ends with it
    )
    try:
        out, said = child.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        late = f"{who} did not finish within {timeout_s:g} s and was killed"
        return Answer(outcome="timeout", problem=late, last_line="", said=_end(child), seconds=timeout_s)
    except BaseException:  # Ctrl-C: the child is in a session of its own and has not heard it
        _end(child)
        raise
    outcome: Literal["ended", "failed", "crashed"] = "ended"
    problem: str | None = None
    if child.returncode < 0:
        number = -child.returncode
        outcome, problem = "crashed", f"{who} was killed by signal {number} ({signal.strsignal(number)})"
    elif child.returncode > 0:
        outcome, problem = "failed", f"{who} ended with exit code {child.returncode}"
    words = _last_words(said)
    return Answer(
        outcome=outcome,
        problem=f"{problem}; its last words: {words}" if problem and words else problem,
        last_line=_last_line(out),
        said=said,
        seconds=time.monotonic() - began_s,
    )


def _end(child: subprocess.Popen[str]) -> str:
    """Kill the child and its own, and return what it had said; one that is stuck in a driver call is left behind."""
    with suppress(ProcessLookupError):
        if sys.platform == "win32":  # which the doctor only has to recognise
            child.kill()
        else:
            os.killpg(child.pid, signal.SIGKILL)
    try:
        return child.communicate(timeout=PATIENCE_S)[1]
    except subprocess.TimeoutExpired:
        return ""


def _last_words(said: str) -> str:
    """The line of a failed check of C++ code, below which its stack is printed, else the last line."""
    fatal = [line for line in said.splitlines() if line.startswith("F0")]
    return fatal[-1].partition("] ")[2] if fatal else _last_line(said)


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else ""
