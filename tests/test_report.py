"""The report room: what people see."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from bench.analysis.cells import cells
from bench.analysis.curves import curve_points, median_curves
from bench.analysis.frame import Report, frames
from bench.analysis.frontier import frontier
from bench.errors import StoreError
from bench.records import Result, RunData, Sample, TrialData
from bench.report import format as shown
from bench.report.live import LiveView
from bench.report.markdown import escape, markdown
from bench.report.progress import Progress, rest_s
from bench.report.question import Question
from bench.report.terminal import report_view
from bench.report.write import write_report
from records_for_tests import (
    EXAMPLE_GPU,
    GPU,
    HOST,
    ended_trial,
    epochs,
    ok_trial,
    run_data,
    samples,
    start_up,
    trial,
)

FRAMES = ("trials", "epochs", "samples", "phases", "step_times", "cells", "curves", "frontier")
HOSTILE = "<script>[bold]x|y[/]`*_&"


def printed(report: Report, *, width: int) -> str:
    """What a pipe of this width receives, without the blanks at the ends of lines."""
    console = Console(width=width, file=io.StringIO(), no_color=True, force_terminal=False)
    with console.capture() as capture:
        console.print(report_view(report))
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def example() -> RunData:
    """A run whose report shows a spread, a note, a failure, a trade-off and what time buys."""
    return run_data(
        *(ok_trial(trial("mnist_cnn", seed=s), train_s=342.0 + s, accuracy=0.38 + 0.004 * s) for s in range(2)),
        *(ok_trial(trial("mbn", seed=s), train_s=21_000.0 + s, accuracy=0.61 + 0.004 * s) for s in range(2)),
        ok_trial(trial("tiny", device=msgspec.structs.replace(GPU, gpu_indices=(1,))), train_s=1.05, accuracy=0.02),
        ended_trial(trial("resnet20"), status="failed", reason="no file models/resnet20.py"),
    )


AT_80 = """\
example
mbn on cpu:2 is the most accurate: 61.2 % of the test images right in 11.7 h,
everything included; tiny on gpu:1 is the quickest: 2.0 % in 13.1 s, 3,207 times
as quick
Example CPU, 2 of 4 cores usable, 16.0 GB memory
cifar100: 1,000 training, 100 validation, 200 test images; 100 classes
epochs 2; batch size 100; seeds 0, 1

                                   test
model      device  status      accuracy                train          fit  notes
────────────────────────────────────────────────────────────────────────────────
mnist_cnn  cpu:2   2 ok    38.2 ± 0.2 %  11 min 25 s ± 1.0 s  11 min 27 s
mbn        cpu:2   2 ok    61.2 ± 0.2 %       11.7 h ± 1.0 s       11.7 h
tiny       gpu:1   ok             2.0 %                2.1 s        4.1 s      1
resnet20   cpu:2   failed             –                    –            –

                                                                peak
model      device         wall       epoch  curve  images/s   memory    CPU
───────────────────────────────────────────────────────────────────────────
mnist_cnn  cpu:2   11 min 36 s  5 min 44 s  ██         2.92  1.42 GB  198 %
mbn        cpu:2        11.7 h       5.8 h  ██         0.05  1.42 GB  198 %
tiny       gpu:1        13.1 s       2.0 s  ██          952  1.42 GB  198 %
resnet20   cpu:2             –           –  –             –        –      –

                             GPU
model      device   GPU   memory
────────────────────────────────
mnist_cnn  cpu:2      –        –
mbn        cpu:2      –        –
tiny       gpu:1   80 %  2.50 GB
resnet20   cpu:2      –        –

train: training alone; fit: with validation; wall: everything, start-up
included; CPU: 100 % is one core; curve: accuracy by epoch, on validation images
where some were held back; GPU: time in which any kernel ran; GPU memory:
TensorFlow's peak; over seeds: median ± median absolute deviation, memory
highest

Notes
  1  short: 2.1 s of training

Not ok
  resnet20 on cpu:2, seed 0: failed: no file models/resnet20.py

Small against large
  on cpu:2: mbn takes 61 times the time of mnist_cnn (11.7 h against 11 min 25
  s) for 23.0 points more (61.2 ± 0.2 % over 2 seeds against 38.2 ± 0.2 % over 2
  seeds)

What time buys
                         best                                         on
                   validation                                        the
model      device    accuracy   range       after  energy       frontier
────────────────────────────────────────────────────────────────────────
mnist_cnn  cpu:2       28.0 %  28.0 %  5 min 49 s       –              –
mbn        cpu:2       28.0 %  28.0 %       5.8 h       –              –
tiny       gpu:1       28.0 %       –       7.0 s   205 J  from 7.0 s on

The frontier by time
                                        time
                                           a
model  device   from     to  accuracy  point
────────────────────────────────────────────
tiny   gpu:1   7.0 s  7.0 s    28.0 %      –

accuracy: best so far on the validation images; time: everything, start-up
included; energy: training and validation, of the GPUs, or on a CPU of all
packages; on the frontier: while nothing better takes as little time; over
seeds: what most of them have, range from worst to best
  30 %: reached by no cell; the best, mnist_cnn on cpu:2, had 28.0 % (28.0 %
  over 2 seeds) on the validation images
  on cpu:2: mbn does not get ahead of mnist_cnn in 11.7 h, on the validation
  images; mnist_cnn had stopped at 11 min 34 s
"""

AT_150 = """\
example
mbn on cpu:2 is the most accurate: 61.2 % of the test images right in 11.7 h, everything included; tiny on gpu:1 is the quickest: 2.0 % in 13.1 s,
3,207 times as quick
Example CPU, 2 of 4 cores usable, 16.0 GB memory
cifar100: 1,000 training, 100 validation, 200 test images; 100 classes
epochs 2; batch size 100; seeds 0, 1

                                   test                                                                                 peak
model      device  status      accuracy                train          fit         wall       epoch  curve  images/s   memory    CPU   GPU  notes
────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
mnist_cnn  cpu:2   2 ok    38.2 ± 0.2 %  11 min 25 s ± 1.0 s  11 min 27 s  11 min 36 s  5 min 44 s  ██         2.92  1.42 GB  198 %     –
mbn        cpu:2   2 ok    61.2 ± 0.2 %       11.7 h ± 1.0 s       11.7 h       11.7 h       5.8 h  ██         0.05  1.42 GB  198 %     –
tiny       gpu:1   ok             2.0 %                2.1 s        4.1 s       13.1 s       2.0 s  ██          952  1.42 GB  198 %  80 %      1
resnet20   cpu:2   failed             –                    –            –            –           –  –             –        –      –     –

                       GPU
model      device   memory
──────────────────────────
mnist_cnn  cpu:2         –
mbn        cpu:2         –
tiny       gpu:1   2.50 GB
resnet20   cpu:2         –

train: training alone; fit: with validation; wall: everything, start-up included; CPU: 100 % is one core; curve: accuracy by epoch, on validation
images where some were held back; GPU: time in which any kernel ran; GPU memory: TensorFlow's peak; over seeds: median ± median absolute deviation,
memory highest

Notes
  1  short: 2.1 s of training

Not ok
  resnet20 on cpu:2, seed 0: failed: no file models/resnet20.py

Small against large
  on cpu:2: mbn takes 61 times the time of mnist_cnn (11.7 h against 11 min 25 s) for 23.0 points more (61.2 ± 0.2 % over 2 seeds against 38.2 ± 0.2 %
  over 2 seeds)

What time buys
                         best                                         on
                   validation                                        the
model      device    accuracy   range       after  energy       frontier
────────────────────────────────────────────────────────────────────────
mnist_cnn  cpu:2       28.0 %  28.0 %  5 min 49 s       –              –
mbn        cpu:2       28.0 %  28.0 %       5.8 h       –              –
tiny       gpu:1       28.0 %       –       7.0 s   205 J  from 7.0 s on

The frontier by time
                                        time
                                           a
model  device   from     to  accuracy  point
────────────────────────────────────────────
tiny   gpu:1   7.0 s  7.0 s    28.0 %      –

accuracy: best so far on the validation images; time: everything, start-up included; energy: training and validation, of the GPUs, or on a CPU of all
packages; on the frontier: while nothing better takes as little time; over seeds: what most of them have, range from worst to best
  30 %: reached by no cell; the best, mnist_cnn on cpu:2, had 28.0 % (28.0 % over 2 seeds) on the validation images
  on cpu:2: mbn does not get ahead of mnist_cnn in 11.7 h, on the validation images; mnist_cnn had stopped at 11 min 34 s
"""  # noqa: E501 -- a terminal of 150 columns


def test_durations_are_in_the_unit_that_suits_them() -> None:
    """Seconds become what a person would say, and the unit changes where the rounded number does."""
    assert [
        shown.duration(seconds)
        for seconds in (None, 0.0, 0.00123, 0.85, 0.9996, 1.0, 59.94, 59.96, 680.0, 3599.4, 3599.6, 42_120.0)
    ] == [
        "–",
        "0 s",
        "1.23 ms",
        "850 ms",
        "1.0 s",
        "1.0 s",
        "59.9 s",
        "1 min",
        "11 min 20 s",
        "59 min 59 s",
        "1.0 h",
        "11.7 h",
    ]


@given(st.floats(min_value=1e-3, max_value=1e7))
def test_a_shown_duration_is_the_duration(seconds: float) -> None:
    """Read back, what is shown is within 5 % of what was measured."""
    factors = {"ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}
    words = shown.duration(seconds).replace(",", "").split()
    read = sum(float(number) * factors[unit] for number, unit in zip(words[::2], words[1::2], strict=True))
    assert read == pytest.approx(seconds, rel=0.05)


def test_a_duration_that_somebody_chose_loses_nothing() -> None:
    """Down to tenths of a second; the unit changes where the number does."""
    chosen = (0.04, 0.5, 14.5, 59.96, 60.0, 90.0, 3600.0, 3661.1, 3720.0, 86_400.0, 3_600_000.0)
    assert [shown.exact_duration(seconds) for seconds in chosen] == [
        "0.04 s",
        "0.5 s",
        "14.5 s",
        "1 min",
        "1 min",
        "1 min 30 s",
        "1 h",
        "1 h 1 min 1.1 s",
        "1 h 2 min",
        "24 h",
        "1,000 h",
    ]


def test_numbers_are_shown_with_their_unit() -> None:
    """Bytes are decimal gigabytes, shares are percent, and what is missing is a dash."""
    assert [shown.size(value) for value in (None, 1.42e9, 4.1e8, 15.96e9, 128e9)] == [
        "–",
        "1.42 GB",
        "0.41 GB",
        "16.0 GB",
        "128 GB",
    ]
    assert [shown.share(0.381), shown.share(0.381, 0.003), shown.share(None)] == ["38.1 %", "38.1 ± 0.3 %", "–"]
    assert [shown.percent(198.4), shown.percent(None)] == ["198 %", "–"]
    assert [shown.rate(17.72), shown.rate(1138.2), shown.rate(None)] == ["17.7", "1,138", "–"]
    assert [shown.times(63.9), shown.times(1.71)] == ["64", "1.7"]
    assert [shown.ratio(1.816), shown.ratio(None)] == ["1.82", "–"]


def test_energy_and_money_are_shown_with_their_digits() -> None:
    """Joules have the prefix that suits them; money has two decimals, and two digits where it is small."""
    amounts = (None, 0.0, 85.0, 999.6, 12_345.0, 1.2e6, 3.4e9, 5e12)
    assert [shown.energy(joules) for joules in amounts] == [
        "–",
        "0.00 J",
        "85.0 J",
        "1.00 kJ",
        "12.3 kJ",
        "1.20 MJ",
        "3.40 GJ",
        "5,000 GJ",
    ]
    assert [shown.money(amount) for amount in (None, 0.0, 1234.5, 0.4, 0.0123, 0.00024)] == [
        "–",
        "0.00",
        "1,234.50",
        "0.40",
        "0.012",
        "0.00024",
    ]
    assert [shown.signed(value, shown.energy) for value in (-850.0, 850.0, None)] == [
        "\N{MINUS SIGN}850 J",
        "850 J",
        "–",
    ]
    assert [shown.share_word(target) for target in (0.6, 0.55, 0.125)] == ["60 %", "55 %", "12.5 %"]


def test_a_number_of_a_forecast_never_looks_measured() -> None:
    """It begins with a tilde; what is missing stays a dash."""
    assert [shown.expected({"kind": kind}, "8.0 h") for kind in ("measured", "forecast")] == ["8.0 h", "~8.0 h"]
    assert shown.expected({"kind": "forecast"}, "–") == "–"


def test_a_spread_is_in_the_unit_of_its_time() -> None:
    """A unit that time and spread share stands once, tenths of a second are not told in milliseconds."""
    assert [
        shown.duration_spread(seconds, spread_s)
        for seconds, spread_s in (
            (None, None),
            (51.2, None),
            (51.2, 0.4),
            (51.2, 0.0),
            (0.85, 0.012),
            (685.0, 0.4),
            (685.0, 72.0),
            (42_000.0, 360.0),
        )
    ] == [
        "–",
        "51.2 s",
        "51.2 ± 0.4 s",
        "51.2 ± 0.0 s",
        "850 ± 12.0 ms",
        "11 min 25 s ± 0.4 s",
        "11 min 25 s ± 1 min 12 s",
        "11.7 h ± 6 min",
    ]


def test_an_interval_has_its_unit_once() -> None:
    """Both ends are there; a unit that they share stands behind them."""
    ends = (
        ("49.9 s", "52.0 s"),
        ("37.9 %", "38.6 %"),
        ("1.79", "1.85"),
        ("59.9 s", "1 min"),
        ("1 min 8 s", "2 min 8 s"),
        ("–", "–"),
    )
    assert [shown.span(low, high) for low, high in ends] == [
        "49.9–52.0 s",
        "37.9–38.6 %",
        "1.79–1.85",
        "59.9 s – 1 min",
        "1 min 8 s – 2 min 8 s",
        "–",
    ]


def test_text_for_the_terminal_holds_no_commands() -> None:
    """Escapes, line breaks and direction marks of a user's text do not reach the terminal."""
    assert shown.plain("a\x1b[31mb\nc\u202ed") == "a\N{REPLACEMENT CHARACTER}[31mb c\N{REPLACEMENT CHARACTER}d"


@pytest.mark.parametrize(("width", "expected"), [(80, AT_80), (150, AT_150)])
def test_a_report_reads_like_this(width: int, expected: str) -> None:
    """The whole report at a fixed width, in a pipe and without colour."""
    assert printed(frames(example()), width=width) == expected.strip("\n")


@pytest.mark.parametrize("width", [60, 80, 100, 120, 140, 200])
def test_no_number_is_cut_at_any_width(width: int) -> None:
    """Every number of every cell is there in full, and no line is wider than the terminal."""
    text = printed(frames(example()), width=width)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    for number in ("38.2 ± 0.2 %", "11 min 25 s ± 1.0 s", "11.7 h", "1.42 GB", "2.50 GB", "198 %", "2.1 s"):
        assert number in text


def test_a_run_without_gpus_has_no_gpu_columns() -> None:
    """GPU columns appear with the first GPU trial."""
    assert "GPU" not in printed(frames(run_data(ok_trial(trial()))), width=140)
    host = msgspec.structs.replace(HOST, gpus=(EXAMPLE_GPU,))
    text = printed(frames(run_data(ok_trial(trial(device=GPU)), host=host)), width=140)
    assert "80 %" in text
    assert "Example GPU, 8.00 GB" in text


def test_from_three_seeds_on_the_table_has_intervals() -> None:
    """Two seeds show a spread, three an interval besides, and the legend says how far it can be trusted."""
    asked = [ok_trial(trial(seed=s), train_s=25.0 + s, accuracy=0.38 + 0.01 * s) for s in range(3)]
    for text in (printed(frames(run_data(*asked)), width=100), markdown(frames(run_data(*asked)))):
        for said in ("39.0 ± 1.0 %", "38.0–40.0 %", "52.0 ± 2.0 s", "50.0–54.0 s", "95 % bootstrap", "of 3 seeds"):
            assert said in text
    two = printed(frames(run_data(*asked[:2])), width=100)
    assert "51.0 ± 1.0 s" in two
    assert "interval" not in two


def test_an_empty_run_still_reads() -> None:
    """A run without trials is a report without rows."""
    assert "example" in printed(frames(run_data()), width=80)
    assert "# example" in markdown(frames(run_data()))


def test_a_hostile_name_stays_text() -> None:
    """Markup in a model's name is shown as it is, at the terminal and in Markdown."""
    report = frames(run_data(ok_trial(trial(HOSTILE)), ended_trial(trial("b"), status="failed", reason="[/]|<b>")))
    assert HOSTILE in printed(report, width=200)
    text = markdown(report)
    assert "<" not in text.replace("\\<", "")
    head, _, *rows = [line for line in text.partition("## What time")[0].splitlines() if line.startswith("|")]
    bars = {len(re.findall(r"(?<!\\)\|", line)) for line in (head, *rows)}
    assert len(rows) == 2
    assert len(bars) == 1


def test_markdown_is_escaped() -> None:
    """Every character that Markdown or HTML takes for its own is escaped."""
    assert escape("a_b|c <d> `e`\n#f") == r"a\_b\|c \<d\> \`e\` \#f"


def test_markdown_says_how_to_make_the_report_again() -> None:
    """The exact command stands in a fence that the command cannot close."""
    data = run_data(ok_trial(trial()))
    run = msgspec.structs.replace(data.run, command=("python", "-m", "bench", "run", "--name", "a ``` b"))
    text = markdown(frames(msgspec.structs.replace(data, run=run)))
    assert "````sh\npython -m bench run --name 'a ``` b'\n````" in text
    assert "a" * 64 in text


def test_markdown_says_what_failed_and_what_was_not_measured() -> None:
    """Failures have their reasons, and so have metrics that could not be read."""
    asked = trial()
    result = Result(key=asked.key, status="failed", reason="boom", attempts=1, missing={"energy": "NotSupported"})
    text = markdown(frames(run_data(TrialData(trial=asked, events=tuple(start_up(asked)), result=result))))
    assert "- small on cpu:2, seed 0: failed: boom" in text
    assert "- energy: NotSupported" in text


def test_csv_and_parquet_hold_the_same_frames(tmp_path: Path) -> None:
    """What was written reads back as what was measured, lists and missing values included."""
    report = frames(example())
    written = write_report(tmp_path, report)
    assert sorted(written) == sorted(path for path in (tmp_path / "report").rglob("*") if path.is_file())
    curves = median_curves(curve_points(report.trials, report.epochs, {}))
    made = {"cells": cells(report.trials), "curves": curves, "frontier": frontier(curves)}
    measured = {name: getattr(report, name) for name in FRAMES if name not in made}
    for name, frame in (measured | made).items():
        lists = list(frame.columns[frame.dtypes.astype(str) == "object"])
        parquet = pd.read_parquet(tmp_path / "report" / f"{name}.parquet")
        for column in lists:
            assert list(map(tuple, parquet[column])) == list(frame[column])
        pd.testing.assert_frame_equal(parquet.drop(columns=lists), frame.drop(columns=lists))
        types = frame.drop(columns=lists).dtypes.to_dict()
        csv = pd.read_csv(tmp_path / "report" / f"{name}.csv", dtype=types)
        pd.testing.assert_frame_equal(csv.drop(columns=lists), frame.replace("", pd.NA).drop(columns=lists))


def test_curves_are_over_time_whatever_is_asked(tmp_path: Path) -> None:
    """A frontier by energy is one of cells whose energy is known; the curves hold all cells, over time."""
    report = frames(run_data(ok_trial(trial()), ok_trial(trial(device=GPU))))
    write_report(tmp_path, report, Question(by="joules"))
    curves, by_energy = (pd.read_csv(tmp_path / "report" / f"{name}.csv") for name in ("curves", "frontier"))
    assert (set(curves["cell"]), set(curves["cost"])) == ({1, 2}, {"t_s"})
    assert (set(by_energy["cell"]), set(by_energy["cost"])) == ({2}, {"joules"})


def test_a_report_is_written_again_over_the_old_one(tmp_path: Path) -> None:
    """Writing twice leaves the newer report and no half-written file."""
    write_report(tmp_path, frames(run_data(ok_trial(trial(device=GPU)))))
    assert (tmp_path / "report" / "charts" / "energy.svg").exists()
    write_report(tmp_path, frames(run_data(ok_trial(trial()))))
    assert not (tmp_path / "report" / "charts" / "energy.svg").exists()
    assert len(pd.read_csv(tmp_path / "report" / "trials.csv")) == 1
    names = {path.name for path in (tmp_path / "report").iterdir()}
    assert names == {"charts", "report.html", "report.md"} | {
        f"{name}.{kind}" for name in FRAMES for kind in ("csv", "parquet")
    }


def test_a_report_that_cannot_be_written_is_an_error_in_words(tmp_path: Path) -> None:
    """A folder that is not there is no crash."""
    with pytest.raises(StoreError, match="cannot be made"):
        write_report(tmp_path / "missing", frames(run_data()))


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now_s


def play(view: LiveView, data: TrialData, clock: Clock, *, end: bool = True) -> None:
    """Tell a view of a trial's events at their times."""
    view.trial_started(data.trial, 1, None, ())
    for event in data.events[1:]:
        clock.now_s = max(clock.now_s, getattr(event, "end_s", clock.now_s))
        view.event(data.trial, event)
    if end and data.result:
        view.trial_ended(data.trial, data.result)


def test_a_pipe_receives_a_few_plain_lines() -> None:
    """A line when a trial starts, at most one for epochs in ten seconds, and one when it ends."""
    data = ok_trial(trial(epochs=4), train_s=4.0)
    console, clock = Console(width=40, file=io.StringIO()), Clock()
    with console.capture() as capture, LiveView(console, [data.trial], clock=clock) as view:
        play(view, data, clock)
    figures = "(100.0 %), 250 images/s, train 30.0 %, validation 28.0 %"
    assert capture.get() == (
        "[1/1] small cpu:2, seed 0: started\n"
        f"[1/1] small cpu:2, seed 0: epoch 1 of 4 {figures}, 15.0 s left\n"
        f"[1/1] small cpu:2, seed 0: epoch 3 of 4 {figures}, 5.3 s left\n"
        "[1/1] small cpu:2, seed 0: ok after 30.0 s, test accuracy 38.1 %\n"
    )


def test_a_long_epoch_is_not_silent() -> None:
    """In a pipe, an epoch of many minutes says once a minute that it goes on."""
    asked = trial()
    console, clock = Console(file=io.StringIO()), Clock()
    steps = epochs(asked)[0]
    with console.capture() as capture, LiveView(console, [asked], clock=clock) as view:
        view.trial_started(asked, 1, None, ())
        for second in range(1, 181):
            clock.now_s = float(second)
            view.event(asked, msgspec.structs.replace(steps, images=5))
    assert len(capture.get().splitlines()) == 1 + 3


def test_a_failure_and_a_second_attempt_are_told() -> None:
    """In a pipe, the reason of a failure and a resumed trial are lines of their own."""
    asked = trial("[bold]")
    console = Console(width=40, file=io.StringIO())
    with console.capture() as capture, LiveView(console, [asked]) as view:
        view.trial_started(asked, 2, None, ())
        view.trial_ended(asked, Result(key=asked.key, status="oom_host", reason="out of memory", attempts=2))
    assert capture.get() == (
        "[1/1] [bold] cpu:2, seed 0: taken up again, attempt 2\n[1/1] [bold] cpu:2, seed 0: oom_host: out of memory\n"
    )


def picture(view: LiveView) -> str:
    """The picture that a terminal of 100 columns shows."""
    console = Console(width=100, file=io.StringIO())
    with console.capture() as capture:
        console.print(view.picture())
    return capture.get()


def test_the_picture_shows_the_matrix_and_what_runs() -> None:
    """Ended, running and waiting trials, the running one's figures, and the time left."""
    trials = [trial(model, seed=seed) for seed in range(2) for model in ("small", "large")]
    console = Console(width=100, height=40, file=io.StringIO(), force_terminal=True)
    clock = Clock()
    view = LiveView(console, trials, clock=clock)
    play(view, ok_trial(trials[0]), clock)
    second = ok_trial(trials[1])
    play(view, msgspec.structs.replace(second, events=second.events[:13]), clock, end=False)
    view.sampled(trials[1], samples(until_s=17.0)[-1])
    lines = [" ".join(line.split()) for line in picture(view).splitlines()]
    assert lines == [
        "1 small cpu:2, seed 0 ok after 31.0 s, test accuracy 38.1 %",
        "2 large cpu:2, seed 0 running",
        "3 small cpu:2, seed 1 waiting",
        "4 large cpu:2, seed 1 waiting",
        "train: epoch 1 of 2 (100.0 %), 100 images/s, train 30.0 %, validation 28.0 %, 1.20 GB, 11.5 s left",
        "after this trial: 59.5 s",
    ]


def test_a_long_matrix_fits_the_screen() -> None:
    """Of hundreds of trials, those around the running one are shown."""
    trials = [trial(seed=seed) for seed in range(300)]
    view = LiveView(Console(width=100, height=20, file=io.StringIO(), force_terminal=True), trials)
    for asked in trials[:150]:
        view.trial_started(asked, 1, None, ())
        view.trial_ended(asked, Result(key=asked.key, status="ok", wall_s=1.0, attempts=1))
    view.trial_started(trials[150], 1, None, ())
    text = picture(view)
    assert len(text.splitlines()) <= 20
    assert "151  small cpu:2, seed 150  running" in text
    assert "and 288 more" in text


def test_a_terminal_is_drawn_at_most_once_a_second() -> None:
    """A thousand events within a second draw nothing."""
    asked, clock = trial(), Clock()
    out = io.StringIO()
    with LiveView(Console(file=out, force_terminal=True), [asked], clock=clock) as view:
        view.trial_started(asked, 1, None, ())
        drawn = out.tell()
        for sample in samples(until_s=1000.0):
            view.sampled(asked, sample)
        assert out.tell() == drawn
        clock.now_s = 1.0
        view.sampled(asked, Sample(t_s=1.0))
        assert out.tell() > drawn


def test_the_time_left_follows_from_the_steps() -> None:
    """Half an epoch leaves half of it and the epochs after it, with what lies between them as it was measured."""
    asked = trial(epochs=3)
    progress = Progress(asked)
    assert progress.left_s is None
    for event in [*start_up(asked), *epochs(asked, train_s=10.0)[:5]]:
        progress.event(event)
    assert (progress.epochs_done, progress.phase) == (1, "train")
    assert progress.left_s == pytest.approx(2 * 11.5)
    half = epochs(asked, first=2, start_s=16.5)[0]
    progress.event(msgspec.structs.replace(half, counts=(4,), ends_s=(21.5,), images=500))
    assert progress.left_s == pytest.approx(5.0 + 1.5 + 11.5)


def test_a_resumed_trial_is_not_taken_for_a_new_one() -> None:
    """The first steps of epoch 8 say that seven epochs are done."""
    asked = trial(epochs=10)
    progress = Progress(asked)
    progress.event(epochs(asked, first=8)[0])
    assert (progress.epoch, progress.epochs_done) == (8, 7)
    assert progress.left_s == pytest.approx(20.0)


def test_phases_follow_from_the_last_one_that_ended() -> None:
    """The phase shown is the one that runs, from the first import to the test."""
    asked = trial(epochs=1)
    progress = Progress(asked)
    seen = [progress.phase]
    for event in ok_trial(asked).events:
        progress.event(event)
        if progress.phase != seen[-1]:
            seen.append(progress.phase)
    assert seen == ["import", "data", "build", "compile", "warmup", "train", "validate", "checkpoint", "test"]


def test_trials_that_were_never_measured_are_counted_and_not_guessed() -> None:
    """The rest's time is a sum over measured cells; the others are named as unknown."""
    done, waiting, unknown = (Progress(trial(model, seed=seed)) for model, seed in (("a", 0), ("a", 1), ("b", 0)))
    done.start(1)
    done.end(Result(key=done.trial.key, status="ok", wall_s=40.0, attempts=1))
    assert rest_s([done, waiting, unknown]) == (40.0, 1)


def test_watching_a_run_needs_no_pandas() -> None:
    """The parent stays small while it measures: the live view imports neither pandas nor NumPy."""
    code = "import sys, bench.report.live; sys.exit(bool({'pandas', 'numpy', 'tensorflow'} & set(sys.modules)))"
    root = Path(__file__).parent.parent
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
