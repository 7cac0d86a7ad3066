"""What a device attains at best is measured in a child, whatever becomes of it, and remembered."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import msgspec
import pytest

from bench.hardware.peak import attainable_peak, cache_folder
from bench.peaks import Peak
from bench.records import Device
from records_for_tests import PEAK

CPU = Device(kind="cpu", threads=1)


def ask(tmp_path, code, *, device=CPU, **options):
    """What is said of a device when this Python code is the child."""
    fields = {"precision": "float32", "jit": "off", "fingerprint": "this machine", "cache": tmp_path / "cache"}
    return attainable_peak(device, command=[sys.executable, "-P", "-c", code], **fields | options)


class Counted:
    """A child that answers with a peak and counts how often it was run."""

    def __init__(self, tmp_path: Path, peak: Peak = PEAK) -> None:
        self._runs = tmp_path / "runs"
        answer = msgspec.json.encode(peak).decode()
        self.code = f"open({str(self._runs)!r}, 'a').write('.'); print('Keras says hello'); print({answer!r})"

    @property
    def runs(self) -> int:
        """How often."""
        return self._runs.stat().st_size if self._runs.exists() else 0


def test_a_peak_is_measured_once(tmp_path):
    """A second question is answered from memory, with the same figures; `refresh` measures again."""
    child = Counted(tmp_path)
    assert ask(tmp_path, child.code) == ask(tmp_path, child.code) == PEAK
    assert child.runs == 1
    assert ask(tmp_path, child.code, refresh=True) == PEAK
    assert child.runs == 2


@pytest.mark.parametrize(
    "other",
    [
        {"device": Device(kind="cpu", threads=2)},
        {"device": Device(kind="cpu", threads=1, cpus=(1,))},
        {"precision": "mixed_bfloat16"},
        {"jit": "on"},
        {"fingerprint": "another machine"},
        {"budget_s": 1.0},
    ],
    ids=str,
)
def test_another_question_is_measured_anew(tmp_path, other):
    """A peak is that of one machine, device, precision, jit and time to measure in."""
    child = Counted(tmp_path)
    ask(tmp_path, child.code)
    ask(tmp_path, child.code, **other)
    assert child.runs == 2


def test_another_tensorflow_is_measured_anew(tmp_path, monkeypatch):
    """A peak is that of one version of TensorFlow."""
    child = Counted(tmp_path)
    ask(tmp_path, child.code)
    monkeypatch.setattr("importlib.metadata.version", lambda _: "99.0")
    ask(tmp_path, child.code)
    assert child.runs == 2


def test_a_gpu_is_remembered_by_its_uuid(tmp_path):
    """A card that has moved to another slot is the same one; another card in its slot is not."""
    child = Counted(tmp_path)
    for uuid, index in (("GPU-1", 0), ("GPU-1", 3), ("GPU-2", 0)):
        ask(tmp_path, child.code, device=Device(kind="gpu", threads=1, gpu_uuids=(uuid,), gpu_indices=(index,)))
    assert child.runs == 2


def test_of_several_gpus_the_first_is_measured(tmp_path):
    """The child of a device of two GPUs sees the first of them, and is asked for no other."""
    code = "import os, sys; sys.exit(os.environ['CUDA_VISIBLE_DEVICES'] + ' ' + sys.argv[1])"
    both = Device(kind="gpu", threads=1, gpu_uuids=("GPU-1", "GPU-2"), gpu_indices=(0, 1))
    problem = ask(tmp_path, code, device=both)
    assert "its last words: GPU-1 {" in problem
    assert "GPU-2" not in problem


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"{}", b'{"flops_per_s": -1}'])
def test_a_damaged_memory_is_forgotten(tmp_path, content):
    """A cache file that holds no peak is ignored and written anew."""
    child = Counted(tmp_path)
    ask(tmp_path, child.code)
    (file,) = (tmp_path / "cache").rglob("*.json")
    file.write_bytes(content)
    assert ask(tmp_path, child.code) == ask(tmp_path, child.code) == PEAK
    assert child.runs == 2


def test_a_disturbed_peak_is_not_remembered(tmp_path):
    """A peak that was measured while others used the cores is given, and measured anew next time."""
    disturbed = msgspec.structs.replace(PEAK, cpu_share=0.5)
    child = Counted(tmp_path, disturbed)
    assert ask(tmp_path, child.code) == ask(tmp_path, child.code) == disturbed
    assert child.runs == 2


def test_a_cache_that_cannot_be_written_costs_no_answer(tmp_path):
    """Where the cache folder cannot be made, the peak is measured each time."""
    (tmp_path / "file").touch()
    child = Counted(tmp_path)
    assert ask(tmp_path, child.code, cache=tmp_path / "file" / "cache") == PEAK


@pytest.mark.parametrize(
    ("variables", "platform", "folder"),
    [
        ({"HOURGLASS_CACHE_DIR": "/own", "XDG_CACHE_HOME": "/xdg"}, "linux", "/own"),
        ({"HOURGLASS_CACHE_DIR": "/own"}, "darwin", "/own"),
        ({"XDG_CACHE_HOME": "/xdg"}, "linux", "/xdg/hourglass"),
        ({}, "linux", "/home/ada/.cache/hourglass"),
        ({}, "darwin", "/home/ada/Library/Caches/hourglass"),
    ],
)
def test_cache_folder(monkeypatch, variables, platform, folder):
    """The user's own folder goes first, then the system's."""
    for name in ("HOURGLASS_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"HOME": "/home/ada"} | variables).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.platform", platform)
    assert cache_folder() == Path(folder)


def test_hang(tmp_path):
    """A child that hangs is killed after the time-out, which is named."""
    problem = ask(tmp_path, "import time; time.sleep(600)", timeout_s=0.5)
    assert "did not finish within 0.5 s" in problem


def test_crash(tmp_path):
    """A child that is killed by a signal is reported with that signal and what it last said."""
    code = "import os, sys; print('driver bug', file=sys.stderr, flush=True); os.kill(os.getpid(), 9)"
    problem = ask(tmp_path, code)
    assert f"killed by signal {int(signal.SIGKILL)}" in problem
    assert problem.endswith("driver bug")


def test_exit_code(tmp_path):
    """A child that fails in Python is reported with the last line of its traceback."""
    problem = ask(tmp_path, "import no_such_module_anywhere")
    assert "exit code 1" in problem
    assert "ModuleNotFoundError" in problem


@pytest.mark.parametrize("answer", ["", "fast", "{}", '{"flops_per_s": "NaN"}'])
def test_garbage(tmp_path, answer):
    """An answer that is no peak is never taken for one, nor remembered."""
    problem = ask(tmp_path, f"print({answer!r})")
    assert "cannot be understood" in problem
    assert repr(answer) in problem
    assert not (tmp_path / "cache").exists()


def test_a_child_that_cannot_be_started(tmp_path):
    """A program that is not there is a problem, not an exception."""
    problem = attainable_peak(
        CPU, precision="float32", jit="off", fingerprint="", cache=tmp_path, command=[str(tmp_path / "no-such-program")]
    )
    assert "could not be started: No such file" in problem


@pytest.mark.tf
@pytest.mark.parametrize(("precision", "jit"), [("float32", "off"), ("mixed_bfloat16", "on")])
def test_the_real_measurement(tmp_path, precision, jit):
    """On one core, in next to no time, the real child finds figures that agree with each other and with the request."""
    first = (min(os.sched_getaffinity(0)),) if hasattr(os, "sched_getaffinity") else ()
    peak = attainable_peak(
        Device(kind="cpu", threads=1, cpus=first),
        precision=precision,
        jit=jit,
        fingerprint="",
        cache=tmp_path,
        budget_s=0.5,
        timeout_s=300,
    )
    assert isinstance(peak, Peak), peak
    assert (peak.precision, peak.jit, peak.threads) == (precision, jit, 1)
    assert peak.flops_per_s == max(peak.matmul_flops_per_s, peak.convolution_flops_per_s)
    assert peak.flops_by.startswith(("matrix product", "3×3 convolution"))
    assert peak.bandwidth_bytes_per_s > 1e8
    assert 0 < peak.dispatch_s < 1
    assert 0 <= peak.operation_s < peak.dispatch_s
    assert 0 < peak.cpu_share < 1.1


@pytest.mark.tf
def test_cpus_that_may_not_be_used(tmp_path):
    """A device whose CPUs are gone has no peak, and the reason names them."""
    gone = Device(kind="cpu", threads=1, cpus=(4095,))
    problem = attainable_peak(gone, precision="float32", jit="off", fingerprint="", cache=tmp_path)
    assert isinstance(problem, str)
    assert "cannot be pinned to CPUs 4095" in problem
