"""What a backtest says: how far forecasts were off, and whether their intervals held."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import __version__
from bench.analysis.backtest import ACCURACY, CALIBRATION, EPOCHS, FIRST
from bench.analysis.backtest_errors import SEEN, Errors, error_percent, find_errors, find_errors_by_cell
from bench.analysis.frame import rows_of
from bench.report.column import Column, column
from bench.report.forecast import INTERVAL
from bench.report.format import MISSING, duration, plain, share, span
from bench.report.section import Findings, Section, TextTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import pandas as pd

    from bench.analysis.rows import Row

FEW = 5  # of fewer errors, a mean says more of chance than of the forecast
COUNTABLE = 20  # of fewer, one interval more or less is more than the 5 % that anyone would read off a percentage

WORDS = {"train_s": "train", "fit_s": "fit", "wall_s": "wall", EPOCHS: "epochs", ACCURACY: "accuracy"}
TIMES = "in percent of what happened"
POINTS = "of the last epoch on the validation images, in percentage points"
LEGEND = (
    f"from: a share of the time, of the epochs for an accuracy; held: {INTERVAL} intervals that held what happened; "
    "median and largest: of the errors' amounts; train: training alone; fit: with validation; wall: everything"
)
MANY_LEGEND = (
    "; mean: of the amounts too; bias: median error with its sign, below 0 where forecasts were too low; both of "
    f"{FEW} trainings or more"
)
QUIET_LEGEND = "; quiet: median of the trainings that nothing disturbed, and their number"


def backtest_findings(backtest: pd.DataFrame, left_out: Iterable[str] = ()) -> Findings:
    """Say what a backtest showed.

    Args:
        backtest: As `bench.analysis.backtest.backtest` returns it, not empty.
        left_out: What was not replayed, and why.
    """
    rows, errors = rows_of(backtest), find_errors(backtest)
    by_cell = {f"{model} on {device}": found for (model, device), found in find_errors_by_cell(backtest).items()}
    several = len(by_cell) > 1
    return Findings(
        title="Forecasts against what happened",
        answer=plain(_answer(errors)),
        about=tuple(map(plain, _about(rows))),
        sections=(
            Section(
                title="Errors",
                tables=tuple(_tables(errors)),
                legend=LEGEND + MANY_LEGEND * any(map(_many, errors)) + QUIET_LEGEND * _differ(errors),
                sentences=tuple(plain(f"{cell}: {_answer(found)}") for cell, found in by_cell.items())
                if several
                else (),
            ),
            *_misses(rows),
        ),
        details=tuple(
            Section(title=plain(cell), tables=tuple(_tables(found)), legend="", sentences=())
            for cell, found in by_cell.items()
            if several
        ),
        left_out=tuple(map(plain, left_out)),
    )


def _answer(errors: Sequence[Errors]) -> str:
    return "; ".join(_answers({(found.quantity, found.seen): found for found in errors}))


def _answers(errors: Mapping[tuple[str, str], Errors]) -> Iterator[str]:
    if (calibrated := errors.get(("wall_s", CALIBRATION))) is not None:
        yield f"time from a calibration: {_off(calibrated)}"
    times = [errors.get(("wall_s", seen)) for seen in (FIRST, "30 %", *SEEN) if seen != CALIBRATION]
    if (time := next(filter(None, times), None)) is not None:
        yield f"time from {time.seen}{'' if time.seen == FIRST else ' of it'}: {_off(time)}"
    accuracies = [errors.get((ACCURACY, seen)) for seen in ("30 %", "50 %", "20 %", "10 %")]
    if (accuracy := next(filter(None, accuracies), None)) is not None:
        yield f"accuracy from {accuracy.seen} of the epochs: {_off(accuracy)}"
    reached = [errors.get((EPOCHS, seen)) for seen in (FIRST, "30 %", *SEEN)]
    if (epochs := next(filter(None, reached), None)) is not None:
        yield f"epochs of a budget from {epochs.seen}: {_off(epochs)}"


def _off(errors: Errors) -> str:
    number = errors.trainings
    trainings = "in one training" if number == 1 else f"in the median of {number} trainings"
    text = f"off by {_error(errors.quantity, errors.median_percent)} {trainings}"
    if errors.undisturbed_median_percent is None:
        text += ", which something disturbed" if number == 1 else ", all of which something disturbed"
    elif errors.undisturbed < number:
        quiet = _error(errors.quantity, errors.undisturbed_median_percent)
        whose = "the one" if errors.undisturbed == 1 else f"that of the {errors.undisturbed}"
        text += f", by {quiet} in {whose} that nothing disturbed"
    return f"{text}, {INTERVAL} intervals held {_held(errors)}"


def _about(rows: Sequence[Row]) -> Iterator[str]:
    trainings = {(row["run"], row["key"]): row["disturbed"] for row in rows}
    runs = list(dict.fromkeys(row["run"] for row in rows))
    yield (
        f"{_count(len(trainings), 'training')} of {_count(len(runs), 'run')} ({', '.join(runs)}), "
        f"{sum(trainings.values())} of them disturbed, forecast by Hourglass {__version__}"
    )
    yield f"on {', '.join(dict.fromkeys(row['machine'] for row in rows))}"


def _tables(errors: Sequence[Errors]) -> Iterator[TextTable]:
    accuracies = [found for found in errors if found.quantity == ACCURACY]
    others = [found for found in errors if found.quantity != ACCURACY]
    if others:
        yield _table(others, f"time, {TIMES}")
    if accuracies:
        yield _table(accuracies, f"accuracy {POINTS}")


def _table(errors: Sequence[Errors], caption: str) -> TextTable:
    def said(heading: str, text: Callable[[Errors], str], *, is_number: bool = True) -> Column:
        return Column(heading=heading, texts=tuple(map(text, errors)), is_number=is_number)

    measures = [said("held", _held), said("median", lambda found: f"{found.median_percent:.1f}")]
    if _differ(errors):
        measures.append(said("quiet", _quiet))
    if many := any(map(_many, errors)):
        measures.append(said("mean", lambda found: f"{found.mean_percent:.1f}" if _many(found) else MISSING))
    measures.append(said("largest", lambda found: f"{found.largest_percent:.1f}"))
    if many:
        measures.append(said("bias", lambda found: _signed(found.bias_percent) if _many(found) else MISSING))
    return TextTable(
        names=(
            said("forecast", lambda found: WORDS[found.quantity], is_number=False),
            said("from", lambda found: found.seen, is_number=False),
        ),
        measures=tuple(measures),
        caption=caption,
    )


def _misses(rows: Sequence[Row]) -> Iterator[Section]:
    """What lies outside its interval; training alone and with validation go with the whole."""
    missed = [row for row in rows if not row["covered"] and row["quantity"] not in {"train_s", "fit_s"}]
    if not missed:
        return
    names = (
        column("training", missed, _training, is_number=False),
        column("forecast", missed, lambda row: WORDS[row["quantity"]], is_number=False),
        column("from", missed, lambda row: row["seen"], is_number=False),
    )
    measures = (
        column("interval", missed, lambda row: span(_value(row, "low"), _value(row, "high"))),
        column("actual", missed, lambda row: _value(row, "actual")),
        column("error", missed, lambda row: f"{_signed(error_percent(row))}{_unit(row['quantity'])}"),
        column("disturbed", missed, lambda row: "yes" if row["disturbed"] else "no"),
    )
    yield Section(
        title="Outside their intervals", tables=(TextTable(names=names, measures=measures),), legend="", sentences=()
    )


def _training(row: Row) -> str:
    return f"{row['run']}: {row['model']} {row['device']}, seed {row['seed']}"


def _value(row: Row, name: str) -> str:
    value = float(row[name])
    if row["quantity"] == ACCURACY:
        return share(value)
    return f"{value:.1f}" if row["quantity"] == EPOCHS else duration(value)


def _error(quantity: str, percent: float) -> str:
    return f"{percent:.1f}{_unit(quantity)}"


def _unit(quantity: str) -> str:
    return " points" if quantity == ACCURACY else " %"


def _signed(percent: float) -> str:
    sign = "" if round(percent, 1) == 0 else "+" if percent > 0 else "\N{MINUS SIGN}"
    return f"{sign}{abs(percent):.1f}"


def _quiet(errors: Errors) -> str:
    median = errors.undisturbed_median_percent
    return MISSING if median is None else f"{median:.1f} ({errors.undisturbed})"


def _differ(errors: Sequence[Errors]) -> bool:
    return any(found.undisturbed < found.trainings for found in errors)


def _held(errors: Errors) -> str:
    if errors.trainings < COUNTABLE:
        return f"{errors.covered} of {errors.trainings}"
    return f"{100 * errors.covered / errors.trainings:.0f} % of {errors.trainings}"


def _many(errors: Errors) -> bool:
    return errors.trainings >= FEW


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
