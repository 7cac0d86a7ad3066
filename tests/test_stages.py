"""Stages of smaller images: their pixels, and that their size changes at the step that was announced."""

from __future__ import annotations

import time

import numpy as np
import pytest

from bench.recipe import Recipe

pytestmark = pytest.mark.tf

COUNT = 160


@pytest.fixture(scope="module")
def images():
    """Images of one level each, so that any size of them is known."""
    levels = np.arange(COUNT, dtype=np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (COUNT, 8, 12, 3)).copy()


def pipeline(images, *, threads=1):
    """Return a pipeline of three sizes."""
    from bench.worker.pipeline import Pipeline

    return Pipeline(Recipe(stages=((4, 0.3), (6, 0.6))), images, seed=1, threads=threads)


def test_smaller_images_are_the_same_images(images):
    """Each stage shows every image in its size, with its label; the width follows the height."""
    made = pipeline(images)
    for starts, size in (([None, None], (4, 6)), ([0, None], (6, 9)), ([0, 0], (8, 12))):
        made.stages.begin_at(starts)
        labels = []
        for x, y in made.training(np.arange(COUNT, dtype=np.int32), batch_size=16):
            assert x.shape == (16, *size, 3)
            np.testing.assert_allclose(
                x.numpy() * 255, np.broadcast_to(y.numpy()[:, None, None, None], x.shape), atol=0.01
            )
            labels += list(y.numpy())
        assert sorted(labels) == list(range(COUNT))


def test_smaller_images_average_what_they_cover():
    """A chequerboard of two levels becomes their mean, where each new pixel covers as many of both."""
    from bench.worker.stages import Stages

    board = np.zeros((2, 8, 8, 1), np.uint8)
    board[:, ::2, 1::2] = board[:, 1::2, ::2] = 200
    made = Stages(board, ((4, 4), (8, 8)))
    np.testing.assert_allclose(made.images(0).numpy().astype(float), 100, atol=15)
    np.testing.assert_array_equal(made.images(1).numpy(), board)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("pause_s", [0.0, 0.02])
def test_a_size_changes_at_the_announced_step(images, threads, pause_s):
    """However far the pipeline is ahead, a change announced `batches_ahead` and a step before comes when it was to."""
    made = pipeline(images, threads=threads)
    made.stages.begin_at([None, None])
    heights = []
    for step, (x, _) in enumerate(made.training(np.zeros(COUNT, np.int32), batch_size=4)):
        heights.append(x.shape[1])
        time.sleep(pause_s)
        if step == 5:  # the next step to be made is 6
            made.stages.begin_at([6 + made.batches_ahead, None])
    change = 6 + made.batches_ahead
    assert heights == [4] * change + [6] * (COUNT // 4 - change)
