"""What a tuning found, from its raw data: every setting, and the fastest ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.analysis.column import interval
from bench.analysis.frame import typed
from bench.analysis.tuning import ROUNDS, is_better, pooled, read_timings, times_as_fast
from bench.analysis.tuning_columns import TUNING
from bench.tuning import keeps_arithmetic

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from bench.analysis.forecast import Range
    from bench.analysis.rows import Row
    from bench.analysis.tuning import Timing
    from bench.records import Cell, RunData


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What was found of one setting.

    Attributes:
        cell: The setting.
        rate: Training images a second, with its 90 % interval; None if no step was seen.
        times: That over the default's; None likewise, and for the default itself.
        processes: That both rest on.
        in_turns: Whether it was compared in turns with the default.
        peak_rss_bytes: Highest resident set of its processes.
        peak_gpu_bytes: Highest memory of TensorFlow's allocator on a GPU.
        reason: Why there is no rate; empty if there is one.
    """

    cell: Cell
    rate: Range | None
    times: Range | None
    processes: int
    in_turns: bool
    peak_rss_bytes: int | None
    peak_gpu_bytes: int | None
    reason: str

    @property
    def is_better(self) -> bool:
        """Whether it counts as faster than the default: in whole rounds of turns, and the interval leaves no doubt."""
        return self.is_confirmed and is_better(self.times)

    @property
    def is_confirmed(self) -> bool:
        """Whether it was compared in turns for as many rounds as cancel a drift; one that was cut off was not."""
        return self.in_turns and self.processes >= ROUNDS


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """What a tuning found.

    Attributes:
        default: What the others are compared with.
        settings: All that were tried, the default too, the fastest first; those without a rate last.
        same: The fastest of the same arithmetic: the default, if nothing is better.
        other: A setting of another arithmetic that is better than the default, and faster than `same`; None without.
        hopes: Settings that seemed faster, and there was no time to confirm it in turns; the fastest first.
        left_out: Settings that there was no time to try.
    """

    default: Setting
    settings: tuple[Setting, ...]
    same: Setting
    other: Setting | None
    hopes: tuple[Setting, ...]
    left_out: tuple[Cell, ...]


def conclude(data: RunData) -> Tuned | None:
    """Say what a tuning found.

    Args:
        data: A run with a `tuning`.

    Returns:
        None if no trial of it has begun.
    """
    tuning = data.run.tuning
    timings = read_timings(data.trials)
    if tuning is None or not timings:
        return None
    default = timings[0].cell
    by_rung = _by_rung(timings, tuning.rungs)
    last = timings[len(timings) - tuning.in_turns :] if tuning.in_turns else []
    settings = [_setting(cell, default, by_rung, last) for cell in dict.fromkeys(timing.cell for timing in timings)]
    ordered = tuple(sorted(settings, key=lambda setting: -setting.rate.estimate if setting.rate else 0.0))
    base = next(setting for setting in ordered if setting.cell == default)
    better = [setting for setting in ordered if setting.is_better]
    same = next((setting for setting in better if keeps_arithmetic(setting.cell, default)), base)
    other = next((setting for setting in better if not keeps_arithmetic(setting.cell, default)), None)
    if other is not None and ordered.index(other) > ordered.index(same):
        other = None
    seem = [setting for setting in ordered if not setting.is_confirmed and is_better(setting.times)]
    hopes = [setting for setting in seem if ordered.index(setting) < ordered.index(other or same)]
    return Tuned(default=base, settings=ordered, same=same, other=other, hopes=tuple(hopes), left_out=tuning.left_out)


def tuned_frame(tuned: Tuned) -> pd.DataFrame:
    """Return what was found as a DataFrame; `columns.TUNING` says what each column means."""
    return typed(TUNING, (_row(setting, tuned.default.cell) for setting in tuned.settings))


def _by_rung(timings: Sequence[Timing], counts: Sequence[int]) -> list[Sequence[Timing]]:
    """The rungs, the last one first; what was recorded beyond the counts is one more."""
    rungs, begin = [], 0
    for count in [*counts, len(timings)]:
        rungs.append(timings[begin : begin + count])
        begin += count
    return rungs[::-1]


def _setting(cell: Cell, default: Cell, by_rung: Sequence[Sequence[Timing]], last: Sequence[Timing]) -> Setting:
    """A setting by the last rung that timed it, held against the default's processes there, or its latest before."""
    of_cell = [[timing for timing in rung if timing.cell == cell] for rung in by_rung]
    told = next((timings for timings in of_cell if pooled(timings)), [])
    at = of_cell.index(told) if told else 0
    of_default = [[timing for timing in rung if timing.cell == default] for rung in by_rung[at:]]
    base = next((timings for timings in of_default if pooled(timings)), [])
    every = [timing for timings in of_cell for timing in timings]
    return Setting(
        cell=cell,
        rate=pooled(told),
        times=None if cell == default else times_as_fast(told, base),
        processes=sum(timing.rate is not None for timing in told),
        in_turns=bool(told) and any(timing is one for timing in told for one in last),
        peak_rss_bytes=max((t.peak_rss_bytes for t in every if t.peak_rss_bytes is not None), default=None),
        peak_gpu_bytes=max((t.peak_gpu_bytes for t in every if t.peak_gpu_bytes is not None), default=None),
        reason="" if told else next((timing.reason for timing in every if timing.reason), ""),
    )


def _row(setting: Setting, default: Cell) -> Row:
    cell = setting.cell
    return {
        "model": cell.model_label,
        "device": cell.device.label,
        "batch_size": cell.batch_size,
        "steps_per_execution": cell.steps_per_execution,
        "precision": cell.precision,
        "jit": cell.jit,
        "onednn": cell.onednn,
        "is_default": cell == default,
        "keeps_arithmetic": keeps_arithmetic(cell, default),
        "processes": setting.processes,
        "in_turns": setting.in_turns,
        **interval("images_per_s", setting.rate),
        **interval("times", setting.times),
        "is_better": setting.is_better,
        "peak_rss_bytes": setting.peak_rss_bytes,
        "peak_gpu_bytes": setting.peak_gpu_bytes,
        "reason": setting.reason,
    }
