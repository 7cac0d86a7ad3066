"""What is installed for this Python, and how its TensorFlow was built; nothing of it is imported."""

from __future__ import annotations

import ast
from importlib import metadata
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


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


def _name(distribution: metadata.Distribution) -> str:
    """The normalised name; empty for a folder that holds no metadata."""
    name = distribution.metadata["Name"] if distribution.metadata else None
    return name.lower().replace("_", "-").replace(".", "-") if name else ""
