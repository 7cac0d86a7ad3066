"""What a report says about accuracy against cost: its tables and sentences."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pandas as pd
from rich.console import Console

from bench.analysis.columns import CELLS
from bench.analysis.frame import frames, rows_of, typed
from bench.report.labels import setting_labels
from bench.report.markdown import markdown
from bench.report.question import NOTHING_ASKED, Question
from bench.report.terminal import report_view
from bench.report.tradeoff import tradeoff_section
from points_for_tests import cells_of, curve, forecast, points
from records_for_tests import CPU, Device, end, ended_trial, epoch, ok_trial, run_data, start_up, trial

if TYPE_CHECKING:
    from bench.records import TrialData
    from bench.report.section import Section

ONE = Device(kind="cpu", threads=1, cpus=(0,))


def trained(model: str, *accuracies: float, device: Device = CPU, train_s: float = 60.0, seed: int = 0) -> TrialData:
    """A trial whose epochs reach these validation accuracies; its test accuracy is a point below the last."""
    asked = trial(model, device=device, epochs=len(accuracies), seed=seed)
    events = [
        event
        for number, accuracy in enumerate(accuracies, start=1)
        for event in epoch(
            asked, number, start_s=5.0 + (train_s + 1.5) * (number - 1), train_s=train_s, accuracy=accuracy + 0.02
        )
    ]
    ended_s = 5.0 + (train_s + 1.5) * len(accuracies)
    ended = end(start_s=ended_s, accuracy=accuracies[-1] - 0.01)
    data = ok_trial(asked, events=(*start_up(asked), *events, *ended), samples=())
    assert data.result is not None
    return data


def printed(*trials: TrialData, question: Question = NOTHING_ASKED, width: int = 80) -> str:
    """The section of a run of these trials, as a terminal shows it; empty if there is none."""
    console = Console(width=width, file=io.StringIO(), no_color=True, force_terminal=False)
    with console.capture() as capture:
        console.print(report_view(frames(run_data(*trials)), question))
    text = "\n".join(line.rstrip() for line in capture.get().replace("\N{NO-BREAK SPACE}", " ").splitlines())
    return text.partition("What time buys\n")[2].partition("\n\nThread scaling")[0]


def section_of(*curves: list[dict], question: Question = NOTHING_ASKED) -> Section:
    """The section of these points."""
    made = points(*curves)
    found = tradeoff_section(made, cells_of(made), setting_labels(rows_of(made)), question)
    assert found is not None
    return found


def texts(section: Section, table: int, heading: str) -> tuple[str, ...]:
    """A column of a table of a section."""
    shown = [*section.tables[table].names, *section.tables[table].measures]
    (found,) = [column.texts for column in shown if column.heading.replace("\N{NO-BREAK SPACE}", " ") == heading]
    return found


AT_80 = """\
                     best                                                     on
               validation                             to                     the
model  device    accuracy       after  money        30 %                frontier
────────────────────────────────────────────────────────────────────────────────
small  cpu:2       33.0 %   3 min 9 s   0.19   2 min 8 s  1 min 6 s – 30 min 9 s
large  cpu:2       40.0 %  30 min 9 s   1.81  30 min 9 s      from 30 min 9 s on

The frontier by time
                                                          time   money
                                                             a       a
model  device        from          to     accuracy       point   point
──────────────────────────────────────────────────────────────────────
small  cpu:2    1 min 6 s   3 min 9 s  10.0–33.0 %       5.3 s  0.0053
large  cpu:2   30 min 9 s  30 min 9 s       40.0 %  3 min 51 s    0.23

accuracy: best so far on the validation images; time: everything, start-up
included; money: that time at the given price; on the frontier: while nothing
better takes as little time; a point: one percentage point more, from the end of
the row above; in the first row, from its own start
  in 4 min of wall time: small on cpu:2, 33.0 % on the validation images after 3
  min 9 s; it ended with 32.0 % on the test images
  in 1 h of wall time: large on cpu:2, 40.0 % on the validation images after 30
  min 9 s; it ended with 39.0 % on the test images
  30 % on the validation images: soonest small on cpu:2 after 2 min 8 s; that is
  the cheapest too, for 0.13
  50 %: reached by no cell; the best, large on cpu:2, had 40.0 % on the
  validation images
  on cpu:2: large is ahead of small from 30 min 9 s on (20 min 8 s – 30 min 9 s,
  by the ends of epochs), on the validation images; small had stopped at 3 min 9
  s"""


def test_a_run_reads_like_this() -> None:
    """Two models on a device: what each has when, the frontier, the answers and the break-even."""
    question = Question(budgets_s=(240.0, 3600.0), targets=(0.3, 0.5), prices={"cpu": 3.6})
    small, large = trained("small", 0.10, 0.30, 0.33), trained("large", 0.05, 0.20, 0.40, train_s=600.0)
    assert printed(small, large, question=question) == AT_80


def test_without_questions_the_section_is_short() -> None:
    """Targets that nothing reached are one sentence, and what is not known has no column."""
    text = printed(trained("small", 0.10, 0.18), trained("small", 0.10, 0.15, device=ONE))
    assert "30 %: reached by no cell; the best, small on cpu:2, had 18.0 % on the" in text
    for absent in ("money", "energy", "range", "kind", "to\n", "in 30 min", "~", "ahead"):
        assert absent not in text


def test_seeds_have_their_range() -> None:
    """The median stands with the worst and the best seed, in the table, in answers and in the break-even."""
    trials = [
        data
        for seed in range(3)
        for data in (
            trained("small", 0.10, 0.30 + 0.01 * seed, seed=seed),
            trained("large", 0.20, 0.50 + 0.01 * seed, train_s=600.0, seed=seed),
        )
    ]
    text = " ".join(printed(*trials, question=Question(budgets_s=(240.0,), targets=(0.3, 0.5, 0.51))).split())
    assert "31.0 % 30.0–32.0 %" in text
    answer = "small on cpu:2, 31.0 % (30.0–32.0 % over 3 seeds) on the validation images after 2 min 8 s"
    assert f"in 4 min of wall time: {answer}" in text
    assert (
        "51 % on the validation images: soonest large on cpu:2 after 20 min 8 s (20 min 8 s at the earliest, " in text
    )
    assert "2 of 3 seeds)" in text
    assert "on cpu:2: large is ahead of small from 20 min 8 s on (10 min 6 s – 20 min 8 s, 95 % over 3 pairs of" in text


def test_a_run_in_which_nothing_finished_an_epoch_has_no_section() -> None:
    """Neither at the terminal nor in Markdown."""
    asked = trial()
    failed = ended_trial(asked, status="failed", reason="boom", events=start_up(asked))
    assert printed(failed) == ""
    assert "What time buys" not in markdown(frames(run_data(failed)))


def test_an_interrupted_trial_has_no_test_accuracy() -> None:
    """What it measured counts; what it would have ended with is not made up."""
    asked = trial("small", epochs=2)
    events = [*start_up(asked), *epoch(asked, 1, start_s=5.0, train_s=60.0, accuracy=0.32)]
    stopped = ended_trial(asked, status="interrupted", reason="stopped", events=events)
    text = printed(stopped, question=Question(budgets_s=(1800.0,)), width=200)
    assert "in 30 min of wall time: small on cpu:2, 30.0 % on the validation images after 1 min 6 s\n" in text + "\n"


def test_markdown_has_the_same_section() -> None:
    """The tables, the legend and the sentences stand in the report's file too."""
    question = Question(budgets_s=(240.0,), targets=(0.3,))
    text = markdown(frames(run_data(trained("small", 0.10, 0.30))), question)
    assert "## What time buys" in text
    assert "| small | cpu:2 | 30.0 % | 2 min 8 s | 2 min 8 s | from 1 min 6 s on |" in text.replace(
        "\N{NO-BREAK SPACE}", " "
    )
    assert "The frontier by time" in text
    assert (
        "- in 4 min of wall time: small on cpu:2, 30.0 % on the validation images after 2 min 8 s; it ended with 29.0 %"
        in text
    )


LATER = forecast(2, (9_000.0, 0.32, 0.20, 0.38), (14_400.0, 0.50, 0.36, 0.55), (28_800.0, 0.61, 0.55, 0.64))
EARLIER = curve(2, (1_800.0, 0.05), (5_400.0, 0.20))
QUICKER = curve(1, (100.0, 0.10), (300.0, 0.30), (540.0, 0.35))


def test_a_forecast_is_told_from_a_measurement_in_every_row() -> None:
    """It is called one in a column of its own, and each of its numbers begins with a tilde."""
    section = section_of(QUICKER, EARLIER, LATER)
    assert texts(section, 0, "kind") == ("measured", "measured", "forecast")
    assert texts(section, 0, "best validation accuracy") == ("35.0 %", "20.0 %", "~61.0 %")
    assert texts(section, 0, "range") == ("–", "–", "~55.0–64.0 %")
    assert texts(section, 0, "after") == ("9 min", "1.5 h", "~8.0 h")
    assert texts(section, 0, "to 30 %") == ("5 min", "–", "~2.5 h")
    assert texts(section, 0, "on the frontier") == ("1 min 40 s – ~4.0 h", "–", "from ~4.0 h on")
    assert texts(section, 1, "kind") == ("measured", "forecast")
    assert texts(section, 1, "accuracy") == ("10.0–35.0 %", "~50.0–61.0 %")
    assert texts(section, 1, "time a point") == ("17.6 s", "~18 min 7 s")
    assert "~: a forecast, not a measurement" in section.legend


SAID = """\
in 8 h of wall time: forecast of large on cpu:2, ~61.0 % (~55.0–64.0 %) on the validation images after ~8.0 h; \
measured: small on cpu:2, 35.0 % on the validation images after 9 min
60 % on the validation images: soonest forecast of large on cpu:2 after ~8.0 h (~8.0 h at the earliest, perhaps never)
70 %: reached by no cell; the best, forecast of large on cpu:2, had ~61.0 % (~55.0–64.0 %) on the validation images; \
the best measured, small on cpu:2, had 35.0 %
on cpu:2: large does not get ahead of small in 1.5 h, on the validation images; small had stopped at 9 min
on cpu:2, by the forecast of large: large is ahead of small from ~4.0 h on (~1.5–4.0 h, by the forecast's interval), \
on the validation images; small had stopped at 9 min"""


def test_a_forecast_is_told_from_a_measurement_in_every_sentence() -> None:
    """It is called one, and the best that was measured stands beside it."""
    section = section_of(QUICKER, EARLIER, LATER, question=Question(budgets_s=(28_800.0,), targets=(0.6, 0.7)))
    assert "\n".join(section.sentences) == SAID


def test_the_cheapest_may_be_another_than_the_soonest() -> None:
    """Each is named with what it takes; what has no price is not silently passed over."""
    quick, slow = curve(1, (100.0, 0.6), money=3.0), curve(2, (900.0, 0.6), money=1.0)
    unpriced = curve(3, (950.0, 0.6))
    asked = Question(targets=(0.6,))
    answer = "60 % on the validation images: soonest small on cpu:2 after 1 min 40 s; "
    assert section_of(quick, slow, question=asked).sentences[0] == f"{answer}cheapest large on cpu:2, for 1.00"
    assert section_of(quick, slow, unpriced, question=asked).sentences[0] == (
        f"{answer}cheapest of those whose price is known large on cpu:2, for 1.00"
    )
    metered = [row | {"money": None, "joules": 1500.0} for row in quick]
    assert section_of(metered, question=asked).sentences[0] == f"{answer}that is the cheapest too, with 1.50 kJ"


def test_a_budget_before_the_first_epoch_buys_nothing_yet() -> None:
    """What came first is named."""
    (sentence, *_) = section_of(QUICKER, question=Question(budgets_s=(10.0,))).sentences
    assert sentence == (
        "in 10 s of wall time: nothing yet; "
        "the first was small on cpu:2, 10.0 % on the validation images after 1 min 40 s"
    )


def test_a_cell_without_the_cost_is_named() -> None:
    """It cannot be on a frontier by energy, and that is said; without any there is no such table."""
    metered = [row | {"joules": 10.0 * row["t_s"]} for row in QUICKER]
    section = section_of(metered, EARLIER, question=Question(by="joules"))
    left_out = "not on the frontier by energy, since their energy was not measured: large on cpu:2"
    assert left_out in section.sentences
    assert section.tables[1].caption == "The frontier by energy"
    assert texts(section, 1, "to") == ("5.40 kJ",)
    assert texts(section, 0, "on the frontier") == ("from 1.00 kJ on", "–")
    assert len(section_of(EARLIER, question=Question(by="joules")).tables) == 1


def test_test_accuracy_is_never_called_validation_accuracy() -> None:
    """Without validation images the table, the answers and the legend speak of test images."""
    rows = [row | {"split": "test"} for row in QUICKER[2:]]
    section = section_of(rows, question=Question(budgets_s=(900.0,), targets=(0.3,)))
    assert texts(section, 0, "best test accuracy") == ("35.0 %",)
    assert section.legend.startswith("accuracy: best so far on the test images")
    assert section.sentences == (
        "in 15 min of wall time: small on cpu:2, 35.0 % on the test images after 9 min",
        "30 % on the test images: soonest small on cpu:2 after 9 min",
    )


def test_what_parts_a_comparison_is_said() -> None:
    """An axis of the matrix is named in the words of its unit."""
    rows = [QUICKER, EARLIER, [row | {"cell": 3, "batch_size": 64} for row in QUICKER]]
    assert section_of(*rows).sentences[-1].startswith("on cpu:2, batch size 100: large does not get ahead of small")


def test_budgets_and_recipes_of_a_matrix_are_said() -> None:
    """Columns of budgets and recipes, where a run has them, part a comparison and are named."""
    made = points(QUICKER, EARLIER, [row | {"cell": 3} for row in QUICKER])
    cells = cells_of(made)
    for name, values in (("budget_s", [1800.0, 1800.0, 60.0]), ("recipe_axes", ["adam", "adam", "adam"])):
        cells[name] = pd.Series(values, dtype=typed(CELLS, ())["model"].dtype if name == "recipe_axes" else "Float64")
    found = tradeoff_section(made, cells, setting_labels(rows_of(cells)), NOTHING_ASKED)
    assert found is not None
    assert found.sentences[-1].startswith("on cpu:2, budget 30 min: large does not get ahead of small")
