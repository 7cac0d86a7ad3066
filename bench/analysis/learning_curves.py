"""Families of learning curves, and what they expect together of a later epoch.

A curve rises ever more slowly to a limit: `limit + (first - limit) * shape(epoch)`, its shape falling from 1 at the
first epoch to 0. Limit and first accuracy enter linearly, so they are solved for, by weighted least squares; the
parameters of the shapes are taken from grids. Each shape counts by how well it explains what was seen: a Bayesian
average, flat over limit and first accuracy.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

# The grids hold every shape between a curve that still rises after a hundred epochs and one that is flat after three.
# Three times as fine on each axis, they change no forecast of a real curve by more than 0.2 points, but for a net that
# had not yet begun to learn.
POW3_EXPONENTS = np.geomspace(0.1, 3, 24)
MMF_SCALES = np.geomspace(0.05, 3, 12)
MMF_EXPONENTS = np.linspace(0.5, 3, 8)

# Standard deviation of an accuracy p from epoch to epoch, beside what the choice of validation images makes, over
# sqrt(p (1 - p)): 0.7 points at 30 %, as if those were 4,400 images. Of ten real curves at constant rates, the tails of
# seven vary by less than the choice of images alone explains (it is the same choice in every epoch), two by up to twice
# as much, and a batch-normalized net's by ten times that: so what is seen of a trial soon replaces this expectation.
JITTER = 0.015
JITTER_EPOCHS = 4  # after how many epochs either counts for half

# How far the truth leaves every curve of the families, over sqrt(p (1 - p)), for each e-fold of the epochs that were
# seen: 1.4 points at 30 %. A net that begins to overfit does. Chosen on all real curves but one, this and the jitter
# gave intervals that held 90 % of that one's accuracies.
DISCREPANCY = 0.03

# An accuracy of 0 or 1 has no binomial noise, yet the next one may be another.
_CERTAIN = 0.01
# The middles of 21 equally likely parts of a normal distribution: enough for its 5 % quantile.
_NORMAL = np.array([NormalDist().inv_cdf((part + 0.5) / 21) for part in range(21)])
_LOGISTIC = 1.702  # the logistic function of 1.702 z is a normal distribution's within 0.01


def predict(
    accuracies: Mapping[int, float], epochs: float, *, num_images: int | None, confidence: float
) -> tuple[float, float, float]:
    """Predict the accuracy of a later epoch.

    The interval holds what the shapes disagree on, what each leaves open, the noise of a validation, and that no shape
    is quite right.

    Args:
        accuracies: By epoch, from 1, shares of 1; at least three.
        epochs: The epoch to predict, later than these.
        num_images: Validation images, whose choice is noise of p (1 - p) / n; None if unknown.
        confidence: Of the interval, a share of 1.

    Returns:
        Lower end, median and upper end of what is expected, within 0 and 1.
    """
    x = np.array(list(accuracies), dtype=float)
    y = np.array(list(accuracies.values()), dtype=float).clip(0, 1)
    relative = JITTER**2 + (1 / num_images if num_images else 0.0)
    variance = relative * float(_binomial(y[len(y) // 2 :].mean()))
    means, deviations, weights = _fits(x, y, epochs, variance=variance, relative=relative)
    off = DISCREPANCY * np.log(epochs / x[-1]) * np.sqrt(_binomial(float(weights @ means)))
    tail = (1 - confidence) / 2
    ends = _quantiles(means, np.hypot(deviations, off), weights, at=(tail, 0.5, 1 - tail))
    low, estimate, high = (float(end) for end in ends.clip(0, 1))
    return low, estimate, high


def shapes(epochs: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Evaluate all shapes of all families.

    Two of the eleven families of Domhan et al. 2015 (Speeding up automatic hyperparameter optimization of deep neural
    networks by extrapolation of learning curves): pow3, `x^-c`, and MMF (Morgan-Mercer-Flodin), `1 / (1 + (k x)^d)`.
    Janoschek and ilog2 beside them made forecasts of real curves no better.

    Args:
        epochs: Where; positive, shape (points,).

    Returns:
        The shapes, (shapes, points), each 1 at epoch 1; and what each counts for beforehand, (shapes,): the families
        alike, and so the shapes within each. The weights add up to 1.
    """
    exponents = POW3_EXPONENTS[:, None]
    scales, powers = (axis.reshape(-1, 1) for axis in np.meshgrid(MMF_SCALES, MMF_EXPONENTS))
    pow3 = epochs**-exponents
    mmf = (1 + scales**powers) / (1 + (scales * epochs) ** powers)
    weights = np.repeat([0.5 / len(pow3), 0.5 / len(mmf)], [len(pow3), len(mmf)])
    return np.vstack([pow3, mmf]), weights


def _fits(
    x: NDArray[np.float64], y: NDArray[np.float64], epochs: float, *, variance: float, relative: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Fit every shape; what each expects of an epoch, its standard deviation, and how much it counts, (shapes,)."""
    g, prior = shapes(np.append(x, epochs))
    g, ahead = g[:, :-1], g[:, -1]
    # A late epoch says more of what comes than an early one, in which a net may not have begun to learn.
    w = x / x[-1] / variance
    # y = limit (1 - g) + first g, by its normal equations.
    s11, s12, s22 = (w * (1 - g) ** 2).sum(1), (w * (1 - g) * g).sum(1), (w * g**2).sum(1)
    t1, t2 = ((1 - g) * (w * y)).sum(1), (g * (w * y)).sum(1)
    determinant = s11 * s22 - s12**2
    limit, first = (s22 * t1 - s12 * t2) / determinant, (s11 * t2 - s12 * t1) / determinant
    chi2 = (w * (y - limit[:, None] * (1 - g) - first[:, None] * g) ** 2).sum(1)
    # Each epoch counts in chi2 for its weight, so the epochs are as many as their weights add up to.
    freedom = JITTER_EPOCHS + (x / x[-1]).sum() - 2
    scale = (JITTER_EPOCHS + chi2) / freedom
    # Accuracy does not exceed 1, and training does not make a net worse than it was at first.
    below_one = (1 - limit) / np.sqrt(scale * s22 / determinant)
    rising = (limit - first) / np.sqrt(scale * (s11 + 2 * s12 + s22) / determinant)
    likelihood = -0.5 * np.log(determinant) - freedom / 2 * np.log(JITTER_EPOCHS + chi2)
    likelihood += _log_probability(below_one) + _log_probability(rising)
    weights = prior * np.exp(likelihood - likelihood.max())
    means = limit * (1 - ahead) + first * ahead
    leverage = ((1 - ahead) ** 2 * s22 - 2 * (1 - ahead) * ahead * s12 + ahead**2 * s11) / determinant
    return means, np.sqrt(scale * (relative * _binomial(means) + leverage)), weights / weights.sum()


def _quantiles(
    means: NDArray[np.float64], deviations: NDArray[np.float64], weights: NDArray[np.float64], *, at: tuple[float, ...]
) -> NDArray[np.float64]:
    """Quantiles of a mixture of normal distributions."""
    values = (means[:, None] + deviations[:, None] * _NORMAL).ravel()
    shares = np.repeat(weights / len(_NORMAL), len(_NORMAL))
    order = np.argsort(values, kind="stable")
    below = np.cumsum(shares[order]) - shares[order] / 2
    return np.asarray(np.interp(at, below, values[order]))


def _binomial(p: NDArray[np.float64] | float) -> NDArray[np.float64]:
    p = np.clip(p, _CERTAIN, 1 - _CERTAIN)
    return np.asarray(p * (1 - p))


def _log_probability(z: NDArray[np.float64]) -> NDArray[np.float64]:
    return -np.logaddexp(0, -_LOGISTIC * z)
