"""Flashcards, "Auto-Encoding Variational Bayes": what is the reparameterization trick?

Expectations over noise are sums over quadrature nodes, exact for polynomials. So the mean and variance of a gradient
estimator are known. cards.25, cards.27 and cards.30 differentiate the expectation of f(z) = z^2 for z ~ N(mu, sigma^2). In
cards.26, z is a coin: 0 or 1.
"""

import numpy as np

from derivations.engine.domains import Symbol, positive, positives, vector
from derivations.engine.equation import Zero, equation
from derivations.engine.numerics import (
    complex_step,
    integrate,
    log_density_full,
    need_positive,
    need_same_shape,
    noise,
    normal,
    total,
)
from derivations.engine.worlds import chosen
from minivae.gaussian import (
    log_normal,
    log_normal_backward,
    reparameterize,
    reparameterize_backward,
)

# Nodes (12, 1) and weights (12,) of a quadrature over eps, which is exact for polynomials up to degree 23
EPS, CHANCES = noise(1, nodes=12)
EPS = EPS[:, 0]
MU, SIGMA = positive("mu", r"\mu"), positive("sigma", r"\sigma")


def mean_and_variance(values):
    """Return the mean and variance of a function of eps, (n, 2). `values` (n, K) are the function's values at the nodes."""
    mean = total(CHANCES * values)
    return np.concatenate([mean, total(CHANCES * (values - mean) ** 2)], axis=-1)


# Two estimators of the gradient of E[z^2], evaluated at the nodes of eps: (n, K)


def by_the_path(mu, sigma, way):
    """Return d/dmu f(z) and d/dsigma f(z). With way = 1, z is mu + sigma eps; with way = 0, z is a constant."""
    drawn = mu + sigma * EPS
    f = lambda mu, sigma: (way * (mu + sigma * EPS) + (1 - way) * drawn) ** 2  # noqa: E731
    return complex_step(lambda mu: f(mu, sigma), mu), complex_step(lambda sigma: f(mu, sigma), sigma)


def by_the_score(mu, sigma):
    """Return f(z) d/dmu log q(z), where z is a constant."""
    z = mu + sigma * EPS
    return z**2 * complex_step(lambda mu: -(((z - mu) / sigma) ** 2) / 2, mu)


@equation(
    "cards.25", "l.47",
    r"(E, \mathrm{Var})\left[\frac{d}{d\mu}f(z)\right] \neq"
    r" \left(\frac{d}{d\mu}E[f(z)],\; \frac{\mu^4}{\sigma^2} + 14\mu^2 + 15\sigma^2\right)"
    r" = (E, \mathrm{Var})\left[f(z)\frac{d}{d\mu}\log q_\phi(z)\right]",
    (MU, SIGMA, chosen("way", r"\mathrm{way}", 0, "0: z is a constant; 1: z = mu + sigma eps")),
    kind="claim",
    claim='The card says that "we cannot backpropagate" through sampling (l.47).',
    says="If z is a constant, the derivative of f(z) in mu is 0. The estimate f(z) d log q(z)/dmu is unbiased, but has more "
    "variance than the derivative of f(mu + sigma eps) in mu (way = 1).",
    needs="z is treated as a constant (way = 0)",
    outside={"mu": 1, "sigma": 1, "way": 1},
)  # fmt: skip
def card_25(mu, sigma, way):
    truth = complex_step(lambda mu: total(CHANCES * (mu + sigma * EPS) ** 2), mu)
    variance = mu**4 / sigma**2 + 14 * mu**2 + 15 * sigma**2
    return (
        mean_and_variance(by_the_path(mu, sigma, way)[0]),
        "!=", np.concatenate([truth, variance], axis=-1),
        "=", mean_and_variance(by_the_score(mu, sigma)),
    )  # fmt: skip


@card_25.tied("minivae.gaussian.log_normal_backward")
def _(mu, sigma, way):
    z = mu + sigma * EPS                                    # (n, K); in the call below, every z is a separate datum
    column = lambda values: np.broadcast_to(values, z.shape).reshape(-1, 1)  # noqa: E731
    f = (z**2).reshape(1, -1)                               # (L, B) with L = 1: f(z) multiplies the gradients of log q
    _, d_mu, _ = log_normal_backward(f, column(z)[None], column(mu), column(2 * np.log(sigma)))
    return mean_and_variance(d_mu.reshape(z.shape))


# A coin. epsilon is uniform, and p = 1 / (1 + exp(-lambda)). z = T(lambda, epsilon) is 1 if epsilon < p, and 0 otherwise.


def logit_of_hundredths(raw):
    """Return numbers lambda for which p is a multiple of 0.01. Then a fraction p of the 100 nodes of epsilon is below p."""
    p = np.ceil(99 / (1 + np.exp(-1.7 * raw))) / 100
    return np.log(p / (1 - p))


UNIFORM = (np.arange(100) + 0.5) / 100
COIN = Symbol("lam", r"\lambda", "real", 1, logit_of_hundredths, (0, np.log(3), -np.log(9)))


def heads(lam):
    """Return p = P(z = 1)."""
    return 1 / (1 + np.exp(-lam))


def spread(lam):
    """Return Var[z], as a sum over the two values of z."""
    p = heads(lam)
    return p * (1 - p) ** 2 + (1 - p) * (0 - p) ** 2


@equation(
    "cards.26", "l.47", r"\mathrm{Var}[\mathbf{z}] = 0\quad \text{for a deterministic variable } \mathbf{z}",
    (COIN,),
    kind="claim", verdict="loose",
    claim="The card expresses z \"as a deterministic variable\" (l.47). Weng's page, which the cards name, and Kingma and "
    "Welling (section 2.4) do the same.",
    says="A deterministic variable has variance 0.",
    fault="The function T is deterministic, but eps is random, so z = T(phi, x, eps) is random. Only for a given eps is z "
    "deterministic.",
)  # fmt: skip
def card_26(lam):
    return spread(lam), "=", Zero(heads(lam))               # the error is relative to P(z = 1), which is E[z^2]


@card_26.precise(
    r"\mathrm{Var}[\mathcal{T}(\lambda, \epsilon) | \epsilon] = 0 < \mathrm{Var}_\epsilon[\mathcal{T}(\lambda, \epsilon)]"
)
def _(lam):
    twice = np.stack([heads(lam) > UNIFORM] * 2).astype(float)                  # (2, n, 100)   two z for the same eps
    return twice.var(axis=0).max(axis=-1, keepdims=True), "=", Zero(1), "<", twice[0].var(axis=-1, keepdims=True)


@equation(
    "cards.27", "l.47",
    r"E_\epsilon\left[\nabla f(\mathcal{T}_\phi(\epsilon))\right] ="
    r" \left[\int f(z) \nabla q_\phi(z) dz\right] = \left[(2\mu,\; \sigma^2)\right],"
    r"\quad \nabla \text{ in } (\mu, \log\sigma^2)",
    (MU, SIGMA, chosen("a", "a", 0, "0: eps is N(0, 1); 1: it is N(mu/sigma, 1), and z = sigma eps")),
    kind="claim",
    claim='The card calls eps "an auxiliary independent random variable" (l.47).',
    says="The gradient through z is unbiased if the distribution of eps does not depend on phi.",
    needs="the distribution of eps does not depend on phi (a = 0)",
    outside={"mu": 1, "sigma": 1, "a": 1},
)  # fmt: skip
def card_27(mu, sigma, a):
    eps, log_var = a * mu / sigma + EPS, 2 * np.log(sigma)
    f = lambda mu, log_var: total(CHANCES * ((1 - a) * mu + np.exp(log_var / 2) * eps) ** 2)  # noqa: E731
    path = complex_step(lambda mu: f(mu, log_var), mu), complex_step(lambda at: f(mu, at), log_var)
    u = lambda z: (z - mu) / sigma  # noqa: E731
    d_mu = integrate(lambda z: z**2 * normal(z, mu, sigma) * u(z) / sigma, mu, sigma)
    d_log_var = integrate(lambda z: z**2 * normal(z, mu, sigma) * (u(z) ** 2 - 1) / 2, mu, sigma)
    side = lambda *both: np.concatenate(both, axis=-1)  # noqa: E731
    # In both integrals, positive and negative parts cancel. So the allowed error of an integral is relative to the size of
    # these parts.
    size = mu**2 + sigma**2
    return side(*path), "=", Zero(side(size / sigma, size), side(d_mu, d_log_var)), "=", side(2 * mu, sigma**2)


@card_27.tied("minivae.gaussian.reparameterize_backward")
def _(mu, sigma, a):
    log_var, eps = 2 * np.log(sigma), EPS[:, None, None]    # (n, 1), (K, 1, 1)
    d_z = CHANCES[:, None, None] * 2 * reparameterize(mu, log_var, eps)
    return np.concatenate(reparameterize_backward(d_z, mu, log_var, eps), axis=-1)


# Two coordinates

Z, MUS = vector("z", r"\mathbf{z}", 2, 0.8), vector("mu", r"\mu", 2, simple=((0, 0), (1, -1)))
SIGMAS = positives("sigma", r"\sigma", 2, 0.3, ((1, 1), (0.5, 2)))
ENCODED = r"q_\phi(\mathbf{z}\vert\mathbf{x}^{(i)}) = \mathcal{N}(\mathbf{z}; \boldsymbol{\mu}^{(i)}, "


def density(z, mu, cov):
    """Return the density N(z; mu, cov), (n, 1)."""
    return np.exp(log_density_full(z[:, None], mu, cov))


@equation(
    "cards.28", "l.49", ENCODED + r"\boldsymbol{\sigma}^{2(i)}\boldsymbol{I})", (Z, MUS, SIGMAS),
    verdict="loose",
    says="Read literally, the text says: the square of the vector sigma is the sum of all sigma_j^2, and the covariance of "
    "the encoder's Gaussian is this number times I.",
    fault='sigma^2 is a vector: the covariance is diag(sigma^2), as the words "diagonal covariance structure" say. The '
    "notation is that of Kingma and Welling (equation 9) and of Weng's page.",
)  # fmt: skip
def card_28(z, mu, sigma):
    cov = total(sigma**2)[..., None] * np.eye(2)
    return np.prod(normal(z, mu, sigma), axis=-1, keepdims=True), "=", density(z, mu, cov)


@card_28.precise(ENCODED + r"\mathrm{diag}(\boldsymbol{\sigma}^{2(i)}))")
def _(z, mu, sigma):
    need_same_shape(z=z, mu=mu, sigma=sigma)
    cov = sigma[..., None] ** 2 * np.eye(2)
    return np.prod(normal(z, mu, sigma), axis=-1, keepdims=True), "=", density(z, mu, cov)


@card_28.tied("minivae.gaussian.log_normal")
def _(z, mu, sigma):
    return np.exp(log_normal(z, mu, 2 * np.log(sigma)))[:, None]


PLANE_EPS, PLANE_CHANCES = noise(2, nodes=18)               # (324, 2), (324,)
T = Symbol("t", "t", "real", 2, np.tanh, ((0, 1), (1, -0.5)))


def average(f):
    """Return the mean of f (n, 324, k) over the nodes: (n, k)."""
    return np.einsum("l,nlk->nk", PLANE_CHANCES, f)


def law_and_sign(t, z):
    """Return E[exp(t . z)] and E[eps z].

    E[exp(t . z)] for all t determines the distribution of z. E[eps z] is sigma, so it shows the sign of sigma.
    """
    return np.concatenate([average(np.exp(total(t[:, None] * z))), average(PLANE_EPS * z)], axis=-1)


@equation(
    "cards.29", "l.49",
    r"(\mathbf{z} = \boldsymbol{\mu} + \boldsymbol{\sigma}\odot\boldsymbol{\epsilon}):\quad"
    r" E_\epsilon\left[(e^{t\cdot z},\; \epsilon\odot z)\right] ="
    r" \left(e^{t\cdot\mu + t\cdot\mathrm{diag}(\sigma^2)t/2},\; \sigma\right)", (T, MUS, SIGMAS),
    says="If eps is from N(0, I), z has the distribution N(mu, diag(sigma^2)), because E[exp(t . z)] for all t determines "
    "the distribution of z. With -sigma in place of sigma, z has the same distribution, but E[eps z] is -sigma, not sigma.",
)  # fmt: skip
def card_29(t, mu, sigma):
    need_same_shape(t=t, mu=mu, sigma=need_positive("sigma", sigma))
    z = mu[:, None] + sigma[:, None] * PLANE_EPS
    by_hand = np.exp(total(t * mu) + total(t**2 * sigma**2) / 2)
    return law_and_sign(t, z), "=", np.concatenate([by_hand, sigma], axis=-1)


@card_29.tied("minivae.gaussian.reparameterize")
def _(t, mu, sigma):
    z = reparameterize(mu, 2 * np.log(sigma), PLANE_EPS[:, None])               # (324, n, 2)
    return law_and_sign(t, np.swapaxes(z, 0, 1))


@equation(
    "cards.30", "l.49 reparameterization-trick.png",
    r"E_\mathrm{left}\left[\nabla z^2\right] < E_\mathrm{right}\left[\nabla z^2\right] ="
    r" \nabla (\mu^2 + \sigma^2),\quad \nabla \text{ in } (\mu, \sigma)",
    kind="figure", verdict="figure",
    says="On the left z is a constant: no gradient flows from z to mu or sigma. On the right z = mu + sigma eps, and the "
    "gradient flows to mu and sigma. The numbers are for mu = sigma = 1.",
)  # fmt: skip
def card_30():
    one = np.ones((1, 1))
    left, right = ([CHANCES @ d[0] for d in by_the_path(one, one, way)] for way in (0, 1))
    return left, "<", right, "=", (2, 2)


@card_30.tied("minivae.gaussian.reparameterize_backward")
def _():
    one, eps = np.ones((1, 1)), EPS[:, None, None]          # mu = sigma = 1, log_var = 0
    d_z = CHANCES[:, None, None] * 2 * reparameterize(one, 0 * one, eps)
    d_mu, d_log_var = reparameterize_backward(d_z, one, 0 * one, eps)
    return np.append(d_mu, 2 * d_log_var)                   # dsigma / dlog_var = sigma / 2
