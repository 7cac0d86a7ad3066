"""Asks a process of its own a question about this machine: whatever becomes of it, there is an answer."""

from __future__ import annotations

import signal
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import msgspec

from bench.hardware.environment import child_environment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.records import Device

T = TypeVar("T")


@dataclass(frozen=True)
class Problem:
    """Why there is no answer, in words."""

    reason: str


def ask(command: Sequence[str], kind: type[T], *, device: Device, name: str, timeout_s: float) -> T | Problem:
    """Run a child that works on a device and prints its answer as JSON, in its last line.

    A driver's fault may kill or hang the process that meets it; so it is not this one.

    Args:
        command: What to run.
        kind: What the answer is.
        device: What the child sees of the machine; see `child_environment`.
        name: What the child is called in a problem, such as `the GPU probe`.
        timeout_s: After which the child is killed.

    Returns:
        The answer, or the problem: the child could not be started, crashed, hung or said something else.
    """
    try:
        child = subprocess.run(  # -P keeps the current folder off its path
            command,
            env=child_environment(device),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Problem(f"{name} did not finish within {timeout_s:g} s and was killed")
    except OSError as error:
        return Problem(f"{name} could not be started: {error.strerror or error}")
    if child.returncode < 0:
        number = -child.returncode
        said = f"{name} was killed by signal {number} ({signal.strsignal(number)})"
        return Problem(said + _last_words(child.stderr))
    if child.returncode > 0:
        return Problem(f"{name} ended with exit code {child.returncode}{_last_words(child.stderr)}")
    answer = _last_line(child.stdout)
    try:
        return msgspec.json.decode(answer, type=kind)
    except msgspec.MsgspecError:
        return Problem(f"{name} gave an answer that cannot be understood: {answer!r}")


def _last_words(stderr: str) -> str:
    line = _last_line(stderr)
    return f"; its last words: {line}" if line else ""


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else ""
