"""Reference curves: for which cells they hold, how they are merged, where they lie, and what is shipped."""

from __future__ import annotations

import dataclasses
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bench import catalog
from bench.analysis.referencing import reference_curves
from bench.config import RunConfig
from bench.data.content import content_digest, find_content
from bench.data.loading import load as load_dataset
from bench.errors import DataError, ModelError, StoreError, UsageError
from bench.launch.planning import prepare
from bench.recipe import Recipe
from bench.records import ModelSpec
from bench.reference.curve import ReferenceCurve, merge
from bench.reference.matching import find, missing
from bench.reference.shelf import SHIPPED, load, put, remove, user_folder
from bench.store import encode_pretty, read_run
from curves_for_tests import cell, measured, published, seeds, source
from records_for_tests import DATASET, GPU

COMMITTED = Path(__file__).parent.parent / "reports" / "reference" / "cifar100-mnist-cnn"


def data(**changes: Any) -> dict[str, Any]:
    """The fields of a cell on a data set that differs in these."""
    return {"dataset": replace(DATASET, **changes)}


# Matching


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"device": GPU},
        {"jit": "on"},
        {"steps_per_execution": 10},
        {"recipe": Recipe(convolutions="winograd")},
        {"model": ModelSpec(name="copied", path="/elsewhere/copied.py", sha256="a" * 64)},
        data(name="/mine/cifar100.npz"),
    ],
)
def test_a_curve_holds_wherever_the_same_is_trained(changes: dict[str, Any]) -> None:
    """Device, XLA, ways to convolve, and where model and data lie do not matter; the match has nothing to add."""
    (match,) = find(cell(**changes), [measured()])
    assert (match.same_order, match.notes) == (True, ())
    assert missing(cell(**changes), [measured()]) == ""


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": ModelSpec(name="small", path="small.py", sha256="b" * 64)}, "another version of small's file"),
        ({"recipe": Recipe(learning_rate=0.01)}, "trained with learning_rate=0.001, this cell with learning_rate=0.01"),
        ({"batch_size": 128}, "trained with batch size 100, this cell with 128"),
        ({"precision": "mixed_bfloat16"}, "trained in float32, this cell in mixed_bfloat16"),
        (data(num_train=9000), "measured with 1,000 training images, this cell has 9,000"),
        (data(num_validation=0), "measured with 100 validation images, this cell has 0"),
        (data(num_test=100), "measured with 200 test images, this cell has 100"),
        (data(num_classes=20), "of 100 classes, this cell of 20"),
        (data(sha256="e" * 64), "cannot be told because the curve has no digest of its content"),
    ],
)
def test_a_near_miss_is_none_and_is_named(changes: dict[str, Any], said: str) -> None:
    """One difference is enough for a curve not to hold, and the sentence names it and the next step."""
    other = cell(**changes)
    assert find(other, [measured()]) == ()
    why = missing(other, [measured()])
    assert "nearest: small on cifar100, batch size 100: " in why
    assert said in why
    assert "python -m bench reference add RUN" in why


def test_the_nearest_curve_is_the_one_with_the_fewest_differences() -> None:
    """Of the same model on the same data; without any curve of the model, those that there are are named."""
    far = measured(batch_size=32, precision="mixed_bfloat16")
    elsewhere = measured(dataset="mnist", dataset_sha256="f" * 64)
    why = missing(cell(batch_size=128), [elsewhere, far, published(), measured()])
    assert "nearest: small on cifar100, batch size 100: trained with batch size 100, this cell with 128;" in why
    assert "(there are of: large)" in missing(cell(), [measured(model="large", model_sha256="c" * 64)])
    assert "none at all" in missing(cell(), [])


def test_the_same_images_in_another_order_are_found_by_their_content() -> None:
    """The match says so; images of another content are others."""
    curve = measured(dataset_content="c" * 64)
    (match,) = find(cell(**data(sha256="e" * 64, content="c" * 64)), [curve])
    assert not match.same_order
    assert match.notes == ("measured on the same images in another order",)
    for content, said in (("d" * 64, "measured on other images, of cifar100"), ("", "this cell has no digest")):
        other = cell(**data(sha256="e" * 64, content=content))
        assert find(other, [curve]) == ()
        assert said in missing(other, [curve])
    assert find(cell(**data(sha256="e" * 64)), [measured()]) == ()  # two contents that are not known are not the same


@pytest.mark.parametrize(
    ("recipe", "epochs", "holds"),
    [
        (Recipe(), 1, True),
        (Recipe(), 3, True),
        (Recipe(), 4, False),
        (Recipe(), None, True),
        *((Recipe(schedule=name), 3, True) for name in ("step", "cosine", "linear", "one_cycle")),
        *((Recipe(schedule=name), 2, False) for name in ("step", "cosine", "linear", "one_cycle")),
        (Recipe(warmup=0.1), 3, True),
        (Recipe(warmup=0.1), 2, False),
        (Recipe(stages=((16, 0.5),)), 3, True),
        (Recipe(stages=((16, 0.5),)), 2, False),
        (Recipe(schedule="linear"), None, False),
        (Recipe(schedule="linear"), 4, False),
    ],
)
def test_only_a_curve_at_a_constant_rate_serves_other_lengths(recipe: Recipe, epochs: int | None, holds: bool) -> None:
    """It serves shorter trainings and budgets; what follows a schedule serves trainings of its own length alone."""
    asked = replace(cell(recipe=recipe), epochs=epochs, budget_s=60.0 if epochs is None else None)
    curve = measured(recipe=recipe)
    assert bool(find(asked, [curve])) is holds
    if not holds:
        assert ("its schedule spans 3 epochs" in missing(asked, [curve])) is (recipe != Recipe())


def test_a_published_curve_holds_for_the_whole_training_set() -> None:
    """In whatever order of images, and it says that the recipe is not known."""
    (match,) = find(cell(**data(sha256="e" * 64)), [published()])
    assert "its recipe is not known" in match.notes[0]
    assert match.notes[1] == "published without holding back the 100 validation images of this cell"
    (whole,) = find(cell(**data(num_train=1100, num_validation=0)), [published()])
    assert len(whole.notes) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": ModelSpec(name="small", path="small.py", sha256="b" * 64)}, "another version"),
        (data(name="cifar10"), "published on cifar100, this cell is on cifar10"),
        (data(num_train=400), "published with 1,100 training images, this cell has 500"),
        (data(num_classes=20), "of 100 classes"),
        (data(num_test=100), "published with 200 test images, this cell has 100"),
        ({"recipe": Recipe(learning_rate=0.1)}, "otherwise than with learning_rate=0.001, this cell with"),
        ({"precision": "mixed_bfloat16"}, "in float32, as far as is known, this cell in mixed_bfloat16"),
        ({"batch_size": 128}, "batch size 100, this cell with 128"),
        ({"epochs": 2}, "published after 3 epochs, this cell has 2 epochs"),
        ({"epochs": None, "budget_s": 60.0}, "published after 3 epochs, this cell has a budget of time"),
    ],
)
def test_a_published_curve_does_not_hold_for_a_near_miss(changes: dict[str, Any], said: str) -> None:
    """Model file, data set, its size, batch size and epochs must be those that were published."""
    other = replace(cell(), **changes)
    assert find(other, [published()]) == ()
    assert said in missing(other, [published()])


def test_the_best_match_comes_first() -> None:
    """Measured before published, as many epochs before others, more seeds, then the same order of images."""
    reordered = measured(dataset_sha256="e" * 64, dataset_content="c" * 64)
    long = measured(*seeds((0.1, 0.2, 0.3, 0.4)), epochs=4)
    three = measured(*seeds((0.1,) * 3, (0.2,) * 3, (0.3,) * 3), dataset_sha256="e" * 64, dataset_content="c" * 64)
    asked = cell(**data(content="c" * 64))
    found = find(asked, [published(), reordered, long, measured(), three])
    assert [match.curve for match in found] == [three, measured(), reordered, long, published()]
    budget = find(cell(epochs=None, budget_s=60.0, **data(content="c" * 64)), [three, long])
    assert [match.curve for match in budget] == [long, three]


# Merging


def test_merging_adds_seeds_and_loses_none() -> None:
    """Of a seed that both have, the one that was there first stays, and each seed's run is known."""
    ours = measured(*seeds((0.1,) * 3, (0.2,) * 3))
    theirs = measured(*seeds((0.8,) * 3, (0.9,) * 3, first=1), run="other", dataset_content="c" * 64)
    merged = merge(ours, theirs)
    assert merged.added == (2,)
    assert [(one.seed, one.val_accuracy[0]) for one in merged.curve.seeds] == [(0, 0.1), (1, 0.2), (2, 0.9)]
    assert merged.curve.provenance == (source(0, 1), source(2, run="other"))
    assert merged.curve.dataset_content == "c" * 64
    again = merge(merged.curve, theirs)
    assert (again.curve, again.added) == (merged.curve, ())


@given(st.lists(st.frozensets(st.integers(0, 5), min_size=1), min_size=1, max_size=4))
def test_merging_in_whatever_steps_gives_every_seed_once(groups: list[frozenset[int]]) -> None:
    """Seeds that come one after another, or several times, end up in one curve, each with its one run."""
    curves = [
        measured(*(seeds((0.1,) * 3, first=seed)[0] for seed in sorted(group)), run=f"run {number}")
        for number, group in enumerate(groups)
    ]
    merged = curves[0]
    for curve in curves[1:]:
        merged = merge(merged, curve).curve
    everything = sorted(frozenset().union(*groups))
    assert [one.seed for one in merged.seeds] == everything
    assert sorted(seed for run in merged.provenance for seed in run.seeds) == everything  # type: ignore[union-attr]


@pytest.mark.parametrize("changes", [{"epochs": 2}, {"recipe": Recipe(learning_rate=0.1)}, {"num_test": 9}])
def test_curves_of_other_keys_are_not_merged(changes: dict[str, Any]) -> None:
    """What was trained otherwise stays apart."""
    trainings = seeds((0.1, 0.2, 0.3)[: changes.get("epochs", 3)])
    with pytest.raises(ValueError, match="only curves of one key"):
        merge(measured(), measured(*trainings, **changes))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seeds": ()}, "at least one training"),
        ({"provenance": ()}, "at least one training"),
        ({"seeds": (*seeds((0.1,) * 3), *seeds((0.2,) * 3))}, "each seed must be there once"),
        ({"seeds": seeds((0.1, 0.2))}, "as many accuracies, or none; received 2"),
        ({"recipe": None}, "a measured curve has a recipe"),
        ({"dataset_sha256": None}, "a measured curve has a recipe"),
        ({"num_validation": 0}, "received num_validation=0"),
        ({"provenance": (source(0), *published().provenance)}, "one source"),
    ],
)
def test_a_curve_that_contradicts_itself_is_refused(changes: dict[str, Any], said: str) -> None:
    """Wherever it comes from: a file is as likely to be wrong as code."""
    with pytest.raises(ValueError, match=said):
        measured(**changes)


# Files


def test_curves_are_found_again(tmp_path: Path) -> None:
    """What was put on the shelf is read back, the user's own before what is shipped, under a name that tells."""
    placed, merged = put(measured(dataset="my photos!"), tmp_path / "new" / "folder")
    assert placed.path.name.startswith("small-my-photos-batch-100-epochs-3-")
    assert merged.added == (0,)
    shelf = load([tmp_path / "new" / "folder", SHIPPED])
    assert shelf.warnings == ()
    assert shelf.references[0].curve == measured(dataset="my photos!")
    assert [one.is_shipped for one in shelf.references] == [False, *(True for _ in shelf.references[1:])]


def test_seeds_are_added_to_the_file_that_has_the_others(tmp_path: Path) -> None:
    """Also where the user has given it another name; what is trained otherwise gets a file of its own."""
    first, _ = put(measured(), tmp_path)
    first.path.rename(tmp_path / "mine.json")
    placed, merged = put(measured(*seeds((0.5,) * 3, first=1)), tmp_path)
    assert (placed.path.name, merged.added) == ("mine.json", (1,))
    put(measured(batch_size=32), tmp_path)
    assert sorted(len(curve.seeds) for curve in load([tmp_path]).curves) == [1, 2]


def test_a_damaged_file_is_named_and_skipped(tmp_path: Path) -> None:
    """Half a file, another JSON, a newer schema, a value out of range: the others are read all the same."""
    put(measured(), tmp_path)
    whole = json.loads(encode_pretty(measured()))
    for name, content in {
        "half": encode_pretty(measured())[:200],
        "list": b"[]",
        "foreign": b"{}",
        "newer": json.dumps(whole | {"schema": 99}).encode(),
        "range": json.dumps(whole | {"seeds": [{"seed": 0, "test_accuracy": 38.1}]}).encode(),
        "length": json.dumps(whole | {"seeds": [{"seed": 0, "val_accuracy": [0.1]}]}).encode(),
        "deep": b'{"schema": ' + b"[" * 100_000,
        "bytes": b'{"schema": 1, "model": "\xff"}',
    }.items():
        (tmp_path / f"{name}.json").write_bytes(content)
    (tmp_path / "folder.json").mkdir()
    shelf = load([tmp_path, tmp_path / "nowhere"])
    assert shelf.curves == (measured(),)
    assert len(shelf.warnings) == 9
    assert any("newer.json was written by a newer version (schema 99" in line for line in shelf.warnings)


def test_a_damaged_file_is_not_written_over(tmp_path: Path) -> None:
    """Seeds that it may still hold are not lost to new ones."""
    placed, _ = put(measured(), tmp_path)
    placed.path.write_bytes(b"half")
    with pytest.raises(StoreError, match="is in the way"):
        put(measured(), tmp_path)
    assert placed.path.read_bytes() == b"half"


def test_a_curve_of_ones_own_can_be_removed(tmp_path: Path) -> None:
    """A shipped one cannot, and a name that is none is refused with the one that was meant."""
    placed, _ = put(measured(), tmp_path)
    with pytest.raises(UsageError, match=f"did you mean '{placed.name}'"):
        remove(placed.name[:-1], tmp_path)
    with pytest.raises(UsageError, match="no reference curve"):
        remove("../secret", tmp_path)
    with pytest.raises(UsageError, match="came with the program"):
        remove(next(SHIPPED.glob("*.json")).stem, tmp_path)
    assert remove(placed.name, tmp_path) == placed.path
    assert not load([tmp_path]).references


def test_the_users_folder_is_where_data_belongs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable of ours wins, then the system's own; nothing lies in the checkout."""
    assert "references" in str(user_folder())  # set for all tests
    monkeypatch.delenv("HOURGLASS_REFERENCE_DIR")
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert user_folder() == Path("/data/hourglass/references")
    monkeypatch.delenv("XDG_DATA_HOME")
    assert user_folder() == Path("/home/ada/.local/share/hourglass/references")
    monkeypatch.setattr("sys.platform", "darwin")
    assert user_folder() == Path("/home/ada/Library/Application Support/hourglass/references")


# What is shipped


def shipped() -> dict[str, ReferenceCurve]:
    """The shipped curves, by model and kind."""
    shelf = load([SHIPPED])
    assert shelf.warnings == ()
    return {f"{curve.model} {'published' if curve.published else 'measured'}": curve for curve in shelf.curves}


def test_shipped_curves_are_of_the_models_as_they_are() -> None:
    """A model file that changes makes its curves useless: they must be measured again."""
    curves = shipped()
    assert set(curves) == {"mnist_cnn measured", "mnist_cnn published", "mbn published"}
    for curve in curves.values():
        assert curve.model_sha256 == catalog.find(curve.model).spec.sha256


def test_the_measured_curve_is_that_of_the_committed_run() -> None:
    """Every seed of the run stands in it, epoch by epoch, and it holds for the cells of the run on any device."""
    run = read_run(COMMITTED)
    (curve,) = reference_curves(run).curves
    ours = shipped()["mnist_cnn measured"]
    assert ours.key == curve.key
    assert set(curve.seeds) <= set(ours.seeds)
    assert ours.dataset_content is not None
    for one in run.trials:
        assert [match.curve for match in find(one.trial.cell, shipped().values())] == [
            ours,
            shipped()["mnist_cnn published"],
        ]


def test_the_published_ends_are_those_of_the_founding_report() -> None:
    """38.1 and 61 % on the test images after 15 epochs."""
    curves = shipped()
    ends = {name: curves[f"{name} published"].seeds[0].test_accuracy for name in ("mnist_cnn", "mbn")}
    assert ends == {"mnist_cnn": 0.381, "mbn": 0.61}


# The digest of the content


def write_npz(path: Path, *, order: Any = slice(None), **changes: Any) -> str:
    """Forty images of 4×4×3 with labels 0 to 3, in this order; the test images are the first twenty."""
    images = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 3), dtype=np.uint8)
    labels = np.arange(40) % 4
    arrays = {"x_train": images[order], "y_train": labels[order], "x_test": images[:20], "y_test": labels[:20]}
    np.savez(path, **arrays | changes)
    return str(path)


@given(st.permutations(range(40)), st.sampled_from([0.0, 0.1, 0.5]))
def test_content_is_the_same_in_every_order(tmp_path_factory: Any, order: list[int], validation: float) -> None:
    """However the images are ordered and split, while the digest of the order changes with it."""
    folder = tmp_path_factory.mktemp("data")
    plain = load_dataset(write_npz(folder / "plain.npz"))
    mixed = load_dataset(write_npz(folder / "mixed.npz", order=order), validation=validation)
    assert content_digest(mixed) == content_digest(plain)
    assert (mixed.sha256 == plain.sha256) is (order == list(range(40)))


def test_content_tells_every_change(tmp_path: Path) -> None:
    """One pixel, one label, two labels exchanged, an image twice, a limit, another shape: each is another content."""
    with np.load(write_npz(tmp_path / "plain.npz")) as arrays:
        plain = dict(arrays)
    pixel, label, exchanged, test_pixel = (plain[name].copy() for name in ("x_train", "y_train", "y_train", "x_test"))
    pixel[3, 2, 1, 0] ^= 1
    label[0] = 3
    exchanged[[0, 1]] = exchanged[[1, 0]]
    test_pixel[0, 0, 0, 0] ^= 1
    twice = [0, *range(39)]
    changes: list[dict[str, Any]] = [
        {"x_train": pixel},
        {"y_train": label},
        {"y_train": exchanged},
        {"x_test": test_pixel},
        {"order": twice},
        {name: plain[name].reshape(-1, 2, 8, 3) for name in ("x_train", "x_test")},
        {"x_test": plain["x_train"][20:], "y_test": plain["y_train"][20:]},
    ]
    digests = [content_digest(load_dataset(str(tmp_path / "plain.npz")))]
    digests.append(content_digest(load_dataset(str(tmp_path / "plain.npz"), limit_train=39)))
    digests += [content_digest(load_dataset(write_npz(tmp_path / "other.npz", **change))) for change in changes]
    assert len(set(digests)) == len(changes) + 2


def test_content_of_what_was_recorded_without_it_is_found(tmp_path: Path) -> None:
    """From the files, limits included, if they are still the same; else it is refused."""
    path = write_npz(tmp_path / "a.npz")
    data = load_dataset(path, limit_train=30, limit_test=10)
    assert data.spec.content == ""
    assert find_content(data.spec) == content_digest(data)
    write_npz(tmp_path / "a.npz", order=slice(None, None, -1))
    with pytest.raises(DataError, match="is not the recorded one"):
        find_content(data.spec)


def test_a_run_is_planned_with_the_content_of_its_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its trials know it, and go by the same keys when they are read back."""

    def no_tensorflow(*_: object, **__: object) -> None:
        raise ModelError("nothing is built here")

    monkeypatch.setattr("bench.launch.preflight.describe_models", no_tensorflow)
    config = RunConfig(model=("mnist_cnn",), device=("cpu:1",), limit_train=20, limit_test=10)
    (trial,) = prepare(config).plan.trials
    assert trial.cell.dataset.content == content_digest(load_dataset("synthetic", limit_train=20, limit_test=10))
    assert msgspec.json.decode(msgspec.json.encode(trial), type=type(trial)).key == trial.key


def test_a_trial_without_content_has_the_key_that_it_always_had() -> None:
    """Runs from before are taken up under the keys that their folders have."""
    run = read_run(COMMITTED)
    assert all((COMMITTED / "trials" / one.trial.key).is_dir() for one in run.trials)


def test_seeds_that_are_added_at_a_time_are_all_there(tmp_path: Path) -> None:
    """Two who add to one curve wait for each other."""
    curves = [measured(*seeds((0.1,) * 3, first=number)) for number in range(6)]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda curve: put(curve, tmp_path), curves))
    (found,) = load([tmp_path]).references
    assert [seed.seed for seed in found.curve.seeds] == list(range(6))


def test_what_is_no_file_of_a_curve_is_named_and_not_read(tmp_path: Path) -> None:
    """A pipe would be waited for, and a huge file read whole."""
    os.mkfifo(tmp_path / "pipe.json")
    with (tmp_path / "huge.json").open("wb") as file:
        file.truncate(10_000_000)
    shelf = load([tmp_path])
    assert shelf.references == ()
    assert len(shelf.warnings) == 2
    assert all("no file, or larger than" in warning for warning in shelf.warnings)


def test_the_users_seeds_are_added_to_what_is_shipped(tmp_path: Path) -> None:
    """Curves of one key in two folders are one; published ones stay what they are."""
    for folder, numbers in (("mine", 1), ("shipped", 0)):
        put(measured(*seeds((0.1,) * 3, first=numbers)), tmp_path / folder)
        put(published(), tmp_path / folder)
    curves = load([tmp_path / "mine", tmp_path / "shipped"]).curves
    assert [len(curve.seeds) for curve in curves] == [2, 1, 1]


def test_the_key_does_not_depend_on_how_the_recipe_was_written() -> None:
    """A default that was written out, as older runs did, is the same recipe."""
    written = msgspec.json.decode(b'{"learning_rate":0.001}', type=Recipe)
    assert measured(recipe=written).key == measured().key


def test_images_in_any_memory_layout_have_a_digest() -> None:
    """What a reader hands over need not be contiguous."""
    data = load_dataset("synthetic", limit_train=20, limit_test=10, validation=0.2)
    strided = dataclasses.replace(data, x_train=np.asfortranarray(data.x_train))
    assert content_digest(strided) == content_digest(data)
