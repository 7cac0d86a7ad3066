"""What is installed for this Python, and how its TensorFlow was built; nothing of it is imported."""

from __future__ import annotations

import ast
from importlib import metadata
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.requirements import InvalidRequirement, Requirement

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

# Distributions that bring a package named `tensorflow`; two of them overwrite each other's files.
TENSORFLOWS = (
    "tensorflow",
    "tensorflow-cpu",
    "tensorflow-cpu-aws",
    "tensorflow-gpu",
    "tensorflow-intel",
    "tensorflow-macos",
    "tensorflow-rocm",
    "intel-tensorflow",
    "tf-nightly",
    "tf-nightly-cpu",
)


def find_distributions(folders: Sequence[str]) -> dict[str, metadata.Distribution]:
    """Find what is installed, by the names that the package index normalises.

    Args:
        folders: Where packages are looked for; the first of each name counts, as it does for Python.
    """
    found: dict[str, metadata.Distribution] = {}
    for one in metadata.distributions(path=list(folders)):
        if name := _name(one):
            found.setdefault(name, one)
    return found


def find_distribution(name: str, folders: Sequence[str]) -> metadata.Distribution | None:
    """Find one that is installed, without reading of the others.

    Args:
        name: As the package index normalises it.
        folders: Where packages are looked for; the first counts.
    """
    return next((one for one in metadata.distributions(name=name, path=list(folders)) if _name(one)), None)


def requirements(distribution: metadata.Distribution | None) -> Iterator[Requirement]:
    """What a distribution asks for, its extras' wishes included."""
    for text in (distribution.requires if distribution else None) or ():
        try:
            yield Requirement(text)
        except InvalidRequirement:  # of an old or damaged package: nothing that we look for
            continue


def cuda_requirements(tensorflow: metadata.Distribution | None) -> Iterator[Requirement]:
    """What TensorFlow's extra `and-cuda` asks for."""
    for requirement in requirements(tensorflow):
        if requirement.name.startswith("nvidia-") and requirement.marker is not None:
            yield requirement


def fits(requirement: Requirement, distribution: metadata.Distribution | None) -> bool:
    """Whether what is asked for is installed in a version that will do."""
    return distribution is not None and requirement.specifier.contains(distribution.version, prereleases=True)


def read_capabilities(targets: Iterable[str]) -> tuple[tuple[str, ...], str | None]:
    """Read for which compute capabilities TensorFlow was built.

    Args:
        targets: As `build_info` has them: `sm_80` is machine code, `compute_90` PTX.

    Returns:
        Those with machine code, ascending, and the newest with PTX: such as 8.0 and 9.0.
    """
    native = sorted((_dotted(target) for target in targets if target.startswith("sm_")), key=number)
    compiled = sorted((_dotted(target) for target in targets if target.startswith("compute_")), key=number)
    return tuple(native), compiled[-1] if compiled else None


def number(capability: str) -> tuple[int, ...]:
    """A compute capability as numbers, to be compared."""
    return tuple(int(part) for part in capability.split("."))


def is_newer(capability: str | None, native: Sequence[str]) -> bool:
    """Whether a GPU's compute capability is above all that there is machine code for, so that PTX is compiled."""
    return bool(capability and native and number(capability) > number(native[-1]))


def read_build_info(folders: Sequence[str]) -> dict[str, Any]:
    """Read what TensorFlow's build wrote down: a module with one dictionary, as text, since importing runs it all.

    Args:
        folders: Where packages are looked for.

    Returns:
        Such as `{"cuda_version": "12.5.1", "is_cuda_build": True}`; empty where there is no TensorFlow.
    """
    spec = PathFinder.find_spec("tensorflow", folders)
    if spec is None or spec.origin is None:
        return {}
    try:
        tree = ast.parse((Path(spec.origin).parent / "python/platform/build_info.py").read_text(encoding="utf-8"))
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                return dict(ast.literal_eval(node.value.args[0]))
    except (OSError, SyntaxError, ValueError, TypeError, IndexError):
        pass
    return {}


def _dotted(target: str) -> str:
    digits = target.partition("_")[2].rstrip("af")  # sm_90a, sm_120f: code for this architecture or family alone
    return f"{digits[:-1]}.{digits[-1]}"


def _name(distribution: metadata.Distribution) -> str:
    """The normalised name; empty for a folder that holds no metadata."""
    try:
        described = distribution.metadata
    except FileNotFoundError:  # from the backport `importlib_metadata`, which answers once a package imported it
        return ""
    name = described["Name"] if described else None
    return name.lower().replace("_", "-").replace(".", "-") if name else ""
