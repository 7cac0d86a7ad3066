"""Reading the small files in which the kernel tells of the machine; one that is not there reads as nothing."""

from __future__ import annotations

from pathlib import Path


def read_text(path: Path) -> str:
    """The file's text without the space around it; empty where it is missing, forbidden or has no value."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()  # firmware names itself in any encoding
    except OSError:
        return ""


def read_number(path: Path) -> int | None:
    """The file's decimal number; None where there is none, such as in `<unknown>`."""
    text = read_text(path)
    return int(text) if text.isdecimal() else None


def read_cpuinfo(root: Path = Path("/")) -> dict[str, str]:
    """The first value of each field of `/proc/cpuinfo`, which is that of the first CPU; see proc_cpuinfo(5).

    Args:
        root: Of the file system that holds `proc` and `sys`.
    """
    fields: dict[str, str] = {}
    for line in read_text(root / "proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    return fields
