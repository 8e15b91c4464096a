"""Lower bounds of log p(x) from draws z ~ q(z|x): the ELBO, and importance-weighted bounds with k draws."""

import sys
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minivae import checks
from minivae.evidence.sums import Moments, draws_at_once, error_of_log_mean, in_rows, log_sum_exp, need_log
from minivae.gaussian import kl_standard_normal, log_normal, log_standard_normal, reparameterize
from minivae.vae import VAE

ENOUGH = 10                                                 # for k > 1, `_Blocks.error` compares at least this many blocks


class Bounds(NamedTuple):
    """Lower bounds of log p(x) in nats for each data point, (N,), all from the same draws.

    `elbo_se` and `iw_bound_se` are standard errors due to the draws of z; the data are fixed. `iw_bound` and `iw_bound_se`
    are (N,) if k is a number, and (len(k), N) if k is a sequence.
    """

    reconstruction: NDArray     # E_q log p(x|z)
    kl: NDArray                 # computed in closed form, so it has no sampling error
    elbo: NDArray               # reconstruction - kl
    elbo_se: NDArray
    iw_bound: NDArray           # log(mean importance weight of a block of k draws), averaged over all complete blocks
    iw_bound_se: NDArray


def lower_bounds(vae: VAE, x: NDArray, k: int | Sequence[int], rng: np.random.Generator) -> Bounds:
    """Return the ELBO and importance-weighted bounds (Burda, Grosse and Salakhutdinov 2016), from draws z ~ q(z|x).

    ELBO = E log p(x|z) - KL,    IW_k = E log( 1/k (w_1 + ... + w_k) ),    importance weight w = p(x|z) p(z) / q(z|x)
    In expectation ELBO = IW_1 <= IW_2 <= ... <= log p(x).   [odaibo.28, beyond.4]

    The brackets contain the names of two equations. The command `derivations show odaibo.28` prints the first one.

    Parameters
    ----------
    x : ndarray, shape (N, D)
    k : a whole number, or several in increasing order
        The largest k is the number of z that are drawn for each data point; it must be at least 2. The bounds for all k are
        computed from the same draws. For each k, the draws are divided into blocks of k draws. If fewer than k draws are
        left at the end, these draws are not used for IW_k. Each block has a number log(mean weight of the block), and IW_k
        is the mean of these numbers. If each k divides the next one, IW_k never falls from one k to the next. This holds
        for every data point, not only in expectation.

    Returns nats for each data point, computed in float64; the memory does not grow with k. The largest k has only one block.
    The error of its bound is, to first order, the standard error of the mean weight divided by the mean weight. If a few
    weights are far larger than all others, this error is too small and the bound is too low. If all weights are 0, the bound
    is -inf and its error is inf. Raises ValueError if an argument is invalid, the model has no noise, or the decoder
    overflows.
    """
    counts = checked_counts(k)
    checks.generator("rng", rng)
    vae.check_noise()
    vae = vae.astype(np.float64)
    parts = [_bounds(vae, rows, counts, rng) for rows in in_rows(vae, vae.check_data(x))]
    bounds = Bounds(*(np.concatenate(column, axis=-1) for column in zip(*parts)))
    return bounds if np.ndim(k) else bounds._replace(iw_bound=bounds.iw_bound[0], iw_bound_se=bounds.iw_bound_se[0])


def checked_counts(k: int | Sequence[int]) -> list[int]:
    """Return k as a list. Raises ValueError unless k is a whole number >= 2, or an increasing list of whole numbers >= 1.

    The last number of the list must be at least 2. No number may exceed sys.maxsize.
    """
    example = "Try k=(1, 10, 100)."
    try:
        several = np.ndim(k) > 0
    except ValueError:                                      # NumPy raises it for nested lists of unequal length or depth
        checks.refuse("k", "a whole number, or several", repr(k), example)
    counts = [checks.whole_number("every k", each, 1, example) for each in k] if several else []
    counts = counts if several else [checks.whole_number("k", k, 2)]
    if not counts or counts[-1] < 2 or sorted(set(counts)) != counts:
        checks.refuse("k", "whole numbers in increasing order, the last >= 2", repr(list(k)), example)
    if counts[-1] > sys.maxsize:
        got = f"a number of {counts[-1].bit_length()} bits"
        checks.refuse("k", f"at most {sys.maxsize}, the largest index", got, "Try k=1000.")
    return counts


def _bounds(vae, x, counts, rng):
    mu, log_var = vae.encode(x)
    all_draws, at_once = counts[-1], draws_at_once(vae, x)
    reconstruction, blocks = Moments(), [_Blocks(k) for k in counts]
    log_w2 = np.full(len(x), -np.inf)                       # (N,)   log of the sum of w^2
    for done in range(0, all_draws, at_once):
        eps = rng.standard_normal((min(at_once, all_draws - done), *mu.shape))
        z = reparameterize(mu, log_var, eps)                                                # (L, N, J)
        with np.errstate(over="ignore", invalid="ignore"):                                  # need_log checks for overflow
            log_px_z = vae.log_likelihood(x, z)                                             # (L, N)
            log_w = log_px_z + log_standard_normal(z) - log_normal(z, mu, log_var)          # (L, N)
        reconstruction.add(need_log("log p(x|z)", log_px_z))
        need_log("the log of an importance weight", log_w)
        log_w2 = np.logaddexp(log_w2, log_sum_exp(2 * log_w))
        for block in blocks:
            block.add(log_w)
    kl = kl_standard_normal(mu, log_var).sum(axis=-1)
    mean = reconstruction.mean()
    error_of_all = error_of_log_mean(blocks[-1].log_sum(), log_w2, all_draws)
    errors = [block.error(error_of_all) for block in blocks]
    return Bounds(mean, kl, mean - kl, reconstruction.error(), np.array([b.mean() for b in blocks]), np.array(errors))


class _Blocks:
    """IW_k, computed from blocks of k consecutive draws: log(mean weight of a block), averaged over all complete blocks."""

    def __init__(self, k):
        self.k = k
        self.whole = Moments()                              # moments of log(mean weight) over the complete blocks
        self.part, self.part_size = -np.inf, 0              # incomplete block: log(sum of weights), number of weights

    def add(self, log_w):
        """Add a chunk of log weights (L, N). A block may begin in one chunk and end in a later one."""
        ends = np.arange(self.k - self.part_size, len(log_w) + 1, self.k)                   # blocks end before these indices
        starts = np.concatenate([[0], ends])
        rest = len(log_w) - starts[-1]
        sums = log_w if self.k == 1 else np.logaddexp.reduceat(log_w, starts[: len(starts) - (rest == 0)])
        sums[0] = np.logaddexp(self.part, sums[0])
        if len(ends):
            self.whole.add(sums[: len(ends)] - np.log(self.k))
        self.part = sums[-1] if rest else np.full(log_w.shape[1:], -np.inf)
        self.part_size = rest if len(ends) else self.part_size + rest

    def mean(self):
        return self.whole.mean()

    def log_sum(self):
        """Return the log of the sum of all weights; there must be exactly one block."""
        return self.whole.mean() + np.log(self.k)

    def error(self, error_of_all):
        """Return the standard error of `mean`, from the variation between blocks.

        If k > 1 and the number of blocks is below ENOUGH, return `error_of_all`, the error of a single block with all
        draws. To first order, `error_of_all` equals the error of `mean` if k divides the number of draws. Otherwise `mean`
        uses fewer draws than `error_of_all`, so `error_of_all` is too small: the error of `mean` is up to sqrt(2) times as
        large.
        """
        return self.whole.error() if self.k == 1 or self.whole.count >= ENOUGH else error_of_all
