"""Whether a GPU works is found out in a child, whatever becomes of the child."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest
from msgspec.structs import replace

from bench.hardware import child
from bench.hardware.doctor.probes import AT_ONCE
from bench.hardware.environment import child_environment
from bench.hardware.verify import Verdict, verify_gpu
from bench.records import Device, Gpu

if TYPE_CHECKING:
    from pathlib import Path

GPU = Gpu(index=0, uuid="GPU-none", name="Toy 4000")
WORKS = '{"version": "2.21.0", "cuda_build": true, "gpus": ["/physical_device:GPU:0"]}'


def verify(code: str, *, timeout_s: float = 60.0) -> Verdict:
    """What is said of the GPU when this Python code is the probe."""
    return verify_gpu(GPU, command=[sys.executable, "-P", "-c", code], timeout_s=timeout_s)


def test_answer_without_problem() -> None:
    """A probe that answers that all is well is believed, also after other lines."""
    verdict = verify(f"print('Keras says hello'); print({WORKS!r})")
    assert (verdict.outcome, verdict.problem) == ("works", None)


def test_answer_with_problem() -> None:
    """The problem that a probe reports is passed on."""
    answer = WORKS[:-1] + ', "failed_operation": "convolution", "problem": "cuDNN is too old"}'
    verdict = verify(f"print({answer!r})")
    assert (verdict.outcome, verdict.problem) == ("operation_failed", "cuDNN is too old")


def test_no_gpu_in_the_list() -> None:
    """A TensorFlow that lists no GPU is no working one, and a build without CUDA is named."""
    answer = '{"version": "2.21.0", "cuda_build": false, "gpus": []}'
    verdict = verify(f"print({answer!r})")
    assert (verdict.outcome, verdict.problem) == (
        "not_listed",
        "TensorFlow lists no GPU: this build has no CUDA support",
    )


def test_child_sees_one_gpu() -> None:
    """The probe runs where only the GPU in question is visible."""
    code = "import os, sys; sys.exit(os.environ['CUDA_VISIBLE_DEVICES'])"
    assert (verify(code).problem or "").endswith(GPU.uuid)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT])
def test_crash(number: signal.Signals) -> None:
    """A probe that is killed by a signal is reported with that signal and what it last said."""
    code = (
        "import os, resource, sys; resource.setrlimit(resource.RLIMIT_CORE, (0, 0));"
        f"print('driver bug', file=sys.stderr, flush=True); os.kill(os.getpid(), {int(number)})"
    )
    verdict = verify(code)
    assert verdict.outcome == "crashed"
    assert f"killed by signal {int(number)}" in (verdict.problem or "")
    assert (verdict.problem or "").endswith("driver bug")


def test_failed_check() -> None:
    """Of a failed check of C++ code the message is reported, not the last line of the stack below it."""
    said = "F0000 00:00:1.5 7 gpu_device.cc:12] Check failed: no kernel image\\n    @  0x7f01  main"
    verdict = verify(f"import os, sys; print('{said}', file=sys.stderr, flush=True); os._exit(1)")
    assert (verdict.problem or "").endswith("its last words: Check failed: no kernel image")


def test_exit_code() -> None:
    """A probe that fails in Python is reported with the last line of its traceback."""
    verdict = verify("import no_such_module_anywhere")
    assert verdict.outcome == "failed"
    assert "exit code 1" in (verdict.problem or "")
    assert "ModuleNotFoundError" in (verdict.problem or "")


def test_hang() -> None:
    """A probe that hangs is killed after the time-out, which is named; what it had said is kept."""
    verdict = verify("import sys, time; print('cuInit', file=sys.stderr, flush=True); time.sleep(600)", timeout_s=1)
    assert verdict.outcome == "timeout"
    assert "within 1 s" in (verdict.problem or "")
    assert "cuInit" in verdict.said


def test_flood() -> None:
    """Of a probe that says more than anyone can keep, the beginning and the end are kept."""
    said = verify("import sys; print('first' + 'x' * 3_000_000 + 'last', file=sys.stderr); sys.exit(1)").said
    assert said.startswith("first")
    assert said.strip().endswith("last")
    assert len(said) < 1_000_000


@pytest.mark.parametrize("answer", ["", "yes", "{}", '{"problem": 3}'])
def test_garbage(answer: str) -> None:
    """An answer that is not the probe's format is never taken for a working GPU."""
    verdict = verify(f"print({answer!r})")
    assert verdict.outcome == "failed"
    assert "cannot be understood" in (verdict.problem or "")
    assert repr(answer) in (verdict.problem or "")


@pytest.mark.parametrize(("capability", "timeout_s"), [("8.9", 120), ("9.0", 600), (None, 120)])
def test_a_card_that_compiles_gets_more_time(
    stand_in_site: Path, monkeypatch: pytest.MonkeyPatch, capability: str | None, timeout_s: float
) -> None:
    """A GPU that TensorFlow has no machine code for may take ten minutes, any other one two."""
    asked: list[float] = []

    def ask(who: str, *_: object, timeout_s: float, **__: object) -> child.Answer:
        asked.append(timeout_s)
        return child.Answer(outcome="timeout", problem=f"{who} is late", last_line="", said="", seconds=0.0)

    monkeypatch.setattr(child, "ask", ask)
    monkeypatch.setattr(sys, "path", [str(stand_in_site)])
    verify_gpu(replace(GPU, compute_capability=capability))

    assert asked == [timeout_s]


INTERRUPTED = """
import sys
from bench.hardware.doctor.probes import probe_libraries
probe_libraries((), command=[sys.executable, "-c", {code!r}], timeout_s=60.0)
"""
SLEEPER = """
import os, pathlib, time
pathlib.Path({folder!r}, str(os.getpid())).touch()
time.sleep(60)
"""


def test_interrupt_ends_all_children(tmp_path: Path) -> None:
    """Ctrl-C ends at once what several threads are waiting for, and nothing more is started."""
    folder = tmp_path / "started"
    folder.mkdir()
    code = INTERRUPTED.format(code=SLEEPER.format(folder=str(folder)))
    parent = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    deadline_s = time.monotonic() + 30
    while len(list(folder.iterdir())) < AT_ONCE and time.monotonic() < deadline_s:
        time.sleep(0.05)
    parent.send_signal(signal.SIGINT)
    _, said = parent.communicate(timeout=30)
    started = [int(path.name) for path in folder.iterdir()]

    assert "KeyboardInterrupt" in said
    assert len(started) == AT_ONCE
    assert not [number for number in started if psutil.pid_exists(number)]


@pytest.mark.tf
def test_gpu_that_is_not_there() -> None:
    """The real probe finds that TensorFlow lists no GPU for a UUID that no machine has."""
    assert verify_gpu(GPU).outcome == "not_listed"


@pytest.mark.tf
def test_operations_run_where_they_are_told_to() -> None:
    """The probe's operations give the right values on a device that is there and fail on one that is not."""
    code = (
        "import json; from bench.worker.operations import try_operations;"
        "print(json.dumps([try_operations('/CPU:0'), try_operations('/GPU:0')]))"
    )
    child = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env=child_environment(Device(kind="cpu", threads=1)),
        capture_output=True,
        text=True,
        check=True,
    )
    on_cpu, on_gpu = json.loads(child.stdout)
    assert on_cpu is None
    operation, problem = on_gpu
    assert operation == "convolution"
    assert problem.startswith("a convolution on /GPU:0 failed: ")
