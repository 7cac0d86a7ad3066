"""A frozen part: its features are the model's own, computed once, taken up where they were cut off, cut in batches."""

from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np
import pytest
from msgspec.structs import replace

from bench.errors import StoreError
from bench.recipe import Recipe
from bench.records import Device, Extracted, Extracting
from bench.worker import feature_store
from records_for_tests import CPU, DATASET, trial

pytestmark = pytest.mark.tf

INPUT = (12, 10, 3)
COUNT = 75


class Told(list):
    """A journal in memory."""

    def of(self, kind):
        """Return what was told of one kind."""
        return [record for record in self if isinstance(record, kind)]


@pytest.fixture(scope="module")
def images():
    """Images of noise, no two alike, none its own mirror image."""
    return np.random.default_rng(0).integers(0, 256, (COUNT, *INPUT), dtype=np.uint8)


def build(*, seed=0, precision="float32", input_shape=INPUT):
    """Return the lower part of a model that has been trained for a while, as far as its statistics tell."""
    import keras  # noqa: TID251 -- stands in for a model file

    keras.utils.set_random_seed(seed)
    layers = keras.layers
    keras.config.set_dtype_policy(precision)
    try:
        model = keras.Sequential(
            [
                keras.Input(input_shape),
                layers.Conv2D(6, 3, use_bias=False),
                layers.BatchNormalization(),
                layers.ReLU(),
                layers.DepthwiseConv2D(3, padding="same"),
                layers.BatchNormalization(),
                layers.Dropout(0.5),
                layers.GlobalAveragePooling2D(),
            ]
        )
    finally:
        keras.config.set_dtype_policy("float32")
    draws = np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([draws.uniform(0.3, 2.0, weight.shape) for weight in layer.get_weights()])
    return model


@pytest.fixture(scope="module")
def model():
    """One of them, which no test changes."""
    return build()


def normalised(images):
    """What a model gets of images."""
    import tensorflow as tf  # noqa: TID251 -- stands in for the worker

    return tf.constant(images.astype(np.float32) / 255)


def own_features(model, images):
    """What the model itself makes of images."""
    return model(normalised(images), training=False).numpy()


def cell_of(*, batch_size=16, **changes):
    """Return a cell of this data set; `changes` replace its fields."""
    dataset = replace(DATASET, input_shape=INPUT, num_train=COUNT)
    plain = trial(batch_size=batch_size, recipe=Recipe(frozen_until="pool"), dataset=dataset).cell
    return replace(plain, **changes)


def flipping(flip=True):
    """A recipe that mirrors images."""
    return Recipe(frozen_until="pool", horizontal_flip=flip)


def frozen_part(model, images, cache, cell=None, journal=None):
    """Return the frozen part as a new process makes it."""
    from bench.worker.frozen import FrozenPart
    from bench.worker.pipeline import normalizer

    cell = cell or cell_of()
    normalize = normalizer(cell.recipe, images)
    return FrozenPart(model, cell, normalize=normalize, cache=cache, journal=Told() if journal is None else journal)


def all_of(rows):
    """Every row."""
    return rows.take(np.arange(len(rows)))


# The forward pass with constant weights.


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_folded_model_puts_out_what_the_model_does(model, images, jit_compile):
    """For batches of any size, with batch normalisation that does something, up to the sixth digit."""
    from bench.worker.folding import fold

    folded = fold(model, jit_compile=jit_compile)
    for size in (1, 3, 75):
        x = normalised(images[:size])
        expected = model(x, training=False).numpy()
        np.testing.assert_allclose(folded(x).numpy(), expected, rtol=1e-5, atol=1e-5)
    assert np.abs(expected).max() > 0.1


def test_a_folded_model_stays_as_it_was(images):
    """Weights that change later change nothing."""
    from bench.worker.folding import fold

    changing = build()
    folded = fold(changing)
    x = normalised(images[:4])
    before = folded(x).numpy()
    changing.set_weights([weight + 1 for weight in changing.get_weights()])
    np.testing.assert_array_equal(folded(x).numpy(), before)
    assert not np.allclose(changing(x), before)


def test_a_folded_model_of_mixed_precision_puts_out_float32(images):
    """What is computed in bfloat16 comes as float32, near what the model itself puts out."""
    from bench.worker.folding import fold

    mixed = build(precision="mixed_bfloat16")
    x = normalised(images[:9])
    folded = fold(mixed)(x)
    assert folded.dtype == "float32"
    assert mixed(x).dtype == "bfloat16"
    np.testing.assert_allclose(folded, np.asarray(mixed(x), np.float32), rtol=0.05, atol=0.02)
    np.testing.assert_allclose(folded, build()(x), rtol=0.1, atol=0.05)


def test_a_folded_model_may_put_out_images(images):
    """Cut earlier, features keep their height and width."""
    import keras  # noqa: TID251 -- stands in for the worker

    from bench.worker.folding import fold

    whole = build()
    part = keras.Model(whole.inputs[0], whole.layers[3].output)
    x = normalised(images[:5])
    assert fold(part)(x).shape == (5, 10, 8, 6)
    np.testing.assert_allclose(fold(part)(x), part(x), rtol=1e-5, atol=1e-5)


# Features.


@pytest.mark.parametrize("batch_size", [1, 2, 16, 500])
def test_features_are_the_model_s_own(model, images, tmp_path, batch_size):
    """Each image's row is what the model makes of it, whatever the number of images a call."""
    told = Told()
    part = frozen_part(model, images, tmp_path, cell_of(batch_size=batch_size), told)
    (rows,) = part.extract("training", images)
    expected = own_features(model, images)
    assert (rows.shape, part.shape) == (expected.shape, expected.shape[1:])
    np.testing.assert_allclose(all_of(rows), expected, rtol=1e-5, atol=1e-5)
    (extracted,) = told
    assert (extracted.split, extracted.images, extracted.values) == ("training", COUNT, 6)
    assert (extracted.reused_images, extracted.saved_s) == (0, 0.0)
    assert extracted.stored_bytes == COUNT * 6 * 4
    assert extracted.seconds > 0


def test_features_are_of_normalised_images(model, images, tmp_path):
    """The recipe's normalisation comes before the frozen part."""
    recipe = Recipe(frozen_until="pool", normalization="standard")
    (rows,) = frozen_part(model, images, tmp_path, cell_of(recipe=recipe)).extract("validation", images)
    mean, deviation = images.mean(axis=(0, 1, 2)), images.std(axis=(0, 1, 2))
    expected = model(((images - mean) / deviation).astype(np.float32), training=False)
    np.testing.assert_allclose(all_of(rows), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("flip", [True, "alternating"])
def test_mirrored_features_are_those_of_mirrored_images(model, images, tmp_path, flip):
    """Where a recipe mirrors images, training images have a second variant, and only they."""
    told = Told()
    part = frozen_part(model, images, tmp_path, cell_of(recipe=flipping(flip)), told)
    plain, mirrored = part.extract("training", images)
    np.testing.assert_allclose(all_of(plain), own_features(model, images), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(all_of(mirrored), own_features(model, images[:, :, ::-1]), rtol=1e-5, atol=1e-5)
    assert np.abs(all_of(plain) - all_of(mirrored)).max() > 1e-3
    assert len(part.extract("validation", images[:9])) == len(part.extract("test", images[:5])) == 1
    assert [(e.split, e.images, e.stored_bytes) for e in told] == [
        ("training", 2 * COUNT, 2 * COUNT * 24),
        ("validation", 9, 9 * 24),
        ("test", 5, 5 * 24),
    ]


def never(*_, **__):
    """Stand in for what must not be called."""
    pytest.fail("features were computed")


def test_what_was_computed_once_is_found(model, images, tmp_path, monkeypatch):
    """A second process traces and computes nothing, and says what it saved; a recipe without flips finds them too."""
    from bench.worker import frozen

    first, second, third = Told(), Told(), Told()
    cell = cell_of(recipe=flipping())
    expected = [all_of(rows) for rows in frozen_part(model, images, tmp_path, cell, first).extract("training", images)]
    monkeypatch.setattr(frozen, "fold", never)
    monkeypatch.setattr(frozen.FrozenPart, "_call", never)
    found = frozen_part(model, images, tmp_path, cell, second).extract("training", images)
    for rows, computed in zip(found, expected, strict=True):
        np.testing.assert_array_equal(all_of(rows), computed)
    (extracted,) = second
    assert (extracted.images, extracted.seconds) == (0, 0.0)
    assert extracted.reused_images == 2 * COUNT
    assert extracted.saved_s == pytest.approx(first[0].seconds, abs=1e-5)
    (plain,) = frozen_part(model, images, tmp_path, cell_of(), third).extract("training", images)
    np.testing.assert_array_equal(all_of(plain), expected[0])
    assert 0 < third[0].saved_s < extracted.saved_s


def features_of(cell, cache, images, model):
    """Where features lie; nothing is computed."""
    return frozen_part(model, images, cache, cell)._digest()


OTHERS = {
    "precision": {"precision": "mixed_bfloat16"},
    "jit": {"jit": "on"},
    "onednn": {"onednn": "off"},
    "convolutions": {"recipe": Recipe(frozen_until="pool", convolutions="winograd")},
    "threads": {"device": replace(CPU, threads=1, cpus=(0,))},
    "siblings": {"device": replace(CPU, siblings=True)},
    "a GPU": {"device": Device(kind="gpu", threads=2, gpu_uuids=("GPU-1",))},
    "another GPU": {"device": Device(kind="gpu", threads=2, gpu_uuids=("GPU-2",))},
    "size": {"recipe": Recipe(frozen_until="pool", input_pixels=96)},
    "layer": {"recipe": Recipe(frozen_until="norm")},
    "normalisation": {"recipe": Recipe(frozen_until="pool", normalization="standard")},
    "images": {"dataset": replace(DATASET, sha256="e" * 64)},
    "validation": {"dataset": replace(DATASET, num_train=900, num_validation=200)},
    "model": {"model": replace(trial().cell.model, sha256="b" * 64)},
}
SAME = {
    "batch size": {"batch_size": 7},
    "epochs": {"epochs": None, "budget_s": 60.0},
    "optimizer": {"recipe": Recipe(frozen_until="pool", optimizer="sgd", momentum=0.9, label_smoothing=0.1)},
    "flips": {"recipe": flipping("alternating")},
    "name of the data": {"dataset": replace(DATASET, name="elsewhere/", official=None, content="c" * 64)},
    "place of the model": {"model": replace(trial().cell.model, path="/elsewhere/small.py")},
    "CPUs": {"device": replace(CPU, cpus=(2, 3))},
}


def test_features_are_of_what_they_were_computed_with(model, images, tmp_path):
    """Whatever changes them, or the time that they take, makes other features; what does not finds them again."""
    plain = {"dataset": DATASET}
    digests = {
        name: features_of(cell_of(**plain | changes), tmp_path, images, model) for name, changes in OTHERS.items()
    }
    own = features_of(cell_of(**plain), tmp_path, images, model)
    assert own not in digests.values()
    assert len(set(digests.values())) == len(digests), digests
    for name, changes in SAME.items():
        assert features_of(cell_of(**plain | changes), tmp_path, images, model) == own, name


@pytest.mark.parametrize("library", ["tensorflow", "keras"])
def test_features_are_of_the_versions_that_computed_them(model, images, tmp_path, monkeypatch, library):
    """What another version of TensorFlow or Keras put out is not found."""
    own = features_of(cell_of(), tmp_path, images, model)
    monkeypatch.setattr(f"{library}.__version__", "0.0")
    assert features_of(cell_of(), tmp_path, images, model) != own


def test_features_are_of_these_weights(images, tmp_path):
    """The smallest change of any weight or statistic makes other features; how dropout is drawn does not."""
    cell = cell_of()
    own = features_of(cell, tmp_path, images, build())
    found = {own}
    for number in range(len(build().get_weights())):
        changed = build()
        weights = changed.get_weights()
        first = (0,) * weights[number].ndim
        weights[number][first] = np.nextafter(weights[number][first], np.float32(9))
        changed.set_weights(weights)
        found.add(features_of(cell, tmp_path, images, changed))
    assert len(found) == 1 + len(weights)
    seeded_otherwise = build(seed=5)
    seeded_otherwise.set_weights(build().get_weights())
    assert features_of(cell, tmp_path, images, seeded_otherwise) == own


class Killed(BaseException):
    """Stands in for SIGKILL."""


def slow_calls(monkeypatch, *, image_s=0.0, killed_after=None):
    """Let calls take their time, and the process end after so many of them; return the sizes of all calls."""
    from bench.worker.frozen import FrozenPart

    call, sizes = FrozenPart._call, []

    def slow(self, images, *, mirrored):
        if killed_after is not None and len(sizes) == killed_after:
            raise Killed
        sizes.append(len(images))
        time.sleep(image_s * len(images))
        return call(self, images, mirrored=mirrored)

    monkeypatch.setattr(FrozenPart, "_call", slow)
    return sizes


def test_features_are_taken_up_where_they_were_cut_off(model, images, tmp_path, monkeypatch):
    """However few bytes an image has, rows are made safe every few seconds: a process that is killed loses little."""
    from bench.worker import frozen

    for module, name in ((feature_store, "COMMIT_S"), (frozen, "COMMIT_S"), (frozen, "TELL_S")):
        monkeypatch.setattr(module, name, 0.02)
    cell = cell_of(batch_size=2, recipe=flipping())
    with monkeypatch.context() as first:
        slow_calls(first, image_s=0.005, killed_after=60)
        cut_off = Told()
        with pytest.raises(Killed):
            frozen_part(model, images, tmp_path, cell, cut_off).extract("training", images)
    assert not cut_off.of(Extracted)
    told = [event.images for event in cut_off.of(Extracting)]
    assert len(told) > 10
    assert all(event.of == COUNT and event.split == "training" for event in cut_off)
    again = Told()
    sizes = slow_calls(monkeypatch)
    plain, mirrored = frozen_part(model, images, tmp_path, cell, again).extract("training", images)
    np.testing.assert_allclose(all_of(plain), own_features(model, images), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(all_of(mirrored), own_features(model, images[:, :, ::-1]), rtol=1e-5, atol=1e-5)
    (extracted,) = again.of(Extracted)
    # 59 calls of two images (the first one prepares) had been made, and a call or two were not safe.
    assert 100 <= extracted.reused_images <= 118
    assert extracted.reused_images + extracted.images == 2 * COUNT
    assert sum(sizes[1:]) == extracted.images
    assert 0.4 < extracted.saved_s < 10


def test_a_full_disk_ends_the_extraction_with_its_cure(model, images, tmp_path, monkeypatch):
    """Room is looked for before anything is computed."""
    monkeypatch.setattr(feature_store, "SPARE_BYTES", 10**15)
    sizes = slow_calls(monkeypatch)
    with pytest.raises(StoreError, match="HOURGLASS_CACHE_DIR"):
        frozen_part(model, images, tmp_path).extract("training", images)
    assert not sizes


def test_how_long_the_next_features_take_is_foreseen(model, images, tmp_path, monkeypatch):
    """From what was computed or found: as long an image; nothing for what is there."""
    slow_calls(monkeypatch, image_s=0.01)
    told = Told()
    part = frozen_part(model, images, tmp_path, journal=told)
    part.extract("training", images[:40])
    assert part.expected_s("test", 20) == pytest.approx(told[0].seconds / 2, rel=1e-3)
    assert part.expected_s("test", 20) >= 0.19
    part.extract("test", images[:20])
    assert part.expected_s("test", 20) == 0.0
    again = frozen_part(model, images, tmp_path)
    again.extract("training", images[:40])
    assert again.expected_s("validation", 20) == pytest.approx(told[0].seconds / 2, rel=1e-3)


# A sample.


def test_a_sample_ends_in_time_and_tells_what_an_image_takes(model, images, tmp_path, monkeypatch):
    """Some images stand for all: the features are right, the time is kept, and nothing is written to the disk."""
    many = np.concatenate([images] * 20)
    part = frozen_part(model, images, tmp_path, journal=(told := Told()))
    part._prepare(many)  # to trace takes its time
    sizes = slow_calls(monkeypatch, image_s=0.01)
    began_s = time.monotonic()
    rows = part.sample(many, limit_s=0.5)
    assert time.monotonic() - began_s < 1.5
    assert 2 < len(rows) == sum(sizes) < len(many)
    np.testing.assert_allclose(rows, own_features(model, many[: len(rows)]), rtol=1e-5, atol=1e-5)
    (extracted,) = told
    assert extracted.images <= len(rows)
    assert 0.0099 <= extracted.seconds / extracted.images < 0.03
    assert (extracted.split, extracted.values, extracted.stored_bytes) == ("training", 6, 0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("count", [1, 3, 30])
def test_a_sample_without_time_still_tells_something(model, images, tmp_path, count):
    """Two calls are made in any case, or as many as there are images for."""
    told = Told()
    rows = frozen_part(model, images, tmp_path, cell_of(batch_size=1), told).sample(images[:count], limit_s=0.0)
    assert len(rows) == min(2, count)
    (extracted,) = told
    assert extracted.images >= 1
    assert extracted.seconds > 0


def test_a_sample_stands_for_all(images):
    """It has as many rows as all images, those that there are again and again, in any order and in pieces."""
    from bench.worker.frozen import Sample

    few = np.arange(12, dtype=np.float32).reshape(4, 3)
    sample = Sample(few, 10)
    assert (len(sample), sample.shape) == (10, (10, 3))
    np.testing.assert_array_equal(sample.take(np.array([9, 0, 4])), few[[1, 0, 0]])
    np.testing.assert_array_equal(np.concatenate(list(sample.chunks(3))), few[[0, 1, 2, 3, 0, 1, 2, 3, 0, 1]])


# Batches of features.


def numbered(count=COUNT, *, shift=0.0):
    """Features whose first value is the image's number."""
    from bench.worker.frozen import Sample

    return Sample(np.stack([np.arange(count) + shift, np.ones(count)], axis=1).astype(np.float32), count)


def feature_pipeline(*, flip=False, seed=1):
    """Return a pipeline of numbered features; those of mirror images are a thousand higher."""
    from bench.worker.feature_batches import FeaturePipeline

    variants = [numbered(), numbered(shift=1000)] if flip else [numbered()]
    return FeaturePipeline(flipping(flip), variants, seed=seed, threads=1)


def epoch_of(made, *, epoch=0, batch_size=16):
    """Return an epoch's inputs, labels and sizes of batches."""
    batches = made.training(np.arange(COUNT, dtype=np.int32), batch_size=batch_size)
    made.begin_epoch(epoch)
    pairs = [(x.numpy(), y.numpy()) for x, y in batches]
    return np.concatenate([x for x, _ in pairs]), np.concatenate([y for _, y in pairs]), [len(y) for _, y in pairs]


def test_features_come_in_the_order_of_images(images):
    """An epoch has each image's features once with its label, in the order in which its image would have come."""
    from bench.worker.pipeline import Pipeline

    made, of_images = feature_pipeline(), Pipeline(Recipe(), images, seed=1, threads=1)
    seen = []
    for epoch in (0, 1, 5):
        x, labels, sizes = epoch_of(made, epoch=epoch)
        assert sizes == [16, 16, 16, 16, 11]
        np.testing.assert_array_equal(x[:, 0], labels)
        np.testing.assert_array_equal(labels, epoch_of(of_images, epoch=epoch)[1])
        seen.append(labels.tolist())
    assert len(set(map(tuple, seen))) == 3
    assert all(sorted(order) == list(range(COUNT)) for order in seen)
    assert x.dtype == np.float32
    _, other, _ = epoch_of(feature_pipeline(seed=2))
    assert other.tolist() != seen[0]


def is_mirrored(x, labels):
    """Which features are those of mirror images; each row is one or the other of its own image."""
    shift = x[:, 0] - labels
    assert set(shift) <= {0.0, 1000.0}
    return shift == 1000.0


def test_flips_choose_features_of_mirror_images():
    """About half of them, others in every epoch, and the same ones with the same seed."""
    x, labels, _ = epoch_of(feature_pipeline(flip=True))
    first = is_mirrored(x, labels)
    assert COUNT / 4 < first.sum() < 3 * COUNT / 4
    np.testing.assert_array_equal(epoch_of(feature_pipeline(flip=True))[0], x)
    x, labels_later, _ = epoch_of(feature_pipeline(flip=True), epoch=1)
    later = is_mirrored(x, labels_later)
    both_ways = first[np.argsort(labels)] != later[np.argsort(labels_later)]
    assert COUNT / 4 < both_ways.sum() < 3 * COUNT / 4


def test_alternating_flips_show_both_sides_in_two_epochs(images):
    """Each image once as it is and once mirrored, and in each epoch those that an image pipeline would mirror."""
    from bench.worker.pipeline import Pipeline

    made = feature_pipeline(flip="alternating")
    of_images = Pipeline(Recipe(horizontal_flip="alternating"), images, seed=1, threads=1)
    mirrored = []
    for epoch in (0, 1, 2):
        x, labels, _ = epoch_of(made, epoch=epoch)
        mirrored.append(is_mirrored(x, labels)[np.argsort(labels)])
        pixels, same_labels, _ = epoch_of(of_images, epoch=epoch)
        np.testing.assert_array_equal(labels, same_labels)
        flipped = np.isclose(pixels, images[labels, :, ::-1] / 255).all(axis=(1, 2, 3))
        np.testing.assert_array_equal(mirrored[-1], flipped[np.argsort(labels)])
    np.testing.assert_array_equal(mirrored[0], ~mirrored[1])
    np.testing.assert_array_equal(mirrored[0], mirrored[2])
    assert COUNT / 4 < mirrored[0].sum() < 3 * COUNT / 4


def test_evaluation_is_in_order():
    """Each row once, with its label, as they stand; the last batch holds what is left."""
    made = feature_pipeline(flip=True)
    pairs = list(made.evaluation(numbered(20), np.arange(20, dtype=np.int32), batch_size=8))
    assert [len(y) for _, y in pairs] == [8, 8, 4]
    np.testing.assert_array_equal(np.concatenate([x.numpy()[:, 0] for x, _ in pairs]), np.arange(20))
    np.testing.assert_array_equal(np.concatenate([y.numpy() for _, y in pairs]), np.arange(20))


def data_of(images, *, validation=20):
    """A data set of these images, some of them held back."""
    labels = np.arange(len(images), dtype=np.int32)
    return SimpleNamespace(
        x_train=images,
        y_train=labels,
        x_validation=images[:validation],
        y_validation=labels[:validation],
        x_test=images[::-1][:30],
        y_test=labels[::-1][:30],
    )


def test_a_trial_s_batches_are_of_its_features(model, images, tmp_path):
    """Training, validation and rehearsal are there; test images are looked at when they are asked for, not before."""
    from bench.worker.feature_batches import feature_batches

    cell, told = cell_of(recipe=flipping()), Told()
    expected = own_features(model, images)
    part = frozen_part(model, images, tmp_path, cell, told)
    made = feature_batches(cell, data_of(images), part, seed=1)
    assert [event.split for event in told] == ["training", "validation"]
    x, labels, _ = epoch_of(made.pipeline)
    either = np.isclose(x, expected[labels], atol=1e-4).all(axis=1)
    other = np.isclose(x, own_features(model, images[:, :, ::-1])[labels], atol=1e-4).all(axis=1)
    assert (either ^ other).all()
    assert int(made.training.cardinality()) == 5
    (batch, labels) = next(iter(made.rehearsal))
    np.testing.assert_allclose(batch, expected[: len(labels)], atol=1e-4)
    held_back = np.concatenate([x.numpy() for x, _ in made.validation])
    np.testing.assert_allclose(held_back, expected[:20], atol=1e-4)
    assert [len(variant) for variant in made.features.variants] == [COUNT, COUNT]
    np.testing.assert_array_equal(made.features.labels, np.arange(COUNT))
    pairs = list(made.test())
    assert len(pairs) == made.test_count == 2
    assert [event.split for event in told] == ["training", "validation", "test"]
    np.testing.assert_allclose(np.concatenate([x.numpy() for x, _ in pairs]), expected[::-1][:30], atol=1e-4)
    np.testing.assert_array_equal(np.concatenate([y.numpy() for _, y in pairs]), made.test_labels)


def test_batches_of_a_sample_are_as_many_as_of_all(model, images, tmp_path):
    """Where only speed is asked for, few features make whole epochs, with flips and validation."""
    from bench.worker.feature_batches import feature_batches

    cell, told = cell_of(recipe=flipping()), Told()
    part = frozen_part(model, images, tmp_path, cell, told)
    made = feature_batches(cell, data_of(images), part, seed=1, sample_s=0.0)
    assert len(told.of(Extracted)) == 1
    x, labels, sizes = epoch_of(made.pipeline)
    assert (x.shape, sizes) == ((COUNT, 6), [16, 16, 16, 16, 11])
    assert sorted(labels) == list(range(COUNT))
    assert [len(y) for _, y in made.validation] == [16, 4]
    assert len(made.features.variants) == 2


def test_nothing_is_validated_where_nothing_is_held_back(model, images, tmp_path):
    """Without validation images there are no features and no batches of any."""
    from bench.worker.feature_batches import feature_batches

    told = Told()
    part = frozen_part(model, images, tmp_path, journal=told)
    made = feature_batches(cell_of(), data_of(images, validation=0), part, seed=1)
    assert made.validation is None
    assert [event.split for event in told] == ["training"]
