"""The reference runs' reports are those of this version: rendered again, they come out the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from test_cli import hourglass

SHELF = Path(__file__).parent.parent / "reports" / "reference"
RENDERED = sorted(path.parent for path in SHELF.glob("*/report"))


def test_there_are_some():
    """Two runs of the founding experiment have their reports beside them."""
    assert len(RENDERED) >= 2


@pytest.mark.parametrize("run", RENDERED, ids=lambda path: path.name)
def test_a_reference_run_is_rendered_again_and_comes_out_the_same(run, tmp_path):
    """Words exactly, numbers to within rounding; `python -m bench report` on the folder makes the files again."""
    copy = tmp_path / run.name
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("report"))
    done = hourglass("report", copy)
    assert done.returncode == 0, done.stderr
    kept = sorted((run / "report").iterdir())
    assert {path.suffix for path in kept} == {".md", ".csv"}
    for path in kept:
        again = copy / "report" / path.name
        if path.suffix == ".md":
            assert again.read_text("utf-8") == path.read_text("utf-8")
        else:
            pd.testing.assert_frame_equal(pd.read_csv(again), pd.read_csv(path), rtol=1e-9)
