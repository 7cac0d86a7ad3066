"""The commit of the project that the user works in."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from bench.machine import Revision

if TYPE_CHECKING:
    from pathlib import Path

_TIMEOUT_S = 5.0
_COMMIT = "# branch.oid "
_NO_COMMIT_YET = "(initial)"


def detect_revision(folder: Path | None = None) -> Revision | None:
    """Ask Git for the commit that is checked out; nothing of branches, people or paths is kept.

    Args:
        folder: In the project. Defaults to the current one.

    Returns:
        The commit, or None: no Git, no repository, no commit yet, or no answer in 5 s.
    """
    git = shutil.which("git")
    if git is None:
        return None
    # Nothing is written to the repository, and no program that it names is started.
    quietly = [git, "--no-optional-locks", "-c", "core.fsmonitor=false"]
    try:
        status = subprocess.run(
            [*quietly, "status", "--porcelain=v2", "--branch", "--untracked-files=no"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=True,
        ).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return None
    commits = [line.removeprefix(_COMMIT) for line in status if line.startswith(_COMMIT)]
    if not commits or commits[0] == _NO_COMMIT_YET:
        return None
    return Revision(commit=commits[0], dirty=any(not line.startswith("#") for line in status))
