"""Hong, "Derivations", 2.1: the reconstruction loss, hong.13 to hong.16."""

import math

import numpy as np
from numpy import exp, log, pi, sqrt

from derivations.engine.domains import Symbol
from derivations.engine.equation import equation
from derivations.engine.numerics import log_density_full, need_above_zero, normal, total
from derivations.engine.worlds import chosen
from derivations.hong.notation import MEAN_4, SIGMA_4, X_4, X_TILDE, mse
from derivations.hong.world import CORNERS, MSE, W, codes, decoded, lowest
from minivae.gaussian import reparameterize
from minivae.likelihood import gaussian_log_prob, optimal_log_sigma

MU_THETA = r"\mu_\theta(z)"
PIXELS = r"\prod_i N(x_i;\, \mu_i,\, \sigma^2)"


def of_pixels(x, mean, sigma):
    """Return `prod_i N(x_i; mean_i, sigma^2)`, (n, 1)."""
    return normal(x, mean, sigma).prod(axis=-1, keepdims=True)


@equation(
    "hong.13", "l.39", rf"p(x|z) = N(x;\, {MU_THETA},\, \sigma^2)", (X_4, MEAN_4, SIGMA_4),
    kind="claim", verdict="loose", group="hong.5",
    claim='The text writes the decoder\'s density with variance sigma^2, "shared between all pixels" (l.39).',
    says="Read literally, the text says: this density of D pixels has the factor 1 / sqrt(2 pi sigma^2) only "
    "once, as for one pixel.",
    fault="A density of D pixels needs a covariance matrix, and the words of the text mean the matrix sigma^2 I_D. In its "
    "place, the formula has the number sigma^2.",
)  # fmt: skip
def decoder_density(x, mean, sigma):
    bell = exp(-total((x - mean) ** 2) / (2 * sigma**2))
    return of_pixels(x, mean, sigma), "=", bell / sqrt(2 * pi * sigma**2)    # 1/sqrt(...) only once, as for one pixel


@decoder_density.precise(rf"p(x|z) = \left[{PIXELS}\right] = N(x;\, {MU_THETA},\, \sigma^2 I_D)")
def _(x, mean, sigma):
    cov = sigma[..., None] ** 2 * np.eye(x.shape[-1])
    at_the_mean = (2 * pi * sigma**2) ** (-x.shape[-1] / 2)
    return (
        at_the_mean * exp(-total((x - mean) ** 2) / (2 * sigma**2)),
        "=", of_pixels(x, mean, sigma),
        "=", exp(log_density_full(x[:, None], mean, cov)),
    )  # fmt: skip


@decoder_density.tied("minivae.likelihood.gaussian_log_prob")
def _(x, mean, sigma):
    return exp(gaussian_log_prob(x, mean[None], log(sigma)[:, 0])).T


# The decoder variance sigma^2 that maximises the mean log-likelihood of N = 2 data points

ONES = [[1, 1], [1, 1]]
TWO_DATA = {
    "W": [[1, 0], [0, 1], [0, 0]], "x": [[1, 0, 1], [0, 0, 0]],
    "mu": [[1, 0], [0, 0]], "sigma": ONES,
}  # fmt: skip
PERFECT = TWO_DATA | {"W": np.zeros((3, 2)), "x": np.zeros((2, 3))}
N_X = Symbol("x", "x_n", "real", 6, lambda raw: 1.2 * raw.reshape(-1, 2, 3), (TWO_DATA["x"],))
N_MU = Symbol("mu", r"\mu_n", "real", 4, lambda raw: 1.2 * raw.reshape(-1, 2, 2), (TWO_DATA["mu"],))
N_SIGMA = Symbol("sigma", r"\sigma_n", "> 0", 4, lambda raw: exp(raw / 2).reshape(-1, 2, 2), (ONES,))
AT = chosen("a", "a", 1, "1: the MSE is averaged over q; 0: it is taken at the mean of q")
RESIDUAL = r"\frac{1}{ND}\sum_n E_{\sim q(z|x_n)}\left[|x_n - \mu_\theta(z)|^2\right]"


def mean_nll(W, x, mu, sigma):
    """Return a function of ln sigma_theta that returns `1/N sum_n E_q[-ln p(x_n|z)]`, (n, 1)."""
    z, weights = codes(mu, sigma)                           # (n, N, 9, d), (9,)
    squares = total(weights * ((x[..., None, :] - decoded(W[:, None], z)) ** 2).sum(axis=-1)).mean(axis=1)
    return lambda t: x.shape[-1] * (t + math.log(2 * pi) / 2) + squares * exp(-2 * t) / 2


@equation(
    "hong.14", "l.39",
    r"\left(\mathrm{argmin}_{\sigma^2},\; \min_{\sigma^2}\right)"
    r" \frac{1}{N}\sum_n E_{\sim q(z|x_n)}\left[-\ln p_\theta(x_n|z)\right] ="
    rf" \left(v,\; \frac{{D}}{{2}}(\ln 2\pi v + 1)\right),\quad v \,\mathrm{{being}}\, {RESIDUAL}",
    (W, N_X, N_MU, N_SIGMA, AT), kind="claim",
    claim="The text says that sigma^2 can be chosen, learned or calculated (l.39).",
    says="The expected log-likelihood is largest if sigma^2 is the mean squared error.",
    needs="the mean squared error is averaged over q and over all data, and it is above 0",
    outside=(TWO_DATA | {"a": 0}, PERFECT | {"a": 1}),
)  # fmt: skip
def best_sigma(W, x, mu, sigma, a):
    D = x.shape[-1]
    at_mean = total((x - decoded(W, mu)) ** 2)                                  # (n, N, 1)   squared error if z = mu
    spread = total((a[..., None] * sigma) ** 2 * (W**2).sum(axis=1)[:, None])   # variances of W z, summed; a = 0 omits them
    v = need_above_zero("the MSE", (at_mean + spread).mean(axis=1) / D)
    nll_of = mean_nll(W, x, mu, sigma)
    t = lowest(nll_of)
    return (
        np.concatenate([exp(2 * t), nll_of(t)], axis=-1),
        "=", np.concatenate([v, D / 2 * (log(2 * pi * v) + 1)], axis=-1),
    )  # fmt: skip


def optimum_of_one(W, x, mu, sigma):
    """Return minivae's best sigma^2 for one batch, and the mean of -ln p(x|z) for this sigma^2.

    A squared error is a quadratic function of the noise. So the mean of squared errors over the four draws in CORNERS is
    exactly their expectation.
    """
    z = reparameterize(mu, 2 * log(sigma), CORNERS * np.ones((len(x), 1)))      # (4, N, d)
    log_sigma = optimal_log_sigma(x, decoded(W, z))
    return np.array([exp(2 * log_sigma), -gaussian_log_prob(x, decoded(W, z), log_sigma).mean()])


@best_sigma.tied("minivae.likelihood.optimal_log_sigma", draws=100)
def _(W, x, mu, sigma, a):
    return np.vectorize(optimum_of_one, signature="(D,d),(N,D),(N,d),(N,d)->(p)")(W, x, mu, sigma)


NLL = r"D\ln\sigma + \frac{1}{2}D\ln(2\pi) + \frac{D}{2\sigma^2}" + MSE


def nll(x, x_tilde, sigma):
    """Return the right side of hong.15."""
    D = x.shape[-1]
    return D * log(sigma) + D * math.log(2 * pi) / 2 + D / (2 * sigma**2) * mse(x, x_tilde)


def minus_log_n(x, mean, sigma):
    """Return -ln N(x; mean, sigma^2 I), (n, 1), from the covariance matrix."""
    return -log_density_full(x[:, None], mean, sigma[..., None] ** 2 * np.eye(x.shape[-1]))


@equation(
    "hong.15", "l.41", r"-\ln p(\tilde{x}|z) = " + NLL, (X_4, X_TILDE, SIGMA_4),
    verdict="slip",
    says="The negative log-likelihood of the decoder is a constant, plus D ln sigma, plus the MSE times D/(2 sigma^2).",
    fault="The left side should be -ln p(x|z), because the likelihood is that of the data x. The printed left side has x~, "
    "the mean of p(x|z), in place of x. With x~ in place of x, the MSE would be 0.",
)  # fmt: skip
def eq_15(x, x_tilde, sigma):
    return minus_log_n(x_tilde, x_tilde, sigma), "=", nll(x, x_tilde, sigma)


@eq_15.intended(r"-\ln p(x|z) = " + NLL)
def _(x, x_tilde, sigma):
    return minus_log_n(x, x_tilde, sigma), "=", nll(x, x_tilde, sigma)


@eq_15.tied("minivae.likelihood.gaussian_log_prob")
def _(x, x_tilde, sigma):
    return -gaussian_log_prob(x, x_tilde[None], log(sigma)[:, 0]).T


@equation(
    "hong.16", "l.43",
    r"-\ln\prod_i N(x_i;\, \tilde{x}_i,\, \sigma^2) ="
    r" \sum_i\left\{\ln\sigma + \frac{1}{2}\ln(2\pi) + \frac{(x_i-\tilde{x}_i)^2}{2\sigma^2}\right\} = "
    + NLL,
    (X_4, X_TILDE, SIGMA_4), kind="claim", verdict="prose",
    claim="The text refers to a paper for the proof of the negative log-likelihood (l.43).",
    says="The proof has two steps. The logarithm of a product is a sum. In this sum, ln sigma and ln(2 pi)/2 occur D times, "
    "and the squared errors add up to D times the MSE.",
)  # fmt: skip
def proof(x, x_tilde, sigma):
    terms = log(sigma) + math.log(2 * pi) / 2 + (x - x_tilde) ** 2 / (2 * sigma**2)
    return minus_log_n(x, x_tilde, sigma), "=", total(terms), "=", nll(x, x_tilde, sigma)
