"""Means of weights exp(a) without overflow, and sums taken in chunks: memory does not grow with the number of weights."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from minivae import checks
from minivae.ops import log_sum_exp
from minivae.vae import VAE

AT_ONCE = 2_000_000                                         # largest number of entries of an array; it limits the memory
IN_CACHE = 10                                               # an array of AT_ONCE / 10 numbers fits in the CPU's cache


def log_mean_exp(a: NDArray, axis: int = 0) -> NDArray:
    """Return the log of the mean of exp(a)."""
    return log_sum_exp(a, axis) - np.log(a.shape[axis])


def error_of_log_mean(log_sum: NDArray, log_sum_2: NDArray, count: int) -> NDArray:
    """Return the standard error of log(mean of w) for `count` weights w.

    `log_sum` is the log of the sum of w, and `log_sum_2` is the log of the sum of w^2. To first order, the standard error is
    sd(w) / (mean(w) sqrt(count)). It is infinite where all weights are 0.
    """
    known = np.isfinite(log_sum)
    ratio = np.where(known, log_sum_2, 0) - 2 * np.where(known, log_sum, 0) + np.log(count)
    relative_variance = np.maximum(np.expm1(np.where(known, ratio, 0)), 0)
    return np.where(known, np.sqrt(relative_variance / (count - 1)), np.inf)


class Moments:
    """Mean and standard error of each of N columns of numbers. The method `add` gets the rows in chunks (L, N).

    The first row is subtracted from all rows, because sums of squares of large numbers lose digits. If a number is -inf,
    the mean of its column is -inf and the error is inf.
    """

    def __init__(self):
        self.count, self.first = 0, None

    def add(self, values: NDArray) -> None:
        """Add a chunk (L, N), L >= 1."""
        if self.first is None:
            self.first = np.where(np.isfinite(values[0]), values[0], 0)
            self.sum_1, self.sum_2 = np.zeros_like(self.first), np.zeros_like(self.first)
            self.infinite = np.zeros(len(self.first), bool)
        finite = np.isfinite(values)
        differences = np.where(finite, values, self.first) - self.first
        self.infinite |= ~finite.all(axis=0)
        self.sum_1 += differences.sum(axis=0)
        self.sum_2 += (differences * differences).sum(axis=0)
        self.count += len(values)

    def mean(self) -> NDArray:
        """Return the mean of each column, (N,)."""
        return np.where(self.infinite, -np.inf, self.first + self.sum_1 / self.count)

    def variance(self) -> NDArray:
        """Return the unbiased variance of the numbers in each column, (N,); it needs at least two rows."""
        squares = np.maximum(self.sum_2 - self.sum_1**2 / self.count, 0)
        return np.where(self.infinite, np.inf, squares / (self.count - 1))

    def error(self) -> NDArray:
        """Return the standard error of the mean of each column, (N,)."""
        return np.sqrt(self.variance() / self.count)


def widest(vae: VAE) -> int:
    """Return the number of columns of the widest layer of the decoder, its input and output included."""
    return max(vae.features, vae.latent, *vae.hidden, 1)


def in_rows(vae: VAE, x: NDArray, draws: int = 1) -> Iterator[NDArray]:
    """Yield x in parts of one row or more.

    The decoder gets `draws` codes z for each row of a part. For all codes of a part, the output of each decoder layer has at
    most AT_ONCE numbers. Only a part with a single row can exceed this limit.
    """
    rows = max(1, AT_ONCE // (draws * widest(vae)))
    return (x[start : start + rows] for start in range(0, len(x), rows))


def draws_at_once(vae: VAE, x: NDArray) -> int:
    """Return the number of draws that are decoded at once for each row of x; this number is at least 1.

    Several draws are decoded at once only if the output of the widest layer for all of them fits in the CPU's cache. This
    limit saves 35 % of the time.
    """
    return max(1, AT_ONCE // (IN_CACHE * len(x) * widest(vae)))


def need_log(name: str, values: NDArray) -> NDArray:
    """Return `values`. Raises ValueError if a value is NaN or +inf; -inf is allowed, because it is the log of 0."""
    bad = ~(values < np.inf)
    if bad.any():
        remedy = "The decoder overflows: its weights or x are too large. Check that training did not diverge."
        checks.refuse(name, "a number or -inf", f"{values[bad][0]} for {bad.sum()} of {bad.size} values", remedy)
    return values
