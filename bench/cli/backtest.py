"""`forecast --backtest`: replay runs that are over, and hold the forecast from their first part against them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import BenchError, StoreError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.records import RunData


def backtest(runs: Sequence[Path], *, out: str, name: str | None) -> None:
    """Print how far the forecasts of these runs would have been off, and write a folder with it.

    Args:
        runs: Run folders. One that cannot be replayed is named, and the others are.
        out: Where the folder is made.
        name: What its name ends with. Defaults to `backtest`.

    Raises:
        UsageError: No run folder.
        BenchError: None of them can be replayed.
        StoreError: The folder cannot be written.
    """
    from bench.analysis import backtest as replay
    from bench.cli.console import console
    from bench.report.backtest import backtest_findings
    from bench.report.terminal import findings_view
    from bench.report.write import write_findings

    if not runs:
        raise UsageError("--backtest replays run folders; received none; name some of those that `ls reports/` shows")
    loaded, left_out = _read(runs)
    rows = replay.backtest([data for _, data in loaded])
    for path, data in loaded:
        left_out += [f"{path}: {line}" for line in replay.left_out(data)]
    if rows.empty:
        raise BenchError(
            f"nothing here can be replayed; {'; '.join(left_out)}; a training that ended ok after a whole epoch can"
        )
    findings = backtest_findings(rows, left_out)
    terminal = console()
    terminal.print(findings_view(findings))  # first: a full disk must not keep the figures from being seen
    folder = Path(out) / f"{time.strftime('%Y%m%dT%H%M%S')}-{name or 'backtest'}"
    written = write_findings(folder, "backtest", findings, rows)
    terminal.print(f"wrote {', '.join(path.name for path in written)} to {folder}", soft_wrap=True)


def _read(paths: Sequence[Path]) -> tuple[list[tuple[Path, RunData]], list[str]]:
    """The runs, each once, and what is said of folders that hold none."""
    from bench.store import read_run

    loaded: list[tuple[Path, RunData]] = []
    problems: list[str] = []
    for path in {path.resolve(): path for path in paths}.values():
        try:
            loaded.append((path, read_run(path)))
        except StoreError as error:
            problems.append(str(error))
    return loaded, problems
