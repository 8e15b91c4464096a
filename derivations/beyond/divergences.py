"""Beyond the sources: gradients of the divergence, as `minivae` computes them.

The first side differentiates the integral of `q log(q / p)` by complex step; the quadrature nodes are fixed. In
beyond.14 to beyond.16, another side differentiates at fixed eps, with z = mu_q + sigma_q eps. Then log q(z) is -log sigma_q
plus a constant, so only log p(z) depends on mu_q. The entries compare relative errors, so the values of the letters are
chosen such that no gradient is 0.
"""

import numpy as np
from numpy import ceil, exp, log, log1p

from derivations.beyond.gradients import density, for_integrals, for_means, log_q, slopes
from derivations.engine.domains import Symbol
from derivations.engine.equation import equation
from derivations.engine.numerics import need_positive, total
from derivations.engine.worlds import chosen
from minivae.gaussian import (
    kl_diagonal_backward,
    kl_standard_normal_backward,
    log_standard_normal_backward,
)
from minivae.ops import softplus, softplus_backward

# Functions that turn random numbers into numbers on a grid


def tenths(raw):
    """Multiples of 0.1."""
    return np.rint(12 * raw) / 10


def between_tenths(raw):
    """Numbers halfway between two multiples of 0.1, so never 0."""
    return np.floor(12 * raw) / 10 + 0.05


def hundredths(raw):
    """Positive multiples of 0.01."""
    return ceil(100 * exp(raw / 2)) / 100


def between_hundredths(raw):
    """Positive numbers halfway between two multiples of 0.01."""
    return hundredths(raw) - 0.005


BETWEEN = "> 0, drawn halfway between multiples of 0.01"

MU = Symbol("mu", r"\mu", "real, drawn halfway between multiples of 0.1", 1, between_tenths, (1, 2, -1, 0.5))
SIGMA = Symbol("sigma", r"\sigma", BETWEEN, 1, between_hundredths, (2, 0.5, 3))
MU_P = chosen("mu_p", r"\mu_p", 0, "the mean of the prior")
SIGMA_P = chosen("sigma_p", r"\sigma_p", 1, "the standard deviation of the prior")

# Divergences


def divergence(mu_q, sigma_q, mu_p, sigma_p):
    """Return the integral of `q log(q / p)`. If an argument is complex, the nodes are computed from its real part."""
    u, widths = for_integrals()
    sigma = need_positive("sigma_q", np.real(sigma_q))
    need_positive("sigma_p", np.real(sigma_p))
    z = np.real(mu_q) + sigma * u
    log_ratio = log_q(z, mu_q, sigma_q) - log_q(z, mu_p, sigma_p)
    return total(widths * density(z, mu_q, sigma_q) * log_ratio) * sigma


def noise_and_slope(mu_q, sigma_q, mu_p, sigma_p):
    """Return three results: a function for means over eps; the nodes of eps; the slope of -log p at each node.

    The slope is `(z - mu_p) / sigma_p^2`, where z = mu_q + sigma_q eps.
    """
    eps, weights = for_means()
    return lambda value: total(weights * value), eps, (mu_q + sigma_q * eps - mu_p) / sigma_p**2


@equation(
    "beyond.14", "KL term of the VAE, in mu",
    r"\partial_\mu\,D_{KL}(q\Vert p)"
    r" = E_{z \sim q}\left[\frac{z-\mu}{\sigma^2}\log\frac{q(z)}{p(z)}\right]"
    r" = E_{z \sim q}\left[-\frac{d}{dz}\log p(z)\right] = \mu", (MU, SIGMA, MU_P, SIGMA_P),
    says="The gradient in mu of the divergence from N(0, 1) is mu. Gradient descent therefore moves mu towards 0.",
    needs="the prior p is N(0, 1)",
    outside=({"mu": 1, "sigma": 2, "mu_p": 2, "sigma_p": 1}, {"mu": 1, "sigma": 2, "mu_p": 0, "sigma_p": 2}),
)  # fmt: skip
def eq_14(mu, sigma, mu_p, sigma_p):
    E, eps, slope = noise_and_slope(mu, sigma, mu_p, sigma_p)
    z = mu + sigma * eps
    log_ratio = log_q(z, mu, sigma) - log_q(z, mu_p, sigma_p)
    return (
        slopes(lambda mu: divergence(mu, sigma, mu_p, sigma_p), mu),
        "=", E((z - mu) / sigma**2 * log_ratio),
        "=", E(slope),
        "=", mu,
    )  # fmt: skip


@eq_14.tied("minivae.gaussian.kl_standard_normal_backward")
def _(mu, sigma, mu_p, sigma_p):
    d_mu, _ = kl_standard_normal_backward(1, mu, 2 * log(sigma))
    return d_mu


@eq_14.tied("minivae.gaussian.log_standard_normal_backward")
def _(mu, sigma, mu_p, sigma_p):
    eps, weights = for_means()
    z = (mu + sigma * eps).T[..., None]                     # (60, n, 1)   eps has 60 quadrature nodes, no random values
    return -log_standard_normal_backward(weights[:, None] * np.ones(z.shape[:2]), z).sum(axis=0)


@equation(
    "beyond.15", "KL term of the VAE, in sigma",
    r"(\partial_{\log\sigma^2}, \partial_\sigma)\,D_{KL}(q\Vert p)"
    r" = \left(\frac{E_\epsilon[z\,\sigma\epsilon] - 1}{2},\;"
    r" E_\epsilon[z\,\epsilon] - \frac{1}{\sigma}\right)"
    r" = \left(\frac{\sigma^2 - 1}{2},\; \sigma - \frac{1}{\sigma}\right)", (MU, SIGMA, SIGMA_P),
    says="The gradient in log sigma^2 is sigma / 2 times the gradient in sigma. Gradient descent in sigma, or in log "
    "sigma^2, moves sigma towards 1.",
    needs="the prior p is N(0, 1)", outside={"mu": 1, "sigma": 2, "sigma_p": 3},
)  # fmt: skip
def eq_15(mu, sigma, sigma_p):
    log_var = 2 * log(need_positive("sigma", sigma))
    E, eps, slope = noise_and_slope(mu, sigma, 0, sigma_p)
    return (
        np.hstack([
            slopes(lambda log_var: divergence(mu, exp(log_var / 2), 0, sigma_p), log_var),
            slopes(lambda sigma: divergence(mu, sigma, 0, sigma_p), sigma),
        ]),
        "=", np.hstack([(E(slope * sigma * eps) - 1) / 2, E(slope * eps) - 1 / sigma]),
        "=", np.hstack([(sigma**2 - 1) / 2, sigma - 1 / sigma]),
    )  # fmt: skip


@eq_15.tied("minivae.gaussian.kl_standard_normal_backward")
def _(mu, sigma, sigma_p):
    _, d_log_var = kl_standard_normal_backward(1, mu, 2 * log(sigma))
    return np.hstack([d_log_var, d_log_var * 2 / sigma])


# In random draws, mu_q - mu_p and sigma_p are even multiples of 1/200, and sigma_q is an odd multiple of 1/200. So
# sigma_q^2 + (mu_q - mu_p)^2 never equals sigma_p^2, and no gradient is 0. The simple values are chosen so that no gradient
# is 0.

TWO = (
    Symbol("mu_q", r"\mu_q", "real, drawn halfway between multiples of 0.1", 1, between_tenths, (1, 0.5, -2)),
    Symbol("sigma_q", r"\sigma_q", BETWEEN, 1, between_hundredths, (2, 0.5)),
    Symbol("mu_p", r"\mu_p", "real, drawn as a multiple of 0.1", 1, tenths, (0, -1, 2)),
    Symbol("sigma_p", r"\sigma_p", "> 0; drawn as a multiple of 0.01", 1, hundredths, (1, 3)),
)


@equation(
    "beyond.16", "divergence of two Gaussians, in all four parameters",
    r"(\partial_{\mu_q}, \partial_{\mu_p}, \partial_{\log\sigma_q}, \partial_{\log\sigma_p})"
    r"\,D_{KL}(q\Vert p)"
    r" = \left(E_q[s(z)],\; -E_q[s(z)],\; E_\epsilon[\sigma_q\epsilon\,s(z)] - 1,\;"
    r" 1 - E_q\left[(z-\mu_p)s(z)\right]\right) = \left("
    r"\frac{\mu_q-\mu_p}{\sigma_p^2},\; -\frac{\mu_q-\mu_p}{\sigma_p^2},\;"
    r" \frac{\sigma_q^2}{\sigma_p^2} - 1,\;"
    r" 1 - \frac{\sigma_q^2 + (\mu_q-\mu_p)^2}{\sigma_p^2}\right)", TWO,
    says="The divergence of two Gaussians has these gradients. s(z) = (z - mu_p) / sigma_p^2 is the slope of -log p.",
)  # fmt: skip
def eq_16(mu_q, sigma_q, mu_p, sigma_p):
    log_sigmas = log(need_positive("sigma_q", sigma_q)), log(need_positive("sigma_p", sigma_p))
    E, eps, s = noise_and_slope(mu_q, sigma_q, mu_p, sigma_p)
    z, distance = mu_q + sigma_q * eps, mu_q - mu_p
    return (
        slopes(lambda m, k, t, u: divergence(m, exp(t), k, exp(u)), mu_q, mu_p, *log_sigmas),
        "=", np.hstack([E(s), -E(s), E(sigma_q * eps * s) - 1, 1 - E((z - mu_p) * s)]),
        "=", np.hstack([
            distance / sigma_p**2,
            -distance / sigma_p**2,
            sigma_q**2 / sigma_p**2 - 1,
            1 - (sigma_q**2 + distance**2) / sigma_p**2,
        ]),
    )  # fmt: skip


@eq_16.tied("minivae.divergences.kl_diagonal_backward")
def _(mu_q, sigma_q, mu_p, sigma_p):
    d = kl_diagonal_backward(1, mu_q, 2 * log(sigma_q), mu_p, 2 * log(sigma_p))
    return np.hstack([d[0], d[2], 2 * d[1], 2 * d[3]])      # d/dlog sigma is 2 d/dlog sigma^2


RHO = Symbol("rho", r"\rho", "real, drawn as a multiple of 0.1", 1, tenths, (0, 1, -1, 2))


@equation(
    "beyond.17", "chain rule, for a standard deviation that is a softplus",
    r"\left[\sigma = \log(1+e^\rho)\right]:\; \frac{d}{d\rho}\,D_{KL}(q\Vert p)"
    r" = \partial_\sigma\,D_{KL}(q\Vert p)\;\frac{d\sigma}{d\rho}"
    r" = \left(\sigma - \frac{1}{\sigma}\right)\frac{1}{1+e^{-\rho}}", (MU, RHO),
    says="If sigma is the softplus of an output rho, the gradient in rho is the gradient in sigma times the slope of the "
    "softplus.",
)  # fmt: skip
def eq_17(mu, rho):
    sigma = log1p(exp(rho))
    return (
        slopes(lambda rho: divergence(mu, log1p(exp(rho)), 0, 1), rho),
        "=", slopes(lambda sigma: divergence(mu, sigma, 0, 1), sigma)
             * slopes(lambda rho: log1p(exp(rho)), rho),
        "=", (sigma - 1 / sigma) / (1 + exp(-rho)),
    )  # fmt: skip


@eq_17.tied("minivae.ops.softplus_backward")
@eq_17.tied("minivae.ops.softplus")
@eq_17.tied("minivae.gaussian.kl_standard_normal_backward")
def _(mu, rho):
    sigma = softplus(rho)
    _, d_log_var = kl_standard_normal_backward(1, mu, 2 * log(sigma))
    return softplus_backward(d_log_var * 2 / sigma, rho)
