"""Whether TensorFlow can train on a GPU, found out in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec

from bench.hardware.environment import child_environment
from bench.records import Device

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.records import Gpu

_PROBE = (sys.executable, "-P", "-m", "bench.worker.probe")


class _Verdict(msgspec.Struct, frozen=True):
    """The line that the probe prints."""

    problem: str | None


def verify_gpu(gpu: Gpu, *, command: Sequence[str] = _PROBE, timeout_s: float = 120.0) -> str | None:
    """Run a convolution and a compiled operation on a GPU, in a child: a driver's fault may kill its process.

    Args:
        gpu: The one GPU that the child sees.
        command: What to run; it answers as `bench.worker.probe` does.
        timeout_s: After which the child is killed.

    Returns:
        None if TensorFlow trains on it, else the reason in words.
    """
    environment = child_environment(Device(kind="gpu", threads=1, gpu_uuids=(gpu.uuid,), gpu_indices=(gpu.index,)))
    try:
        child = subprocess.run(  # -P keeps the current folder off its path
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"the GPU probe did not finish within {timeout_s:g} s and was killed"
    if child.returncode < 0:
        number = -child.returncode
        return f"the GPU probe was killed by signal {number} ({signal.strsignal(number)}){_last_words(child.stderr)}"
    if child.returncode > 0:
        return f"the GPU probe ended with exit code {child.returncode}{_last_words(child.stderr)}"
    answer = _last_line(child.stdout)
    try:
        return msgspec.json.decode(answer, type=_Verdict).problem
    except msgspec.MsgspecError:
        return f"the GPU probe gave an answer that cannot be understood: {answer!r}"


def _last_words(stderr: str) -> str:
    line = _last_line(stderr)
    return f"; its last words: {line}" if line else ""


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else ""
