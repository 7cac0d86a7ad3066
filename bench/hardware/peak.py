"""What a device attains at best: measured in a child of its own, once, and remembered."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from bench.errors import StoreError
from bench.hardware import child, cuda_libraries
from bench.hardware.environment import child_environment
from bench.hardware.memory import read_available_memory_bytes
from bench.peaks import METHOD, Peak
from bench.probes import PeakRequest
from bench.store import encode_pretty, read_json, write_atomically

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.config import Jit
    from bench.recipe import Precision
    from bench.records import Device

_MEASUREMENT = (sys.executable, "-P", "-m", "bench.worker.peak")


def attainable_peak(
    device: Device,
    *,
    precision: Precision,
    jit: Jit,
    fingerprint: str,
    refresh: bool = False,
    cache: Path | None = None,
    budget_s: float = 7.0,
    timeout_s: float = 120.0,
    command: Sequence[str] = _MEASUREMENT,
) -> Peak | str:
    """Return what a device attains at best, from memory if it was measured before.

    A peak is remembered for the machine, device, precision, jit and TensorFlow that it was measured with, unless other
    processes kept the cores busy meanwhile: it is then too low, as its `cpu_share` tells, and measured anew next time.

    Args:
        device: Where; of several GPUs the first is measured.
        precision: The Keras dtype policy.
        jit: Whether XLA compiles what is timed.
        fingerprint: Of this machine, whatever says that it is the same one.
        refresh: Measure again, whatever is remembered. Defaults to False.
        cache: The folder to remember peaks in. Defaults to `cache_folder()`.
        budget_s: Time to measure in; starting TensorFlow takes seconds more. Defaults to 7.
        timeout_s: After which the child is killed. Defaults to 120.
        command: What to run; it answers as `bench.worker.peak` does.

    Returns:
        The peak, or in words why there is none: the child crashed, hung or answered something else.
    """
    one = msgspec.structs.replace(device, gpu_uuids=device.gpu_uuids[:1], gpu_indices=())
    libraries = tuple(map(str, cuda_libraries.installed())) if one.kind == "gpu" else ()
    request = PeakRequest(
        device=one,
        precision=precision,
        jit=jit,
        budget_s=budget_s,
        memory_bytes=read_available_memory_bytes(),
        libraries=libraries,
    )
    path = (cache or cache_folder()) / "peaks" / f"{_key(request, fingerprint)}.json"
    remembered = None if refresh else _recall(path)
    if remembered is not None:
        return remembered
    peak = _measure(request, command=command, timeout_s=timeout_s)
    if isinstance(peak, Peak) and peak.is_undisturbed:
        _remember(path, peak)
    return peak


def _measure(request: PeakRequest, *, command: Sequence[str], timeout_s: float) -> Peak | str:
    who = "the measurement of the attainable peak"
    answer = child.ask(
        who,
        [*command, msgspec.json.encode(request).decode()],
        environment=child_environment(request.device),
        timeout_s=timeout_s,
    )
    if answer.problem is not None:
        return answer.problem
    try:
        return msgspec.json.decode(answer.last_line, type=Peak)
    except msgspec.MsgspecError:
        return f"{who} gave an answer that cannot be understood: {answer.last_line!r}"


def cache_folder() -> Path:
    """Return where this user's measurements of the machine lie: `$HOURGLASS_CACHE_DIR`, else the system's cache."""
    own = os.environ.get("HOURGLASS_CACHE_DIR")
    if own:
        return Path(own)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "hourglass"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hourglass"


def _key(request: PeakRequest, fingerprint: str) -> str:
    """A digest of everything that a peak depends on."""
    lasting = msgspec.structs.replace(request, memory_bytes=0, libraries=())
    content = msgspec.json.encode((METHOD, fingerprint, _tensorflow_version(), lasting), order="sorted")
    return hashlib.sha256(content).hexdigest()[:32]


def _tensorflow_version() -> str:
    try:
        return metadata.version("tensorflow")
    except metadata.PackageNotFoundError:  # another build of it
        return "unknown"


def _recall(path: Path) -> Peak | None:
    try:
        return read_json(path, Peak)
    except StoreError:  # not there, or damaged: it is measured anew
        return None


def _remember(path: Path, peak: Peak) -> None:
    with contextlib.suppress(OSError, StoreError):  # a cache that cannot be written costs time, not the answer
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, encode_pretty(peak))
