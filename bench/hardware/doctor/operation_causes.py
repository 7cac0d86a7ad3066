"""What a GPU does when TensorFlow is asked to list it and to compute on it.

Sources: tensorflow#101746, #99592 (RTX 50); XLA's messages (libdevice, ptxas); the CUDA driver API (CUresult); CUDA
compatibility guide (PTX needs a driver as new as its toolkit); TensorFlow 2.18's release notes (Maxwell).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bench.hardware.distributions import number
from bench.hardware.doctor import cures, words
from bench.hardware.doctor.checkup import (
    EXIT_DRIVER,
    EXIT_LIBRARIES,
    EXIT_OPERATION_FAILED,
    EXIT_PROBE_FAILED,
    EXIT_VERIFIED,
    Diagnosis,
)
from bench.hardware.doctor.library_probe import LIBCUDA

if TYPE_CHECKING:
    from bench.hardware.doctor.checkup import Facts, TensorFlowProbe
    from bench.records import Gpu

_TOOLS = re.compile(r"libdevice|ptxas|nvvm|PTX compilation provider", re.IGNORECASE)
_NO_MEMORY = re.compile(r"out of memory|OUT_OF_MEMORY|RESOURCE_EXHAUSTED|failed to allocate", re.IGNORECASE)
_CUDNN = re.compile(r"cudnn|\bDNN\b", re.IGNORECASE)  # "No DNN in stream executor": it could not be started
_PTX = re.compile(r"INVALID_PTX|PTX JIT compilation|NO_BINARY_FOR_GPU|no kernel image", re.IGNORECASE)
_PTX_TOO_NEW = re.compile(r"UNSUPPORTED_PTX_VERSION|PTX was compiled with an unsupported toolchain", re.IGNORECASE)
# What the doctor does with each GPU, and waits for; the cache must hold what comes of it, gigabytes.
_COMPILE = (
    "from bench.hardware import gpus, verify; "
    "print([verify.verify_gpu(gpu, timeout_s=7200).problem for gpu in gpus.detect_gpus().gpus])"
)


def verified(facts: Facts) -> Diagnosis | None:
    """Every visible GPU computed."""
    if not words.works(facts):
        return None
    titles = ", ".join(words.title(gpu) for gpu in facts.driver.gpus)
    return Diagnosis(
        cause="verified",
        exit_code=EXIT_VERIFIED,
        found=f"TensorFlow computes on {titles}: a convolution and a jit-compiled operation gave the right values",
    )


def operation_failed(facts: Facts) -> Diagnosis | None:
    """A GPU is listed and cannot compute: what it is by its capability comes first, then what it said."""
    for probe in facts.trials:
        gpu = next((one for one in facts.driver.gpus if one.uuid == probe.gpu), None)
        if gpu is None or probe.outcome == "works":
            continue
        found = _explain(facts, gpu, probe)
        if found is not None:
            return found
    return None


def _explain(facts: Facts, gpu: Gpu, probe: TensorFlowProbe) -> Diagnosis | None:
    if any(_PTX_TOO_NEW.search(text) for text in (probe.problem or "", *probe.messages)):
        return _driver_too_old_for_ptx(facts, gpu, probe)
    found = _explain_by_capability(facts, gpu, probe)
    if found is None and probe.outcome == "operation_failed":
        found = _explain_by_words(facts, gpu, probe)
    elif found is None and probe.outcome == "timeout":
        found = _explain_timeout(facts, gpu, probe)
    elif found is None and probe.outcome == "not_listed" and words.lists_gpus(facts):
        said = f"TensorFlow does not list {words.title(gpu)} among its GPUs"
        found = _failure("operation-failed", gpu, probe, said)
    return found


def _explain_timeout(facts: Facts, gpu: Gpu, probe: TensorFlowProbe) -> Diagnosis | None:
    # TensorFlow asks again and again for memory that it does not get.
    if any(_NO_MEMORY.search(message) for message in probe.messages):
        return _memory_full(gpu, probe)
    return _still_compiling(facts, gpu, probe) if words.is_newer_than_the_build(facts, gpu) else None


def _explain_by_capability(facts: Facts, gpu: Gpu, probe: TensorFlowProbe) -> Diagnosis | None:
    """A GPU without code that it can run; TensorFlow may even be aborted over it."""
    name, native = words.title(gpu), facts.installation.native_capabilities
    if gpu.compute_capability is None or not native:
        return None
    if number(gpu.compute_capability) < number(native[0]):
        return _failure(
            "capability-too-low",
            gpu,
            probe,
            f"{name} has compute capability {gpu.compute_capability}; TensorFlow 2.21 is built for {native[0]} "
            "and newer",
            *_older_tensorflow(gpu.compute_capability),
        )
    if words.is_newer_than_the_build(facts, gpu) and _PTX.search(probe.problem or ""):
        return _failure(
            "capability-too-new",
            gpu,
            probe,
            f"{name} has compute capability {gpu.compute_capability}, newer than this TensorFlow has code for "
            f"({native[-1]}), and compiling from PTX failed",
            "docker run --gpus all -it nvcr.io/nvidia/tensorflow:25.02-tf2-py3   (NVIDIA's, for new cards)",
            f"{words.python(facts)} -m pip install 'tf-nightly[and-cuda]'   (in an environment of its own)",
        )
    return None


def _older_tensorflow(capability: str) -> tuple[str, ...]:
    """What a card from before Pascal can still do."""
    if number(capability) >= (5, 0):
        return (
            (
                "python3.12 -m venv .venv-2.16 && .venv-2.16/bin/pip install 'tensorflow[and-cuda]==2.16.*'   (for "
                "your own programs, in an environment of its own: the last version with code for Maxwell)"
            ),
            cures.ON_CPU,
        )
    return (
        cures.ON_CPU,
        (
            "no TensorFlow for this Python computes on it; for your own programs TensorFlow 2.10 did, with Python 3.10 "
            "and CUDA 11.2, from compute capability 3.5 on"
        ),
    )


def _driver_too_old_for_ptx(facts: Facts, gpu: Gpu, probe: TensorFlowProbe) -> Diagnosis:
    """Minor-version compatibility lets an older driver run machine code, and not compile a newer toolkit's PTX."""
    return Diagnosis(
        cause="driver-too-old-for-ptx",
        exit_code=EXIT_DRIVER,
        found=f"{words.title(gpu)} must compile PTX of CUDA {facts.installation.cuda_version or '12.5'}, which the "
        f"driver, {gpu.driver}, is too old for",
        evidence=(str(probe.problem), f"compute capability {gpu.compute_capability}", *words.last_messages(probe)),
        cure=cures.where_the_driver_is(facts, cures.install_driver(words.OLDEST_DRIVER_FOR_PTX), cures.RESTART),
    )


def _still_compiling(facts: Facts, gpu: Gpu, probe: TensorFlowProbe) -> Diagnosis:
    return Diagnosis(
        cause="still-compiling",
        exit_code=EXIT_PROBE_FAILED,
        found=f"TensorFlow has no machine code for {words.title(gpu)} and was still compiling it from PTX",
        evidence=(str(probe.problem), f"compute capability {gpu.compute_capability}", *words.last_messages(probe)),
        cure=(
            "export CUDA_CACHE_MAXSIZE=4294967296   (also in your shell's profile: a smaller cache forgets)",
            f"{words.python(facts)} -c '{_COMPILE}'   (may take 30 minutes, once; [None] is success)",
        ),
    )


def _explain_by_words(facts: Facts, gpu: Gpu, probe: TensorFlowProbe) -> Diagnosis:
    name, said = words.title(gpu), probe.problem or ""
    if _NO_MEMORY.search(said):
        return _memory_full(gpu, probe)
    if probe.answer and probe.answer.failed_operation == "compiled" and _TOOLS.search(said):
        return _failure(
            "xla-tools-missing",
            gpu,
            probe,
            f"{name} computes, but XLA cannot compile for it: its tools (ptxas, libdevice) are not to be found",
            words.pip(facts, "nvidia-cuda-nvcc-cu12>=12.5,<13"),
            "or run without XLA in your own programs: model.compile(jit_compile=False)",
        )
    if _CUDNN.search(said):
        return _failure(
            "cudnn-failed",
            gpu,
            probe,
            f"{name} is listed, but cuDNN fails at the first convolution",
            words.pip(facts, "nvidia-cudnn-cu12>=9.3,<10"),
        )
    return _failure("operation-failed", gpu, probe, f"{name} is listed, but cannot compute", "nvidia-smi")


def _memory_full(gpu: Gpu, probe: TensorFlowProbe) -> Diagnosis:
    return _failure(
        "gpu-memory-full",
        gpu,
        probe,
        f"{words.title(gpu)} has no memory left for the smallest operation",
        "nvidia-smi   (which process holds it? end that one)",
    )


def _failure(cause: str, gpu: Gpu, probe: TensorFlowProbe, found: str, *cure: str) -> Diagnosis:
    return Diagnosis(
        cause=cause,
        exit_code=EXIT_OPERATION_FAILED,
        found=found,
        evidence=(str(probe.problem), f"driver {gpu.driver}", *words.last_messages(probe)),
        cure=cure or ("nvidia-smi",),
    )


def probe_crashed(facts: Facts) -> Diagnosis | None:
    """A process that imported TensorFlow or loaded libcuda did not survive, or did not end."""
    libcuda = next((probe for probe in facts.libraries if probe.soname == LIBCUDA and probe.crashed), None)
    driver = () if libcuda is None else (str(libcuda.problem),)
    for probe in (*facts.trials, *facts.listings):
        if probe.outcome in {"crashed", "timeout", "failed"}:
            return Diagnosis(
                cause="probe-timeout" if probe.outcome == "timeout" else "probe-crashed",
                exit_code=EXIT_PROBE_FAILED,
                found=str(probe.problem),
                evidence=(*driver, *words.last_messages(probe)),
                cure=(
                    "nvidia-smi   (if this hangs too, it is the driver: sudo reboot)",
                    (
                        f"{words.python(facts)} -X faulthandler -c 'import tensorflow as tf; "
                        'print(tf.config.list_physical_devices("GPU"))\'   (the same, by hand)'
                    ),
                ),
            )
    if libcuda is None:
        return None
    return Diagnosis(
        cause="probe-timeout" if "did not finish" in str(libcuda.problem) else "probe-crashed",
        exit_code=EXIT_PROBE_FAILED,
        found=str(libcuda.problem),
        cure=("nvidia-smi   (if this fails too, it is the driver: sudo reboot)", "sudo dmesg | grep -i nvrm"),
    )


def not_listed(facts: Facts) -> Diagnosis | None:
    """Everything loads, and TensorFlow still lists no GPU: its own words are all there is."""
    probe = words.best_listing(facts)
    if probe is None or words.lists_gpus(facts):
        return None
    return Diagnosis(
        cause="not-listed",
        exit_code=EXIT_LIBRARIES,
        found="driver and libraries load, but TensorFlow lists no GPU",
        evidence=words.last_messages(probe),
        cure=(
            (
                "TF_CPP_MIN_LOG_LEVEL=0 TF_CPP_VMODULE=dso_loader=1,cuda_platform=1,gpu_device=2 "
                f"{words.python(facts)} -c 'import tensorflow as tf; tf.config.list_physical_devices()'   (all it says)"
            ),
            words.NEW_ENVIRONMENT,
        ),
    )
