"""Digests that tell machines and starts of their kernels from others, and tell nothing else of them.

The kernel's and the system's own identifiers are not for publication; machine-id(5) says what to publish instead: a
keyed hash that depends on the application, as `sd_id128_get_machine_app_specific` makes it.
"""

from __future__ import annotations

import hmac
import re
from pathlib import Path
from uuid import UUID

from bench.hardware.kernel_files import read_text

# Drawn once for this project; another number would make all machines strangers to their old runs.
_APPLICATION = UUID("c3442292-0b58-417f-9e19-1361ce2fabf6")

_IDENTIFIER = re.compile(r"[0-9a-f]{32}")


def read_machine_id(root: Path = Path("/")) -> str | None:
    """The digest of the installed system's identifier; None where it has none. A container's is that of its image.

    Args:
        root: Of the file system that holds `etc`.
    """
    return _digest(read_text(root / "etc/machine-id"))


def read_boot_id(root: Path = Path("/")) -> str | None:
    """The digest of the running kernel's identifier, which containers share with what they run on.

    Args:
        root: Of the file system that holds `proc`.
    """
    return _digest(read_text(root / "proc/sys/kernel/random/boot_id").replace("-", ""))


def _digest(identifier: str) -> str | None:
    if not _IDENTIFIER.fullmatch(identifier):  # `uninitialized`, as the first start of a system leaves it
        return None
    keyed = hmac.digest(bytes.fromhex(identifier), _APPLICATION.bytes, "sha256")
    return UUID(bytes=keyed[:16], version=4).hex
