"""Forecasts as points of the same curves that measurements are points of."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bench.analysis.columns import POINTS
from bench.analysis.curves import DECIMALS
from bench.analysis.frame import typed
from bench.analysis.prices import price_per_hour

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import pandas as pd

    from bench.analysis.forecasts import Forecast
    from bench.analysis.rows import Row
    from bench.analysis.transfer import Expected


def forecast_points(forecasts: Iterable[Forecast], prices: Mapping[str, float]) -> pd.DataFrame:
    """Accuracy that is expected at the end of each epoch to come; `columns.POINTS` says what each column means.

    Where any forecast knows the accuracy on the test images alone, those at the end are points for all of them:
    accuracies on different images are not compared.

    Args:
        forecasts: What trials will take and reach.
        prices: An hour's price by the label or kind of a device.

    Returns:
        A row for each point, by forecast.
    """
    known = [forecast for forecast in forecasts if forecast.time is not None and forecast.expected is not None]
    wants_test = any(one.expected and one.expected.test and not one.expected.by_epoch for one in known)
    return typed(POINTS, (row for one in known for row in _points(one, prices, wants_test=wants_test)))


def _points(forecast: Forecast, prices: Mapping[str, float], *, wants_test: bool) -> Iterator[Row]:
    time, expected = forecast.time, forecast.expected
    if time is None or expected is None:
        return
    price = price_per_hour(forecast.row["device"], prices)
    common = {name: forecast.row.get(name) for name in POINTS} | {"kind": "forecast", "status": None}
    common |= {"epochs_asked": forecast.cell.epochs, "seed": forecast.row["seed"] if forecast.epochs_done else None}
    for epoch, value in sorted(expected.by_epoch.items()):
        yield common | _point(epoch, _end_s(forecast, epoch), value, price) | {"split": "validation"}
    if wants_test and expected.test is not None:
        last = math.ceil(time.epochs.estimate)
        yield common | _point(last, time.wall_s.estimate, expected.test, price) | {"split": "test"}


def _end_s(forecast: Forecast, epoch: int) -> float:
    """When an epoch ends: the way from now to the end of the training goes on evenly."""
    pace, time = forecast.pace, forecast.time
    if pace is None or time is None:
        raise ValueError("a forecast without a pace has no points")
    now_s, done = pace.start_s, 0.0
    if not pace.is_calibration:
        now_s, done = pace.at_s, pace.epochs_done
    left = time.epochs.estimate - done
    passed = min(epoch - done, left) / left if left > 0 else 1.0
    return now_s + passed * (time.wall_s.estimate - now_s - time.test_s)


def _point(epoch: int, t_s: float, value: Expected, price: float | None) -> Row:
    return {
        "epoch": epoch,
        "t_s": t_s,
        "joules": None,
        "money": None if price is None else price * t_s / 3600,
        "accuracy": round(value.accuracy, DECIMALS),
        "accuracy_low": value.low,
        "accuracy_high": value.high,
    }
