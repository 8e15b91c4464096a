"""Odaibo, "Tutorial: Deriving the Standard VAE Loss Function": "VAE Objective", equations (23) to (28).

A side in square brackets is our addition: log p(x_i) minus the gap of the bound. Without such a side, the check would also
accept a bound that is too low.
"""

import numpy as np

from derivations.engine.domains import positive, real
from derivations.engine.equation import Zero, equation
from derivations.engine.numerics import (
    expect,
    integrate,
    kl_normal,
    kl_of_weights,
    log,
    log_density,
    noise,
    normal,
    times,
    total,
)
from derivations.engine.worlds import (
    ENCODED,
    LINEAR,
    MU_Q,
    TABLES,
    evidence,
    likelihood,
    linear_log_evidence,
    linear_posterior,
    posterior,
    prior,
)
from derivations.odaibo.objective import BAYES, NEEDED, NEEDED_BY_BAYES, OUTSIDE, OUTSIDE_BAYES, POSTERIOR
from minivae.gaussian import kl_standard_normal, log_normal, log_standard_normal, reparameterize
from minivae.likelihood import gaussian_log_prob

GAP = r" = \left[\log p(x_i) - D_{KL}\left(q_\theta(z|x_i)||p(z|x_i)\right)\right]"
THREE_LOGS = r"\log p_\phi(x_i|z) + \log p(z) - \log q_\theta(z|x_i)"


# If p(x_i) is close to 1, log p(x_i) is near 0, and its relative error can be large. So its absolute error is checked.


def log_evidence(p_xz):
    """Return log p(x_i) as a `Zero` with scale 1, because log p(x_i) can be near 0."""
    return Zero(1, log(evidence(p_xz)))


def log_evidence_minus_gap(p_xz, q):
    """Return log p(x_i) - KL(q(z|x_i) || p(z|x_i)) as a `Zero` with scale 1, because this difference can be near 0."""
    return Zero(1, log(evidence(p_xz)) - kl_of_weights(q, posterior(p_xz)))


@equation(
    "odaibo.23", "l.157 (23)",
    r"\log p(x_i) \geq \int q_\theta(z|x_i)\log\left(" + BAYES + r"\right)dz" + GAP, TABLES,
    says="This inequality is the evidence lower bound. The gap of the bound is KL(q || p(z|x_i)), which is 0 only if q is "
    "the posterior.",
    needs=NEEDED_BY_BAYES, outside=OUTSIDE_BAYES, tight=POSTERIOR,
)  # fmt: skip
def eq_23(p_xz, q):
    p_x_given_z, p_z, log_p_x = likelihood(p_xz), prior(p_xz), log_evidence(p_xz)
    return log_p_x, ">=", total(times(q, log(p_x_given_z * p_z / q))), "=", log_evidence_minus_gap(p_xz, q)


@equation(
    "odaibo.24", "l.161 (24)",
    r"\log p(x_i) \geq \int q_\theta(z|x_i)\left[" + THREE_LOGS + r"\right]dz" + GAP, TABLES,
    says="The logarithm of the quotient is written as a sum of three terms.",
    needs=NEEDED_BY_BAYES, outside=OUTSIDE_BAYES, tight=POSTERIOR,
)  # fmt: skip
def eq_24(p_xz, q):
    p_x_given_z, p_z, log_p_x = likelihood(p_xz), prior(p_xz), log_evidence(p_xz)
    return (
        log_p_x,
        ">=", total(times(q, log(p_x_given_z))) + total(times(q, log(p_z))) - total(times(q, log(q))),
        "=", log_evidence_minus_gap(p_xz, q),
    )  # fmt: skip


# The expectation in (25) can be estimated from samples. The entry computes this expectation by quadrature in the
# linear-Gaussian model, with q = N(mu_q, sigma_q^2).

NODES, CHANCES = noise(1, nodes=60)                                 # (60, 1), (60,)
LINEAR_POSTERIOR = {"w": 1, "s": 1, "x": 2, "mu_q": 1, "sigma_q": 0.5**0.5}         # q is the posterior


def drawn_by_minivae(w, s, x, mu_q, sigma_q):
    """Return log_var (n, 1), z (60, n, 1) and log p(x|z) (60, n). minivae computes z and log p(x|z) at 60 nodes of noise."""
    log_var = 2 * np.log(sigma_q)
    z = reparameterize(mu_q, log_var, NODES[:, None])
    return log_var, z, gaussian_log_prob(x, w * z, np.log(s)[:, 0])


@equation(
    "odaibo.25", "l.165 (25)",
    r"\log p(x_i) \geq E_{\sim q_\theta(z|x_i)}\left[" + THREE_LOGS + r"\right]" + GAP, (*LINEAR, *ENCODED),
    says="An integral with the weight q is an expectation under q.",
    tight=LINEAR_POSTERIOR,
)  # fmt: skip
def eq_25(w, s, x, mu_q, sigma_q):
    def in_brackets(z):
        return log_density(x, w * z, s) + log_density(z, 0, 1) - log_density(z, mu_q, sigma_q)

    log_p_x = linear_log_evidence(w, s, x)
    return (
        log_p_x,
        ">=", expect(in_brackets, mu_q, sigma_q),
        "=", log_p_x - kl_normal(mu_q, sigma_q, *linear_posterior(w, s, x)),
    )  # fmt: skip


@eq_25.tied("minivae.gaussian.log_normal")
def _(w, s, x, mu_q, sigma_q):
    log_var, z, log_px_z = drawn_by_minivae(w, s, x, mu_q, sigma_q)
    return (CHANCES @ (log_px_z + log_standard_normal(z) - log_normal(z, mu_q, log_var)))[:, None]


@equation(
    "odaibo.26", "l.168 (26)",
    r"\log p(x_i) \geq E_{\sim q_\theta(z|x_i)}\left[\log p(x_i, z) - \log q_\theta(z|x_i)\right]" + GAP,
    TABLES, says="The likelihood times the prior is the joint probability of x_i and z.",
    needs=NEEDED, outside=OUTSIDE, tight=POSTERIOR,
)  # fmt: skip
def eq_26(p_xz, q):
    log_p_x = log_evidence(p_xz)
    return log_p_x, ">=", total(times(q, log(p_xz) - log(q))), "=", log_evidence_minus_gap(p_xz, q)


# As printed, the left side of (27) is 0. The right side is at most log p(x_i). If p(x_i) is a probability, log p(x_i) is at
# most 0, so (27) is true. If p(x_i) is a density, the right side can be above 0. The entry uses a density p(x|z), so it can
# show that (27) is sometimes false.

SHARP = (
    real("w", "w", simple=(0.1, 1, 2)),
    positive("s", "s", simple=(0.05, 1, 0.5)),
    real("x", "x", simple=(0, 1, 2)),
    MU_Q,
    positive("sigma_q", r"\sigma_q", simple=(0.5, 1, 2)),
)
SPLIT = (
    r"\int q_\theta(z|x_i)\log\left(\frac{p(z)}{q_\theta(z|x_i)}\right)dz"
    r" + \int q_\theta(z|x_i)\log p_\phi(x_i|z)\,dz"
)


def two_integrals(w, s, x, mu_q, sigma_q):
    """Return the right side of (27)."""
    q = lambda z: normal(z, mu_q, sigma_q)  # noqa: E731
    prior_over_q = lambda z: log_density(z, 0, 1) - log_density(z, mu_q, sigma_q)  # noqa: E731
    first = integrate(lambda z: q(z) * prior_over_q(z), mu_q, sigma_q)
    return first + integrate(lambda z: q(z) * log_density(x, w * z, s), mu_q, sigma_q)


@equation(
    "odaibo.27", "l.173 (27)", r"\log\frac{p(x_i)}{p(x_i)} \geq " + SPLIT, SHARP,
    verdict="copy", tight=LINEAR_POSTERIOR,
    says="The bound is the sum of two integrals. The first has the prior, and the second has the likelihood.",
    fault="The left side should be log p(x_i), as in (23) and (28). As printed, it is log(p(x_i)/p(x_i)) = log 1 "
    "= 0. The right side can be positive, because a density can exceed 1. Our copy has more damage nearby: stray "
    "underlines and wrong brackets.",
)  # fmt: skip
def eq_27(w, s, x, mu_q, sigma_q):
    p_x = np.exp(linear_log_evidence(w, s, x))
    return log(p_x / p_x), ">=", two_integrals(w, s, x, mu_q, sigma_q)


@eq_27.intended(r"\log p(x_i) \geq " + SPLIT + GAP)
def _(w, s, x, mu_q, sigma_q):
    log_p_x = linear_log_evidence(w, s, x)
    return (
        log_p_x,
        ">=", two_integrals(w, s, x, mu_q, sigma_q),
        "=", log_p_x - kl_normal(mu_q, sigma_q, *linear_posterior(w, s, x)),
    )  # fmt: skip


ELBO = r"-D_{KL}(q_\theta(z|x_i)||p(z)) + E_{\sim q_\theta(z|x_i)}\left[\log p_\phi(x_i|z)\right]"


@equation(
    "odaibo.28", "l.175 (28)", r"\log p(x_i) \geq " + ELBO + GAP, TABLES,
    says="Training uses this bound: the expected log-likelihood minus the KL from the prior.",
    needs=NEEDED_BY_BAYES, outside=OUTSIDE_BAYES, tight=POSTERIOR,
)  # fmt: skip
def eq_28(p_xz, q):
    p_z, log_p_x = np.broadcast_to(prior(p_xz), q.shape), log_evidence(p_xz)
    return (
        log_p_x,
        ">=", -kl_of_weights(q, p_z) + total(times(q, log(likelihood(p_xz)))),
        "=", log_evidence_minus_gap(p_xz, q),
    )  # fmt: skip


@equation(
    "odaibo.28r", "l.267 (28 recalled)", r"\log p(x_i) \geq " + ELBO + GAP, (*LINEAR, *ENCODED),
    says="This is the bound (28), here for Gaussians.",
    tight=LINEAR_POSTERIOR,
)  # fmt: skip
def eq_28_recalled(w, s, x, mu_q, sigma_q):
    log_p_x = linear_log_evidence(w, s, x)
    return (
        log_p_x,
        ">=", -kl_normal(mu_q, sigma_q, 0, 1) + expect(lambda z: log_density(x, w * z, s), mu_q, sigma_q),
        "=", log_p_x - kl_normal(mu_q, sigma_q, *linear_posterior(w, s, x)),
    )  # fmt: skip


@eq_28_recalled.tied("minivae.gaussian.kl_standard_normal")
def _(w, s, x, mu_q, sigma_q):
    log_var, _, log_px_z = drawn_by_minivae(w, s, x, mu_q, sigma_q)
    return (CHANCES @ log_px_z)[:, None] - kl_standard_normal(mu_q, log_var)


@eq_28_recalled.tied("minivae.likelihood.gaussian_log_prob")
def _(w, s, x, mu_q, sigma_q):
    # log p(x|z) is quadratic in the noise, so its mean over the two draws -1 and +1 is the exact expectation.
    log_var, two = 2 * np.log(sigma_q), np.array([[[-1.0]], [[1.0]]])
    log_px_z = gaussian_log_prob(x, w * reparameterize(mu_q, log_var, two), np.log(s)[:, 0])
    return log_px_z.mean(axis=0)[:, None] - kl_standard_normal(mu_q, log_var)
