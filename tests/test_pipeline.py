"""The input pipeline: every image once an epoch, in an order that is a function of seed and epoch."""

from __future__ import annotations

import time

import numpy as np
import pytest

from bench.recipe import Recipe

pytestmark = pytest.mark.tf

COUNT = 50


@pytest.fixture(scope="module")
def images():
    """Images whose first pixel is their number."""
    made = np.random.default_rng(0).integers(0, 256, (COUNT, 4, 6, 3), dtype=np.uint8)
    made[:, 0, 0, 0] = np.arange(COUNT)
    return made


def pipeline(images, recipe=None, *, seed=1):
    """Return a pipeline of one thread."""
    from bench.worker.pipeline import Pipeline

    return Pipeline(recipe or Recipe(), images, seed=seed, threads=1)


def epoch_of(made, *, epoch=0, batch_size=16):
    """Return an epoch's images and labels, and the sizes of its batches."""
    batches = made.training(np.arange(COUNT, dtype=np.int32), batch_size=batch_size)
    made.begin_epoch(epoch)
    pairs = [(x.numpy(), y.numpy()) for x, y in batches]
    return np.concatenate([x for x, _ in pairs]), np.concatenate([y for _, y in pairs]), [len(y) for _, y in pairs]


def test_an_epoch_has_every_image_once_with_its_label(images):
    """An epoch is a permutation; the last batch holds what is left; pixels stay with their labels."""
    x, labels, sizes = epoch_of(pipeline(images))
    assert sizes == [16, 16, 16, 2]
    assert sorted(labels) == list(range(COUNT))
    np.testing.assert_allclose(x, images[labels] / 255, rtol=1e-6)
    assert x.dtype == np.float32


def test_the_order_is_a_function_of_seed_and_epoch(images):
    """The same seed and epoch give the same order in a new pipeline; another of either gives another."""
    _, first, _ = epoch_of(pipeline(images), epoch=3)
    _, again, _ = epoch_of(pipeline(images), epoch=3)
    _, later, _ = epoch_of(pipeline(images), epoch=4)
    _, other, _ = epoch_of(pipeline(images, seed=2), epoch=3)
    np.testing.assert_array_equal(first, again)
    assert (first != later).any()
    assert (first != other).any()


def test_standard_normalization_is_of_the_training_images(images):
    """`standard` gives mean 0 and deviation 1 per channel over the training images, and the same scale to others."""
    x, labels, _ = epoch_of(pipeline(images, Recipe(normalization="standard")))
    np.testing.assert_allclose(x.mean(axis=(0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(x.std(axis=(0, 1, 2)), 1, atol=1e-5)
    made = pipeline(images, Recipe(normalization="standard"))
    (evaluated,) = [x.numpy() for x, _ in made.evaluation(images[:5], np.arange(5), batch_size=8)]
    np.testing.assert_allclose(evaluated, x[np.argsort(labels)][:5], atol=1e-5)


def test_flips_mirror_about_half_and_repeat_with_their_seed(images):
    """Each image comes as it is or mirrored, about half each, and the same ones with the same seed and epoch."""
    x, labels, _ = epoch_of(pipeline(images, Recipe(horizontal_flip=True)))
    plain = np.isclose(x, images[labels] / 255).all(axis=(1, 2, 3))
    mirrored = np.isclose(x, images[labels, :, ::-1] / 255).all(axis=(1, 2, 3))
    assert (plain ^ mirrored).all()
    assert COUNT / 4 < mirrored.sum() < 3 * COUNT / 4
    again, _, _ = epoch_of(pipeline(images, Recipe(horizontal_flip=True)))
    np.testing.assert_array_equal(x, again)


def test_channel_statistics_are_numpy_s(images):
    """Means and deviations from counts of levels equal those from floats; a flat channel divides by 1."""
    from bench.worker.pipeline import channel_statistics

    mean, deviation = channel_statistics(images)
    np.testing.assert_allclose(mean, images.mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(deviation, images.std(axis=(0, 1, 2)))
    assert channel_statistics(np.full((2, 2, 2, 1), 7, np.uint8)) == ([7.0], [1.0])


LINGER_S = 0.02


def slow_pipeline(images):
    """Return a pipeline of one thread that lingers at every batch."""
    import tensorflow as tf  # noqa: TID251 -- stands in for the worker

    from bench.worker.pipeline import Pipeline

    def linger(batch):
        time.sleep(LINGER_S)
        return batch

    class Slow(Pipeline):
        def _batch(self, indices, *, epoch, step):
            batch = super()._batch(indices, epoch=epoch, step=step)
            return tf.ensure_shape(tf.numpy_function(linger, [batch], tf.float32), batch.shape)

    return Slow(Recipe(), images, seed=1, threads=1)


def test_waiting_for_batches_is_seen(images):
    """A reader that is faster than its pipeline waits for every batch; one that is slower hardly does."""
    steps = COUNT // 2
    slow, fast = slow_pipeline(images), pipeline(images)
    epoch_of(slow, batch_size=2)
    waited_s = slow.waited_s(steps)
    assert waited_s > 0.3 * LINGER_S * steps
    for _ in fast.training(np.zeros(COUNT, np.int32), batch_size=2):
        time.sleep(LINGER_S)
    assert fast.waited_s(steps) < waited_s / 3


def test_timing_changes_no_batch(images):
    """What is drawn does not depend on whether the waiting for it is timed."""
    from bench.worker.pipeline import Pipeline

    untimed = Pipeline(Recipe(), images, seed=1, threads=1, times_waiting=False)
    timed_x, timed_labels, _ = epoch_of(pipeline(images), batch_size=2)
    x, labels, _ = epoch_of(untimed, batch_size=2)
    assert np.array_equal(timed_x, x)
    assert np.array_equal(timed_labels, labels)
    assert untimed.waited_s(COUNT // 2) is None
