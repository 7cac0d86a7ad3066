"""What the page of a run shows besides its numbers: pictures of the test images, and the ends of logs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bench.analysis.frame import rows_of
from bench.analysis.predicted import read_predicted
from bench.data.loading import load
from bench.errors import BenchError
from bench.private import hide_home
from bench.report.charts.cells import cell_marks
from bench.report.format import plain
from bench.report.page.page import Contrast, Extras
from bench.report.pictures import TestedImages, gallery, pictures
from bench.store import RunFolder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from bench.analysis.frame import Report
    from bench.analysis.predicted import Predicted
    from bench.analysis.rows import Row
    from bench.data.dataset import Dataset
    from bench.records import DatasetSpec

MOST_GALLERIES = 10  # a page that holds the pictures of more cells is larger than it need be
CONTRASTED = 10  # images
LARGEST_BYTES = 1_000_000_000  # pixels of a data set that is read for its pictures
LOG_LINES = 20
_LOG_BYTES = 16_384  # of the end of a log, that are looked at


def find_extras(folder: Path, report: Report, *, data_dir: str | None = None) -> Extras:
    """Look for what trials saw and said.

    Of each cell one trial's pictures are shown, that of its first seed that ended ok. Where the data set is not at
    hand, has more than a gigabyte of pixels, or is not the one that was tested on, there are no images, and classes
    have numbers.

    Args:
        folder: The run folder.
        report: What was measured.
        data_dir: Where data sets lie, if not in Keras's cache folder.
    """
    place = RunFolder(folder)
    rows = rows_of(report.trials)
    shown: dict[int, tuple[Row, Predicted]] = {}
    for row in rows:
        if row["status"] == "ok" and row["cell"] not in shown and len(shown) < MOST_GALLERIES:
            predicted = read_predicted(place.trial(row["key"]).predictions)
            if predicted is not None:
                shown[row["cell"]] = (row, predicted)
    specs = {trial.key: trial.cell.dataset for trial in report.run.trials}
    data: dict[DatasetSpec, Dataset | None] = {}
    seen: list[_Seen] = []
    for row, predicted in shown.values():
        spec = specs[row["key"]]
        if spec not in data:
            data[spec] = _load(spec, data_dir)
        if max(predicted.label.max(), predicted.predicted.max()) < spec.num_classes:
            seen.append(_Seen(row=row, predicted=predicted, tested=_tested(spec, predicted, data[spec])))
    return Extras(
        galleries={one.row["key"]: gallery(one.predicted, one.tested) for one in seen},
        contrasts=_contrasts(seen, cell_marks(rows).names),
        logs={row["key"]: _log_end(place.trial(row["key"]).log) for row in rows},
    )


class _Seen(NamedTuple):
    """A trial, what it predicted, and what for."""

    row: Row
    predicted: Predicted
    tested: TestedImages


def _load(spec: DatasetSpec, data_dir: str | None) -> Dataset | None:
    """Read a data set; None where it is not at hand, or so large that pictures are not worth its memory."""
    images = spec.num_train + spec.num_validation + spec.num_test
    if images * math.prod(spec.input_shape) > LARGEST_BYTES:
        return None
    try:
        return load(spec.name, data_dir=data_dir, limit_train=1, limit_test=spec.num_test, validation=0.0)
    except (BenchError, OSError, MemoryError):  # nothing depends on it but pictures
        return None


def _tested(spec: DatasetSpec, predicted: Predicted, data: Dataset | None) -> TestedImages:
    """What was tested on; without images where labels are not those that were tested on."""
    if data is None or len(data.class_names) != spec.num_classes or not np.array_equal(data.y_test, predicted.label):
        return TestedImages(images=None, class_names=tuple(f"class {number}" for number in range(spec.num_classes)))
    return TestedImages(
        images=data.x_test,
        class_names=data.class_names,
        group_names=data.coarse_names,
        group_of=data.coarse_of_fine,
    )


def _contrasts(seen: Sequence[_Seen], names: Mapping[int, str]) -> list[Contrast]:
    """What the most accurate one gets right and the least accurate one wrong, and the other way round."""
    if len(seen) < 2:
        return []
    ordered = sorted(seen, key=lambda one: one.row["test_accuracy"] or 0.0)
    worst, best = ordered[0], ordered[-1]
    if best.row["dataset"] != worst.row["dataset"] or not np.array_equal(best.predicted.label, worst.predicted.label):
        return []
    found = []
    for right, wrong in ((best, worst), (worst, best)):
        shown = pictures(wrong.predicted, right.tested, right.predicted.better_than(wrong.predicted, CONTRASTED))
        title = plain(f"{names[right.row['cell']]} right, {names[wrong.row['cell']]} wrong")
        found += [Contrast(title=title, pictures=shown)] if shown else []
    return found


def _log_end(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _LOG_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(plain(hide_home(line)) for line in lines[-LOG_LINES:])
