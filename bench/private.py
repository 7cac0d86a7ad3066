"""What names the user is left out of what is recorded or printed to be passed on."""

from __future__ import annotations

import os
import re
from pathlib import Path


def hide_home(text: str, home: str | None = None) -> str:
    """Write `~` for the home folder.

    Args:
        text: That may hold paths.
        home: The folder. Defaults to this user's.
    """
    try:
        folder = str(Path.home()) if home is None else home
    except RuntimeError:  # a user without one
        return text
    names = {folder.rstrip("/"), os.path.realpath(folder).rstrip("/")} - {""}
    if not names:
        return text
    longest_first = sorted(map(re.escape, names), key=len, reverse=True)
    return re.sub(rf"(?<![\w.-])(?:{'|'.join(longest_first)})(?![\w-])", "~", text)
