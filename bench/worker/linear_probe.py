"""A linear probe: one layer on features, fitted to all training images at once by L-BFGS, its regularisation chosen.

What is minimized is the mean cross-entropy plus half the L2 strength times the sum of the squared weights, of features
that are brought to mean 0 and deviation 1 in the training images, so that one strength suits all of them (Kornblith,
Shlens & Le 2019, arXiv 1805.08974, and Radford et al. 2021, arXiv 2103.00020, fit their probes by L-BFGS likewise). The
layer itself gets the weights for the features as they are. Every strength begins where the stronger one before it
ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf
from scipy import optimize

from bench.errors import ModelError
from bench.recipe import PROBE_PASSES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from bench.recipe import Recipe
    from bench.worker.feature_store import Rows
    from bench.worker.frozen import Sample

    Float64s = NDArray[np.float64]

STRONGEST = 1.0  # of the first epoch; each later one is weaker by the root of 10
PRECISION = 1e-4  # relative change of the loss between two iterations at which a strength is done
CHUNK_BYTES = 32_000_000  # of features that are worked on together
# Of the largest one: a feature of a smaller deviation hardly varies, and dividing by it would only blow up noise.
SMALLEST_DEVIATION = 1e-4
ROUNDING = 1e-5  # of a feature's mean: one of a smaller deviation is constant, as far as float32 can tell


def strength(epoch: int) -> float:
    """Return the L2 strength of an epoch, from 1."""
    return float(STRONGEST * 10 ** (-(epoch - 1) / 2))


class LinearProbe:
    """Fits the only layer of a model that is trained.

    Args:
        model: From features (n, d) to classes; a `Dense` layer, with or without softmax, and nothing else that counts
            but dropout.
        variants: Features of the training images, (n, d) each.
        labels: int32 (n,), of each variant.
        recipe: Its label smoothing.
        evaluated: Called after each pass over the training images.

    Raises:
        ModelError: The model is something else.
    """

    def __init__(
        self,
        model: keras.Model,
        variants: Sequence[Rows | Sample],
        labels: NDArray[np.int32],
        *,
        recipe: Recipe,
        evaluated: Callable[[], None],
    ) -> None:
        self._dense = only_layer(model)
        self._variants = variants
        self._labels = labels
        self._evaluated = evaluated
        self._classes = self._dense.units
        self._chunk_rows = max(1, CHUNK_BYTES // (4 * variants[0].shape[1]))
        self._rows = sum(map(len, variants))
        self._mean, self._scale = self._statistics()
        width = variants[0].shape[1] + int(self._dense.use_bias)
        self._solution: Float64s = np.zeros(width * self._classes)
        self._loss = self._accuracy = 0.0
        smoothing = recipe.label_smoothing

        def work(x: tf.Tensor, y: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tuple[tf.Tensor, ...]:
            logits = tf.matmul(x, kernel) + bias
            targets = tf.one_hot(y, self._classes) * (1 - smoothing) + smoothing / self._classes
            losses = tf.nn.softmax_cross_entropy_with_logits(targets, logits)
            slope = tf.nn.softmax(logits) - targets
            right = tf.equal(tf.argmax(logits, axis=-1, output_type=tf.int32), y)
            return (
                tf.reduce_sum(losses),
                tf.reduce_sum(tf.cast(right, tf.float32)),
                tf.matmul(slope, x, transpose_a=True),  # the faster way round on a CPU, by half
                tf.reduce_sum(slope, axis=0),
            )

        shape = (None, variants[0].shape[1])
        self._work = tf.function(
            work,
            autograph=False,
            input_signature=[
                tf.TensorSpec(shape, tf.float32),
                tf.TensorSpec((None,), tf.int32),
                tf.TensorSpec((shape[1], self._classes), tf.float32),
                tf.TensorSpec((self._classes,), tf.float32),
            ],
        )

    @property
    def images(self) -> int:
        """Images of a pass: those of every variant count."""
        return self._rows

    @property
    def loss(self) -> float:
        """Mean cross-entropy of the training images in the last pass, in nats."""
        return self._loss

    @property
    def accuracy(self) -> float:
        """Share of the training images that were labelled right in the last pass."""
        return self._accuracy

    def rehearse(self) -> None:
        """Trace what a pass does, on some images."""
        rows = next(iter(self._variants[0].chunks(self._chunk_rows)))
        kernel, bias = self._unscaled(self._solution)
        self._work(rows, self._labels[: len(rows)], kernel, bias)

    def take_up(self) -> None:
        """Begin where the layer's weights are, in place of 0: those that an earlier process has kept."""
        kernel = self._dense.kernel.numpy().astype(np.float64)
        scale = np.broadcast_to(self._scale[:, np.newaxis], kernel.shape)
        parts = [np.divide(kernel, scale, out=np.zeros_like(kernel), where=scale > 0).ravel()]
        if self._dense.use_bias:
            parts.append(self._dense.bias.numpy() + self._mean @ kernel)
        self._solution = np.concatenate(parts)

    def fit(self, l2: float) -> None:
        """Find the weights of the least loss for an L2 strength, and give them to the layer."""
        found = optimize.minimize(
            self._objective,
            self._solution,
            args=(l2,),
            jac=True,
            method="L-BFGS-B",
            options={"maxfun": PROBE_PASSES - 1, "ftol": PRECISION},  # SciPy ends with the first one beyond
        )
        self._solution = found.x
        kernel, bias = self._unscaled(self._solution)
        self._dense.kernel.assign(kernel)
        if self._dense.use_bias:
            self._dense.bias.assign(bias)

    def _objective(self, solution: Float64s, l2: float) -> tuple[float, Float64s]:
        kernel, bias = self._unscaled(solution)
        loss = correct = 0.0
        by_kernel = np.zeros((len(self._mean), self._classes))
        by_bias = np.zeros(self._classes)
        for rows, labels in self._chunks():
            part_loss, part_correct, part_kernel, part_bias = self._work(rows, labels, kernel, bias)
            loss += float(part_loss)
            correct += float(part_correct)
            by_kernel += part_kernel.numpy().T
            by_bias += part_bias.numpy()
        self._loss, self._accuracy = loss / self._rows, correct / self._rows
        scaled = (by_kernel - np.outer(self._mean, by_bias)) * self._scale[:, np.newaxis] / self._rows
        weights = solution[: scaled.size].reshape(scaled.shape)
        gradient = [(scaled + l2 * weights).ravel()]
        if self._dense.use_bias:
            gradient.append(by_bias / self._rows)
        self._evaluated()
        return self._loss + l2 / 2 * float((weights**2).sum()), np.concatenate(gradient)

    def _unscaled(self, solution: Float64s) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return kernel and bias for the features as they are."""
        size = len(self._mean) * self._classes
        kernel = solution[:size].reshape(-1, self._classes) * self._scale[:, np.newaxis]
        bias = solution[size:] - self._mean @ kernel if self._dense.use_bias else np.zeros(self._classes)
        return kernel.astype(np.float32), bias.astype(np.float32)

    def _chunks(self) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int32]]]:
        for variant in self._variants:
            start = 0
            for rows in variant.chunks(self._chunk_rows):
                yield rows, self._labels[start : start + len(rows)]
                start += len(rows)

    def _statistics(self) -> tuple[Float64s, Float64s]:
        """Mean of each feature, and one over its deviation; 0 for a constant, which then does not count.

        Without a bias nothing can be moved, so the mean is taken for 0.
        """
        # Near the mean, so that the squares of large numbers need not cancel each other.
        near = np.zeros(self._variants[0].shape[1])
        if self._dense.use_bias:
            near += next(iter(self._variants[0].chunks(1)))[0]
        total, squares = np.zeros_like(near), np.zeros_like(near)
        for rows, _ in self._chunks():
            moved = rows - near
            total += moved.sum(axis=0)
            squares += np.square(moved, out=moved).sum(axis=0)
        off = total / self._rows if self._dense.use_bias else np.zeros_like(near)
        mean = near + off
        deviation = np.sqrt(np.maximum(squares / self._rows - off**2, 0.0))
        scale = np.zeros_like(deviation)
        least = SMALLEST_DEVIATION * deviation.max()
        np.divide(1.0, np.maximum(deviation, least), out=scale, where=deviation > ROUNDING * np.abs(mean))
        return mean, scale


def only_layer(model: keras.Model) -> keras.layers.Dense:
    """Return the layer of a model that a linear probe can fit.

    Raises:
        ModelError: It has another one, or more.
    """
    passing = (keras.layers.InputLayer, keras.layers.Dropout)
    layers = [layer for layer in model.layers if not isinstance(layer, passing)]
    match layers:
        case [keras.layers.Dense() as dense] if len(model.input_shape) == 2 and _is_plain(dense):
            return dense
        case _:
            raise ModelError(
                "lbfgs fits a single Dense layer, linear or with softmax, on vectors, one an image; "
                f"behind frozen_until the model has {', '.join(f'{x.name} ({type(x).__name__})' for x in layers)}; "
                "cut it behind a later layer, or choose another optimizer"
            )


def _is_plain(dense: keras.layers.Dense) -> bool:
    return dense.activation in {keras.activations.linear, keras.activations.softmax}
