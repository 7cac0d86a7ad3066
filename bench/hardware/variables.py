"""Environment variables that can change how fast TensorFlow computes, or what it computes."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMES = frozenset(
    {
        "CUDA_VISIBLE_DEVICES",
        "GLIBC_TUNABLES",
        "LD_PRELOAD",
        "NVIDIA_TF32_OVERRIDE",
        "TF_DETERMINISTIC_OPS",
        "TF_ENABLE_ONEDNN_OPTS",
        "TF_FORCE_GPU_ALLOW_GROWTH",
        "TF_XLA_FLAGS",
        "XLA_FLAGS",
    }
)
# Not all of TF_ or NCCL_: these hold names of hosts too.
_PREFIXES = (
    *("GOMP_", "KMP_", "OMP_"),
    *("DNNL_", "MKL_", "ONEDNN_", "OPENBLAS_"),
    *("MALLOC_",),
    *("TF_CUDNN_", "TF_GPU_", "TF_NUM_"),
)
_PATH = re.compile(r"(?<![\w.~-])~?/[^\s:;,='\"]*")


def telling_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Choose the variables that tell something of speed or results.

    Args:
        environ: The environment.

    Returns:
        Sorted by name. Of a path only the last part is left, and nothing that names the user's home folder.
    """
    home = PurePosixPath(environ.get("HOME") or "/")
    return {
        name: _PATH.sub(lambda path: _last_part(path[0], home), environ[name])
        for name in sorted(environ)
        if name in _NAMES or name.startswith(_PREFIXES)
    }


def _last_part(path: str, home: PurePosixPath) -> str:
    name = PurePosixPath(path).name
    return "~" if name == home.name else f"…/{name}"
