"""Charts: what they show is what was measured, at any number of cells, in light and dark."""

from __future__ import annotations

import io
import json
import re
from itertools import product
from statistics import median
from typing import TYPE_CHECKING, Any

import altair as alt
import msgspec
import pandas as pd
import pytest
from PIL import Image

from bench.analysis.cells import cells
from bench.analysis.frame import frames, rows_of
from bench.recipe import Recipe
from bench.records import Device, Extracted, PhaseDone
from bench.report.charts.axes import log_time
from bench.report.charts.bars import energy_chart, phases_chart, speed_chart, steps_chart
from bench.report.charts.cells import cell_marks
from bench.report.charts.figure import Figure
from bench.report.charts.files import bare, png, specification, svg
from bench.report.charts.gallery import figures
from bench.report.charts.learning import accuracy_chart, thinned
from bench.report.charts.resources import resources_figure
from bench.report.charts.scaling import scaling_chart
from bench.report.charts.theme import BACKGROUND, COLOURS, PHASES, config
from bench.report.charts.tradeoff import tradeoff_chart
from points_for_tests import cells_of, curve, forecast, points
from records_for_tests import GPU, ended_trial, ok_trial, run_data, start_up, trial

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.analysis.frame import Report

HOSTILE = "<script>alert(1)</script>&\"'"


def report(*trials: Any) -> Report:
    """A report of these trials."""
    return frames(run_data(*trials))


def of_seeds(model: str, *, seeds: int = 3, train_s: float = 10.0, **cell: Any) -> list[Any]:
    """Trials of a cell that differ in time and accuracy."""
    return [
        ok_trial(trial(model, seed=seed, **cell), train_s=train_s + seed, accuracy=0.3 + 0.01 * seed)
        for seed in range(seeds)
    ]


def many_cells() -> Report:
    """Forty cells: ten models on two devices at two batch sizes."""
    devices = [Device(kind="cpu", threads=1, cpus=(0,)), Device(kind="cpu", threads=2, cpus=(0, 1))]
    asked = product(range(10), devices, (100, 200))
    return report(
        *(
            ok_trial(trial(f"model_{number}", device=device, batch_size=batch), train_s=10.0 * 1.5**number)
            for number, device, batch in asked
        )
    )


def parts(spec: Any) -> Iterator[dict[str, Any]]:
    """Every chart within a specification, the innermost ones last."""
    if isinstance(spec, dict):
        yield spec
        for key in ("layer", "hconcat", "vconcat"):
            for inner in spec.get(key, ()):
                yield from parts(inner)


def values(chart: Any, field: str) -> list[dict[str, Any]]:
    """The rows of the first data of a chart that have a field."""
    spec = bare(chart)
    sets = list(spec.get("datasets", {}).values())
    sets += [part["data"]["values"] for part in parts(spec) if "values" in part.get("data", {})]
    return next(rows for rows in sets if rows and field in rows[0])


def test_every_figure_is_drawn_as_svg_and_png() -> None:
    """A run with everything in it has all its charts, and each can be drawn in both forms and on both backgrounds."""
    one = Device(kind="cpu", threads=1, cpus=(0,))
    found = figures(
        report(
            *of_seeds("small"),
            *of_seeds("small", device=one, train_s=18.0),
            ok_trial(trial("large", device=GPU), train_s=40.0),
            ended_trial(trial("broken"), status="failed", reason="no"),
        )
    )
    names = [figure.name for figure in found]
    assert names == ["tradeoff", "accuracy", "loss", "phases", "speed", "scaling", "steps", "energy"]
    for figure in found:
        assert figure.title
        assert figure.about.endswith(".")
        drawn = svg(figure)
        light, dark = drawn.decode(), svg(figure, "dark").decode()
        assert light.startswith("<svg")
        assert "small on cpu" in light or figure.name == "energy"
        assert BACKGROUND["light"] in light
        assert BACKGROUND["dark"] in dark
        pixels = Image.open(io.BytesIO(png(drawn)))
        assert pixels.format == "PNG"
        width = re.search(r'<svg[^>]* width="(\d+)', light)
        assert width is not None
        assert pixels.width == 2 * int(width[1])
        assert len(pixels.convert("RGB").getcolors(1 << 24) or ()) > 10  # something is on it, letters too


def test_an_empty_run_has_no_charts() -> None:
    """Where nothing was measured there is nothing to draw, and nothing fails."""
    assert figures(report()) == []
    assert figures(report(ended_trial(trial(), status="skipped", reason="too large"))) == []


def test_accuracy_is_the_median_over_seeds_with_its_range() -> None:
    """The line of each epoch is the median of the seeds, the band goes from the lowest to the highest."""
    found = report(*of_seeds("small"))
    trials, epochs = rows_of(found.trials), rows_of(found.epochs)
    chart = accuracy_chart(trials, epochs, cell_marks(trials))
    rows = values(chart, "middle")
    for split, column in (("training", "accuracy"), ("validation", "val_accuracy")):
        measured = [row[column] for row in epochs if row["epoch"] == 2]
        row = next(row for row in rows if row["split"] == split and row["epoch"] == 2)
        assert row["middle"] == pytest.approx(median(measured))
        assert (row["low"], row["high"]) == pytest.approx((min(measured), max(measured)))


def test_the_trade_off_shows_frontier_marks_and_forecasts() -> None:
    """The staircase holds what nothing beats; the report's two times are marked; forecasts are dashed."""
    drawn = points(
        curve(1, (600.0, 0.30), (1200.0, 0.38)),
        curve(2, (900.0, 0.20)),
        forecast(2, (20_000.0, 0.61, 0.55, 0.66)),
    )
    chart = tradeoff_chart(drawn, cell_marks(rows_of(cells_of(drawn))))
    spec = bare(chart)
    text = json.dumps(spec)
    assert '"30 min"' in text
    assert '"8 h"' in text
    staircase = next(part for part in parts(spec) if part.get("mark", {}).get("strokeWidth") == 7)
    rows = spec["datasets"][staircase["data"]["name"]] if "name" in staircase["data"] else staircase["data"]["values"]
    assert [(row["t_s"], row["accuracy"]) for row in rows] == [(600.0, 0.30), (1200.0, 0.38), (20_000.0, 0.61)]
    dashes = next(part["encoding"]["strokeDash"] for part in parts(spec) if "strokeDash" in part.get("encoding", {}))
    assert dashes["scale"] == {"domain": ["measured", "forecast"], "range": [[1, 0], [6, 4]]}
    # The forecast's line, besides its swatch in the legend.
    assert svg(Figure(name="forecast", title="", about="", chart=chart)).decode().count('stroke-dasharray="6,4"') == 2
    assert all(
        "detail" in part["encoding"] for part in parts(spec) if part.get("mark", {}).get("type") == "area"
    )  # a band is not drawn across from what was measured to what is forecast


@pytest.mark.parametrize(("longest_s", "marks"), [(60.0, []), (600.0, ["30 min"]), (3000.0, ["30 min", "8 h"])])
def test_a_mark_far_from_all_trainings_is_left_out(longest_s: float, marks: list[str]) -> None:
    """A run of a minute is not squeezed into a corner for the sake of eight hours."""
    drawn = points(curve(1, (longest_s / 2, 0.1), (longest_s, 0.2)))
    text = json.dumps(bare(tradeoff_chart(drawn, cell_marks(rows_of(cells_of(drawn))))))
    assert [mark for mark in ("30 min", "8 h") if f'"word": "{mark}"' in text] == marks


def test_accuracies_on_different_images_are_not_in_one_chart() -> None:
    """Validation and test accuracies have a panel each."""
    drawn = points(curve(1, (60.0, 0.3)), curve(2, (60.0, 0.4), split="test"))
    spec = bare(tradeoff_chart(drawn, cell_marks(rows_of(cells_of(drawn)))))
    assert len(spec["vconcat"]) == 2
    assert tradeoff_chart(points(), cell_marks([])) is None


def test_forty_cells_are_told_apart() -> None:
    """No two of forty cells have both colour and shape in common, and all are named in the legend."""
    found = many_cells()
    rows = rows_of(cells(found.trials))
    marks = cell_marks(rows)
    assert len(rows) == 40
    colours = marks.color(rows).to_dict()["scale"]
    shapes = marks.shape(rows).to_dict()["scale"]
    assert colours["domain"] == shapes["domain"] == list(marks.names.values())
    assert len(set(zip(colours["range"], shapes["range"], strict=True))) == 40
    drawn = svg(figures(found)[0]).decode()
    assert all(name in drawn for name in marks.names.values())


def test_a_cell_looks_the_same_in_all_charts() -> None:
    """A chart of some cells gives them the colours that they have in a chart of all."""
    rows = rows_of(cells(many_cells().trials))
    marks = cell_marks(rows)
    whole = dict(zip(*(marks.color(rows).to_dict()["scale"][key] for key in ("domain", "range")), strict=True))
    part = marks.color(rows[3:5]).to_dict()["scale"]
    assert part["range"] == [whole[name] for name in part["domain"]]


def test_cells_of_one_name_have_numbers() -> None:
    """Cells that no label tells apart are told apart by their numbers."""
    rows = rows_of(report(ok_trial(trial(recipe=Recipe(learning_rate=0.1))), ok_trial(trial(recipe=Recipe()))).trials)
    same = [row | {"recipe_axes": None} for row in rows]
    names = list(cell_marks(same).names.values())
    assert names == ["small on cpu:2", "small on cpu:2 (cell 2)"]


def luminance(colour: str) -> float:
    """Relative luminance of `#rrggbb` (WCAG 2.1)."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_lines_and_letters_stand_out_from_the_background(mode: Any) -> None:
    """Text has the contrast that WCAG asks for, 4.5; lines of cells have at least 2."""

    def contrast(colour: str) -> float:
        pair = sorted([luminance(colour), luminance(BACKGROUND[mode])])
        return (pair[1] + 0.05) / (pair[0] + 0.05)

    assert contrast(config(mode)["axis"]["labelColor"]) > 4.5
    assert min(map(contrast, COLOURS)) > 2


def test_phases_add_up_to_the_wall_time() -> None:
    """What is stacked for a trial is all its phases and what is left over."""
    found = report(ok_trial(trial(), train_s=100.0))
    rows = values(phases_chart(rows_of(found.trials), cell_marks(rows_of(found.trials))), "part")
    assert sum(row["seconds"] for row in rows) == pytest.approx(found.trials["wall_s"][0])
    assert {row["part"] for row in rows} <= set(PHASES)


def test_the_time_of_a_frozen_part_has_its_place() -> None:
    """Features are a phase of their own in the chart too."""
    asked = trial()
    whole = ok_trial(asked)
    events = (
        *whole.events[:6],
        PhaseDone(phase="features", start_s=5.0, end_s=9.0),
        Extracted(split="training", images=1000, seconds=4.0, values=10),
        *whole.events[6:],
    )
    found = report(msgspec.structs.replace(whole, events=events))
    rows = values(phases_chart(rows_of(found.trials), cell_marks(rows_of(found.trials))), "part")
    assert next(row["seconds"] for row in rows if row["part"] == "features") == 4.0


def test_speed_has_a_second_chart_only_where_fractions_are_known() -> None:
    """Without a peak there is nothing to hold the speed against."""
    found = report(*of_seeds("small"))
    rows = rows_of(cells(found.trials))
    assert "hconcat" not in bare(speed_chart(rows, cell_marks(rows)))
    known = [row | {"attained_fraction": 0.5} for row in rows]
    assert len(bare(speed_chart(known, cell_marks(rows)))["hconcat"]) == 2


def test_step_times_are_quantiles_of_the_steps() -> None:
    """The chart shows the quantiles of the table, which are those of the journal's blocks."""
    found = report(ok_trial(trial(), train_s=10.0), ok_trial(trial("large", device=GPU)))
    trials, steps = rows_of(found.trials), rows_of(found.step_times)
    assert [row["steps"] for row in steps] == [20]  # none of the GPU, whose stamps tell when a step was handed over
    assert steps[0]["median_s"] == pytest.approx(1.0)  # four steps in 4 s, six in 6 s, twice
    rows = values(steps_chart(trials, steps, cell_marks(trials)), "median_s")
    assert [row["name"] for row in rows] == ["small on cpu:2"]


def test_energy_is_told_only_where_it_was_measured() -> None:
    """A GPU has a counter here, the CPU has none."""
    found = report(ok_trial(trial("large", device=GPU), train_s=40.0, accuracy=0.5), ok_trial(trial()))
    rows = rows_of(found.trials)
    told = values(energy_chart(rows, cell_marks(rows)), "joules")
    assert [row["name"] for row in told] == ["large on gpu:0"]
    assert told[0]["joules"] == pytest.approx(2 * (40.0 + 1.0) * 100.0 / 50, rel=0.01)  # two epochs at 100 W
    assert energy_chart(rows[1:], cell_marks(rows)) is None
    # A frozen part's share counts, and of a probe not its passes.
    frozen = rows[0] | {"features_s": 5.0, "gpu_energy_features_joules": 500.0, "epochs_trained": 79.0}
    more = values(energy_chart([frozen], cell_marks(rows)), "joules")
    assert more[0]["joules"] - told[0]["joules"] == pytest.approx(10.0)


def test_what_a_trial_used_is_drawn_over_its_phases() -> None:
    """A GPU trial has panels of memory, CPU, GPU, its memory and power; a CPU trial only of what it has."""
    found = report(ok_trial(trial("large", device=GPU), train_s=40.0), ok_trial(trial()))
    samples, phases = rows_of(found.samples), rows_of(found.phases)
    titles = []
    for key in found.trials["key"]:
        own = ([row for row in rows if row["key"] == key] for rows in (samples, phases))
        figure = resources_figure(*own, name="used")
        assert figure is not None
        spec = bare(figure.chart)
        titles.append([panel["layer"][-1]["encoding"]["y"]["title"] for panel in spec["vconcat"]])
        spans = figure.datasets["phases"]
        assert [span["part"] for span in spans][:3] == ["start-up", "warm-up", "train"]
        assert all(span["start"] <= span["end"] for span in spans)
        assert svg(figure).startswith(b"<svg")
    assert titles[0] == ["memory (GB)", "CPU (cores)", "GPU (%)", "GPU memory (GB)", "GPU power (W)"]
    assert titles[1] == ["memory (GB)", "CPU (cores)"]
    assert resources_figure(samples[:1], phases, name="used") is None


def test_a_new_process_counts_its_energy_from_zero() -> None:
    """Where a trial was taken up again there is no power of minus five thousand watts."""
    found = report(ok_trial(trial(), train_s=10.0))
    first = rows_of(found.samples)[0]
    rows = [first | {"t_s": float(at), "package_energy_joules": 50.0 * (at % 50)} for at in range(1, 100)]
    figure = resources_figure(rows, [], name="used")
    assert figure is not None
    assert {row["value"] for row in figure.datasets["package power (W)"]} == {50.0}


def test_short_phases_are_no_narrower_than_a_pixel() -> None:
    """A hundred epochs with a checkpoint each are not three hundred rectangles."""
    found = report(ok_trial(trial(epochs=100), train_s=2000.0))
    figure = resources_figure(rows_of(found.samples), rows_of(found.phases), name="used")
    assert figure is not None
    spans = figure.datasets["phases"]
    assert len(spans) < 10
    assert spans[-1]["end"] == pytest.approx(found.phases["end_s"].max() / 3600, rel=0.01)


def test_a_failed_seed_does_not_shorten_the_others() -> None:
    """Where one seed ended ok, two that failed at once leave its training in the chart."""
    failed = (ended_trial(trial(seed=s), status="failed", reason="no", events=start_up(trial(seed=s))) for s in (1, 2))
    found = report(ok_trial(trial(), train_s=100.0), *failed)
    rows = values(phases_chart(rows_of(found.trials), cell_marks(rows_of(found.trials))), "part")
    assert next(row["seconds"] for row in rows if row["part"] == "train") == pytest.approx(200.0)


def test_each_workload_has_its_own_ideal() -> None:
    """What was run on two and four threads is held against two threads, whatever another model was run on."""
    devices = {count: Device(kind="cpu", threads=count, cpus=tuple(range(count))) for count in (1, 2, 4)}
    found = report(
        *(ok_trial(trial("a", device=devices[count]), train_s=40.0 / count) for count in (1, 4)),
        *(ok_trial(trial("b", device=devices[count]), train_s=40.0 / count) for count in (2, 4)),
    )
    chart = scaling_chart(found.trials, cell_marks(rows_of(found.trials)))
    ideals = values(chart, "fewest")
    assert [(row["fewest"], row["threads"], row["speed_up"]) for row in ideals] == [
        (1, 1, 1.0),
        (1, 4, 4.0),
        (2, 2, 1.0),
        (2, 4, 2.0),
    ]


def test_a_linear_probe_is_no_curve() -> None:
    """Strengths of regularisation are not drawn as epochs of a training, nor its passes as steps."""
    found = report(ok_trial(trial()))
    trials = [row | {"recipe": "optimizer=lbfgs"} for row in rows_of(found.trials)]
    epochs = [row | {"l2": 0.1} for row in rows_of(found.epochs)]
    assert accuracy_chart(trials, epochs, cell_marks(trials)) is None
    assert steps_chart(trials, rows_of(found.step_times), cell_marks(trials)) is None


def test_a_long_training_is_thinned_to_its_last_epoch() -> None:
    """However many epochs there are, as many as asked for are drawn, and the last is among them."""
    epochs = [{"epoch": number} for number in range(1, 1001)]
    few = thinned(epochs, 40)
    assert len(few) == 40
    assert few[-1]["epoch"] == 1000
    assert thinned(epochs[:7], 40) == epochs[:7]


def test_a_long_line_keeps_its_peaks() -> None:
    """Of thousands of samples as many points are drawn as are asked for, the highest and the lowest among them."""
    found = report(ok_trial(trial(), train_s=10.0))
    first = rows_of(found.samples)[0]
    rows = [first | {"t_s": float(at), "rss_bytes": 10**9 * (5 if at == 777 else 1)} for at in range(1, 5000)]
    figure = resources_figure(rows, [], name="used", most_points=100)
    assert figure is not None
    line = figure.datasets["memory (GB)"]
    assert len(line) <= 104
    assert max(row["value"] for row in line) == 5.0
    assert [row["t"] for row in line] == sorted(row["t"] for row in line)


@pytest.mark.parametrize(
    ("seconds", "ticks"),
    [
        ([0.19, 0.21], 3),
        ([10.0, 30_000.0], 3),
        ([0.001, 1e6], 3),
        ([5.0], 1),
        ([], 1),
        ([100.0, 101.0], 3),
    ],
)
def test_a_time_axis_has_ticks_whatever_it_spans(seconds: list[float], ticks: int) -> None:
    """From fractions of a second to weeks there are some ticks and never many, all within the axis."""
    axis = log_time("t_s", "time", seconds).to_dict()
    low, high = axis["scale"]["domain"]
    assert ticks <= len(axis["axis"]["values"]) <= 12
    assert all(low <= tick <= high for tick in axis["axis"]["values"])
    assert all(low < second < high for second in seconds)


@pytest.mark.parametrize(
    ("seconds", "labels"),
    [
        ([28.0, 92.0], ["30 s", "45 s", "1 min", "1 min 15 s", "1 min 30 s", "1 min 45 s"]),
        ([4000.0, 9000.0], ["1 h", "1 h 30 min", "2 h", "2 h 30 min"]),
        ([0.19, 0.21], ["180 ms", "200 ms", "220 ms", "240 ms"]),
        ([10.0, 30_000.0], ["10 s", "30 s", "2 min", "10 min", "30 min", "2 h", "8 h"]),
        ([100_000.0, 250_000.0], ["1 d 12 h", "2 d", "2 d 12 h", "3 d"]),
        ([90_000.0], ["22 h", "1 d", "1 d 2 h", "1 d 4 h"]),
    ],
)
def test_a_time_axis_is_read_as_a_clock_is(seconds: list[float], labels: list[str]) -> None:
    """No tick is at a part of a minute or hour that nobody says."""
    x = log_time("t_s", "time", seconds)
    chart = alt.Chart(alt.Data(values=[{"t_s": second} for second in seconds])).mark_point().encode(x=x)
    drawn = svg(Figure(name="axis", title="", about="", chart=chart.properties(width=600))).decode()
    assert [text for text in re.findall(r">([^<]+)</text>", drawn) if text != "time"] == labels


def test_a_hostile_name_is_text() -> None:
    """A model that is called like a script is shown as it is called."""
    found = report(ok_trial(trial(HOSTILE)))
    for figure in figures(found):
        drawn = svg(figure).decode()
        assert "<script>" not in drawn
        assert "&lt;script&gt;" in drawn


def test_a_chart_brings_its_data_and_asks_for_nothing() -> None:
    """No chart names an address to load from, and none holds a number that JSON has not."""
    for figure in figures(many_cells()):
        text = json.dumps(specification(figure, "dark"), allow_nan=False)
        assert not re.search(r'"url":', text)
        assert "$schema" in text


def test_the_frames_of_phases_and_steps_have_their_columns() -> None:
    """Both frames are typed, also where nothing was measured."""
    found = report()
    for frame in (found.phases, found.step_times):
        assert frame.empty
        assert "key" in frame
    full = report(ok_trial(trial()))
    assert isinstance(full.phases, pd.DataFrame)
    assert full.phases["phase"].tolist()[:2] == ["import", "data"]
    assert full.phases["epoch"].isna().sum() == 6  # five of start-up, and the test


def test_a_long_legend_is_in_the_order_of_the_cells() -> None:
    """Forty names in three columns are read along the lines; none is moved to the end."""
    found = many_cells()
    marks = cell_marks(rows_of(found.trials))
    drawn = svg(figures(found)[0]).decode()
    entry = (
        r'<g transform="translate\(([\d.]+),([\d.]+)\)"><path class="background"[^>]*/>'
        r'<g><g class="mark-symbol[^<]*<path[^>]*/></g><g[^>]*><text[^>]*>([^<]+)<'
    )
    places = {name: (float(y), float(x)) for x, y, name in re.findall(entry, drawn)}
    assert len(places) == 40
    assert sorted(places, key=places.__getitem__) == list(marks.names.values())
