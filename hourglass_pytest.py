"""The pytest plugin's options and hooks: `pytest --bench-model mine.py`.

A module of its own beside `bench`: pytest imports it in every session, also where a project has a `bench` of its own,
so it imports nothing of that name, and nothing large, before a model is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.pytest_plugin.workers import Workers

MODEL_HELP = "Time these models: built-in names or files, a comma list; repeatable."
DEVICE_HELP = "Where: cpu, cpu:1, gpu, gpu:0, all; a comma list. Defaults to cpu."
PART_HELP = "What: training_step, prediction, input_pipeline; a comma list. Defaults to all."
BATCH_HELP = "Images a batch. Defaults to what the model's recipe says, or 32."
DATA_DIR_HELP = "Where data sets lie, if not in the usual places."
DATASET_HELP = "Data set, as `run --dataset` takes it. Defaults to synthetic images."


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of their own group in `pytest --help`."""
    group = parser.getgroup("hourglass", "benchmarks of Keras models (hourglass-bench)")
    group.addoption("--bench-model", action="append", default=[], metavar="MODEL", help=MODEL_HELP)
    group.addoption("--bench-device", action="append", default=[], metavar="DEVICE", help=DEVICE_HELP)
    group.addoption("--bench-part", action="append", default=[], metavar="PART", help=PART_HELP)
    group.addoption("--bench-batch-size", default=None, type=int, metavar="N", help=BATCH_HELP)
    group.addoption("--bench-dataset", default="synthetic", metavar="DATA", help=DATASET_HELP)
    group.addoption("--bench-data-dir", default=None, metavar="FOLDER", help=DATA_DIR_HELP)


@pytest.hookimpl(tryfirst=True)  # before -k and -m choose among the items
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add a benchmark for each part of each model on each device."""
    if not config.getoption("bench_model"):
        return
    if not hasattr(config.option, "benchmark_max_time"):
        raise pytest.UsageError("--bench-model takes pytest-benchmark; pip install 'hourglass-bench[pytest]'")
    from bench.pytest_plugin.suite import collect  # noqa: PLC0415 -- only where models are timed

    items.extend(collect(session))


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    """Say what machine this is, as far as times depend on it."""
    if config.getoption("bench_model"):
        from bench.pytest_plugin.suite import this_machine  # noqa: PLC0415 -- likewise

        machine_info["hourglass"] = this_machine()


@pytest.fixture(scope="session")
def hourglass_workers() -> Iterator[Workers]:
    """Warm worker processes; `time(request)` has the seconds of each round."""
    from bench.pytest_plugin.workers import Workers  # noqa: PLC0415 -- likewise

    workers = Workers()
    yield workers
    workers.close()
