"""Points of curves made by hand: what the tests of curves, frontiers, targets and break-even share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from bench.analysis.columns import CELLS, POINTS
from bench.analysis.frame import typed

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

MODELS = {1: "small", 2: "large", 3: "other"}
PARAMETERS = {1: 1_000, 2: 20_000, 3: 300_000}


def curve(cell: int, *ends: tuple[float, float], seed: int | None = 0, **changes: Any) -> list[dict[str, Any]]:
    """Rows of a seed of a cell, from its times and accuracies; `changes` replaces columns of all of them."""
    common = dict.fromkeys(POINTS) | {
        "cell": cell,
        "model": MODELS[cell],
        "device": "cpu:2",
        "device_kind": "cpu",
        "precision": "float32",
        "jit": "off",
        "batch_size": 100,
        "seed": seed,
        "status": "ok",
        "kind": "measured",
        "split": "validation",
    }
    return [
        common | {"epoch": epoch, "t_s": t_s, "accuracy": accuracy} | changes
        for epoch, (t_s, accuracy) in enumerate(ends, start=1)
    ]


def forecast(cell: int, *ends: tuple[float, float, float, float], **changes: Any) -> list[dict[str, Any]]:
    """Rows of a forecast, from times, accuracies and the ends of their intervals."""
    rows = curve(cell, *((t_s, accuracy) for t_s, accuracy, _, _ in ends), seed=None)
    return [
        row | {"kind": "forecast", "status": None, "accuracy_low": low, "accuracy_high": high} | changes
        for row, (_, _, low, high) in zip(rows, ends, strict=True)
    ]


def points(*curves: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """A frame of these rows."""
    return typed(POINTS, [row for rows in curves for row in rows])


def cells_of(points: pd.DataFrame, **changes: Any) -> pd.DataFrame:
    """The cells that a run with these points has; parameters grow with the cell's number."""
    firsts = points.drop_duplicates("cell").to_dict("records")
    rows = [
        dict.fromkeys(CELLS)
        | {"flags": (), "n_ok": 1, "parameters": PARAMETERS[row["cell"]], "train_s": 10.0}
        | {name: value for name, value in row.items() if name in CELLS}
        | changes
        for row in firsts
    ]
    return typed(CELLS, rows)


@st.composite
def any_curves(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Rows of up to three cells, each measured, forecast or both, with up to four seeds."""
    rows: list[dict[str, Any]] = []
    cells = draw(st.lists(st.sampled_from([1, 2, 3]), min_size=1, max_size=3, unique=True))
    for cell in cells:
        for kind in draw(st.sampled_from([("measured",), ("forecast",), ("measured", "forecast")])):
            for seed in range(draw(st.integers(1, 4))):
                # Few values, so that costs and accuracies coincide.
                times_s = sorted(draw(st.lists(st.integers(1, 12), min_size=1, max_size=5, unique=True)))
                ups = draw(st.lists(st.integers(0, 3), min_size=len(times_s), max_size=len(times_s)))
                accuracies = [sum(ups[: i + 1]) / 20 for i in range(len(ups))]
                status = draw(st.sampled_from(["ok", "interrupted"])) if kind == "measured" else None
                joules = [None if draw(st.booleans()) else 2.0 * t_s for t_s in times_s]
                made = curve(cell, *zip(times_s, accuracies, strict=True), seed=seed, kind=kind, status=status)
                rows += [row | {"joules": spent} for row, spent in zip(made, joules, strict=True)]
    return rows
