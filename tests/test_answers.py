"""What a report says about accuracy against cost: its tables and sentences."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

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


def ended(made: pd.DataFrame, **columns: list[Any]) -> pd.DataFrame:
    """The cells of these points, with these values in the order of the cells."""
    rows = rows_of(cells_of(made))
    return typed(CELLS, [row | {name: each[i] for name, each in columns.items()} for i, row in enumerate(rows)])


def said_of(made: pd.DataFrame, cells: pd.DataFrame, question: Question = NOTHING_ASKED) -> tuple[str, ...]:
    """The sentences about these points and cells."""
    found = tradeoff_section(made, cells, setting_labels(rows_of(cells)), question)
    assert found is not None
    return found.sentences


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
    """Neither at the terminal nor in Markdown, unless something was asked: that has an answer all the same."""
    asked = trial()
    failed = ended_trial(asked, status="failed", reason="boom", events=start_up(asked))
    assert printed(failed) == ""
    assert "What time buys" not in markdown(frames(run_data(failed)))
    question = Question(budgets_s=(90.0,), targets=(0.3,))
    answers = (
        "in 1 min 30 s of wall time: nothing, since no cell finished an epoch",
        "30 %: reached by no cell, since none finished an epoch",
    )
    assert printed(failed, question=question) == "\n".join(f"  {line}" for line in answers)
    text = markdown(frames(run_data(failed)), question)
    assert f"## What time buys\n\n- {answers[0]}\n- {answers[1]}\n" in text


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


def test_axes_of_a_matrix_are_said() -> None:
    """Budgets, recipes and numbers of epochs that part a comparison are named."""
    made = points(QUICKER, EARLIER, [row | {"cell": 3} for row in QUICKER])
    for columns, words in (
        ({"budget_s": [3720.0, 3720.0, 60.0]}, "budget 1 h 2 min"),
        ({"recipe_axes": ["warmup=0.2", "warmup=0.2", "warmup=0"]}, "warmup=0.2"),
        ({"recipe_axes": [None, None, "warmup=0"]}, "its own recipe"),
        ({"epochs_asked": [3, 3, 1]}, "3 epochs"),
        ({"epochs_asked": [1, 1, 3]}, "1 epoch"),
    ):
        (*_, said) = said_of(made, ended(made, **columns))
        assert said.startswith(f"on cpu:2, {words}: large does not get ahead of small")


# Budgets.


def test_what_trained_for_a_budget_answers_for_it() -> None:
    """Its clock leaves start-up out, so by wall time it is never done in time: what it ended with is told besides."""
    small = curve(1, (70.0, 0.30), (125.0, 0.31), budget_s=120.0, budget_clock="fit")
    large = curve(2, (110.0, 0.20), (130.0, 0.28), budget_s=120.0, budget_clock="fit")
    longer = curve(3, (700.0, 0.60), budget_s=600.0, budget_clock="fit")
    made, question = points(small, large, longer), Question(budgets_s=(120.0,))
    ends: dict[str, list[object]] = {
        "val_accuracy": [0.31, 0.28, 0.6],
        "test_accuracy": [0.302, 0.29, 0.61],
        "wall_s": [126.0, 131.0, 700.0],
    }
    trained = "trained for 2 min: small on cpu:2, 31.0 % on the validation images (wall 2 min 6 s), "
    trained += "30.2 % on the test images"
    assert said_of(made, ended(made, **ends), question)[0] == (
        "in 2 min of wall time: small on cpu:2 for 2 min, 30.0 % on the validation images after 1 min 10 s; "
        f"it ended after 2 min 6 s with 30.2 % on the test images; {trained}"
    )
    made = points(small[1:], large[1:])
    cells = ended(made, **ends)
    assert said_of(made, cells, question)[0] == f"{trained}; in 2 min of wall time: nothing yet"
    assert said_of(made, cells, Question(budgets_s=(119.0,)))[0] == (
        "in 1 min 59 s of wall time: nothing yet; "
        "the first was small on cpu:2 for 2 min, 31.0 % on the validation images after 2 min 5 s"
    )


def test_a_budget_of_wall_time_is_answered_by_wall_time_alone() -> None:
    """What was trained for it on that clock was done in time."""
    made = points(curve(1, (118.0, 0.31), budget_s=120.0, budget_clock="wall"))
    assert said_of(made, ended(made, val_accuracy=[0.31], wall_s=[120.0]), Question(budgets_s=(120.0,))) == (
        "in 2 min of wall time: small on cpu:2 for 2 min, 31.0 % on the validation images after 1 min 58 s",
    )


def test_a_budget_without_validation_images_is_answered_by_the_test() -> None:
    """The seeds that it is over are counted."""
    made = points(curve(1, (126.0, 0.31), budget_s=120.0, budget_clock="train", split="test"))
    cells = ended(made, test_accuracy=[0.31], wall_s=[126.0], n_ok=[3])
    assert said_of(made, cells, Question(budgets_s=(120.0,))) == (
        (
            "trained for 2 min: small on cpu:2, 31.0 % on the test images (wall 2 min 6 s, 3 seeds); "
            "in 2 min of wall time: nothing yet"
        ),
    )


def test_a_best_within_the_noise_of_the_quickest_is_said() -> None:
    """The same training on another device differs by a point by chance; more seeds or a larger lead tell them apart."""
    quick = curve(1, (100.0, 0.3), (200.0, 0.339))
    slow = [row | {"model": "small", "device": "cpu:1"} for row in curve(2, (150.0, 0.3), (300.0, 0.349))]

    def said(*curves: list[dict], alike: bool = True, budget_s: float = 400.0) -> str:
        made = points(*curves)
        cells = ended(made, workload=[1, 1 if alike else 2])
        return said_of(made, cells, Question(budgets_s=(budget_s,)))[0]

    best = "in 6 min 40 s of wall time: small on cpu:1, 34.9 % on the validation images after 5 min"
    assert said(quick, slow) == f"{best}; small on cpu:2 is within the noise of it (33.9 %)"
    assert said(quick, slow, alike=False) == best
    assert said(quick, slow, budget_s=220.0).endswith(
        "small on cpu:2, 33.9 % on the validation images after 3 min 20 s"
    )
    assert said(quick, [row | {"accuracy": row["accuracy"] + 0.001} for row in slow]) == best.replace("34.9", "35.0")
    for seeds, is_said in ((2, True), (3, False)):
        several = [[row | {"seed": seed} for seed in range(seeds) for row in rows] for rows in (quick, slow)]
        assert ("noise" in said(*several)) is is_said


# Seeds.


def test_some_seeds_are_not_most() -> None:
    """The sentence says what the table says: which seeds of which cells reached it, and what most of them have."""
    two = [*curve(1, (60.0, 0.62)), *curve(1, (70.0, 0.55), seed=1)]
    section = section_of(two, EARLIER, question=Question(targets=(0.6,)))
    assert texts(section, 0, "to 60 %") == ("1 of 2 seeds", "–")
    assert texts(section, 0, "best validation accuracy") == ("55.0 %", "20.0 %")
    assert section.sentences[0] == (
        "60 %: reached by 1 of 2 seeds of small on cpu:2 alone; "
        "the best, small on cpu:2, had 55.0 % (55.0–62.0 % over 2 seeds) on the validation images"
    )
    ahead = [row | {"kind": "forecast", "status": None} for row in two]
    assert texts(section_of(ahead, question=Question(targets=(0.6,))), 0, "to 60 %") == ("~1 of 2 seeds",)


def test_a_curve_that_most_seeds_have_begun_says_how_many() -> None:
    """A seed that has no accuracy yet counts as the worst, and is not among those whose range is told."""
    made = [row for seed, at_s in enumerate((60.0, 70.0, 900.0)) for row in curve(1, (at_s, 0.3), seed=seed)]
    (said, *_) = section_of(made, question=Question(budgets_s=(100.0,))).sentences
    assert "small on cpu:2, 30.0 % (30.0 % over 2 of 3 seeds) on the validation images after 1 min 10 s" in said


def test_three_pairs_of_seeds_are_not_taken_for_many() -> None:
    """The interval over them says how often it can hold the truth at most."""
    for seeds, caveat in ((3, ", of 3 at most 75 %"), (6, "")):
        small = [row for seed in range(seeds) for row in curve(1, (60.0, 0.3), seed=seed)]
        large = [row for seed in range(seeds) for row in curve(2, (90.0, 0.1), (120.0 + seed, 0.4), seed=seed)]
        (*_, said) = section_of(small, large).sentences
        assert f"95 % over {seeds} pairs of seeds{caveat})" in said


# How things ended.


def test_a_large_model_that_stopped_early_is_not_said_to_have_failed_for_long() -> None:
    """When it stopped stands there, and whether that was its own doing."""
    for status, how in (("ok", "had stopped"), ("interrupted", "was interrupted"), ("timeout", "was cut short")):
        (*_, said) = section_of(curve(1, (60.0, 0.3), (3600.0, 0.4)), curve(2, (120.0, 0.2), status=status)).sentences
        assert said == (
            f"on cpu:2: large does not get ahead of small in 1.0 h, on the validation images; large {how} at 2 min"
        )


def test_what_a_forecast_leaves_open_is_said() -> None:
    """It may never have been, or may not yet be; the end of a forecast curve is a forecast too."""
    (*_, said) = section_of(QUICKER, EARLIER, forecast(2, (9_000.0, 0.32, 0.20, 0.38))).sentences
    assert said == (
        "on cpu:2, by the forecast of large: large does not get ahead of small in ~2.5 h "
        "(perhaps from ~1.5 h on, by the forecast's interval), on the validation images; small had stopped at 9 min"
    )
    wide = forecast(2, (9_000.0, 0.40, 0.20, 0.50))
    (*_, said) = section_of(QUICKER, EARLIER, wide).sentences
    assert said.startswith(
        "on cpu:2, by the forecast of large: large is ahead of small from ~2.5 h on "
        "(~1.5 h at the earliest, perhaps not in ~2.5 h, by the forecast's interval)"
    )
    (*_, said) = section_of(forecast(1, (3_600.0, 0.3, 0.2, 0.4)), EARLIER, wide).sentences
    assert said.endswith("; small had stopped at ~1.0 h")


# What it costs.


def test_what_is_measured_stands_beside_a_forecast() -> None:
    """Soonest and cheapest each name the best that was measured, where a forecast comes first."""
    near = forecast(2, (900.0, 0.6, 0.5, 0.7), money=1.0)
    slow, cheap = curve(1, (1800.0, 0.6), money=3.0), curve(3, (3600.0, 0.6), money=2.0)
    (said, *_) = section_of(near, slow, cheap, question=Question(targets=(0.6,))).sentences
    assert said == (
        "60 % on the validation images: soonest forecast of large on cpu:2 after ~15 min (~15 min at the earliest, "
        "perhaps never); soonest measured small on cpu:2 after 30 min; that is the cheapest too, for ~1.00; "
        "of those measured, other on cpu:2, for 2.00"
    )


def test_one_price_is_enough_to_ask_for_money() -> None:
    """Where any device has a price, energy answers for no cell; what has none is left out of it, and that is said."""
    priced, unpriced = curve(1, (60.0, 0.3), money=3.0, joules=5.0), curve(2, (100.0, 0.6), joules=9.0)
    section = section_of(priced, unpriced, question=Question(targets=(0.6,), by="money"))
    soonest = "60 % on the validation images: soonest large on cpu:2 after 1 min 40 s"
    assert section.sentences[:2] == (
        f"{soonest}; none of those that reached it has a price",
        "not on the frontier by money, since they have no price: large on cpu:2",
    )


def test_a_cost_that_a_forecast_is_part_of_is_expected() -> None:
    """What is measured after a forecast costs, a point, what that forecast may be wrong about."""
    near = forecast(2, (120.0, 0.2, 0.1, 0.3))
    section = section_of(curve(1, (60.0, 0.1)), near, curve(3, (180.0, 0.3)))
    assert texts(section, 1, "kind") == ("measured", "forecast", "measured")
    assert texts(section, 1, "time a point") == ("–", "~6.0 s", "~6.0 s")


# What can be compared.


def test_a_curve_that_comes_back_has_each_stay() -> None:
    """Two are told; of more, the last, and how many were before it."""
    a, b = curve(1, (60.0, 0.1), (180.0, 0.3)), curve(2, (120.0, 0.2), (240.0, 0.4))
    stays = ("1–2 min,\n3–4 min", "2–3 min,\nfrom 4 min on")
    assert texts(section_of(a, b), 0, "on the frontier") == stays
    a = curve(1, (60.0, 0.1), (180.0, 0.3), (300.0, 0.5))
    assert texts(section_of(a, b), 0, "on the frontier")[0] == "from 5 min on,\nand 2 times before"


def test_images_are_never_mixed() -> None:
    """Accuracies on validation and on test images have a row, an answer and a break-even each."""
    tested = [[row | {"split": "test"} for row in rows] for rows in (curve(1, (70.0, 0.5)), curve(2, (80.0, 0.7)))]
    section = section_of(QUICKER, EARLIER, *tested, question=Question(budgets_s=(600.0, 65.0), targets=(0.5, 0.9)))
    assert texts(section, 0, "images") == ("test", "validation", "test", "validation")
    assert texts(section, 0, "best accuracy") == ("50.0 %", "35.0 %", "70.0 %", "20.0 %")
    assert texts(section, 0, "to 50 %") == ("1 min 10 s", "–", "1 min 20 s", "–")
    stays = ("1 min 10 s – 1 min 20 s", "from 1 min 40 s on", "from 1 min 20 s on", "–")
    assert texts(section, 0, "on the frontier") == stays
    assert sorted(section.sentences) == sorted(
        (
            "in 10 min of wall time: small on cpu:2, 35.0 % on the validation images after 9 min",
            "in 10 min of wall time: large on cpu:2, 70.0 % on the test images after 1 min 20 s",
            (
                "in 1 min 5 s of wall time: nothing yet; the first was small on cpu:2, 10.0 % on the validation images "
                "after 1 min 40 s"
            ),
            (
                "in 1 min 5 s of wall time: nothing yet; the first was small on cpu:2, 50.0 % on the test images after "
                "1 min 10 s"
            ),
            "50 %: reached by no cell; the best, small on cpu:2, had 35.0 % on the validation images",
            "50 % on the test images: soonest small on cpu:2 after 1 min 10 s",
            "90 %: reached by no cell; the best, small on cpu:2, had 35.0 % on the validation images",
            "90 %: reached by no cell; the best, large on cpu:2, had 70.0 % on the test images",
            (
                "on cpu:2: large does not get ahead of small in 1.5 h, on the validation images; "
                "small had stopped at 9 min"
            ),
            (
                "on cpu:2: large is ahead of small from 1 min 20 s on (1 min 20 s at the latest, by the ends of "
                "epochs), on the test images; small had stopped at 1 min 10 s"
            ),
        )
    )


# How it is laid out.


def test_a_heading_keeps_its_number_and_unit_together() -> None:
    """The terminal breaks headings at blanks, and 30 % has none that it may break at."""
    (heading,) = [c.heading for c in section_of(QUICKER).tables[0].measures if c.heading.startswith("to")]
    assert heading == "to 30\N{NO-BREAK SPACE}%"


def test_no_line_of_a_sentence_ends_in_blanks() -> None:
    """Sentences and legends are broken at the width without leaving any."""
    console = Console(width=60, file=io.StringIO(), no_color=True, force_terminal=False)
    question = Question(budgets_s=(240.0,), targets=(0.3,))
    with console.capture() as capture:
        console.print(report_view(frames(run_data(trained("small", 0.10, 0.30), trained("large", 0.2, 0.4))), question))
    said = capture.get().partition("accuracy: best so far")[2].splitlines()
    assert len(said) > 5
    assert said == [line.rstrip() for line in said]
