"""The machine that a run is made on: what is recorded of it, and that it stays anonymous."""

from __future__ import annotations

import getpass
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
import psutil
import pytest

from bench.config import merge
from bench.hardware import identity
from bench.hardware.distributions import find_distributions, read_build_info
from bench.hardware.host import detect_host
from bench.hardware.identity import read_boot_id, read_machine_id
from bench.hardware.revision import detect_revision
from bench.hardware.topology import Topology
from bench.hardware.variables import telling_variables
from bench.launch.planning import create, prepare
from bench.machine import Gpu, Host, Revision
from stand_ins import nvml

if TYPE_CHECKING:
    from collections.abc import Callable

TOPOLOGY = Topology(cores=((0,), (1,)), quota_cores=1.5)
git = pytest.mark.skipif(shutil.which("git") is None, reason="asks Git")


def write(root: Path, path: str, text: str) -> None:
    """Write a file of an invented machine, with the newline that the kernel ends it with."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text + "\n")


# Identity


def test_identifiers_are_hashed_as_systemd_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The digest of an identifier for an application is that of systemd's own test (test-id128.c)."""
    monkeypatch.setattr(identity, "_APPLICATION", UUID("f03daaeb1c334b43a732172944bf772e"))
    write(tmp_path, "etc/machine-id", "51df0b4bc3b04c9780e299b98ca373b8")
    write(tmp_path, "proc/sys/kernel/random/boot_id", "51df0b4b-c3b0-4c97-80e2-99b98ca373b8")
    assert read_machine_id(tmp_path) == read_boot_id(tmp_path) == "1dee5954e75c4d6fb96cc6c04ca18a86"


@pytest.mark.parametrize("text", ["", "uninitialized", "51df0b4b"])
def test_a_machine_without_identity(tmp_path: Path, text: str) -> None:
    """An identifier that is empty, not made yet or damaged is none, and neither is one that is not there."""
    assert read_machine_id(tmp_path) is None
    write(tmp_path, "etc/machine-id", text)
    assert read_machine_id(tmp_path) is None


def test_a_container_has_the_identity_of_its_kernel_alone(tmp_path: Path) -> None:
    """What stands in a container's image tells no machine from others; the running kernel's identifier does."""
    for path in ("etc/machine-id", "proc/sys/kernel/random/boot_id"):
        write(tmp_path, path, "51df0b4bc3b04c9780e299b98ca373b8")
    outside = detect_host(TOPOLOGY, (), root=tmp_path)
    write(tmp_path, ".dockerenv", "")
    inside = detect_host(TOPOLOGY, (), root=tmp_path)
    assert outside.machine_id == read_machine_id(tmp_path)
    assert (inside.machine_id, inside.boot_id) == (None, outside.boot_id)


# The project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A Git repository in `tmp_path`, and what runs Git in it."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)

    def run(*arguments: str) -> None:
        who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True)  # noqa: S607 -- a test

    run("init", "--initial-branch", "secret-plan")
    return run


@git
def test_the_commit_and_whether_tracked_files_differ(tmp_path: Path, project: Callable[..., None]) -> None:
    """Files that Git does not track, such as runs, make nothing dirty; a change to a tracked one does."""
    assert detect_revision(tmp_path) is None  # no commit yet
    write(tmp_path, "model.py", "1")
    project("add", ".")
    project("commit", "-m", "first")
    write(tmp_path, "reports/run.json", "{}")
    clean = detect_revision(tmp_path / "reports")
    assert clean is not None
    assert re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", clean.commit)
    assert clean == Revision(commit=clean.commit)
    write(tmp_path, "model.py", "2")
    assert detect_revision(tmp_path) == Revision(commit=clean.commit, dirty=True)


@git
def test_no_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of a repository, and without Git, there is no revision and no error."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert detect_revision(tmp_path) is None
    monkeypatch.setenv("PATH", "")
    assert detect_revision(tmp_path) is None


# Variables


def test_variables_that_tell_something() -> None:
    """Thread counts, switches of kernels and preloaded libraries are kept; a cluster's addresses are not."""
    told = {"OMP_NUM_THREADS": "4", "KMP_BLOCKTIME": "0", "TF_NUM_INTRAOP_THREADS": "2", "DNNL_MAX_CPU_ISA": "AVX2"}
    private = {"TF_CONFIG": '{"cluster": {"worker": ["node7:2222"]}}', "PATH": "/bin", "USER": "ada", "HOME": "/ada"}
    assert telling_variables(told | private) == told
    assert list(telling_variables(told)) == sorted(told)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("/home/ada/lib/libtcmalloc.so.4", "…/libtcmalloc.so.4"),
        ("/lib/a.so:/home/ada/b.so /lib/c.so", "…/a.so:…/b.so …/c.so"),
        (
            "--xla_gpu_cuda_data_dir=/usr/local/cuda --xla_dump_to=/home/ada",
            "--xla_gpu_cuda_data_dir=…/cuda --xla_dump_to=~",
        ),
        ("/scratch/ada", "~"),
        ("~/lib/x.so", "…/x.so"),
        ("granularity=fine,compact,1/2", "granularity=fine,compact,1/2"),
    ],
)
def test_paths_are_shortened(value: str, kept: str) -> None:
    """Of a path only the last part is kept, and nothing by which a home folder is called."""
    assert telling_variables({"HOME": "/home/ada", "LD_PRELOAD": value}) == {"LD_PRELOAD": kept}


# The host


def test_this_machine_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real machine's description survives JSON, and has what a run is to be judged by."""
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    host = detect_host(TOPOLOGY, (Gpu(index=0, uuid="GPU-0", name="Toy"),))
    assert msgspec.json.decode(msgspec.json.encode(host), type=Host) == host
    assert host.processor is not None
    assert host.processor.model == host.cpu
    assert host.operating_system is not None
    assert (host.quota_cores, host.usable_cores, host.name) == (1.5, 1, None)
    assert host.environment["TF_ENABLE_ONEDNN_OPTS"] == "0"
    assert {"numpy", "nvidia-ml-py"} <= set(host.packages)
    if psutil.LINUX:
        assert host.operating_system.kernel == platform.release()
        assert host.boot_id != Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")


def test_the_network_name_is_recorded_if_asked_for() -> None:
    """The machine's name is in its description if and only if it is to be."""
    assert detect_host(TOPOLOGY, (), with_name=True).name == platform.node()
    assert merge({}).host_name is False
    assert merge({"host-name": True}).host_name is True


def test_what_is_installed_is_found(tmp_path: Path) -> None:
    """Names are normalised, the first of a name counts, and a folder without metadata is none."""
    for place, version in (("a", "12.1"), ("b", "11.0")):
        write(
            tmp_path,
            f"{place}/Nvidia_CuBLAS.cu12-{version}.dist-info/METADATA",
            f"Name: Nvidia_CuBLAS.cu12\nVersion: {version}",
        )
    (tmp_path / "a/broken-1.0.dist-info").mkdir()
    found = find_distributions([str(tmp_path / "a"), str(tmp_path / "b")])
    assert {name: one.version for name, one in found.items()} == {"nvidia-cublas-cu12": "12.1"}


def test_a_backport_that_raises_for_missing_metadata_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where `importlib_metadata` was imported, as by MLflow, it finds distributions in the standard library's place."""

    class Backported(metadata.PathDistribution):
        @property
        def metadata(self) -> metadata.PackageMetadata:
            if self.read_text("METADATA") is None:
                raise FileNotFoundError("No package metadata was found.")
            return super().metadata

    write(tmp_path, "whole-1.0.dist-info/METADATA", "Name: whole\nVersion: 1.0")
    (tmp_path / "broken-1.0.dist-info").mkdir()
    found = [Backported(path) for path in sorted(tmp_path.glob("*.dist-info"))]
    monkeypatch.setattr(metadata, "distributions", lambda **_: iter(found))
    assert list(find_distributions([str(tmp_path)])) == ["whole"]


def test_how_tensorflow_was_built_is_read_as_text(tmp_path: Path) -> None:
    """The build's dictionary is read without running TensorFlow; a missing or strange one is empty."""
    assert read_build_info([str(tmp_path)]) == {}
    write(tmp_path, "tensorflow/__init__.py", "raise SystemExit('was imported')")
    assert read_build_info([str(tmp_path)]) == {}
    path = "tensorflow/python/platform/build_info.py"
    write(tmp_path, path, "import collections\nbuild_info = collections.OrderedDict({'cuda_version': '12.5.1'})")
    assert read_build_info([str(tmp_path)]) == {"cuda_version": "12.5.1"}
    write(tmp_path, path, "build_info = make({'a': open('x')})")
    assert read_build_info([str(tmp_path)]) == {}


DETECT = """
import msgspec
from bench.hardware.gpus import detect_gpus
print(msgspec.json.encode(detect_gpus().gpus).decode())
"""


def test_a_gpu_is_described_by_the_real_bindings(tmp_path: Path) -> None:
    """A board has its driver's CUDA version and its power limit in watts; an instance of it has no limit of its own."""
    library = nvml.build(tmp_path)
    environment = {"FAKE_NVML_VALUES": "nvmlSystemGetCudaDriverVersion_v2=12080", "CUDA_VISIBLE_DEVICES": "0"}
    (board,) = json.loads(nvml.run_python(library, DETECT, **environment))
    (instance,) = json.loads(nvml.run_python(library, DETECT, FAKE_NVML_MIG="2", **environment))
    assert (board["driver"], board["cuda"], board["power_limit_watts"]) == ("570.86.15", "12.8", 700.0)
    assert instance["cuda"] == "12.8"
    assert "power_limit_watts" not in instance


# What a run says of who made it


def test_a_run_does_not_tell_who_made_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By default neither the machine's name nor the user's nor the home folder is anywhere in `run.json`."""
    real = {os.uname().nodename, getpass.getuser(), str(Path.home())}
    invented = {"node": "node-of-ada", "user": "ada-the-user", "home": "/home/ada-the-user"}
    monkeypatch.setattr("platform.node", lambda: invented["node"])
    monkeypatch.setattr("socket.gethostname", lambda: invented["node"])
    for name, value in {
        **dict.fromkeys(("USER", "LOGNAME", "USERNAME"), invented["user"]),
        "HOME": invented["home"],
        "HOSTNAME": invented["node"],
        "XLA_FLAGS": f"--xla_dump_to={invented['home']}/dump",
        "MALLOC_CONF": f"prof_prefix:{invented['home']}",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    flags = {"model": "mnist_cnn", "device": "cpu:1", "limit-train": 20, "limit-test": 10}
    folder = create(prepare(merge(flags)), command=("python", "-m", "bench", "run"))
    content = (folder.path / "run.json").read_text()
    assert "--xla_dump_to=" in content  # it was looked at
    for word in invented.values():
        assert word not in content
    assert not real & set(re.findall(r'"([^"]*)"', content))
    named = create(prepare(merge({**flags, "host-name": True, "name": "named"})), command=())
    assert json.loads((named.path / "run.json").read_text())["host"]["name"] == invented["node"]


# What a worker really has


@pytest.mark.tf
@pytest.mark.skipif(sys.platform != "linux", reason="TensorFlow has oneDNN on Linux")
@pytest.mark.parametrize(("switch", "jit", "expected"), [("0", "", "False asked"), ("1", "True", "True auto")])
def test_a_worker_knows_its_kernels(switch: str, jit: str, expected: str) -> None:
    """OneDNN and auto-clustering are reported as TensorFlow has them, not as they were asked for."""
    code = (
        f"import tensorflow as tf; tf.config.optimizer.set_jit({jit!r} == 'True')\n"
        "from bench.worker import runtime; print(runtime._uses_onednn(), runtime._compiled_by_xla())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={
            **os.environ,
            "TF_ENABLE_ONEDNN_OPTS": switch,
            "CUDA_VISIBLE_DEVICES": "-1",
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == expected
