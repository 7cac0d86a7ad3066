"""The benchmarks that the plugin adds to a session."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace
from pytest_benchmark.fixture import BenchmarkFixture

from bench.analysis.machine_info import machine_info
from bench.config import PRESETS, merge, words
from bench.errors import BenchError
from bench.hardware.gpus import detect_gpus
from bench.hardware.host import detect_host
from bench.hardware.topology import detect_topology
from bench.launch.planning import prepare
from bench.pytest_plugin.workers import TimingError, Workers
from bench.timings import PARTS, Part, TimingRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.records import Cell

MOST_ROUNDS = 1000
DIGITS = 6  # of a digest, enough to tell a user's data sets apart
NODE = "hourglass"  # the same wherever this file is installed, so that results of two machines can be compared


class Suite(pytest.Module):
    """Stands for the file that these benchmarks would be written in."""

    def _getobj(self) -> ModuleType:
        return ModuleType(NODE)


class WorkerClock:
    """A clock that only the worker's own measurements advance: what it takes to ask for them does not count."""

    def __init__(self) -> None:
        self._now_s = 0.0

    def __call__(self) -> float:
        """The sum of what was measured so far, in seconds."""
        return self._now_s

    def advance(self, seconds: float) -> None:
        """Something took so long."""
        self._now_s += seconds


def collect(session: pytest.Session) -> Iterator[pytest.Item]:
    """The benchmarks that the session's options ask for.

    Raises:
        pytest.UsageError: A model, device or part is not known.
    """
    option = session.config.getoption
    wanted = words(option("bench_part")) or PARTS
    if unknown := [part for part in wanted if part not in PARTS]:
        raise pytest.UsageError(f"--bench-part takes {', '.join(PARTS)}; received {unknown[0]!r}")
    parts = [part for part in PARTS if part in wanted]
    asked: dict[str, Any] = {
        "preset": "quick",
        "model": words(option("bench_model")),
        "device": words(option("bench_device")) or ["cpu"],
        "dataset": option("bench_dataset"),
        "epochs": 1,
        "limit-train": PRESETS["quick"].limit_train,  # a step takes as long whatever follows it
        "limit-test": PRESETS["quick"].limit_test,
        "data-dir": option("bench_data_dir"),
    }
    if option("bench_batch_size") is not None:
        asked["batch-size"] = [option("bench_batch_size")]
    try:
        prepared = prepare(merge(asked))
    except BenchError as error:
        raise pytest.UsageError(str(error)) from error
    plan = prepared.plan
    for trial in plan.trials:
        if trial.cell.batch_size > trial.cell.dataset.num_train:
            raise pytest.UsageError(
                f"a batch of {trial.cell.batch_size} is more than the {trial.cell.dataset.num_train} images of "
                f"{trial.cell.dataset.name}; give a smaller --bench-batch-size"
            )
    suite = Suite.from_parent(session, path=Path(__file__), nodeid=NODE)
    for trial in sorted(plan.trials, key=lambda trial: trial.cell.device.label):  # a worker serves one device
        refusal = plan.refusals.get(trial.key)
        for part in parts:
            name = f"{part}[{_setting(trial.cell)}]"
            body = _refused(*refusal) if refusal else _benchmark(trial.cell, part)
            item = pytest.Function.from_parent(suite, name=name, callobj=body)
            item.add_marker(pytest.mark.benchmark(group=part, timer=WorkerClock()))
            yield item


def this_machine() -> dict[str, Any]:
    """What times depend on, for `machine_info`."""
    return machine_info(detect_host(detect_topology(), detect_gpus().gpus))


def _benchmark(cell: Cell, part: Part) -> Callable[..., None]:
    def body(benchmark: BenchmarkFixture, hourglass_workers: Workers, request: pytest.FixtureRequest) -> None:
        try:
            ask = TimingRequest(cell=cell, part=part, rounds=1, data_dir=request.config.getoption("bench_data_dir"))
            first = hourglass_workers.time(ask)
            round_s = first.seconds[0] * first.batches
            rounds = 1 if benchmark.disabled else _rounds(round_s, request.config)
            answer = hourglass_workers.time(replace(ask, rounds=rounds), expected_s=rounds * round_s)
            seconds = itertools.cycle(answer.seconds)  # profiling calls once more
        except TimingError as error:
            _end_in_use(benchmark)
            pytest.fail(str(error), pytrace=False)
        taken: list[float] = []
        marker = request.node.get_closest_marker("benchmark")
        clock: WorkerClock = marker.kwargs["timer"]

        def replay() -> None:
            taken.append(next(seconds))
            clock.advance(taken[-1])

        benchmark.pedantic(replay, rounds=rounds, iterations=1)
        benchmark.extra_info |= {
            "model": cell.model.name,
            "device": cell.device.label,
            "batch_size": cell.batch_size,
            "dataset": cell.dataset.short_name,
            "precision": cell.precision,
            "images_per_s": cell.batch_size / median(taken),
        }

    return body


def _refused(status: str, reason: str) -> Callable[[BenchmarkFixture], None]:
    def body(benchmark: BenchmarkFixture) -> None:
        _end_in_use(benchmark)
        if status == "skipped":
            pytest.skip(reason)
        pytest.fail(reason, pytrace=False)

    return body


def _end_in_use(benchmark: BenchmarkFixture) -> None:
    """Use the fixture without a result: of one that nobody used it warns, which a project may have made an error.

    An empty result would be worse: what is saved of it is what a later session is compared with.
    """
    benchmark.disabled = True
    benchmark.pedantic(lambda: None)


def _rounds(round_s: float, config: pytest.Config) -> int:
    """As pytest-benchmark has it: at least --benchmark-min-rounds, and as many as --benchmark-max-time holds."""
    least = int(config.getoption("benchmark_min_rounds"))
    fitting = math.ceil(float(config.getoption("benchmark_max_time")) / round_s)
    return max(least, min(fitting, MOST_ROUNDS))


def _setting(cell: Cell) -> str:
    """What makes it other work is in the name, so that it is never compared with what it is not."""
    dataset = cell.dataset.short_name
    if dataset != cell.dataset.name:  # a folder or file of the user's, of which there may be several of one name
        dataset += f"-{cell.dataset.sha256[:DIGITS]}"
    return f"{cell.model.name}-{cell.device.label}-{dataset}-batch{cell.batch_size}"
