"""The page: one file, complete, harmless whatever names say, and small enough."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

import bench
from bench.analysis.frame import frames
from bench.cli.extras import find_extras
from bench.data.loading import load
from bench.errors import DataError
from bench.records import Tested
from bench.report.charts.gallery import figures
from bench.report.page.page import NO_EXTRAS, Extras, page
from bench.report.summary import summarize
from bench.report.write import write_forecast, write_report
from pages_for_tests import HOSTILE, hostile_run, many_trials
from records_for_tests import DATASET, ended_trial, ok_trial, run_data, trial, write_run

if TYPE_CHECKING:
    from pathlib import Path

    from bench.records import RunData

VOID = {"meta", "img", "input", "br", "link", "hr"}


class Outline(HTMLParser):
    """Collects elements, and fails where they are not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element begins."""
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """An element ends, the one that was opened last."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Text, scripts and styles left out."""
        if not self.open or self.open[-1] not in {"script", "style"}:
            self.texts.append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of all elements of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]


def rendered(data: RunData, extras: Extras = NO_EXTRAS) -> str:
    """The page of a run."""
    report = frames(data)
    return page(report, summarize(report), figures(report), extras)


def outline(html: str) -> Outline:
    """What a page consists of."""
    parser = Outline()
    parser.feed(html)
    parser.close()
    assert parser.open == []
    return parser


def specs(html: str) -> dict[str, Any]:
    """The page's charts."""
    found = re.search(r'<script type="application/json" id="charts">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    charts: dict[str, Any] = json.loads(found[1])
    return charts


def example() -> RunData:
    """Two models, one of which failed once."""
    return run_data(
        ok_trial(trial("small"), train_s=30.0, accuracy=0.3),
        ok_trial(trial("large"), train_s=300.0, accuracy=0.5),
        ended_trial(trial("broken"), status="failed", reason="it could not be built"),
    )


def test_the_answer_comes_first() -> None:
    """Before any table, one sentence says what is most accurate and what is quickest, and at what price."""
    text = " ".join(" ".join(outline(rendered(example())).texts).split())
    answer = "large on cpu:2 is the most accurate: 50.0 % of the test images right in 10 min 11 s, everything included"
    assert answer in text
    assert text.index(answer) < text.index("test accuracy")


def test_every_place_for_a_chart_has_one_and_every_chart_a_place() -> None:
    """Each chart of the page is in its data, by the name of its place, with a heading that names it."""
    html = rendered(example())
    found = outline(html)
    places = [attributes for attributes in found.named("div") if "data-chart" in attributes]
    assert {place["data-chart"] for place in places} == set(specs(html)["places"])
    headings = {attributes.get("id") for level in ("h2", "h3") for attributes in found.named(level)}
    assert {place["aria-labelledby"] for place in places} <= headings
    assert set(specs(html)["configs"]) == {"light", "dark"}


def test_every_cell_and_trial_is_there() -> None:
    """A row for each cell, which can be sorted by its numbers, and a panel for each trial, failed ones too."""
    html = rendered(example())
    found = outline(html)
    panels = [attributes for attributes in found.named("details") if attributes["class"] == "trial"]
    assert len(panels) == 3
    keys = [float(cell["data-key"] or "nan") for cell in found.named("td") if "data-key" in cell]
    assert 0.5 in keys
    assert "failed: it could not be built" in html
    text = " ".join(found.texts)
    assert "packages tensorflow" in text
    assert "limit train" not in text  # nothing was asked of it
    assert "python -m bench run --preset quick" in html


def test_nothing_comes_from_elsewhere() -> None:
    """No element names an address, and a policy forbids the page to ask for one."""
    found = outline(rendered(example()))
    for tag, attributes in found.elements:
        for name in ("src", "href", "action", "data", "srcset"):
            value = attributes.get(name) or ""
            assert value == "" or value.startswith(("#", "data:image/png;base64,")), tag
    policy = next(meta["content"] for meta in found.named("meta") if "http-equiv" in meta)
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_a_hostile_name_is_text_everywhere() -> None:
    """Model, run, class, reason and log that look like markup stay text, also in the data of charts."""
    data, extras = hostile_run()
    html = rendered(data, extras)
    found = outline(html)
    assert len(found.named("script")) == 3
    assert not [attributes for attributes in found.named("img") if not (attributes["src"] or "").startswith("data:")]
    assert not [name for _, attributes in found.elements for name in attributes if name.startswith("on")]
    assert HOSTILE in "".join(found.texts)
    assert json.dumps(specs(html)).count("<script>") > 0  # as text within the data


def test_a_log_shows_its_end_without_commands_and_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last lines of a worker's log are shown, the user's folder and terminal commands left out."""
    monkeypatch.setenv("HOME", "/home/somebody")
    data = example()
    folder = write_run(tmp_path / "run", data)
    key = data.trials[0].trial.key
    lines = [f"line {number}" for number in range(100)] + ["\x1b[31mat /home/somebody/secret.py"]
    folder.trial(key).log.write_text("\n".join(lines))
    extras = find_extras(folder.path, bench.load(folder.path))
    assert extras.logs[key].splitlines()[0] == "line 81"
    assert extras.logs[key].splitlines()[-1].endswith("at ~/secret.py")
    assert "\x1b" not in extras.logs[key]
    assert "line 99" in rendered(data, extras)


def run_with_predictions(tmp_path: Path, *, spoil: bool = False) -> Path:
    """A run of two models on drawn images, with predictions."""
    images = load("synthetic", limit_train=1, limit_test=200, validation=0.0)
    dataset = msgspec.structs.replace(DATASET, name="synthetic", official=None)
    data = run_data(
        *(ok_trial(trial(name, dataset=dataset), accuracy=share) for name, share in (("weak", 0.2), ("strong", 0.7)))
    )
    folder = write_run(tmp_path / "run", data)
    label = images.y_test[::-1] if spoil else images.y_test
    for one, share in zip(data.trials, (0.2, 0.7), strict=True):
        wrong = np.arange(200) >= 200 * share
        np.savez(
            folder.trial(one.trial.key).predictions,
            label=label,
            predicted=np.where(wrong, (label + 1) % 100, label),
            confidence=np.linspace(0.1, 0.9, 200),
        )
    return folder.path


def test_pictures_are_those_of_the_test_images(tmp_path: Path) -> None:
    """With the data set at hand the page shows its images, and what one model gets right and the other wrong."""
    path = run_with_predictions(tmp_path)
    report = bench.load(path)
    extras = find_extras(path, report)
    galleries = list(extras.galleries.values())
    assert len(galleries) == 2
    assert all(picture.source for found in galleries for picture in (*found.right, *found.wrong, *found.mistakes))
    assert [len(contrast.pictures) for contrast in extras.contrasts] == [10]  # and none the other way round
    assert extras.contrasts[0].title == "strong on cpu:2 right, weak on cpu:2 wrong"
    assert all(not picture.is_right for picture in extras.contrasts[0].pictures)
    html = rendered_from(path, extras)
    assert outline(html).named("img")
    places = specs(html)["places"]
    assert {"trial-1-groups", "trial-1-classes"} <= set(places)
    shares = [row["share"] for row in places["trial-1-classes"]["datasets"]["classes"]]
    assert shares == sorted(shares, reverse=True)
    assert len(shares) > 50  # of a hundred classes, those that two hundred images show
    assert "red banded" in html


def test_other_data_shows_no_pictures(tmp_path: Path) -> None:
    """Where labels are not those that were tested on, no image is shown for another; classes have numbers."""
    path = run_with_predictions(tmp_path, spoil=True)
    extras = find_extras(path, bench.load(path))
    found = next(iter(extras.galleries.values()))
    assert found.right[0].source == ""
    assert found.right[0].true.startswith("class ")
    rendered_from(path, extras)


def test_each_trial_has_its_own_labels(tmp_path: Path) -> None:
    """One that was tested on more images, or on others, shows none of another's; the rest keep theirs."""
    path = run_with_predictions(tmp_path)
    report = bench.load(path)
    _, second = sorted((path / "trials").glob("*/predictions.npz"), key=lambda found: "strong" in found.parent.name)
    for label in (np.zeros(300, int), np.zeros(200, int)):
        np.savez(second, label=label, predicted=label, confidence=np.ones(len(label)))
        galleries = list(find_extras(path, report).galleries.values())
        assert [bool(found.right[0].source) for found in galleries] == [True, False]
        assert find_extras(path, report).contrasts == []


def test_pictures_never_cost_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong with the data set, and however large it is, there is a page without images."""
    path = run_with_predictions(tmp_path)
    report = bench.load(path)
    for error in (PermissionError(13, "no"), MemoryError(), DataError("damaged")):

        def fail(*_: object, error: Exception = error, **__: object) -> None:
            raise error

        monkeypatch.setattr("bench.cli.extras.load", fail)
        assert next(iter(find_extras(path, report).galleries.values())).right[0].source == ""
    monkeypatch.undo()
    monkeypatch.setattr("bench.cli.extras.LARGEST_BYTES", 1000)
    assert next(iter(find_extras(path, report).galleries.values())).right[0].source == ""


def test_a_forecast_leaves_the_report_as_it_is(tmp_path: Path) -> None:
    """Charts of one are not taken away by the other, nor what somebody else put there."""
    folder = write_run(tmp_path / "run", example())
    report = bench.load(folder.path)
    written = write_report(folder.path, report)
    mine = folder.report / "charts" / "mine.svg"
    mine.write_text("mine")
    write_forecast(folder.path, report, [], summarize(report))
    assert all(path.exists() for path in (*written, mine))


def test_predictions_beyond_the_classes_are_left_out(tmp_path: Path) -> None:
    """A file that a class is not known of costs its pictures and nothing else."""
    path = run_with_predictions(tmp_path)
    report = bench.load(path)
    broken = next((path / "trials").glob("*/predictions.npz"))
    np.savez(broken, label=np.full(200, 100), predicted=np.zeros(200, int), confidence=np.ones(200))
    assert len(find_extras(path, report).galleries) == 1


def rendered_from(path: Path, extras: Extras) -> str:
    """The page of a run folder."""
    report = bench.load(path)
    return page(report, summarize(report), figures(report), extras)


def test_two_hundred_trials_fit_in_a_small_page() -> None:
    """The page of 200 trials stays below 4 MB, drawn from less than a kilobyte of points each."""
    html = rendered(many_trials(200))
    assert html.count('<details class="trial"') == 200
    assert len(html.encode()) < 4_000_000
    assert len(specs(html)["specs"]) < 15


def test_a_hundred_epochs_are_a_few_kilobytes() -> None:
    """What the page holds of a trial is bounded, however long it trained."""
    html = rendered(run_data(ok_trial(trial(epochs=500), train_s=50.0)))
    places = specs(html)["places"]
    own = [json.dumps(places[name]) for name in places if name.startswith("trial-1-")]
    assert len(own) == 3
    assert sum(map(len, own)) < 80_000


def test_a_calibration_is_not_said_to_be_tested() -> None:
    """A trial without a test says so in its panel."""
    whole = ok_trial(trial())
    events = tuple(event for event in whole.events if not isinstance(event, Tested))
    html = rendered(run_data(msgspec.structs.replace(whole, events=events)))
    assert "nothing was tested" in html


def test_an_empty_run_has_a_page() -> None:
    """A run in which nothing was measured says so."""
    html = rendered(run_data(ended_trial(trial(), status="skipped", reason="too large")))
    assert "nothing was tested" in html
    assert specs(html)["places"] == {}
    outline(rendered(run_data()))
