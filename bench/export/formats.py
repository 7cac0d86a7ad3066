"""The formats that a run can be exported to."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, cast

from bench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bench.export.source import Source


class Writer(Protocol):
    """Writes a run in a format."""

    def __call__(self, source: Source, out: Path) -> list[Path]:
        """Write below `out`, which is there, and return what was written."""


@dataclass(frozen=True, kw_only=True)
class Format:
    """A format.

    Attributes:
        module: Of this room; has a `write`.
        requires: Package that it takes besides; empty for none.
        is_of_one_machine: Whether it says what machine a file is of.
        is_by_label: Whether it knows cells by what they are called alone.
        opens: What opens it, with `{out}` for its folder and `{file}` for its first file.
    """

    module: str
    opens: str
    requires: str = ""
    is_of_one_machine: bool = False
    is_by_label: bool = False


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "tensorboard": Format(
            module="tensorboard", requires="tensorboardX", opens="tensorboard --logdir {out} opens it"
        ),
        "mlflow": Format(
            module="mlflow_store",
            requires="mlflow-skinny, sqlalchemy, alembic",
            opens="mlflow ui --backend-store-uri sqlite:///{file} of the full package mlflow opens it",
        ),
        "pytest-benchmark": Format(
            module="pytest_benchmark",
            requires="pytest-benchmark",
            opens="pytest-benchmark compare {file} reads it",
            is_of_one_machine=True,
        ),
        "dawnbench": Format(module="dawnbench", opens="a TSV and a JSON file for each trial"),
        "github-action-benchmark": Format(
            module="github_action",
            opens="for its tools customSmallerIsBetter and customBiggerIsBetter",
            is_by_label=True,
        ),
        "prometheus": Format(
            module="prometheus",
            requires="prometheus-client",
            opens="for node_exporter's --collector.textfile.directory",
            is_by_label=True,
        ),
    }
)


def writer(name: str) -> Writer:
    """Return what writes a format.

    Raises:
        UsageError: There is no such format, or its package is not installed.
    """
    if name not in FORMATS:
        raise UsageError(f"--to: no format is called {name!r}; there are {', '.join(FORMATS)}")
    form = FORMATS[name]
    try:
        module = import_module(f"bench.export.{form.module}")
    except ModuleNotFoundError as error:
        raise UsageError(
            f"--to {name} takes {form.requires} (no module {error.name}); pip install 'hourglass-bench[export]'"
        ) from error
    return cast("Writer", module.write)


def check(name: str, source: Source) -> None:
    """Ask whether a run can be told in a format.

    Raises:
        UsageError: It is of several machines, or has cells that the format cannot tell apart.
    """
    hosts = source.data.run.hosts
    if FORMATS[name].is_of_one_machine and hosts:
        raise UsageError(f"a file of {name} is of one machine; export the runs of {', '.join(hosts)}")
    if FORMATS[name].is_by_label and (doubles := source.doubles()):
        raise UsageError(
            f"{name} knows a cell by what it is called, and several are called {doubles[0]!r}; export the runs that "
            "they are from"
        )
