"""The commands that README and documentation tell people to type."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands(text: str) -> set[str]:
    """What stands after `python -m bench` in code: in a line of a block, or between backticks on several lines."""
    blocks = re.findall(r"^```.*?^```", text, re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    lines = [" ".join(span.split()) for span in spans]
    lines += [line for block in blocks for line in re.sub(r">-\s+", "", block).splitlines()]
    found = (re.search(r"python -m bench ([^#]*)", line) for line in lines)
    return {match[1].strip() for match in found if match and "…" not in match[1]}


TYPED = sorted((page.name, line) for page in PAGES for line in commands(page.read_text("utf-8")))
