"""What is passed on does not name the user."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
import typer
from msgspec.structs import replace

from bench.cli.doctor import doctor
from bench.hardware.doctor import examine
from bench.hardware.doctor.checkup import Checkup
from bench.hardware.doctor.diagnose import diagnose
from bench.private import hide_home
from facts_for_tests import HEALTHY

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ('"/home/ada/.venv/bin/python"', '"~/.venv/bin/python"'),
        ("/opt/a:/home/ada/lib:/home/ada", "/opt/a:~/lib:~"),
        ("--xla_dump_to=/home/ada/x", "--xla_dump_to=~/x"),
        ("/home/adam/x /mnt/home/ada/x", "/home/adam/x /mnt/home/ada/x"),
    ],
)
def test_home_is_hidden(text: str, hidden: str) -> None:
    """The home folder, wherever it begins a path, is written as the shell would; another folder is not."""
    assert hide_home(text, "/home/ada") == hidden


def test_home_behind_a_link(tmp_path: Path) -> None:
    """A home folder that is a link is hidden under both of its names."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "ada").symlink_to(tmp_path / "disk")
    text = f"{tmp_path}/ada/x {tmp_path.resolve()}/disk/x"
    assert hide_home(text, str(tmp_path / "ada")) == "~/x ~/x"


@pytest.mark.parametrize("home", ["", "/"])
def test_no_home(home: str) -> None:
    """Where the home folder is the root, or none, paths stay whole."""
    assert hide_home("/usr/lib/x", home) == "/usr/lib/x"


def test_the_doctor_passes_no_name_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What `doctor --json` prints holds no home folder in any fact, evidence or cure, and is whole."""
    platform = replace(HEALTHY.platform, executable="/home/ada/venv/bin/python")
    environment = {"LD_LIBRARY_PATH": "/home/ada/lib:/opt/lib"}
    installed = replace(HEALTHY.installation, distributions={})
    facts = replace(HEALTHY, trials=(), platform=platform, environment=environment, installation=installed)
    monkeypatch.setattr(examine, "examine", lambda: diagnose(facts))
    monkeypatch.setenv("HOME", "/home/ada")
    with pytest.raises(typer.Exit):
        doctor(json=True)
    printed = capsys.readouterr().out
    checkup = msgspec.json.decode(printed, type=Checkup)

    assert "ada" not in printed
    assert checkup.facts.environment == {"LD_LIBRARY_PATH": "~/lib:/opt/lib"}
    assert checkup.diagnosis.cause == "no-tensorflow"
    assert checkup.diagnosis.cure[0].startswith("~/venv/bin/python -m pip install ")
