"""Sums that stay right where exp overflows, and that need no more memory the longer they get."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from minivae import checks
from minivae.ops import log_sum_exp
from minivae.vae import VAE

AT_ONCE = 2_000_000                                         # numbers in one array: memory stays bounded, whatever k is
IN_CACHE = 10                                               # parts of AT_ONCE, for arrays that are read many times


def log_mean_exp(a: NDArray, axis: int = 0) -> NDArray:
    """log of the mean of exp(a)."""
    return log_sum_exp(a, axis) - np.log(a.shape[axis])


def error_of_log_mean(log_sum: NDArray, log_sum_2: NDArray, count: int) -> NDArray:
    """Standard error of the log of a mean of `count` weights, given the logs of the sums of w and of w^2.

    = sd(w) / (mean(w) sqrt(count)), to first order. Infinite where all weights are 0: then nothing is known.
    """
    known = np.isfinite(log_sum)
    ratio = np.where(known, log_sum_2, 0) - 2 * np.where(known, log_sum, 0) + np.log(count)
    relative_variance = np.maximum(np.expm1(np.where(known, ratio, 0)), 0)
    return np.where(known, np.sqrt(relative_variance / (count - 1)), np.inf)


class Moments:
    """Mean and standard error of numbers that come in chunks (L, N), for each of the N columns.

    What comes first is subtracted from all, so that squares lose no digits. A -inf makes the mean -inf, and its
    error inf.
    """

    def __init__(self):
        self.count, self.first = 0, None

    def add(self, values: NDArray) -> None:
        """Take in another chunk (L, N), L >= 1."""
        if self.first is None:
            self.first = np.where(np.isfinite(values[0]), values[0], 0)
            self.sum_1, self.sum_2 = np.zeros_like(self.first), np.zeros_like(self.first)
            self.lost = np.zeros(len(self.first), bool)
        finite = np.isfinite(values)
        away = np.where(finite, values, self.first) - self.first
        self.lost |= ~finite.all(axis=0)
        self.sum_1 += away.sum(axis=0)
        self.sum_2 += (away * away).sum(axis=0)
        self.count += len(values)

    def mean(self) -> NDArray:
        """(N,)"""
        return np.where(self.lost, -np.inf, self.first + self.sum_1 / self.count)

    def variance(self) -> NDArray:
        """Of one number, estimated without bias from at least two, (N,)"""
        spread = np.maximum(self.sum_2 - self.sum_1**2 / self.count, 0)
        return np.where(self.lost, np.inf, spread / (self.count - 1))

    def error(self) -> NDArray:
        """Standard error of the mean, (N,)"""
        return np.sqrt(self.variance() / self.count)


def widest(vae: VAE) -> int:
    """The most numbers that one row of anything the decoder makes can have."""
    return max(vae.features, vae.latent, *vae.hidden, 1)


def in_rows(vae: VAE, x: NDArray, each: int = 1) -> Iterator[NDArray]:
    """x in parts so small that `each` rows of the decoder for every datum are no more than AT_ONCE numbers."""
    rows = max(1, AT_ONCE // (each * widest(vae)))
    return (x[start : start + rows] for start in range(0, len(x), rows))


def draws_at_once(vae: VAE, x: NDArray) -> int:
    """How many draws for every row of x make no more than AT_ONCE numbers."""
    return max(1, AT_ONCE // (len(x) * widest(vae)))


def need_log(name: str, values: NDArray) -> NDArray:
    """The same values, refused with ValueError if one is NaN or +inf; -inf is the log of 0, and allowed."""
    bad = ~(values < np.inf)
    if bad.any():
        remedy = "The decoder overflows: its weights or x are too large. Check that training did not diverge."
        checks.refuse(name, "a number or -inf", f"{values[bad][0]} for {bad.sum()} of {bad.size}", remedy)
    return values
