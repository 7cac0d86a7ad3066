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
        opens: What opens it, with `{out}` for its folder and `{file}` for its first file.
    """

    module: str
    opens: str
    requires: str = ""


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "tensorboard": Format(
            module="tensorboard", requires="tensorboardX", opens="tensorboard --logdir {out} opens it"
        ),
        "mlflow": Format(
            module="mlflow_store",
            requires="mlflow-skinny, sqlalchemy, alembic",
            opens="mlflow ui --backend-store-uri sqlite:///{file} opens it",
        ),
        "pytest-benchmark": Format(
            module="pytest_benchmark", requires="pytest-benchmark", opens="pytest-benchmark compare {file} reads it"
        ),
        "dawnbench": Format(module="dawnbench", opens="a TSV and a JSON file for each trial"),
        "github-action-benchmark": Format(
            module="github_action", opens="for its tools customSmallerIsBetter and customBiggerIsBetter"
        ),
        "prometheus": Format(
            module="prometheus",
            requires="prometheus-client",
            opens="for node_exporter's --collector.textfile.directory",
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
