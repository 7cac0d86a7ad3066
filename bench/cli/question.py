"""What is asked of a report, from the words of the command line."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from bench.analysis.curves import DECIMALS, Cost, curve_points
from bench.analysis.prices import priceable
from bench.config import parse_accuracy, parse_duration_s
from bench.errors import UsageError
from bench.report.question import Question

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.analysis.frame import Report

BY: Mapping[str, Cost] = {"time": "t_s", "energy": "joules", "money": "money"}
_DEVICE = re.compile(r"(cpu(:\d+(smt)?)?|gpu(:\d+(\+\d+)*)?)(@.+)?")


def parse_question(
    *, budgets: Sequence[str], targets: Sequence[str], prices: Sequence[str], by: str | None
) -> Question:
    """Understand what is asked.

    Args:
        budgets: Durations, such as `30m`.
        targets: Accuracies, such as `0.6` or `60%`.
        prices: Devices with what an hour costs, such as `gpu:0=2.1`.
        by: `time`, `energy` or `money`; None for time.

    Raises:
        UsageError: A word that is not understood, or a second price for a device.
    """
    question = Question(
        budgets_s=tuple(dict.fromkeys(map(_budget_s, budgets))),
        targets=tuple(dict.fromkeys(map(_target, targets))),
        prices=_prices(prices),
        by=_cost(by),
    )
    if question.by == "money" and not prices:
        raise UsageError("--by money needs prices; give what an hour costs, such as --price cpu=0.05")
    return question


def unused_prices(question: Question, report: Report) -> tuple[str, ...]:
    """Say which prices are for devices that a report does not have: one list of prices may serve many reports."""
    devices = _devices(report)
    known = {name for device in devices for name in priceable(device)}
    return tuple(
        f"--price {name}: this report has no such device; it has {', '.join(devices) or 'none'}"
        for name in question.prices
        if name not in known
    )


def check_question(question: Question, report: Report) -> None:
    """Make sure that a report can answer what is asked.

    Raises:
        UsageError: A frontier by what was not measured.
    """
    points = curve_points(report.trials, report.epochs, question.prices)
    if question.by != "t_s" and len(points) and points[question.by].isna().all():
        if question.by == "money":
            trained = ", ".join(dict.fromkeys(points["device"]))
            raise UsageError(f"--by money: no price for a device that trained; those are {trained}")
        raise UsageError("--by energy: this run measured none; where a counter could not be read, report.md says why")


def _devices(report: Report) -> list[str]:
    return list(dict.fromkeys(report.trials["device"]))


def _budget_s(text: str) -> float:
    try:
        return parse_duration_s(text)
    except UsageError as error:
        raise UsageError(f"--budget: {error}") from None


def _target(text: str) -> float:
    return round(parse_accuracy(text), DECIMALS)


def _prices(words: Sequence[str]) -> dict[str, float]:
    prices: dict[str, float] = {}
    for device, price in map(_price, words):
        if device in prices:
            raise UsageError(f"--price {device}: {prices[device]:g} and {price:g}; give one price for a device")
        prices[device] = price
    return prices


def _price(text: str) -> tuple[str, float]:
    device, _, amount = (part.strip() for part in text.rpartition("="))
    try:
        price = float(amount)
    except ValueError:
        price = math.nan
    if not _DEVICE.fullmatch(device) or not 0 <= price < math.inf:
        raise UsageError(f"--price is a device and what an hour costs, such as gpu:0=2.1; received {text!r}")
    return device, price


def _cost(word: str | None) -> Cost:
    if word is None:
        return "t_s"
    if word not in BY:
        raise UsageError(f"no frontier by {word!r}; choose one of {', '.join(BY)}")
    return BY[word]
