"""Causes that lie in TensorFlow and its libraries.

Sources: TensorFlow's installation guide; the wheels' own requirements; NVIDIA's cuDNN support matrix.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from bench.hardware.cuda_libraries import LIBRARIES
from bench.hardware.doctor import words
from bench.hardware.doctor.checkup import EXIT_LIBRARIES, Diagnosis
from bench.hardware.doctor.library_probe import LIBCUDA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.hardware.doctor.checkup import Facts, LibraryProbe

OLDEST_CUDNN = 90300
_NOT_FOUND = re.compile(r"(lib\S+): cannot open shared object file")


def no_tensorflow(facts: Facts) -> Diagnosis | None:
    """No TensorFlow at all."""
    if any(name != "tensorflow-metal" for name in facts.installation.distributions):
        return None
    return Diagnosis(
        cause="no-tensorflow",
        exit_code=EXIT_LIBRARIES,
        found="TensorFlow is not installed in this environment",
        evidence=(facts.platform.executable,),
        cure=(words.pip(facts, "tensorflow[and-cuda]==2.21.*"),),
    )


def two_tensorflows(facts: Facts) -> Diagnosis | None:
    """Two distributions write the same package; what remains is a mixture."""
    names = [name for name in facts.installation.distributions if name != "tensorflow-metal"]
    if len(names) < 2 or words.lists_gpus(facts):
        return None
    return Diagnosis(
        cause="two-tensorflows",
        exit_code=EXIT_LIBRARIES,
        found=f"{len(names)} distributions bring a package `tensorflow` and overwrite each other: {', '.join(names)}",
        evidence=tuple(f"{name} {facts.installation.distributions[name]}" for name in names),
        cure=(
            f"{words.python(facts)} -m pip uninstall -y {' '.join(names)}",
            words.install_cuda(facts),
        ),
    )


def cpu_build(facts: Facts) -> Diagnosis | None:
    """This TensorFlow was built without CUDA."""
    probe = words.best_listing(facts)
    built = probe.answer.cuda_build if probe and probe.answer else facts.installation.cuda_build
    if built is not False:
        return None
    names = ", ".join(f"{name} {version}" for name, version in facts.installation.distributions.items())
    return Diagnosis(
        cause="cpu-build",
        exit_code=EXIT_LIBRARIES,
        found=f"this TensorFlow was built without CUDA: {names}",
        evidence=("its build_info says is_cuda_build: False",),
        cure=(
            f"{words.python(facts)} -m pip uninstall -y {' '.join(facts.installation.distributions)}",
            words.pip(facts, "tensorflow[and-cuda]==2.21.*"),
        ),
    )


def library_broken(facts: Facts) -> Diagnosis | None:
    """A wheel's library is there and cannot be loaded."""
    paths = {Path(path).name: path for path in facts.installation.libraries}
    # A library fails for the sake of another one that it needs, or that is loaded before it: the loader names which. A
    # symbol that is missing is no damage but a version beside it that does not fit.
    failed = [probe for probe in facts.libraries if probe.problem and "undefined symbol" not in probe.problem]
    named = [soname for soname, path in paths.items() if any(path in str(probe.problem) for probe in failed)]
    crashed = [probe.soname for probe in failed if probe.crashed and probe.soname in paths]
    soname = next(iter([*named, *crashed]), None)
    if soname is None:
        return None
    problem = next(str(one.problem) for one in failed if paths[soname] in str(one.problem) or one.soname == soname)
    distribution = next(library.distribution for library in LIBRARIES if library.soname == soname)
    installed = next((w.installed for w in facts.installation.wheels if w.distribution == distribution), None)
    wanted = f"{distribution}=={installed}" if installed else distribution
    return Diagnosis(
        cause="library-broken",
        exit_code=EXIT_LIBRARIES,
        found=f"{soname} is installed but cannot be loaded",
        evidence=(paths[soname], problem),
        cure=(
            f"{words.python(facts)} -m pip install --force-reinstall --no-deps --no-cache-dir {shlex.quote(wanted)}",
        ),
    )


def cudnn_too_old(facts: Facts) -> Diagnosis | None:
    """A cuDNN below 9.3 is listed without a word and fails at the first convolution."""
    cudnn = next((probe for probe in facts.libraries if probe.soname.startswith("libcudnn")), None)
    if cudnn is None or cudnn.version is None or cudnn.version >= OLDEST_CUDNN or words.works(facts):
        return None
    installed = str(cudnn.path) in facts.installation.libraries
    pins = _pins(facts, "nvidia-cudnn-cu12")
    return Diagnosis(
        cause="cudnn-too-old",
        exit_code=EXIT_LIBRARIES,
        found=f"cuDNN {_cudnn(cudnn.version)} is older than 9.3, which TensorFlow 2.21 needs at its first convolution",
        evidence=(f"cudnnGetVersion() of {cudnn.path} answers {cudnn.version}", *pins),
        cure=(words.NEW_ENVIRONMENT,)
        if pins
        else (words.pip(facts, "nvidia-cudnn-cu12>=9.3,<10"),)
        if installed
        else (words.install_cuda(facts),),
    )


def wheel_versions(facts: Facts) -> Diagnosis | None:
    """Wheels are there in versions that TensorFlow does not take, mostly for another framework's sake."""
    wrong = [wheel for wheel in facts.installation.wheels if wheel.installed and not wheel.fits]
    if not wrong or words.works(facts):
        return None
    pins = tuple(line for wheel in wrong for line in _pins(facts, wheel.distribution))
    return Diagnosis(
        cause="wheel-versions",
        exit_code=EXIT_LIBRARIES,
        found="CUDA wheels are installed in versions that this TensorFlow was not made for"
        + (", for the sake of another framework in this environment" if pins else ""),
        evidence=(
            *(f"{wheel.distribution} {wheel.installed}, required {wheel.required}" for wheel in wrong),
            *pins,
        ),
        cure=(words.NEW_ENVIRONMENT,) if pins else (words.install_cuda(facts),),
    )


def wheels_missing(facts: Facts) -> Diagnosis | None:
    """Libraries are missing, because their wheels were never installed."""
    lost = set(_missing(facts))
    wheels = {library.distribution for library in LIBRARIES if library.soname in lost}
    absent = [wheel.distribution for wheel in facts.installation.wheels if wheel.installed is None]
    if not wheels.intersection(absent):
        return None
    return Diagnosis(
        cause="wheels-missing",
        exit_code=EXIT_LIBRARIES,
        found="TensorFlow's CUDA libraries are not installed"
        if len(absent) == len(facts.installation.wheels)
        else f"some of TensorFlow's CUDA libraries are not installed: {', '.join(sorted(wheels.intersection(absent)))}",
        evidence=tuple(_evidence_of_missing(facts)),
        cure=(words.install_cuda(facts),),
    )


def library_missing(facts: Facts) -> Diagnosis | None:
    """The wheels are there by their metadata, and a library still is not."""
    if not _missing(facts):
        return None
    return Diagnosis(
        cause="library-missing",
        exit_code=EXIT_LIBRARIES,
        found=f"TensorFlow cannot load {', '.join(_missing(facts))}",
        evidence=tuple(_evidence_of_missing(facts)),
        cure=(f"{words.install_cuda(facts)} --force-reinstall --no-cache-dir",),
    )


def is_certain(diagnosis: Diagnosis, facts: Facts) -> bool:
    """Whether a diagnosis holds without TensorFlow having been asked: what it would find itself is not known."""
    if diagnosis.exit_code != EXIT_LIBRARIES or diagnosis.cause in {"no-tensorflow", "cpu-build"}:
        return True
    nothing_installed = all(wheel.installed is None for wheel in facts.installation.wheels)
    nothing_found = all(probe.problem for probe in facts.libraries if probe.soname != LIBCUDA)
    return diagnosis.cause == "wheels-missing" and nothing_installed and nothing_found


def _missing(facts: Facts) -> list[str]:
    """Libraries that TensorFlow could not load in its best listing, and those that nothing can load."""
    if words.lists_gpus(facts):
        return []
    probe = words.best_listing(facts)
    said = [name for name in probe.missing if name != LIBCUDA] if probe else []
    unloadable = [_lost(one) for one in facts.libraries if one.problem and one.soname != LIBCUDA]
    return list(dict.fromkeys([*said, *unloadable]))


def _lost(probe: LibraryProbe) -> str:
    """The library that the loader did not find: this one, or one that it needs."""
    found = _NOT_FOUND.match(probe.problem or "")
    return found[1] if found else probe.soname


def _evidence_of_missing(facts: Facts) -> Iterator[str]:
    problems = [probe.problem for probe in facts.libraries if probe.problem]
    for soname in _missing(facts):
        yield next((problem for problem in problems if soname in problem), f"TensorFlow could not load {soname}")


def _pins(facts: Facts, distribution: str) -> tuple[str, ...]:
    pins = [pin for pin in facts.installation.pins if pin.distribution == distribution]
    return tuple(f"{pin.framework} requires {pin.distribution}{pin.required}" for pin in pins)


def _cudnn(version: int) -> str:
    """9.3.0 of 90300, and 8.9.7 of 8907; see cudnn_version.h."""
    major, rest = divmod(version, 10000 if version >= 90000 else 1000)
    return f"{major}.{rest // 100}.{rest % 100}"
