"""Fits of one Gaussian q to a mixture p of two Gaussians, for the two figures of the flashcards.

p(z) = N(z; -a, 1) / 2 + N(z; a, 1) / 2 with a = `apart`, and q = N(mu, sigma^2). The q with the smallest KL(p || q) has the
mean and variance of p, so it covers both modes. The q with the smallest KL(q || p) is found by descent from two starts, in
the middle and at a mode. KL(q || p) has a local minimum in the middle, where q covers both modes. For a >= 2.5 there is
also a minimum at each mode. For a >= 2.9 the minima at the modes are lower than the minimum in the middle.
Arguments may be numbers, or arrays that broadcast.
"""

import functools
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from derivations.engine.numerics import need_positive
from minivae.checks import refuse

LOG_2PI = math.log(2 * math.pi)

# A mean over q = N(mu, sigma^2) is a weighted sum over the points mu + sigma * NODES. These points are dense enough
# if a * sigma < 15; the modes of p are near -a and a. A mean over p is the average of a mean over N(-a, 1) and a mean over
# N(a, 1). The points for N(-a, 1) are BELL - a, and the points for N(a, 1) are BELL + a. The array BELL contains every
# second number of NODES. The points from BELL are dense enough if a < 8.
NODES = np.linspace(-9, 9, 801)
WEIGHTS = np.exp(-(NODES**2) / 2) / np.exp(-(NODES**2) / 2).sum()
BELL, BELL_WEIGHTS = NODES[::2], WEIGHTS[::2] / WEIGHTS[::2].sum()

STEPS = 100                                                 # largest number of steps of a descent; usually, ten are enough
STATIONARY = 1e-9                                           # a slope below this counts as 0

erf = np.vectorize(math.erf, otypes=[float])


# The mixture and the two divergences


def log_mixture(z: NDArray, apart: NDArray) -> NDArray:
    """Return log p(z): the log-density of the nearer mode, plus a correction for the other mode."""
    z, apart = np.abs(z), np.abs(apart)
    return -((z - apart) ** 2) / 2 + np.log1p(np.exp(-2 * apart * z)) - math.log(2) - LOG_2PI / 2


def log_gaussian(z: NDArray, mu: NDArray, sigma: NDArray) -> NDArray:
    """Return log q(z) = log N(z; mu, sigma^2)."""
    return -(((z - mu) / sigma) ** 2) / 2 - np.log(sigma) - LOG_2PI / 2


def kl_forward(apart: NDArray, mu: NDArray, sigma: NDArray) -> NDArray:
    """Return KL(p || q) = E_p[log p - log q], by quadrature over the two Gaussians of p."""
    apart, mu, sigma = with_nodes(apart, mu, need_positive("sigma", sigma))
    z = apart + BELL                                        # -z has the same density under p
    log_q = (log_gaussian(z, mu, sigma) + log_gaussian(-z, mu, sigma)) / 2
    return (log_mixture(z, apart) - log_q) @ BELL_WEIGHTS


def kl_reverse(apart: NDArray, mu: NDArray, sigma: NDArray) -> NDArray:
    """Return KL(q || p) = E_q[log q - log p], by quadrature over q."""
    apart, mu, sigma = with_nodes(apart, mu, need_positive("sigma", sigma))
    z = mu + sigma * NODES
    return (log_gaussian(z, mu, sigma) - log_mixture(z, apart)) @ WEIGHTS


def with_nodes(*arrays: NDArray) -> list[NDArray]:
    """Return each array, as floats, with one more axis for the nodes."""
    return [np.asarray(array, float)[..., None] for array in arrays]


# Probabilities of intervals


def mass(mu: NDArray, sigma: NDArray, low: float, high: float) -> NDArray:
    """Return the probability of low < z < high under N(mu, sigma^2)."""
    scale = math.sqrt(2) * need_positive("sigma", sigma)
    return (erf((high - mu) / scale) - erf((low - mu) / scale)) / 2


def mixture_mass(apart: NDArray, low: float, high: float) -> NDArray:
    """Return the probability of low < z < high under p."""
    return (mass(-np.asarray(apart), 1, low, high) + mass(apart, 1, low, high)) / 2


# The fits


def once_per_value(fit: Callable) -> Callable:
    """Decorate a fit: if a value occurs several times in the array `apart`, the fit is computed only once for this value."""

    @functools.wraps(fit)
    def fitted(apart: NDArray) -> tuple[NDArray, NDArray]:
        values, which = np.unique(np.asarray(apart, float), return_inverse=True)
        mu, sigma = (found[which].reshape(np.shape(apart)) for found in fit(values))
        return mu, sigma

    return fitted


@once_per_value
def fit_forward(apart: NDArray) -> tuple[NDArray, NDArray]:
    """Return mu and sigma of the Gaussian q with the smallest KL(p || q): mean and standard deviation of p, by quadrature.

    E_p[log q] depends on p only through E_p[z] and E_p[z^2]. Let Q be the Gaussian with these two moments. For every
    Gaussian q, KL(p || q) = KL(p || Q) + KL(Q || q), so KL(p || q) is smallest for q = Q.   [cards.19]
    """
    z = np.stack([BELL + middle for middle in with_nodes(-apart, apart)])       # (2, K, nodes)
    mu = (z @ BELL_WEIGHTS).mean(axis=0)
    variance = ((z - mu[..., None]) ** 2 @ BELL_WEIGHTS).mean(axis=0)
    return mu, np.sqrt(variance)


def reverse_slopes(apart: NDArray, mu: NDArray, sigma: NDArray) -> tuple[NDArray, NDArray]:
    """Gradient (..., 2) and Hessian (..., 2, 2) of KL(q || p) in (mu, log sigma).

    With z = mu + sigma eps, a = `apart`, and s(z) = -d log p / dz = z - a tanh(a z):
    d/dmu = E[s],   d/dlog_sigma = E[s sigma eps] - 1.   Each row of the Hessian is the gradient of one slope.
    """
    apart, mu, sigma = with_nodes(apart, mu, sigma)
    d_z = sigma * NODES                                     # d_z = dz / dlog_sigma; dz / dmu = 1 is left out
    t = np.tanh(apart * (mu + d_z))
    s, d_s = mu + d_z - apart * t, 1 - apart**2 * (1 - t * t)
    mean = lambda f: f @ WEIGHTS  # noqa: E731
    gradient = np.stack([mean(s), mean(s * d_z) - 1], axis=-1)
    both = mean(d_s * d_z)
    hessian = np.stack([mean(d_s), both, both, mean(d_s * d_z**2) + mean(s * d_z)], axis=-1)
    return gradient, hessian.reshape(*gradient.shape, 2)


def fit_reverse(apart: NDArray, start: NDArray) -> tuple[NDArray, NDArray]:
    """Minimise KL(q || p) by descent from q = N(start, 1). Return mu and sigma at the minimum.

    From start = `apart`, descent finds the minimum near the mode z = `apart` of p, if KL(q || p) has a minimum there. From
    start = 0, descent finds the minimum in the middle if `apart` <= 8. For start = 0 and `apart` > 8, descent may fail or
    find a wrong minimum: the points of NODES are too far apart to compute the slopes of KL(q || p). Raise ValueError if
    descent finds no minimum.
    """
    apart, start = np.broadcast_arrays(np.asarray(apart, float), np.asarray(start, float))
    each, which = np.unique(np.stack([apart.ravel(), start.ravel()], axis=-1), axis=0, return_inverse=True)
    mu, sigma = (found[which.ravel()].reshape(apart.shape) for found in descend(*each.T))
    return mu, sigma


def descend(apart: NDArray, start: NDArray) -> tuple[NDArray, NDArray]:
    """Minimise KL(q || p) from K starts by Newton's method.

    Each curvature is replaced by its absolute value, so that every step goes downhill.
    """
    at = np.stack([start, np.zeros_like(start)], axis=-1)   # (K, 2)   mu, log sigma
    for _ in range(STEPS):
        gradient, hessian = reverse_slopes(apart, at[:, 0], np.exp(at[:, 1]))
        if np.abs(gradient).max() < STATIONARY / 1000:
            break
        curvature, axes = np.linalg.eigh(hessian)           # (K, 2), (K, 2, 2)
        along = np.einsum("kij,ki->kj", axes, gradient) / np.maximum(np.abs(curvature), 1e-6)
        step = np.einsum("kij,kj->ki", axes, along)
        at = at - step / np.maximum(1, 2 * np.abs(step).max(axis=-1, keepdims=True))    # a step is at most 1/2
    failed = (np.abs(gradient) > STATIONARY).any(axis=-1) | (np.linalg.eigvalsh(hessian) < 0).any(axis=-1)
    if failed.any():
        refuse(
            "start", "where descent leads to a minimum", f"{start[failed][0]:g} for a = {apart[failed][0]:g}",
            "Start on one of the modes, or in the middle.",
        )  # fmt: skip
    return at[:, 0], np.exp(at[:, 1])


@once_per_value
def best_reverse(apart: NDArray) -> tuple[NDArray, NDArray]:
    """Return mu >= 0 and sigma of the q with the smallest KL(q || p).

    For mu >= 0, KL(q || p) can have two local minima: one in the middle, at mu = 0, and one near the right mode,
    z = `apart`. Return the lower of these two minima.
    """
    middle, right = fit_reverse(apart, 0.0), fit_reverse(apart, apart)
    lower = kl_reverse(apart, *middle) <= kl_reverse(apart, *right)
    mu, sigma = (np.where(lower, one, other) for one, other in zip(middle, right))
    return np.abs(mu), sigma
