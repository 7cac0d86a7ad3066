"""What the page of a run shows besides its numbers: pictures of the test images, and the ends of logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    from collections.abc import Mapping
    from pathlib import Path

    from bench.analysis.frame import Report
    from bench.analysis.predicted import Predicted
    from bench.analysis.rows import Row
    from bench.records import DatasetSpec

MOST_GALLERIES = 10  # a page that holds the pictures of more cells is larger than it need be
CONTRASTED = 10  # images
LOG_LINES = 20
_LOG_BYTES = 16_384  # of the end of a log, that are looked at


def find_extras(folder: Path, report: Report, *, data_dir: str | None = None) -> Extras:
    """Look for what trials saw and said.

    Of each cell one trial's pictures are shown, that of its first seed that ended ok. Where the data set is not at
    hand, or not the one that was tested on, there are no images, and classes have numbers.

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
    datasets = {trial.key: trial.cell.dataset for trial in report.run.trials}
    tested: dict[DatasetSpec, TestedImages] = {}
    for row, predicted in shown.values():
        spec = datasets[row["key"]]
        if spec not in tested:
            tested[spec] = _tested(spec, predicted, data_dir)
    fitting = [
        (row, predicted, tested[datasets[row["key"]]])
        for row, predicted in shown.values()
        if max(predicted.label.max(), predicted.predicted.max()) < len(tested[datasets[row["key"]]].class_names)
    ]
    names = cell_marks(rows).names
    return Extras(
        galleries={row["key"]: gallery(predicted, images) for row, predicted, images in fitting},
        contrasts=_contrasts(fitting, names),
        logs={row["key"]: _log_end(place.trial(row["key"]).log) for row in rows},
    )


def _tested(spec: DatasetSpec, predicted: Predicted, data_dir: str | None) -> TestedImages:
    try:
        data = load(spec.name, data_dir=data_dir, limit_train=1, limit_test=spec.num_test, validation=0.0)
    except BenchError:  # nothing depends on it but pictures
        data = None
    if data is None or not np.array_equal(data.y_test, predicted.label):
        return TestedImages(images=None, class_names=tuple(f"class {number}" for number in range(spec.num_classes)))
    return TestedImages(
        images=data.x_test,
        class_names=data.class_names,
        group_names=data.coarse_names,
        group_of=data.coarse_of_fine,
    )


def _contrasts(shown: list[tuple[Row, Predicted, TestedImages]], names: Mapping[int, str]) -> list[Contrast]:
    """What the most accurate one gets right and the least accurate one wrong, and the other way round."""
    if len(shown) < 2:
        return []
    ordered = sorted(shown, key=lambda one: one[0]["test_accuracy"] or 0.0)
    worst, best = ordered[0], ordered[-1]
    if not np.array_equal(best[1].label, worst[1].label):
        return []
    found = []
    for (right, seen, images), (wrong, taken, _) in ((best, worst), (worst, best)):
        title = plain(f"{names[right['cell']]} right, {names[wrong['cell']]} wrong")
        found.append(Contrast(title=title, pictures=pictures(taken, images, seen.better_than(taken, CONTRASTED))))
    return found


def _log_end(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _LOG_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(plain(hide_home(line)) for line in lines[-LOG_LINES:])
