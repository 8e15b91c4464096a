"""p(x|z): the meaning of the decoder's output. Log-likelihoods are in nats and summed over the D features.

First come functions, with a backward below each log p(x|z); then a class for each likelihood, with checks and samples.
`x` is (B, D). The decoder's output, `logits` (l in formulas) or `mean`, is (L, B, D) for L draws of z per datum. It is
(L, 1, D) if all data share the L values of z (forward functions only).
"""

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minivae import checks
from minivae.checks import choice, counts, refuse, same_axes, shared, whole_number, within
from minivae.gaussian import LOG_2PI
from minivae.ops import sigmoid, softplus_excess

BLOCK = 512                                                 # features in one matrix product: a longer sum can lose digits


def squared_error(x: NDArray, mean: NDArray, sigma: NDArray | float = 1) -> NDArray:
    """sum_d ((x - mean) / sigma)^2, (L, B). For shared mean and sigma, x^2 - 2 x mean + mean^2 needs no (L, B, D) array."""
    if shared(x, mean) and np.size(sigma) == 1:
        centre = x.mean(axis=0)                             # subtract it first: differences of large squares lose digits
        x, mean = (x - centre) / sigma, (mean - centre) / sigma
        products = [mean[:, 0, i : i + BLOCK] @ x[:, i : i + BLOCK].T for i in range(0, x.shape[-1], BLOCK)]
        return (x * x).sum(axis=-1) - 2 * np.stack(products, axis=-1).sum(axis=-1) + (mean * mean).sum(axis=-1)
    u = (x - mean) / sigma                                  # (L, B, D)   divided first, so that the square does not overflow
    return (u * u).sum(axis=-1)


def bernoulli_terms(x: NDArray, logits: NDArray) -> NDArray:
    """x l - log(1 + e^l) of every feature, (L, B, D), at most 0; log(1 + e^l) is max(l, 0) + log(1 + e^-|l|)."""
    return x * logits - np.maximum(logits, 0) - softplus_excess(logits)

def bernoulli_log_prob(x: NDArray, logits: NDArray) -> NDArray:
    """log p(x|z) = sum_d ( x l - log(1 + e^l) )   (L, B)   [beyond.18]"""
    if not shared(x, logits):
        return bernoulli_terms(x, logits).sum(axis=-1)
    low, high = np.minimum(logits[:, 0], 0), np.maximum(logits[:, 0], 0)        # (L, D) each
    return low @ x.T - high @ (1 - x).T - softplus_excess(logits).sum(axis=-1)

def bernoulli_log_prob_backward(d_out, x, logits):
    """d/dl log p(x|z) = x - sigmoid(l)   [beyond.18]"""
    same_axes(logits, x, summed=d_out)
    return d_out[..., None] * (x - sigmoid(logits))         # (L, B, D)


def binomial_log_prob(x: NDArray, logits: NDArray, n: int) -> NDArray:
    """log p(x|z) = sum_d ( log C(n, x) + x l - n log(1 + e^l) ),   x in 0..n   (L, B)   [beyond.18]"""
    log_coefficient = log_binomials(n, logits.dtype)[x.astype(np.intp)]         # (B, D)   with it, p(x) sums to 1
    if not shared(x, logits):
        return (log_coefficient + n * bernoulli_terms(x / n, logits)).sum(axis=-1)
    return log_coefficient.sum(axis=-1) + n * bernoulli_log_prob(x / n, logits)

def binomial_log_prob_backward(d_out, x, logits, n):
    """d/dl log p(x|z) = x - n sigmoid(l):   observed minus expected count   [beyond.18]"""
    same_axes(logits, x, summed=d_out)
    return d_out[..., None] * (x - n * sigmoid(logits))     # (L, B, D)


@functools.cache
def log_binomials(n: int, dtype=np.dtype(np.float64)) -> NDArray:
    """log C(n, k) for k = 0..n, (n + 1,)"""
    log_factorial = [math.lgamma(k + 1) for k in range(n + 1)]
    table = np.array([log_factorial[n] - log_factorial[k] - log_factorial[n - k] for k in range(n + 1)]).astype(dtype)
    table.flags.writeable = False                           # read-only: later calls return this array from the cache
    return table


def gaussian_log_prob(x: NDArray, mean: NDArray, log_sigma: NDArray) -> NDArray:
    """log p(x|z) = -sum_d ( (x - mean)^2 / (2 sigma^2) + log sigma + 1/2 log 2 pi )   (L, B)

    The factor 1/2 and the two terms with log turn the squared error into a log-density in nats   [hong.15, lm.37]
    """
    sigma = np.exp(log_sigma)[..., None]                    # (1,), one sigma for all data; or (B, 1), one for each datum
    return -squared_error(x, mean, sigma) / 2 - x.shape[-1] * (log_sigma + LOG_2PI / 2)

def gaussian_log_prob_backward(d_out, x, mean, log_sigma):
    """d/dmean log p(x|z) = (x - mean) / sigma^2, d/dlog_sigma log p(x|z) = sum_d (x - mean)^2 / sigma^2 - D [beyond.19]"""
    same_axes(mean, x, summed=d_out)
    sigma = np.exp(log_sigma)                               # ()
    u = (x - mean) / sigma                                  # (L, B, D)   error in units of sigma
    d_mean = d_out[..., None] * u / sigma                   # (L, B, D)
    d_log_sigma = (d_out * ((u * u).sum(axis=-1) - x.shape[1])).sum()           # ()
    return d_mean, d_log_sigma


def optimal_log_sigma(x: NDArray, mean: NDArray) -> NDArray:
    """log of the sigma that maximises the Gaussian likelihood:  sigma^2 = mean of (x - mean)^2   [hong.14, beyond.37]"""
    top = np.abs(x - mean).max()                            # the largest ((x - mean) / top)^2 is 1: no overflow, no log 0
    if top == 0:
        remedy = "Give sigma a number: where the fit is perfect, the likelihood has no maximum."
        refuse("sigma", "above zero to be optimal", "a mean squared error of 0", remedy)
    log_sigma = np.log(top) + np.log(squared_error(x, mean, top).mean() / x.shape[-1]) / 2
    return log_sigma.astype(mean.dtype)                     # in NumPy 1, float32 scalar / int is float64: cast it back


class Likelihood:
    """Interface of a likelihood. `out` is the decoder's output. If `takes_counts`, the data are counts 0..n, not fractions.

    `scale` has the name of the parameter: ("log_sigma",) for the Gaussian, else (). Methods get this parameter as `*scale`.
    """

    name: str
    scale: tuple[str, ...] = ()
    takes_counts: bool = False

    def check(self, x: NDArray, argument: str = "x") -> None:
        """Raise ValueError unless this likelihood accepts x (B, D)."""

    def encoder_input(self, x: NDArray) -> NDArray:
        """The encoder's input for data x."""
        return x

    def start(self) -> tuple[float, ...]:
        """The first value of log_sigma if `scale` names it, else ()."""
        return ()

    def fit(self, x: NDArray, out: NDArray, *scale: NDArray, refit: bool = True) -> tuple[NDArray, ...]:
        """The value of `scale` for this batch: an "optimal" sigma is re-estimated, unless `refit` is False."""
        return scale

    def log_prob(self, x: NDArray, out: NDArray, *scale: NDArray) -> NDArray:
        """log p(x|z) in nats, (L, B)."""
        raise NotImplementedError

    def log_prob_backward(self, d_out: NDArray, x: NDArray, out: NDArray, *scale: NDArray) -> tuple[NDArray, ...]:
        """A tuple: the gradient in `out`, and the gradient in log_sigma if the likelihood has this parameter."""
        raise NotImplementedError

    def mean(self, out: NDArray) -> NDArray:
        """The mean of x given z, E[x|z]; it has the same shape as `out`."""
        raise NotImplementedError

    def sample(self, rng: np.random.Generator, out: NDArray, *scale: NDArray) -> NDArray:
        """One random draw of x from p(x|z); it has the same shape as `out`."""
        raise NotImplementedError

    def output_for(self, mean: NDArray) -> NDArray:
        """The output of the decoder for which E[x|z] is this mean. The decoder of a new model starts with this output."""
        raise NotImplementedError


@dataclass(frozen=True)
class Bernoulli(Likelihood):
    """Every feature x is 0 or 1. Values between 0 and 1 are accepted, but then log p(x|z) is only a loss."""

    name = "bernoulli"

    def check(self, x, argument="x"):
        within(argument, x, 1, "the Bernoulli likelihood")

    mean, log_prob = staticmethod(sigmoid), staticmethod(bernoulli_log_prob)

    def log_prob_backward(self, d_out, x, out):
        return (bernoulli_log_prob_backward(d_out, x, out),)

    def sample(self, rng, out):
        return (rng.random(out.shape) < sigmoid(out)).astype(np.uint8)

    def output_for(self, mean):
        self.check(mean, "data_mean")
        return logits_of(mean)


@dataclass(frozen=True)
class Binomial(Likelihood):
    """Every feature is a count of successes in n trials: x in {0, 1, ..., n}."""

    n: int = 16
    name, takes_counts = "binomial", True

    def __post_init__(self):
        object.__setattr__(self, "n", whole_number("n", self.n, 1))

    def check(self, x, argument="x"):
        counts(argument, x, self.n)

    def encoder_input(self, x):
        return x / self.n                                   # counts become fractions 0..1

    def log_prob(self, x, out):
        return binomial_log_prob(x, out, self.n)

    def log_prob_backward(self, d_out, x, out):
        return (binomial_log_prob_backward(d_out, x, out, self.n),)

    def mean(self, out):
        return self.n * sigmoid(out)

    def sample(self, rng, out):
        return rng.binomial(self.n, sigmoid(out))

    def output_for(self, mean):
        within("data_mean", mean, self.n, f"Binomial({self.n})")
        return logits_of(mean / self.n)


@dataclass(frozen=True)
class Gaussian(Likelihood):
    """Every feature is the decoder's mean plus noise. All features share one sigma: a number, "learned" or "optimal".

    learned: log_sigma is a parameter with its own gradient. optimal: sigma^2 is the batch's mean squared error. At
    this sigma, d loss / d sigma = 0, so all other gradients are equal to those for a fixed sigma   [hong.14]
    """

    sigma: float | str = 1.0
    name = "gaussian"
    scale = ("log_sigma",)

    def __post_init__(self):
        object.__setattr__(self, "sigma", checks.sigma(self.sigma))

    def start(self):
        return (0.0 if isinstance(self.sigma, str) else math.log(self.sigma),)

    def fit(self, x, out, log_sigma, refit=True):
        return (optimal_log_sigma(x, out) if self.sigma == "optimal" and refit else log_sigma,)

    log_prob = staticmethod(gaussian_log_prob)

    def log_prob_backward(self, d_out, x, out, log_sigma):
        d_mean, d_log_sigma = gaussian_log_prob_backward(d_out, x, out, log_sigma)
        return d_mean, d_log_sigma if self.sigma == "learned" else 0 * d_log_sigma

    def mean(self, out):
        return out

    def sample(self, rng, out, log_sigma):
        return rng.normal(out, np.exp(log_sigma)).astype(out.dtype)

    def output_for(self, mean):
        return mean


def logits_of(p: NDArray) -> NDArray:
    """log(p / (1 - p)), with p clipped to [0.01, 0.99] so that the logit stays finite."""
    p = np.clip(p, 0.01, 0.99)
    return np.log(p / (1 - p))


LIKELIHOODS = {kind.name: kind for kind in (Bernoulli, Binomial, Gaussian)}


def make_likelihood(name: str, **settings) -> Likelihood:
    """The likelihood with this name: "bernoulli", "binomial" (n=...) or "gaussian" (sigma=...)."""
    return LIKELIHOODS[choice("likelihood", name, LIKELIHOODS)](**settings)
