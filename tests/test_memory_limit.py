"""Real memory limits: the estimate against what is used, and what a control group's limit does to a trial."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import bench
from bench.hardware.cgroup import find_control_group
from bench.store import read_run
from test_cli import hourglass
from test_launch import LAUNCHER, make_run, worker

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = {1: "memory.limit_in_bytes", 2: "memory.max"}
SWAP_LIMIT = {1: "memory.memsw.limit_in_bytes", 2: "memory.swap.max"}
PATIENCE_S = 60.0


@dataclass(frozen=True, kw_only=True)
class LimitedGroup:
    """A memory control group of our own."""

    folder: Path
    version: int

    def limit(self, limit_bytes: int) -> None:
        """Let its processes have so much memory together, and no swap besides."""
        (self.folder / LIMIT[self.version]).write_text(str(limit_bytes))
        with suppress(OSError):  # a kernel that does not count swap
            (self.folder / SWAP_LIMIT[self.version]).write_text(str(limit_bytes if self.version == 1 else 0))

    def run(self, *command: object) -> subprocess.CompletedProcess[str]:
        """Run a command in the group, to its end."""
        return subprocess.run(
            [sys.executable, *map(str, command)],
            preexec_fn=lambda: (self.folder / "cgroup.procs").write_text(str(os.getpid())),
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "COLUMNS": "80", "NO_COLOR": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        )


@pytest.fixture
def group() -> Iterator[LimitedGroup]:
    """A group below this process's own, or beside it where version 2 forbids that; removed when all is over."""
    own = find_control_group("memory")
    if own is None:
        pytest.skip("this system has no control groups")
    # Version 2 lets a group that holds processes have no limited groups below it.
    for parent in own.folders[:1] if own.version == 1 else own.folders[:2]:
        folder = parent / f"hourglass-test-{os.getpid()}"
        try:
            folder.mkdir()
        except OSError as error:
            reason = f"{folder} cannot be made: {error.strerror}"
            continue
        try:
            if not os.access(folder / LIMIT[own.version], os.W_OK):
                reason = f"{folder} has no limit that could be written: its memory controller is off"
                continue
            yield LimitedGroup(folder=folder, version=own.version)
            return
        finally:
            _remove(folder)
    pytest.skip(f"no memory control group can be made here: {reason}")


def _remove(folder: Path) -> None:
    """Remove a group once its last process is gone."""
    end_s = time.monotonic() + PATIENCE_S
    while folder.exists():
        try:
            folder.rmdir()
        except OSError:
            if time.monotonic() > end_s:
                raise
            time.sleep(0.05)


def test_a_kill_for_lack_of_memory_is_told_from_any_other(group: LimitedGroup, tmp_path: Path) -> None:
    """In one group, a worker that the kernel kills at the limit is `oom_host`, one that is killed is `killed`."""
    group.limit(300_000_000)
    folder, _ = make_run(tmp_path / "run", trials=4)
    done = group.run("-c", LAUNCHER, folder.path, *worker("killed", "devour"))
    assert done.returncode == 0, done.stderr
    results = [trial.result for trial in read_run(folder.path).trials]
    assert [result.status for result in results if result] == ["killed", "oom_host", "killed", "oom_host"]
    assert {result.exit_code for result in results if result} == {-9}


@pytest.mark.tf
def test_what_cannot_fit_is_skipped_and_forced_into_the_limit(group: LimitedGroup, tmp_path: Path) -> None:
    """The preflight holds the estimate against the group's limit; `--force` tries, and the kernel ends the trial."""
    limit_bytes = 1_500_000_000
    group.limit(limit_bytes)
    out = tmp_path / "runs"
    arguments = ("-m", "bench", "run", "--model", "mbn_quarter", "--device", "cpu:1", "--batch-size", 1024)
    arguments += ("--limit-train", 3000, "--limit-test", 100, "--epochs", 1, "--out", out)
    done = group.run(*arguments, "--name", "refused")
    assert done.returncode == 0, done.stderr
    (refused,) = bench.load(next(out.glob("*-refused"))).trials.itertuples()
    assert refused.status == "skipped"
    assert refused.reason.startswith("needs about")
    assert "--force" in refused.reason
    assert refused.estimated_bytes > limit_bytes
    assert refused.attempts == 0
    done = group.run(*arguments, "--name", "forced", "--force")
    assert done.returncode == 1, done.stderr
    (forced,) = bench.load(next(out.glob("*-forced"))).trials.itertuples()
    assert forced.status == "oom_host"
    assert forced.estimated_bytes == refused.estimated_bytes
    assert forced.attempts == 1


@pytest.mark.tf
def test_the_estimate_is_near_the_peak_or_above_it(tmp_path: Path) -> None:
    """Within a quarter of the peak that a real trial reaches, or on the safe side, and below twice of it."""
    arguments = ("--model", "mbn_quarter", "--device", "cpu:1", "--batch-size", 128, "--epochs", 1)
    done = hourglass("run", *arguments, "--limit-train", 400, "--limit-test", 100, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    (trial,) = bench.load(next(tmp_path.iterdir())).trials.itertuples()
    assert 0.75 * trial.peak_rss_bytes < trial.estimated_bytes < 2 * trial.peak_rss_bytes
