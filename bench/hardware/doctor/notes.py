"""What should be known besides the diagnosis: gaps that were cured, and what would go wrong next.

Sources: tensorflow#63362, #85311, #117538 (RUNPATH); ld.so(8) (order of the search); TensorFlow's build_info.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from bench.hardware.doctor import cures, words
from bench.hardware.doctor.checkup import EXIT_VERIFIED, Diagnosis
from bench.hardware.gpus import describe

if TYPE_CHECKING:
    from bench.hardware.doctor.checkup import Facts


def runpath_gap(facts: Facts) -> Diagnosis | None:
    """TensorFlow alone misses libraries that the wheels hold, and finds them once they are loaded first."""
    alone = next((probe for probe in facts.listings if not probe.preloaded), None)
    held = {Path(path).name for path in facts.installation.libraries}
    missed = [name for name in (alone.missing if alone else ()) if name in held]
    if not missed:
        return None
    folders = list(dict.fromkeys(str(Path(path).parent) for path in facts.installation.libraries))
    return Diagnosis(
        cause="runpath-gap",
        exit_code=EXIT_VERIFIED,
        found=f"cured: TensorFlow on its own does not find {', '.join(missed)}, which pip installed; "
        "Hourglass loads the wheels' libraries first",
        evidence=tuple(path for path in facts.installation.libraries if Path(path).name in missed),
        cure=(f"for your own programs: export LD_LIBRARY_PATH={shlex.quote(os.pathsep.join(folders))}",),
    )


def stale_library_path(facts: Facts) -> Diagnosis | None:
    """`LD_LIBRARY_PATH`, searched before a RUNPATH, holds other copies of what the wheels hold."""
    folders = [Path(entry) for entry in facts.environment.get("LD_LIBRARY_PATH", "").split(os.pathsep) if entry]
    ours = {Path(path).name: Path(path) for path in facts.installation.libraries}
    other = [
        folder / name
        for name in ours
        for folder in folders
        if (folder / name).exists() and folder.resolve() != ours[name].parent.resolve()
    ]
    if not other:
        return None
    kept = [str(folder) for folder in folders if folder not in {path.parent for path in other}]
    cure = f"export LD_LIBRARY_PATH={shlex.quote(os.pathsep.join(kept))}" if kept else "unset LD_LIBRARY_PATH"
    return Diagnosis(
        cause="stale-library-path",
        exit_code=EXIT_VERIFIED,
        found="cured: LD_LIBRARY_PATH puts other CUDA libraries before those that pip installed; "
        "Hourglass loads the wheels' first",
        evidence=tuple(map(str, other)),
        cure=(f"for your own programs: {cure}",),
    )


def hidden_gpus(facts: Facts) -> Diagnosis | None:
    """Some GPUs are hidden, others are not."""
    driver = facts.driver
    if not driver.gpus or not driver.hidden:
        return None
    return Diagnosis(
        cause="hidden-gpus",
        exit_code=EXIT_VERIFIED,
        found="CUDA_VISIBLE_DEVICES hides " + ", ".join(f"gpu:{gpu.index} ({gpu.name})" for gpu in driver.hidden),
        evidence=(f"CUDA_VISIBLE_DEVICES={facts.environment.get('CUDA_VISIBLE_DEVICES')!r}",),
        cure=("unset CUDA_VISIBLE_DEVICES",),
    )


def lost_gpu(facts: Facts) -> Diagnosis | None:
    """The driver counts more cards than there are GPUs to run on; a card that is split counts as its instances."""
    driver = facts.driver
    there = (*driver.gpus, *driver.hidden)
    if not driver.gpus or any(gpu.uuid.startswith("MIG-") for gpu in there) or driver.boards <= len(there):
        return None
    return Diagnosis(
        cause="lost-gpu",
        exit_code=EXIT_VERIFIED,
        found=f"the driver counts {driver.boards} GPUs and gives {len(there)}: another is lost, or split (MIG) without "
        "an instance",
        evidence=(f"there: {describe(there)}", *words.cards_on_the_bus(facts)),
        cure=(
            "nvidia-smi -L   (which one is missing, or has no `MIG` line below it)",
            *cures.where_the_driver_is(facts, "sudo dmesg | grep -i xid   (why it was lost)", cures.RESTART),
        ),
    )


def compiled_from_ptx(facts: Facts) -> Diagnosis | None:
    """A GPU newer than the build's machine code: its first operations are compiled for minutes."""
    newer = [gpu for gpu in facts.driver.gpus if words.is_newer_than_the_build(facts, gpu)]
    if not newer:
        return None
    native = facts.installation.native_capabilities
    branch = words.branch(newer[0].driver)
    too_old = branch is not None and branch < words.OLDEST_DRIVER_FOR_PTX
    return Diagnosis(
        cause="compiled-from-ptx",
        exit_code=EXIT_VERIFIED,
        found=f"TensorFlow has no machine code for {', '.join(words.title(gpu) for gpu in newer)} and compiles it from "
        "PTX at the first use, which can take minutes once"
        + (f", and needs a driver of {words.OLDEST_DRIVER_FOR_PTX} or newer" if too_old else ""),
        evidence=(
            f"compute capability {newer[0].compute_capability}, machine code up to {native[-1]}",
            *((f"driver {newer[0].driver}",) if too_old else ()),
        ),
        cure=cures.where_the_driver_is(facts, cures.install_driver(words.OLDEST_DRIVER_FOR_PTX), cures.RESTART)
        if too_old
        else (),
    )


def tools_missing(facts: Facts) -> Diagnosis | None:
    """XLA's tools did not come with a wheel: `--jit on` may fail."""
    if facts.installation.cuda_tools or not facts.driver.gpus or not facts.installation.libraries:
        return None
    return Diagnosis(
        cause="xla-tools-missing",
        exit_code=EXIT_VERIFIED,
        found="ptxas and libdevice did not come with a wheel; XLA (`--jit on`) needs them",
        cure=(words.pip(facts, "nvidia-cuda-nvcc-cu12>=12.5,<13"),),
    )
