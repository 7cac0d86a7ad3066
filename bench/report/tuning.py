"""What a tuning found, as text: the terminal and Markdown lay it out as they do a report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.analysis.forecast import CONFIDENCE
from bench.analysis.frame import rows_of
from bench.analysis.scaling import SAME_WITHIN
from bench.report.column import Column
from bench.report.format import MISSING, exact_duration, number_about, percent, plain, ratio_about, size
from bench.report.labels import calls_word
from bench.report.section import Section
from bench.report.summary import Summary, describe_run
from bench.tuning import ARITHMETIC, changes_of, keeps_arithmetic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.analysis.frame import Report
    from bench.analysis.tuned import Setting, Tuned
    from bench.records import Cell

DISTURBED_PERCENT = 10.0  # of the cores' time, taken by other processes: as much as many a gain is
INTERVAL = f"{100 * CONFIDENCE:.0f} %"
LEGEND = (
    f"in brackets: {INTERVAL} intervals; times: images/s over the default's, * where both were measured in turns "
    f"(A B B A); faster: by {100 * SAME_WITHIN:.0f} % or more, the interval above 1; arithmetic: the same but for "
    "rounding and the order of additions, or what makes it another training; peak memory: of few steps"
)


def summarize_tuning(report: Report, tuned: Tuned) -> Summary:
    """Say what a tuning found, in text from which control characters are removed.

    Args:
        report: Its calibrations.
        tuned: What follows from them.
    """
    known = [setting for setting in tuned.settings if setting.rate is not None]
    flags = dict.fromkeys(flag for row in rows_of(report.trials) for flag in row["flags"])
    default = tuned.default.cell

    def column(heading: str, text: Callable[[Setting], str], *, is_number: bool = True) -> Column:
        return Column(heading=heading, texts=tuple(plain(text(setting)) for setting in known), is_number=is_number)

    measures = [
        column("images/s", _rate),
        column("times", _times),
        column("peak memory", lambda setting: size(setting.peak_rss_bytes)),
        column("arithmetic", lambda setting: _arithmetic(setting.cell, default), is_number=False),
    ]
    if any(setting.peak_gpu_bytes is not None for setting in known):
        measures.insert(3, column("GPU memory", lambda setting: size(setting.peak_gpu_bytes)))
    return Summary(
        title=plain(f"{report.run.name}: {default.model_label}"),
        answers=tuple(map(plain, [*_answers(tuned), *_disturbed(report)])),
        about=(*describe_run(report)[:-1], plain(f"default: {_whole(default)}")),
        names=(column("setting", lambda setting: setting_words(setting.cell, default), is_number=False),),
        measures=tuple(measures),
        notes=None,
        legend=LEGEND,
        # A calibration is always short.
        flags=tuple(plain(flag) for flag in flags if not flag.startswith("short: ")),
        failures=tuple(
            plain(f"{setting_words(setting.cell, default)}: {setting.reason}")
            for setting in tuned.settings
            if setting.rate is None
        ),
        tradeoffs=(),
        sections=_left_out(report, tuned),
    )


def setting_words(cell: Cell, default: Cell) -> str:
    """What a setting changes of the default, such as `cpu:2, 10 steps a call, jit`."""
    changed = changes_of(cell, default)
    words = {
        "device": cell.device.label,
        "steps_per_execution": calls_word(cell.steps_per_execution),
        "jit": "jit" if cell.jit == "on" else "no jit",
        "onednn": "oneDNN" if cell.onednn == "on" else "no oneDNN",
        "batch_size": f"batch {cell.batch_size}",
        "precision": cell.precision,
    }
    return ", ".join(words[name] for name in changed) or "default"


def about_setting(setting: Setting) -> str:
    """How fast it is against the default, such as `1.06 times the default (1.03–1.09)`."""
    times = setting.times
    return "" if times is None else f"{times.estimate:.2f} times the default ({times.low:.2f}–{times.high:.2f})"


def measured_words(setting: Setting) -> str:
    """Its images a second, and how fast that is against the default."""
    return "; ".join(filter(None, [f"{_rate(setting)} images/s", about_setting(setting)]))


def _answers(tuned: Tuned) -> Iterator[str]:
    default, same, other = tuned.default, tuned.same, tuned.other
    if default.rate is None:
        yield f"the default setting could not be measured, so nothing can be compared with it: {default.reason}"
        return
    if same is not default:
        yield (
            f"fastest with the same arithmetic: {setting_words(same.cell, default.cell)}: {_rate(same)} images/s, "
            f"{about_setting(same)}"
        )
    else:
        yield f"fastest with the same arithmetic: the default, {_rate(default)} images/s; {_why_default(tuned)}"
    if other is not None:
        yield (
            f"{setting_words(other.cell, default.cell)} besides: {about_setting(other)}, but it is another training: "
            "its accuracy is not the same"
        )
    if tuned.hopes:
        hopes = "; ".join(f"{setting_words(one.cell, default.cell)}, {about_setting(one)}" for one in tuned.hopes)
        yield f"seemed faster, and was not confirmed in turns: {hopes}; give more time with --calibrate"


def _disturbed(report: Report) -> Iterator[str]:
    """Intervals are of processes that have their cores to themselves; where they had not, that comes first."""
    shares = [share for share in report.trials["others_cpu_percent"].dropna().tolist() if share > DISTURBED_PERCENT]
    if shares:
        yield (
            f"other processes took up to {percent(max(shares))} of the cores' time meanwhile, and what is said above "
            "may be their doing: tune again on a quiet machine"
        )


def _why_default(tuned: Tuned) -> str:
    others = [setting for setting in tuned.settings if setting is not tuned.default]
    if not others:
        return "there was no time to try another"
    if any(setting.in_turns and keeps_arithmetic(setting.cell, tuned.default.cell) for setting in others):
        return "no other, compared with it in turns, is faster beyond doubt"
    return "no other that was tried is faster beyond doubt"


def _left_out(report: Report, tuned: Tuned) -> tuple[Section, ...]:
    tuning = report.run.tuning
    if tuning is None or tuned.default.rate is None or not tuned.left_out:
        return ()
    names = "; ".join(setting_words(cell, tuned.default.cell) for cell in tuned.left_out)
    sentence = f"{names}: no time in {exact_duration(tuning.budget_s)}; give more with --calibrate"
    return (Section(title="Not tried", tables=(), legend="", sentences=(plain(sentence),)),)


def _whole(cell: Cell) -> str:
    parts = [
        cell.device.label,
        f"batch {cell.batch_size}",
        calls_word(cell.steps_per_execution),
        cell.precision,
        f"jit {cell.jit}",
        f"oneDNN {cell.onednn}",
    ]
    return ", ".join(parts)


def _rate(setting: Setting) -> str:
    rate = setting.rate
    return MISSING if rate is None else number_about(rate.estimate, rate.low, rate.high)


def _times(setting: Setting) -> str:
    times = setting.times
    if times is None:
        return "1"
    return ratio_about(times.estimate, times.low, times.high) + "*" * setting.in_turns


def _arithmetic(cell: Cell, default: Cell) -> str:
    words = [name.replace("_size", "") for name in changes_of(cell, default) if name in ARITHMETIC]
    return ", ".join(words) or "same"
