"""Lower bounds of log p(x) from draws z ~ q(z|x): the ELBO, and importance-weighted bounds for any numbers of draws."""

import sys
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minivae import checks
from minivae.evidence.sums import Moments, draws_at_once, error_of_log_mean, in_rows, log_sum_exp, need_log
from minivae.gaussian import kl_standard_normal, log_normal, log_standard_normal, reparameterize
from minivae.vae import VAE

ENOUGH = 10                                                 # blocks from whose spread an error can be read off


class Bounds(NamedTuple):
    """Lower bounds of log p(x), per datum (N,), from the same draws. `se`: standard error of the draws, nothing else.

    `iw_bound` and `iw_bound_se` are (N,) for one k, and (len(k), N) for several.
    """

    reconstruction: NDArray     # E_q log p(x|z)
    kl: NDArray                 # closed form: no error
    elbo: NDArray               # reconstruction - kl
    elbo_se: NDArray
    iw_bound: NDArray           # log of the mean of k importance weights
    iw_bound_se: NDArray


def lower_bounds(vae: VAE, x: NDArray, k: int | Sequence[int], rng: np.random.Generator) -> Bounds:
    """ELBO and importance-weighted bounds (Burda, Grosse and Salakhutdinov 2016) from draws z ~ q(z|x) for every datum.

    ELBO = E log p(x|z) - KL,    IW_k = E log 1/k sum_k w_k,    w = p(x|z) p(z) / q(z|x)
    In expectation ELBO = IW_1 <= IW_2 <= ... <= log p(x).   [odaibo.28, beyond.4]

    Parameters
    ----------
    x : ndarray, shape (N, D)
    k : a whole number, or several in increasing order
        As many draws as the largest, which is at least 2, serve all of them: IW_k is the mean over the whole blocks of
        k draws. Where each k divides the next, the IW_k are in order for every datum, not only in expectation.

    Returns nats per datum, computed in float64, in memory that does not grow with k. The error of the largest k is that
    of the log of a mean to first order: where a few weights outweigh all others, it is too small, and the bound low.
    Where all weights are 0 a bound is -inf and its error inf. Raises ValueError if an argument breaks its rule, the
    model has no noise, or the decoder overflows.
    """
    counts = checked_counts(k)
    checks.generator("rng", rng)
    vae.check_noise()
    vae = vae.astype(np.float64)
    parts = [_bounds(vae, rows, counts, rng) for rows in in_rows(vae, vae.check_data(x))]
    bounds = Bounds(*(np.concatenate(column, axis=-1) for column in zip(*parts)))
    return bounds if np.ndim(k) else bounds._replace(iw_bound=bounds.iw_bound[0], iw_bound_se=bounds.iw_bound_se[0])


def checked_counts(k: int | Sequence[int]) -> list[int]:
    """One k >= 2, or several in increasing order of which the last is."""
    try:
        several = np.ndim(k) > 0
    except ValueError:                                      # NumPy's own, of lists beside numbers
        checks.refuse("k", "a whole number, or several", repr(k), "Try k=(1, 10, 100).")
    counts = [checks.whole_number("every k", each, 1) for each in k] if several else [checks.whole_number("k", k, 2)]
    if not counts or counts[-1] < 2 or sorted(set(counts)) != counts:
        checks.refuse("k", "whole numbers in increasing order, the last >= 2", repr(list(k)), "Try k=(1, 10, 100).")
    if counts[-1] > sys.maxsize:
        came = f"a number of {counts[-1].bit_length()} bits"
        checks.refuse("k", f"at most {sys.maxsize}, the largest index", came, "Try k=1000.")
    return counts


def _bounds(vae, x, counts, rng):
    mu, log_var = vae.encode(x)
    all_draws, at_once = counts[-1], draws_at_once(vae, x)
    reconstruction, blocks = Moments(), [_Blocks(k) for k in counts]
    log_w2 = np.full(len(x), -np.inf)                       # (N,)   log of the sum of w^2
    for done in range(0, all_draws, at_once):
        eps = rng.standard_normal((min(at_once, all_draws - done), *mu.shape))
        z = reparameterize(mu, log_var, eps)                                                # (L, N, J)
        with np.errstate(over="ignore", invalid="ignore"):                                  # refused in words below
            log_px_z = vae.log_likelihood(x, z)                                             # (L, N)
            log_w = log_px_z + log_standard_normal(z) - log_normal(z, mu, log_var)          # (L, N)
        reconstruction.add(need_log("log p(x|z)", log_px_z))
        need_log("the log of an importance weight", log_w)
        log_w2 = np.logaddexp(log_w2, log_sum_exp(2 * log_w))
        for block in blocks:
            block.add(log_w)
    kl = kl_standard_normal(mu, log_var).sum(axis=-1)
    mean = reconstruction.mean()
    of_all = error_of_log_mean(blocks[-1].log_sum(), log_w2, all_draws)
    errors = [block.error(of_all) for block in blocks]
    return Bounds(mean, kl, mean - kl, reconstruction.error(), np.array([b.mean() for b in blocks]), np.array(errors))


class _Blocks:
    """The mean, over blocks of k draws that follow one another, of the log of a block's mean weight."""

    def __init__(self, k):
        self.k, self.held, self.part, self.whole = k, 0, -np.inf, Moments()

    def add(self, log_w):
        """Take in log weights (L, N); a block may begin in one chunk and end in another."""
        ends = np.arange(self.k - self.held, len(log_w) + 1, self.k)                        # of blocks, in this chunk
        starts = np.concatenate([[0], ends])
        rest = len(log_w) - starts[-1]
        sums = log_w if self.k == 1 else np.logaddexp.reduceat(log_w, starts[: len(starts) - (rest == 0)])
        sums[0] = np.logaddexp(self.part, sums[0])
        if len(ends):
            self.whole.add(sums[: len(ends)] - np.log(self.k))
        self.part = sums[-1] if rest else np.full(log_w.shape[1:], -np.inf)
        self.held = rest if len(ends) else self.held + rest

    def mean(self):
        return self.whole.mean()

    def log_sum(self):
        """log of the sum of all weights, where one block holds them all."""
        return self.whole.mean() + np.log(self.k)

    def error(self, of_all):
        """Of `mean`: from the spread of many blocks; of few, as if they were one, whose error is that of all draws."""
        return self.whole.error() if self.k == 1 or self.whole.count >= ENOUGH else of_all
