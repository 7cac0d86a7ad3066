"""What README and documentation tell people to type is understood, and what they list is what there is."""

from __future__ import annotations

import re
import shlex

import pytest
import typer.main

from bench.analysis.columns import COLUMNS
from bench.analysis.measures import MEASURES
from bench.cli.app import app
from bench.export.formats import FORMATS
from bench.report.dictionary import ABOUT, dictionary
from commands_for_tests import ROOT, TYPED

COMMAND = typer.main.get_command(app)


@pytest.mark.parametrize(("page", "line"), TYPED, ids=[f"{page}: {line[:60]}" for page, line in TYPED])
def test_a_command_is_understood_by_the_command_line(page, line):
    """Each is parsed by the real command line, flags, values and arguments; `test_commands` carries them out."""
    group, words = COMMAND, shlex.split(line)
    with group.make_context("bench", list(words)) as parent:
        command = group
        while hasattr(command, "commands") and words:
            assert words[0] in command.commands
            command = command.commands[words.pop(0)]
        command.make_context(command.name, words, parent=parent)


def test_the_page_of_columns_is_that_of_this_version():
    """`docs/columns.md` is made from the code: `python -c "from bench.report.dictionary import dictionary; …"`."""
    assert (ROOT / "docs" / "columns.md").read_text("utf-8") == dictionary()
    assert set(ABOUT) == set(COLUMNS)


def test_the_page_on_ci_has_every_measure_and_format():
    """A measure that can be guarded, and a format that can be exported to, is told."""
    page = (ROOT / "docs" / "ci.md").read_text("utf-8")
    for name in (*MEASURES, *FORMATS):
        assert f"`{name}`" in page


def test_every_page_is_in_the_contents():
    """A page that the contents lack is found by nobody."""
    contents = re.findall(
        r"^```{toctree}.*?^```", (ROOT / "docs" / "index.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    listed = {line for block in contents for line in block.splitlines() if re.fullmatch(r"[\w-]+", line)}
    assert listed | {"index"} == {path.stem for path in (ROOT / "docs").glob("*.md")}
