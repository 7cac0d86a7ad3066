"""The CUDA stand-ins do what the tests that use them rely on, and the real TensorFlow takes them for a GPU."""

from __future__ import annotations

import signal
from ctypes.util import find_library
from pathlib import Path

import pytest

from stand_ins import cuda, nvml

LOG = {"TF_CPP_MIN_LOG_LEVEL": "0", "TF_CPP_VMODULE": "dso_loader=1"}

LIST = """
import tensorflow as tf
for gpu in tf.config.list_physical_devices("GPU"):
    details = tf.config.experimental.get_device_details(gpu)
    print(gpu.name, details["device_name"], *details["compute_capability"], sep="|")
"""

PRELOAD = """
import ctypes
from importlib.metadata import files
order = ["nvjitlink", "cublas", "cusparse", "cusolver", "cudnn", "cuda_runtime", "cufft"]
for name in order:
    for file in files(f"nvidia-{name.replace('_', '-')}-cu12"):
        if ".so." in file.name:
            ctypes.CDLL(str(file.locate()))
"""

CONVOLVE = """
import tensorflow as tf
try:
    with tf.device("/GPU:0"):
        tf.nn.conv2d(tf.ones((1, 8, 8, 3)), tf.ones((3, 3, 3, 4)), strides=1, padding="SAME")
except tf.errors.OpError as error:
    print(type(error).__name__)
"""

INITIALIZE = """
import ctypes
print(ctypes.CDLL("libcuda.so.1").cuInit(0))
"""

WAIT = f"""
import threading
thread = threading.Thread(target=exec, args=[{INITIALIZE!r}], daemon=True)
thread.start()
thread.join(timeout=1)
print(thread.is_alive())
"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory) -> list[Path]:
    """The folders of the stand-ins for what a driver installs: libcuda and NVML."""
    folder = tmp_path_factory.mktemp("driver")
    return [cuda.build_driver(folder).parent, nvml.build(tmp_path_factory.mktemp("nvml")).parent]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """All wheels."""
    return cuda.build_wheels(tmp_path_factory.mktemp("site"))


def skip_if_installed(library: str) -> None:
    """Skip the calling test where the system's loader finds a real library besides the stand-in."""
    if find_library(library):
        pytest.skip(f"this system has a {library} of its own")


@pytest.mark.tf
def test_tensorflow_lists_the_gpu(driver, site):
    """With every library on the loader's path, TensorFlow lists the GPU by the name and capability that were chosen."""
    done = cuda.run_python(
        LIST,
        libraries=[*driver, *cuda.library_folders(site)],
        FAKE_CUDA_NAME="NVIDIA Stand-in",
        FAKE_CUDA_CAPABILITY="89",
        **LOG,
    )

    assert done.stdout == "/physical_device:GPU:0|NVIDIA Stand-in|8|9\n", done.stderr
    assert "Successfully opened dynamic library libcusolver.so.11" in done.stderr


@pytest.mark.tf
def test_tensorflow_names_the_library_it_misses(driver, site):
    """Without one folder on the loader's path TensorFlow lists nothing, and says which library it could not load."""
    skip_if_installed("cusolver")
    done = cuda.run_python(LIST, libraries=[*driver, *cuda.library_folders(site, without=["cusolver"])], **LOG)

    assert done.stdout == ""
    assert "Could not load dynamic library 'libcusolver.so.11'" in done.stderr
    assert done.stderr.count("Could not load dynamic library") == 1


@pytest.mark.tf
def test_libraries_loaded_by_path_are_found(driver, site):
    """Loaded by their paths in the order of their needs, the wheels' libraries are found without any search path."""
    done = cuda.run_python(PRELOAD + LIST, libraries=driver, site=site)

    assert done.stdout == "/physical_device:GPU:0|Stand-in GPU|9|0\n", done.stderr


@pytest.mark.tf
def test_an_operation_ends_the_process(driver, site):
    """By default no kernel fits the GPU, and a convolution aborts the process, as on a card too new or too old."""
    done = cuda.run_python(CONVOLVE, libraries=[*driver, *cuda.library_folders(site)])

    assert done.returncode == -signal.SIGABRT
    assert "no kernel image is available for execution on the device" in done.stderr


@pytest.mark.tf
def test_an_operation_fails_alone(driver, site):
    """Where kernels start, a convolution fails in cuDNN for the reason that was chosen, and the process lives on."""
    done = cuda.run_python(
        CONVOLVE,
        libraries=[*driver, *cuda.library_folders(site)],
        FAKE_CUDA_ERRORS="cudaLaunchKernel=0",
        FAKE_CUDNN_VERSION="8907",
    )

    assert done.stdout == "InvalidArgumentError\n", done.stderr
    assert "Loaded runtime CuDNN library: 8.9.7 but source was compiled with: 9.3.0" in done.stderr


def test_order_matters(driver, site):
    """A library cannot be loaded by its path before those that it needs."""
    skip_if_installed("cublas")
    path = site / "nvidia/cusolver/lib/libcusolver.so.11"
    done = cuda.run_python(f"import ctypes; ctypes.CDLL({str(path)!r})")

    assert "OSError: libcublas.so.12: cannot open shared object file" in done.stderr


def test_wheels_are_seen_as_installed(tmp_path):
    """The metadata names the versions that were chosen, and a wheel left out or broken is as good as that."""
    site = cuda.build_wheels(tmp_path, without=["cufft"], versions={"cudnn": "9.1.0.70"}, broken=["curand"])
    code = """
import ctypes
from importlib.metadata import PackageNotFoundError, files, version
print(version("nvidia-cudnn-cu12"), version("nvidia-cublas-cu12"))
for name in ("cufft", "curand"):
    try:
        (library,) = [file for file in files(f"nvidia-{name}-cu12") if ".so." in file.name]
        ctypes.CDLL(str(library.locate()))
    except (PackageNotFoundError, OSError) as error:
        print(type(error).__name__, str(error).rpartition(": ")[2])
"""
    done = cuda.run_python(code, site=site)

    assert done.stdout.splitlines() == [
        "9.1.0.70 12.5.3.2",
        "PackageNotFoundError No package metadata was found for nvidia-cufft-cu12",
        "OSError file too short",
    ], done.stderr


def test_cudnn_says_its_version(site):
    """CuDNN answers with the version that was chosen, whatever its wheel's metadata say."""
    path = site / "nvidia/cudnn/lib/libcudnn.so.9"
    code = f"import ctypes; print(ctypes.CDLL({str(path)!r}).cudnnGetVersion())"

    assert cuda.run_python(code).stdout == "90300\n"
    assert cuda.run_python(code, FAKE_CUDNN_VERSION="8907").stdout == "8907\n"


@pytest.mark.parametrize(
    ("visible", "status", "boards"),
    [
        (None, 0, ["0", "1", "2"]),
        ("2,0", 0, ["2", "0"]),
        ("0,7,1", 0, ["0"]),
        (nvml.gpu_uuid(1), 0, ["1"]),
        ("-1", 100, []),
        ("", 100, []),
    ],
)
def test_devices_are_hidden_as_by_the_real_driver(driver, visible, status, boards):
    """CUDA_VISIBLE_DEVICES chooses and orders; an invalid entry hides itself and all after; no device is error 100."""
    code = """
import ctypes
driver, count, uuid = ctypes.CDLL("libcuda.so.1"), ctypes.c_int(0), (ctypes.c_char * 16)()
print(driver.cuInit(0))
driver.cuDeviceGetCount(ctypes.byref(count))
for device in range(count.value):
    driver.cuDeviceGetUuid_v2(uuid, device)
    print(int(uuid.raw.hex()))
"""
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    done = cuda.run_python(code, libraries=driver, FAKE_CUDA_DEVICES="3", **environment)

    assert done.stdout.split() == [str(status), *boards], done.stderr


def test_a_function_can_fail_hang_or_crash(driver):
    """Each function fails with the status that was chosen for it, or never returns, or takes the process along."""
    assert cuda.run_python(INITIALIZE, libraries=driver, FAKE_CUDA_INIT="803").stdout == "803\n"
    assert cuda.run_python(INITIALIZE, libraries=driver, FAKE_CUDA_ERRORS="cuInit=999").stdout == "999\n"
    assert cuda.run_python(WAIT, libraries=driver, FAKE_CUDA_HANG="cuInit").stdout == "True\n"
    assert cuda.run_python(INITIALIZE, libraries=driver, FAKE_CUDA_CRASH="cuInit").returncode == -signal.SIGABRT
