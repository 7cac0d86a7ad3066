"""What is asked of a report, from the words of the command line."""

from __future__ import annotations

import pytest

from bench.analysis.frame import frames
from bench.cli.question import check_question, parse_question, unused_prices
from bench.errors import UsageError
from bench.report.question import NOTHING_ASKED, Question
from records_for_tests import GPU, ended_trial, ok_trial, run_data, trial


def asked(**words: object) -> Question:
    """What these words ask for; those that are not given stay out."""
    return parse_question(**{"budgets": (), "targets": (), "prices": (), "by": None} | words)


def test_words_become_numbers() -> None:
    """Budgets are durations, targets shares or percent, prices a device with what an hour costs."""
    found = asked(
        budgets=["90", "30m", "90s", "8h"],
        targets=["0.6", "60%", " 12.5 %", "1"],
        prices=["cpu=0.05", "gpu:0 = 2"],
        by="money",
    )
    assert found.budgets_s == (90.0, 1800.0, 28_800.0)
    assert found.targets == (0.6, 0.125, 1.0)
    assert found.prices == {"cpu": 0.05, "gpu:0": 2.0}
    assert found.by == "money"
    assert asked() == NOTHING_ASKED


@pytest.mark.parametrize("target", ["60", "0", "0%", "101%", "-0.1", "1.01", "six", "", "nan", "1e-1"])
def test_a_target_says_whether_it_is_percent(target: str) -> None:
    """60 may be meant as 0.6 or as a mistake: it is refused with what to write."""
    with pytest.raises(UsageError, match=r"written 0\.6 or 60%; received"):
        asked(targets=[target])


@pytest.mark.parametrize(
    "price", ["cpu", "cpu=", "=1", "cpu=-1", "cpu=nan", "cpu=inf", "cpu=a", "1", "tpu=1", "cpu:x=1"]
)
def test_a_price_is_a_device_and_a_number(price: str) -> None:
    """Anything else is refused with what to write."""
    with pytest.raises(UsageError, match=r"such as gpu:0=2\.1; received"):
        asked(prices=[price])


def test_a_device_has_one_price() -> None:
    """A second one is refused, however it is written, rather than taken for a correction."""
    with pytest.raises(UsageError, match=r"--price cpu: 1 and 0\.5; give one price for a device"):
        asked(prices=["cpu=1", "gpu=1", "cpu = 0.5"])


def test_percent_is_the_share_that_was_meant() -> None:
    """A hundredth of 33.3 is not 0.333 to a computer; what is asked is."""
    assert asked(targets=["33.3%", "0.333"]).targets == (0.333,)


def test_a_budget_is_a_duration() -> None:
    """The error names the flag."""
    with pytest.raises(UsageError, match="--budget: a duration is"):
        asked(budgets=["soon"])


def test_the_frontier_is_by_what_there_is() -> None:
    """Another word is refused with the choices, and money needs a price."""
    with pytest.raises(UsageError, match="choose one of time, energy, money"):
        asked(by="watts")
    with pytest.raises(UsageError, match=r"give what an hour costs, such as --price cpu=0\.05"):
        asked(by="money")


def test_a_price_for_no_device_of_the_report_is_said() -> None:
    """One list of prices may serve many reports; what prices nothing here is named with the devices that there are."""
    report = frames(run_data(ok_trial(trial()), ok_trial(trial(device=GPU))))
    assert unused_prices(asked(prices=["cpu=1", "cpu:2=1", "gpu=1", "gpu:0=1"]), report) == ()
    assert unused_prices(asked(prices=["cpu=1", "gpu:1=1"]), report) == (
        "--price gpu:1: this report has no such device; it has cpu:2, gpu:0",
    )


def test_a_frontier_by_what_was_not_measured_is_refused() -> None:
    """Energy that no counter told, and a price for a device on which nothing was trained, make no frontier."""
    cpu, gpu = ok_trial(trial()), ok_trial(trial(device=GPU))
    with pytest.raises(UsageError, match="--by energy: this run measured none"):
        check_question(asked(by="energy"), frames(run_data(cpu)))
    check_question(asked(by="energy"), frames(run_data(cpu, gpu)))
    failed = ended_trial(trial(device=GPU), status="failed", reason="boom")
    with pytest.raises(UsageError, match=r"--by money: no price for a device that trained; those are cpu:2$"):
        check_question(asked(by="money", prices=["gpu=1"]), frames(run_data(cpu, failed)))
    check_question(asked(by="energy"), frames(run_data(failed)))
