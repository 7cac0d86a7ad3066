"""What two runs are compared in: times, accuracy, memory, energy."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.analysis.rows import Row


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One figure of a trial.

    Attributes:
        name: As `--fail` takes it.
        columns: Of the trials' table; the first that was measured counts.
        unit: Of its values, such as `s`; `share` for shares of 1.
        better: What a cell with a better one is called, such as `faster`.
        worse: Likewise.
        is_larger_better: Whether it is to be large.
        is_share: Whether it is a share of 1 whose differences are told in percentage points; of others the ratio is.
        needs_machine: Whether it tells something of the machine as well as of what was run on it.
        is_extra: Whether it is shown only where it is asked for.
        loss: Of an accuracy, the column of a loss that is the same again where the work was; empty for others.
    """

    name: str
    columns: tuple[str, ...]
    unit: str
    better: str
    worse: str
    is_larger_better: bool = False
    is_share: bool = False
    needs_machine: bool = True
    is_extra: bool = False
    loss: str = ""

    def of(self, row: Row) -> float | None:
        """Its value in a row of the trials' table; None where it was not measured."""
        return next((float(row[name]) for name in self.columns if row[name] is not None), None)


def _time(name: str, *, is_extra: bool = False) -> Measure:
    return Measure(name=name, columns=(name,), unit="s", better="faster", worse="slower", is_extra=is_extra)


def _share(name: str, column: str, *, is_extra: bool = False) -> Measure:
    return Measure(
        name=name,
        columns=(column,),
        unit="share",
        better="higher",
        worse="lower",
        is_larger_better=True,
        is_share=True,
        needs_machine=False,
        is_extra=is_extra,
        loss="test_loss",
    )


def _memory(name: str, *columns: str) -> Measure:
    return Measure(name=name, columns=columns, unit="bytes", better="less", worse="more", needs_machine=False)


_LISTED = (
    _time("train_s"),
    Measure(
        name="images_per_s",
        columns=("images_per_s",),
        unit="images/s",
        better="faster",
        worse="slower",
        is_larger_better=True,
    ),
    Measure(
        name="attained",
        columns=("attained_fraction",),
        unit="share",
        better="nearer to the peak",
        worse="further from the peak",
        is_larger_better=True,
        needs_machine=False,
    ),
    _share("accuracy", "test_accuracy"),
    _share("val_accuracy", "val_accuracy", is_extra=True),
    _memory("peak_rss", "peak_rss_bytes"),
    _memory("peak_gpu", "peak_gpu_bytes", "gpu_memory_used_bytes"),
    Measure(name="energy", columns=("energy_joules", "package_energy_joules"), unit="J", better="less", worse="more"),
    _time("fit_s", is_extra=True),
    _time("wall_s", is_extra=True),
    _time("step_s", is_extra=True),
)

MEASURES: Mapping[str, Measure] = MappingProxyType({measure.name: measure for measure in _LISTED})
