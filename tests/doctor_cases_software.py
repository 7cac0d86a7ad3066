"""What the doctor must conclude of TensorFlow, its libraries and what they compute: facts, code, evidence, cure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from bench.hardware.doctor.checkup import LibraryProbe, Pin, Wheel
from doctor_cases_machine import NEWER_DRIVER
from facts_for_tests import GPU, HEALTHY, LIBCUDA, PYTHON, SITE, UNTRIED, case, installation, listing, system, trial

if TYPE_CHECKING:
    from bench.hardware.doctor.checkup import Driver, Facts

PIP = f"{PYTHON} -m pip install"
INSTALL_CUDA = f"{PIP} 'tensorflow[and-cuda]==2.21.0'"
NEW_ENVIRONMENT = (
    "python3 -m venv .venv && .venv/bin/pip install '.[gpu]'   (in the checkout: an environment of its own)"
)
ON_CPU = "python -m bench run --device cpu"
BY_HAND = "nvidia-smi   (if this fails too, it is the driver: sudo reboot)", "sudo dmesg | grep -i nvrm"


def wheel(name: str, version: str | None) -> tuple[Wheel, ...]:
    """The wheels, one of them in a version that does not fit, or not at all."""
    return tuple(
        replace(one, installed=version, fits=False) if one.distribution == name else one
        for one in HEALTHY.installation.wheels
    )


def library(name: str, problem: str | None = None, **changes: Any) -> tuple[LibraryProbe, ...]:
    """The driver's library, and another one."""
    return LIBCUDA, LibraryProbe(soname=name, problem=problem, **changes)


def capability(value: str) -> Driver:
    """A driver whose GPU has another compute capability."""
    return replace(HEALTHY.driver, gpus=(replace(GPU, compute_capability=value),))


def tried(outcome: str, problem: str, **changes: Any) -> Facts:
    """The machine whose GPU is listed and does not compute."""
    return replace(HEALTHY, trials=(trial(outcome, problem, **changes),))


PINS = (Pin(framework="torch", distribution="nvidia-cudnn-cu12", required="==9.1.0.70"),)
CUFFT_LOST = library("libcufft.so.11", "libcufft.so.11: cannot open shared object file: No such file or directory")
CUBLAS = f"{SITE}/nvidia/cublas/lib/libcublas.so.12"
CUSPARSE = f"{SITE}/nvidia/cusparse/lib/libcusparse.so.12"
NVJITLINK = f"{SITE}/nvidia/nvjitlink/lib/libnvJitLink.so.12"
CUDNN = f"{SITE}/nvidia/cudnn/lib/libcudnn.so.9"
OLD_CUDNN = library("libcudnn.so.9", path=CUDNN, version=90100)
KERNELS = "no kernel image is available for execution on the device"
LOADED = "cuda_dnn.cc: Loaded cuDNN version 90300"

COMPILE = (
    "from bench.hardware import gpus, verify; "
    "print([verify.verify_gpu(gpu, timeout_s=7200).problem for gpu in gpus.detect_gpus().gpus])"
)

CASES = [
    case(
        "no-tensorflow",
        13,
        installation(distributions={"tensorflow-metal": "1.2.0"}),
        [PYTHON],
        [f"{PIP} 'tensorflow[and-cuda]==2.21.*'"],
    ),
    case(
        "two-tensorflows",
        13,
        installation(distributions={"tensorflow": "2.21.0", "tensorflow-cpu": "2.20.0"}),
        ["tensorflow 2.21.0", "tensorflow-cpu 2.20.0"],
        [f"{PYTHON} -m pip uninstall -y tensorflow tensorflow-cpu", INSTALL_CUDA],
    ),
    case(
        "cpu-build",
        13,
        installation(distributions={"tensorflow-cpu": "2.21.0"}, cuda_build=False),
        ["is_cuda_build: False"],
        [f"{PYTHON} -m pip uninstall -y tensorflow-cpu", f"{PIP} 'tensorflow[and-cuda]==2.21.*'"],
    ),
    case(
        "library-broken",
        13,
        replace(UNTRIED, libraries=library("libcusolver.so.11", f"{CUBLAS}: file too short")),
        [CUBLAS, "file too short"],
        [f"{PIP} --force-reinstall --no-deps --no-cache-dir nvidia-cublas-cu12==12.5.3.2"],
    ),
    case(
        "library-broken",
        13,
        replace(UNTRIED, libraries=library("libcublas.so.12", "killed by signal 11", crashed=True)),
        [CUBLAS, "killed by signal 11"],
        [f"{PIP} --force-reinstall --no-deps --no-cache-dir nvidia-cublas-cu12==12.5.3.2"],
        variant="crash",
    ),
    case(
        "library-broken",
        13,
        replace(UNTRIED, libraries=library("libcusparse.so.12", f"{NVJITLINK}: invalid ELF header")),
        [NVJITLINK, "invalid ELF header"],
        [f"{PIP} --force-reinstall --no-deps --no-cache-dir nvidia-nvjitlink-cu12==12.5.82"],
        variant="needed-by-another",
    ),
    case(
        "cudnn-too-old",
        13,
        replace(UNTRIED, libraries=OLD_CUDNN),
        [f"cudnnGetVersion() of {CUDNN} answers 90100"],
        [f"{PIP} 'nvidia-cudnn-cu12>=9.3,<10'"],
    ),
    case(
        "cudnn-too-old",
        13,
        installation(replace(UNTRIED, libraries=OLD_CUDNN), pins=PINS),
        ["torch requires nvidia-cudnn-cu12==9.1.0.70"],
        [NEW_ENVIRONMENT],
        variant="torch",
    ),
    case(
        "cudnn-too-old",
        13,
        replace(UNTRIED, libraries=library("libcudnn.so.9", path="/opt/cudnn/libcudnn.so.9", version=90100)),
        ["/opt/cudnn/libcudnn.so.9 answers 90100"],
        [INSTALL_CUDA],
        variant="elsewhere",
    ),
    case(
        "wheels-missing",
        13,
        replace(installation(wheels=wheel("nvidia-cufft-cu12", None)), libraries=CUFFT_LOST),
        ["libcufft.so.11: cannot open shared object file"],
        [INSTALL_CUDA],
    ),
    case(
        "wheels-missing",
        13,
        replace(
            installation(wheels=wheel("nvidia-nvjitlink-cu12", None)),
            libraries=library("libcusparse.so.12", "libnvJitLink.so.12: cannot open shared object file"),
        ),
        ["libnvJitLink.so.12: cannot open shared object file"],
        [INSTALL_CUDA],
        variant="needed-by-another",
    ),
    case(
        "wheel-versions",
        13,
        installation(
            wheels=wheel("nvidia-cudnn-cu12", "9.1.0.70"),
            pins=PINS,
        ),
        ["nvidia-cudnn-cu12 9.1.0.70, required >=1", "torch requires nvidia-cudnn-cu12==9.1.0.70"],
        [NEW_ENVIRONMENT],
    ),
    case(
        "wheel-versions",
        13,
        installation(wheels=wheel("nvidia-cublas-cu12", "12.4.5.8")),
        ["nvidia-cublas-cu12 12.4.5.8, required >=1"],
        [INSTALL_CUDA],
        variant="alone",
    ),
    case(
        "library-missing",
        13,
        replace(UNTRIED, libraries=library("libcusparse.so.12", f"{CUSPARSE}: undefined symbol: __nvJitLinkCreate")),
        ["undefined symbol: __nvJitLinkCreate"],
        [f"{INSTALL_CUDA} --force-reinstall --no-cache-dir"],
        variant="symbol",
    ),
    case(
        "library-missing",
        13,
        replace(UNTRIED, libraries=CUFFT_LOST),
        ["libcufft.so.11: cannot open shared object file"],
        [f"{INSTALL_CUDA} --force-reinstall --no-cache-dir"],
    ),
    case(
        "library-missing",
        13,
        replace(UNTRIED, listings=(listing(missing=("libcuda.so.1", "libcusolver.so.11")),)),
        ["TensorFlow could not load libcusolver.so.11"],
        [f"{INSTALL_CUDA} --force-reinstall --no-cache-dir"],
        variant="as-tensorflow-says",
    ),
    case(
        "capability-too-low",
        15,
        replace(tried("crashed", "killed by signal 6"), driver=capability("5.0")),
        ["killed by signal 6", "driver 550.54.15"],
        [
            (
                "python3.12 -m venv .venv-2.16 && .venv-2.16/bin/pip install 'tensorflow[and-cuda]==2.16.*'   (for "
                "your own programs, in an environment of its own: the last version with code for Maxwell)"
            ),
            ON_CPU,
        ],
    ),
    case(
        "capability-too-low",
        15,
        replace(tried("crashed", "killed by signal 6"), driver=capability("3.7")),
        ["killed by signal 6"],
        [
            ON_CPU,
            (
                "no TensorFlow for this Python computes on it; for your own programs TensorFlow 2.10 did, with Python "
                "3.10 and CUDA 11.2, from compute capability 3.5 on"
            ),
        ],
        variant="kepler",
    ),
    case(
        "driver-too-old-for-ptx",
        12,
        replace(tried("crashed", "Check failed: CUDA_ERROR_UNSUPPORTED_PTX_VERSION"), driver=capability("9.0")),
        ["CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "compute capability 9.0"],
        [NEWER_DRIVER.replace("525", "555"), "sudo reboot"],
    ),
    case(
        "driver-too-old-for-ptx",
        12,
        system(
            tried(
                "operation_failed",
                "a compiled operation failed",
                operation="compiled",
                messages=("cuda_executor.cc: the provided PTX was compiled with an unsupported toolchain",),
            ),
            container="docker",
        ),
        ["unsupported toolchain"],
        [f"on the container's host: {NEWER_DRIVER.replace('525', '555')}", "on the container's host: sudo reboot"],
        variant="container",
    ),
    case(
        "capability-too-new",
        15,
        replace(tried("crashed", f"Check failed: {KERNELS}"), driver=capability("12.0")),
        [KERNELS],
        [
            "docker run --gpus all -it nvcr.io/nvidia/tensorflow:25.02-tf2-py3   (NVIDIA's, for new cards)",
            f"{PYTHON} -m pip install 'tf-nightly[and-cuda]'   (in an environment of its own)",
        ],
    ),
    case(
        "still-compiling",
        16,
        replace(tried("timeout", "did not finish within 600 s"), driver=capability("12.0")),
        ["did not finish within 600 s", "compute capability 12.0"],
        [
            "export CUDA_CACHE_MAXSIZE=4294967296   (also in your shell's profile: a smaller cache forgets)",
            f"{PYTHON} -c '{COMPILE}'   (may take 30 minutes, once; [None] is success)",
        ],
    ),
    case(
        "gpu-memory-full",
        15,
        tried("operation_failed", "CUDA_ERROR_OUT_OF_MEMORY: out of memory", operation="convolution"),
        ["CUDA_ERROR_OUT_OF_MEMORY"],
        ["nvidia-smi   (which process holds it? end that one)"],
    ),
    case(
        "gpu-memory-full",
        15,
        tried("timeout", "did not finish within 120 s", messages=("failed to allocate 3.0KiB (3072 bytes)",)),
        ["failed to allocate 3.0KiB"],
        ["nvidia-smi   (which process holds it? end that one)"],
        variant="asked-for-again-and-again",
    ),
    case(
        "xla-tools-missing",
        15,
        tried("operation_failed", "libdevice not found at ./libdevice.10.bc", operation="compiled"),
        ["libdevice not found"],
        [
            f"{PIP} 'nvidia-cuda-nvcc-cu12>=12.5,<13'",
            "or run without XLA in your own programs: model.compile(jit_compile=False)",
        ],
    ),
    case(
        "cudnn-failed",
        15,
        tried("operation_failed", "No DNN in stream executor.", operation="convolution", messages=(LOADED,)),
        ["No DNN in stream executor", LOADED],
        [f"{PIP} 'nvidia-cudnn-cu12>=9.3,<10'"],
    ),
    case(
        "operation-failed",
        15,
        tried("operation_failed", "a convolution on /GPU:0 gave 0.0 instead of 72", operation="convolution"),
        ["gave 0.0 instead of 72"],
        ["nvidia-smi"],
    ),
    case(
        "operation-failed",
        15,
        tried("not_listed", "TensorFlow lists no GPU"),
        ["TensorFlow lists no GPU"],
        ["nvidia-smi"],
        variant="not-among-the-listed",
    ),
    case(
        "probe-crashed",
        16,
        replace(tried("crashed", "the GPU probe was killed by signal 11", messages=(LOADED,))),
        [LOADED],
        [
            "nvidia-smi   (if this hangs too, it is the driver: sudo reboot)",
            (
                f"{PYTHON} -X faulthandler -c 'import tensorflow as tf; "
                'print(tf.config.list_physical_devices("GPU"))\'   (the same, by hand)'
            ),
        ],
    ),
    case(
        "probe-crashed",
        16,
        replace(UNTRIED, libraries=(replace(LIBCUDA, problem="killed by signal 11", crashed=True),)),
        [],
        [*BY_HAND],
        variant="driver",
    ),
    case(
        "probe-timeout",
        16,
        replace(UNTRIED, libraries=(replace(LIBCUDA, problem="did not finish within 20 s", crashed=True),)),
        [],
        [*BY_HAND],
    ),
    case(
        "not-listed",
        13,
        replace(UNTRIED, listings=(listing(messages=("cuda_platform.cc: no word of why",)),)),
        ["no word of why"],
        [
            (
                "TF_CPP_MIN_LOG_LEVEL=0 TF_CPP_VMODULE=dso_loader=1,cuda_platform=1,gpu_device=2 "
                f"{PYTHON} -c 'import tensorflow as tf; tf.config.list_physical_devices()'   (all it says)"
            ),
            NEW_ENVIRONMENT,
        ],
    ),
    case(
        "unknown",
        16,
        UNTRIED,
        [],
        ["python -m bench doctor --json   (please report what it prints)"],
    ),
]
