"""What TensorFlow's first log lines say of how it uses the processor, read without importing it.

The sentences are those of TensorFlow 2.21: tsl/platform/cpu_feature_guard.cc and tensorflow/core/util/port.cc.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bench.records import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

_UNUSED = re.compile(r"To enable the following instructions: *([^,\n]*), in other operations")
_ONEDNN_ON = "oneDNN custom operations are on"
_INFO_LINE = re.compile(r"^I\d{4} ", re.MULTILINE)
_SWITCHES = {"0": False, "false": False, "1": True, "true": True}  # what TensorFlow understands, in any case


class OneDnn(Record, frozen=True):
    """Whether TensorFlow computes with oneDNN's kernels, and what they were told.

    Attributes:
        enabled: Whether they are used; None if it could not be seen.
        requested: What `TF_ENABLE_ONEDNN_OPTS` asks for; None leaves it to TensorFlow, which on Linux turns oneDNN
            on where the processor has VNNI, BF16 or AMX instructions or is a Neoverse-V1.
        max_cpu_isa: The newest instructions that they may use, such as `AVX2`; None for no limit.
    """

    enabled: bool | None = None
    requested: bool | None = None
    max_cpu_isa: str | None = None


def unused_instructions(told: str) -> tuple[str, ...]:
    """The instructions that the processor has and that this build of TensorFlow uses in oneDNN's kernels alone.

    TensorFlow says so when it first uses the CPU, unless `TF_CPP_MIN_LOG_LEVEL` hides it.

    Args:
        told: TensorFlow's standard error.

    Returns:
        As the kernel spells them, such as `avx512_vnni`, in TensorFlow's order.
    """
    sentence = _UNUSED.search(told)
    return tuple(sentence[1].lower().replace(".", "_").split()) if sentence else ()


def onednn_state(told: str, environ: Mapping[str, str]) -> OneDnn:
    """Find out whether oneDNN is on; TensorFlow says so while it is imported, whatever its log level, if it is.

    Args:
        told: TensorFlow's standard error from the first line on; may be empty.
        environ: The environment variables that TensorFlow was started with.
    """
    requested = _SWITCHES.get(environ.get("TF_ENABLE_ONEDNN_OPTS", "").lower())
    enabled = None
    if _ONEDNN_ON in told:
        enabled = True
    elif requested is False or _INFO_LINE.search(told):  # what else TensorFlow logs shows that nothing was said
        enabled = False
    return OneDnn(
        enabled=enabled,
        requested=requested,
        max_cpu_isa=environ.get("ONEDNN_MAX_CPU_ISA") or environ.get("DNNL_MAX_CPU_ISA") or None,
    )
