"""What the README tells people to type exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer.main

from bench.cli.app import app

README = Path(__file__).parent.parent / "README.md"
COMMANDS = typer.main.get_command(app).commands
TYPED = re.findall(r"python -m bench ([^`\n#]*)", README.read_text("utf-8"))


def test_the_readme_shows_every_command():
    """Each command of the command line is named in the README."""
    assert set(COMMANDS) <= {shlex.split(line)[0] for line in TYPED if line.strip()}


@pytest.mark.parametrize("line", sorted(set(TYPED)))
def test_a_command_of_the_readme_exists_with_its_flags(line):
    """Every command and flag that the README shows is one that the command line has."""
    name, *rest = shlex.split(line)
    assert name in COMMANDS
    flags = {flag for option in COMMANDS[name].params for flag in option.opts}
    assert {word.partition("=")[0] for word in rest if word.startswith("--")} <= flags


def test_the_readme_names_the_two_commands_that_do_all():
    """The first screen has the main job and the tests, each as tox runs it."""
    head = README.read_text("utf-8").split("\n## ")[1]
    assert "tox -e bench" in head
    assert re.search(r"tox\n", head)
