"""Hourglass: train and time Keras image classifiers on the devices you have.

``bench.load(folder)`` reads a run folder back as three DataFrames; see :mod:`bench.analysis.frame` for the columns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from bench.analysis.frame import Report

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def load(folder: str | Path) -> Report:
    """Read a run folder as DataFrames.

    Args:
        folder: A run folder, as `python -m bench run` writes it below `reports/`.

    Returns:
        A `Report` with the DataFrames `trials`, `epochs`, `samples`, `phases` and `step_times`.

    Raises:
        StoreError: The folder is no run folder, or one of a newer version.
    """
    from bench.analysis.frame import load_report  # noqa: PLC0415 -- pandas takes half a second; --help must not pay it

    return load_report(folder)
