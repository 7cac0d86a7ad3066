"""Whether a GPU works is found out in a child, whatever becomes of the child."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

from bench.hardware.environment import child_environment
from bench.hardware.verify import verify_gpu
from bench.records import Device, Gpu

GPU = Gpu(index=0, uuid="GPU-none", name="Toy 4000")


def verify(code: str, *, timeout_s: float = 60.0) -> str | None:
    """What is said of the GPU when this Python code is the probe."""
    return verify_gpu(GPU, command=[sys.executable, "-P", "-c", code], timeout_s=timeout_s)


def test_answer_without_problem() -> None:
    """A probe that answers that all is well is believed, also after other lines."""
    assert verify("print('Keras says hello'); print('{\"problem\": null}')") is None


def test_answer_with_problem() -> None:
    """The problem that a probe reports is passed on."""
    assert verify('print(\'{"problem": "cuDNN is too old"}\')') == "cuDNN is too old"


def test_child_sees_one_gpu() -> None:
    """The probe runs where only the GPU in question is visible."""
    code = "import json, os; print(json.dumps({'problem': os.environ['CUDA_VISIBLE_DEVICES']}))"
    assert verify(code) == GPU.uuid


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT])
def test_crash(number: signal.Signals) -> None:
    """A probe that is killed by a signal is reported with that signal and what it last said."""
    code = (
        "import os, resource, sys; resource.setrlimit(resource.RLIMIT_CORE, (0, 0));"
        f"print('driver bug', file=sys.stderr, flush=True); os.kill(os.getpid(), {int(number)})"
    )
    problem = verify(code) or ""
    assert f"killed by signal {int(number)}" in problem
    assert problem.endswith("driver bug")


def test_exit_code() -> None:
    """A probe that fails in Python is reported with the last line of its traceback."""
    problem = verify("import no_such_module_anywhere") or ""
    assert "exit code 1" in problem
    assert "ModuleNotFoundError" in problem


def test_hang() -> None:
    """A probe that hangs is killed after the time-out, which is named."""
    assert "within 0.5 s" in (verify("import time; time.sleep(600)", timeout_s=0.5) or "")


@pytest.mark.parametrize("answer", ["", "yes", "{}", '{"problem": 3}'])
def test_garbage(answer: str) -> None:
    """An answer that is not the probe's format is never taken for a working GPU."""
    problem = verify(f"print({answer!r})") or ""
    assert "cannot be understood" in problem
    assert repr(answer) in problem


@pytest.mark.tf
def test_gpu_that_is_not_there() -> None:
    """The real probe finds that TensorFlow lists no GPU for a UUID that no machine has."""
    assert (verify_gpu(GPU) or "").startswith("TensorFlow lists no GPU")


@pytest.mark.tf
def test_operations_run_where_they_are_told_to() -> None:
    """The probe's operations give the right values on a device that is there and fail on one that is not."""
    code = (
        "import json; from bench.worker.probe import try_operations;"
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
    assert on_gpu.startswith("a convolution on /GPU:0 failed: ")
