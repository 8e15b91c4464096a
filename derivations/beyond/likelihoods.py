"""Beyond the sources: gradients of the log-likelihoods, as `minivae` computes them.

The entries compare relative errors. So the letters get random values for which no gradient is 0.
"""

from math import comb

import numpy as np
from numpy import ceil, exp, log

from derivations.beyond.divergences import between_hundredths, between_tenths, tenths
from derivations.beyond.gradients import density
from derivations.engine.domains import Symbol
from derivations.engine.equation import equation
from derivations.engine.numerics import LEGENDRE, complex_step, need_positive, total
from derivations.engine.worlds import chosen
from minivae.likelihood import (
    bernoulli_log_prob,
    bernoulli_log_prob_backward,
    binomial_log_prob,
    binomial_log_prob_backward,
    gaussian_log_prob_backward,
    log_binomials,
)

MOST = 5                                                    # largest number of trials


def counts(raw):
    """Return an array (draws, 2). Each row has x and n, for x successes in n trials. The most frequent n is 1."""
    n = np.clip(ceil(2 * raw[:, 0]), 1, MOST)
    return np.stack([np.clip(np.rint(n / 2 + n * raw[:, 1] / 2), 0, n), n], axis=1)


SEEN = Symbol("seen", "(x, n)", "x successes in n trials", 2, counts, ((1, 1), (0, 1), (3, 4)))
LOGITS = Symbol(
    "logits", r"\ell", "real, drawn halfway between multiples of 0.1", 1, lambda raw: between_tenths(1.2 * raw),
    (1, -1, log(9)),
)
GREY = chosen("grey", "grey", 0, "1 if x is a grey value between 0 and 1")


def of_coins(n, pi):
    """Return P(X = k) for k = 0..MOST, (draws, MOST + 1), where X is the number of ones among n coins.

    Each step of the loop adds one coin.
    """
    p = np.zeros((len(pi), MOST + 1), pi.dtype)
    p[:, 0] = 1
    for coin in range(MOST):
        one_more = np.roll(p, 1, axis=1) * pi + p * (1 - pi)                # roll moves the last number, a 0, to the front
        p = np.where(coin < n, one_more, p)
    return p


def probability(seen, logits):
    """Return P(X = x), (draws, 1). The possible outcomes are 0, 1, ..., n."""
    x, n = seen[:, :1], seen[:, 1:]
    return total(of_coins(n, 1 / (1 + exp(-logits))) * (np.arange(MOST + 1) == x))


def choose(n, k):
    """Return C(n, k) as a float. n and k are whole numbers, possibly of float dtype."""
    return np.vectorize(lambda n, k: float(comb(int(n), int(k))))(n, k)


@equation(
    "beyond.18", "Bernoulli (n = 1) and binomial log-likelihood in logits",
    r"\left[\pi = \frac{1}{1+e^{-\ell}}\right]:\;"
    r" \left(1,\; \log P(X=x),\; \frac{d}{d\ell}\log P(X=x)\right)"
    r" = \left(1,\; \log C(n, x) + x\log\pi + (n-x)\log(1-\pi),\;"
    r" \left(\frac{x}{\pi} - \frac{n-x}{1-\pi}\right)\pi(1-\pi)\right)"
    r" = \left(\sum_{k=0}^{n} C(n, k)\,\frac{e^{k\ell}}{(1+e^\ell)^n},\;"
    r" \log C(n, x) + x\ell - n\log(1+e^\ell),\; x - \frac{n}{1+e^{-\ell}}\right)",
    (SEEN, LOGITS, GREY),
    says="For n coins with probability pi of a one, the slope of log P in the logit is x - n pi: the observed minus the "
    "expected number of ones.",
    needs="grey = 0: the possible values of x are 0, 1, ..., n (grey = 1: all numbers from 0 to 1)",
    outside=({"seen": (0.5, 1), "logits": 0, "grey": 0}, {"seen": (1, 1), "logits": 0, "grey": 1}),
)  # fmt: skip
def eq_18(seen, logits, grey):
    (x, n), pi = (seen[:, :1], seen[:, 1:]), 1 / (1 + exp(-logits))
    k, log_p = np.arange(MOST + 1), lambda logits: log(probability(seen, logits))
    softplus, log_choose = np.logaddexp(0, logits), log(choose(n, x))
    nodes, weights = (LEGENDRE[0] + 1) / 2, LEGENDRE[1] / 2
    of_greys = total(weights * exp(nodes * logits - softplus))
    of_counts = total(choose(n, k) * exp(k * logits - n * softplus))
    by_pi = (x / pi - (n - x) / (1 - pi)) * pi * (1 - pi)
    return (
        np.hstack([total(of_coins(n, pi)), log_p(logits), complex_step(log_p, logits)]),
        "=", np.hstack([np.ones_like(pi), log_choose + x * log(pi) + (n - x) * log(1 - pi), by_pi]),
        "=", np.hstack([
            np.where(grey == 1, of_greys, of_counts), log_choose + x * logits - n * softplus, x - n * pi
        ]),
    )  # fmt: skip


@eq_18.tied("minivae.likelihood.bernoulli_log_prob")
@eq_18.tied("minivae.likelihood.bernoulli_terms")
@eq_18.tied("minivae.likelihood.bernoulli_log_prob_backward")
def _(seen, logits, grey):
    # There are n coins: x coins show 1, and n - x coins show 0.
    (x, n), one = (seen[:, :1], seen[:, 1:]), np.ones((1, len(logits)))
    log_p = [bernoulli_log_prob(one.T * side, logits[None]).T for side in (1, 0)]
    slope = [bernoulli_log_prob_backward(one, one.T * side, logits[None])[0] for side in (1, 0)]
    return np.hstack([
        (exp(log_p[0]) + exp(log_p[1])) ** n,
        log(choose(n, x)) + x * log_p[0] + (n - x) * log_p[1],
        x * slope[0] + (n - x) * slope[1],
    ])  # fmt: skip


@eq_18.tied("minivae.likelihood.binomial_log_prob")
@eq_18.tied("minivae.likelihood.binomial_log_prob_backward")
@eq_18.tied("minivae.likelihood.log_binomials")
def _(seen, logits, grey):
    log_binomials.cache_clear()                             # `log_binomials` must compute anew, not return a cached result
    made = np.empty((len(seen), 3))
    for n in range(1, MOST + 1):
        with_n = seen[:, 1] == n
        x, out = seen[with_n, :1], logits[None, with_n]
        masses = [exp(binomial_log_prob(np.full_like(x, k), out, n)) for k in range(n + 1)]
        slope = binomial_log_prob_backward(np.ones((1, len(x))), x, out, n)
        made[with_n] = np.stack([sum(masses)[0], binomial_log_prob(x, out, n)[0], slope[0, :, 0]], axis=1)
    return made


# In random draws, every x_d - m_d is an even multiple of 1/200, and s is an odd multiple of 1/200. So the sum of
# (x_d - m_d)^2 over d = 1, 2, 3 never equals 3 s^2, and the gradient in log s is never 0.

GAUSSIAN = (
    Symbol("x", "x", "real, drawn halfway between multiples of 0.1", 3, between_tenths, ((1, 2, 3), (1, 0, 1))),
    Symbol("m", "m", "real, drawn as a multiple of 0.1", 3, tenths, ((0, 0, 0), (0, 1, -1))),
    Symbol("s", "s", "> 0, drawn halfway between multiples of 0.01", 1, between_hundredths, (2, 0.5, 3)),
)


@equation(
    "beyond.19", "Gaussian log-likelihood",
    r"\left(\frac{\partial}{\partial m_d},\; \frac{\partial}{\partial\log s}\right)\log p(x|z)"
    r" = \left(\frac{x_d-m_d}{s^2},\;"
    r" s\left(\sum_{d=1}^{D}\frac{(x_d-m_d)^2}{s^3} - \frac{D}{s}\right)\right)"
    r" = \left(\frac{x_d-m_d}{s^2},\; \sum_{d=1}^{D}\frac{(x_d-m_d)^2}{s^2} - D\right)", GAUSSIAN,
    says="A small step along the gradient moves the mean m towards x, and s towards the value for which the squared errors "
    "sum to D s^2.",
)  # fmt: skip
def eq_19(x, m, s):
    log_p = lambda m, log_s: log(density(x, m, exp(log_s)))  # (n, D)  # noqa: E731
    log_s, D, error = log(need_positive("s", s)), x.shape[-1], x - m
    return (
        np.hstack([
            complex_step(lambda m: log_p(m, log_s), m),                     # one step for all m_d: log p(x_d) uses only m_d
            complex_step(lambda log_s: total(log_p(m, log_s)), log_s),
        ]),
        "=", np.hstack([error / s**2, s * (total(error**2) / s**3 - D / s)]),
        "=", np.hstack([error / s**2, total(error**2 / s**2) - D]),
    )  # fmt: skip


def by_minivae(x, m, s):
    """Return minivae's gradient of log p(x|z) in m and log s, for one datum x.

    Each datum has its own s here. minivae has one s for all data in a call, so each datum needs its own call.
    """
    d_mean, d_log_sigma = gaussian_log_prob_backward(np.ones((1, 1)), x[None], m[None, None], log(s[0]))
    return np.append(d_mean, d_log_sigma)


@eq_19.tied("minivae.likelihood.gaussian_log_prob_backward", draws=20)
def _(x, m, s):
    return np.vectorize(by_minivae, signature="(d),(d),(o)->(k)")(x, m, s)
