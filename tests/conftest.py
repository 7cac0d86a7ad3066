"""What all tests share."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from bench.hardware.doctor.probes import probe_libraries
from facts_for_tests import write_distribution, write_tensorflow
from stand_ins import cuda, nvml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# How long an example takes says something about the machine, not about the code.
settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-machine")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is measured in tests is not remembered for the tester's own runs, nor are the tester's curves found."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOURGLASS_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("HOURGLASS_REFERENCE_DIR", str(tmp_path_factory.mktemp("references")))
        yield


@pytest.fixture(scope="session")
def stand_in_driver(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folders of the stand-ins for the driver's CUDA library and for NVML; a test may need one of them alone."""
    folders = tmp_path_factory.mktemp("libcuda"), tmp_path_factory.mktemp("nvml")
    cuda.build_driver(folders[0])
    nvml.build(folders[1])
    return folders


@pytest.fixture(scope="session")
def stand_in_wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages with every wheel that TensorFlow needs; tests that spoil one work on a copy."""
    return cuda.build_wheels(tmp_path_factory.mktemp("site").resolve())


@pytest.fixture(scope="session")
def stand_in_site(tmp_path_factory: pytest.TempPathFactory, stand_in_wheels: Path) -> Path:
    """All wheels, and a TensorFlow that asks for them and cannot be imported."""
    folder = tmp_path_factory.mktemp("whole").resolve() / "site"
    shutil.copytree(stand_in_wheels, folder)
    write_tensorflow(folder)
    extra = 'extra == "and-cuda"'
    wheels = {f"nvidia-{name.replace('_', '-')}-cu12": wheel.version for name, wheel in cuda.WHEELS.items()}
    asked = (f"{name}<99,>={version}; {extra}" for name, version in wheels.items())
    write_distribution(folder, "tensorflow", "2.21.0", requires=["numpy>=1.26", *asked])
    return folder


@pytest.fixture(scope="session")
def loadable() -> tuple[str, ...]:
    """CUDA libraries that this system's loader finds by itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("LD_LIBRARY_PATH", raising=False)
        return tuple(probe.soname for probe in probe_libraries(()) if probe.problem is None)


@pytest.fixture
def bare_loader(loadable: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """The loader finds no CUDA library by itself; where the system has some, what is planted would not be missed."""
    if loadable:
        pytest.skip(f"this system's loader finds {', '.join(loadable)}")
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
