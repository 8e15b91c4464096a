"""Odaibo, "Tutorial: Deriving the Standard VAE Loss Function": VAE Objective, the lower bound, (23) to (28).

A whole side in square brackets is not on the page. Here it says by how much the bound falls short: without
that, a bound with something dropped from it would pass as well.
"""

import numpy as np

from derivations.engine.domains import positive, real
from derivations.engine.equation import equation
from derivations.engine.numerics import (
    expect,
    integrate,
    kl,
    kl_normal,
    log,
    log_density,
    mean,
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
from derivations.odaibo.objective import BAYES, OUTSIDE, POSTERIOR
from minivae.gaussian import kl_standard_normal, log_normal, log_standard_normal, reparameterize
from minivae.likelihood import gaussian_log_prob

GAP = r" = \left[\log p(x_i) - D_{KL}\left(q_\theta(z|x_i)||p(z|x_i)\right)\right]"
THREE_LOGS = r"\log p_\phi(x_i|z) + \log p(z) - \log q_\theta(z|x_i)"
NEEDED = "p(x_i) > 0, q(z|x_i) sums to 1 and is zero wherever p(z|x_i) is"


@equation(
    "odaibo.23", "l.157 (23)",
    r"\log p(x_i) \geq \int q_\theta(z|x_i)\log\left(" + BAYES + r"\right)dz" + GAP, TABLES,
    says="The evidence lower bound. It falls short by KL(q || p(z|x_i)): the posterior alone reaches it.",
    needs=NEEDED, outside=OUTSIDE, tight=POSTERIOR,
)  # fmt: skip
def eq_23(p_xz, q):
    p_x_given_z, p_z, log_p_x = likelihood(p_xz), prior(p_xz), log(evidence(p_xz))
    return log_p_x, ">=", total(times(q, log(p_x_given_z * p_z / q))), "=", log_p_x - kl(q, posterior(p_xz))


@equation(
    "odaibo.24", "l.161 (24)",
    r"\log p(x_i) \geq \int q_\theta(z|x_i)\left[" + THREE_LOGS + r"\right]dz" + GAP, TABLES,
    says="The logarithm of the quotient in three parts.", needs=NEEDED, outside=OUTSIDE, tight=POSTERIOR,
)  # fmt: skip
def eq_24(p_xz, q):
    p_x_given_z, p_z, log_p_x = likelihood(p_xz), prior(p_xz), log(evidence(p_xz))
    return (
        log_p_x,
        ">=", total(times(q, log(p_x_given_z))) + total(times(q, log(p_z))) - total(times(q, log(q))),
        "=", log_p_x - kl(q, posterior(p_xz)),
    )  # fmt: skip


# An expectation is what samples estimate: (25) is checked where q is sampled, N(mu_q, sigma_q^2) in the
# linear-Gaussian model.

NODES, CHANCES = noise(1, nodes=60)                                 # (60, 1), (60,)
LINEAR_NEEDED = "sigma_q > 0 and s > 0"
LINEAR_OUTSIDE = (
    {"w": 1, "s": 1, "x": 1, "mu_q": 0, "sigma_q": 0},
    {"w": 1, "s": 0, "x": 1, "mu_q": 0, "sigma_q": 1},
)
LINEAR_POSTERIOR = {"w": 1, "s": 1, "x": 2, "mu_q": 1, "sigma_q": 0.5**0.5}         # q is the posterior


def drawn_by_minivae(w, s, x, mu_q, sigma_q):
    """log_var (n, 1), z (60, n, 1), log p(x|z) (60, n): minivae's, with quadrature nodes as its noise."""
    log_var = 2 * np.log(sigma_q)
    z = reparameterize(mu_q, log_var, NODES[:, None])
    return log_var, z, gaussian_log_prob(x, w * z, np.log(s)[:, 0])


@equation(
    "odaibo.25", "l.165 (25)",
    r"\log p(x_i) \geq E_{\sim q_\theta(z|x_i)}\left[" + THREE_LOGS + r"\right]" + GAP, (*LINEAR, *ENCODED),
    says="The integral against q is an expectation under q: draws z from q(z|x_i) estimate it.",
    needs=LINEAR_NEEDED, outside=LINEAR_OUTSIDE, tight=LINEAR_POSTERIOR,
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
    TABLES, says="Likelihood times prior is the joint probability of x_i and z.",
    needs=NEEDED, outside=OUTSIDE, tight=POSTERIOR,
)  # fmt: skip
def eq_26(p_xz, q):
    log_p_x = log(evidence(p_xz))
    return log_p_x, ">=", mean(q, log(p_xz) - log(q)), "=", log_p_x - kl(q, posterior(p_xz))


# (27) as printed says 0 >= ..., which is true of probabilities and false of densities: so take densities.

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
    """The right side of (27)."""
    q = lambda z: normal(z, mu_q, sigma_q)  # noqa: E731
    prior_over_q = lambda z: log_density(z, 0, 1) - log_density(z, mu_q, sigma_q)  # noqa: E731
    first = integrate(lambda z: q(z) * prior_over_q(z), mu_q, sigma_q)
    return first + integrate(lambda z: q(z) * log_density(x, w * z, s), mu_q, sigma_q)


@equation(
    "odaibo.27", "l.173 (27)", r"\log\frac{p(x_i)}{p(x_i)} \geq " + SPLIT, SHARP,
    verdict="slip", tight=LINEAR_POSTERIOR,
    says="The bound in two integrals: one about the prior, one about the likelihood.",
    fault="The left side should be log p(x_i): as printed it is log 1 = 0, and densities can exceed 1.",
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
    says="The bound as it is trained: stay near the prior, and make x_i likely.",
    needs=NEEDED + "; q(z|x_i) is zero wherever p(z) is", outside=OUTSIDE, tight=POSTERIOR,
)  # fmt: skip
def eq_28(p_xz, q):
    p_z, log_p_x = np.broadcast_to(prior(p_xz), q.shape), log(evidence(p_xz))
    return log_p_x, ">=", -kl(q, p_z) + mean(q, log(likelihood(p_xz))), "=", log_p_x - kl(q, posterior(p_xz))


@equation(
    "odaibo.28r", "l.267 (28 recalled)", r"\log p(x_i) \geq " + ELBO + GAP, (*LINEAR, *ENCODED),
    says="The same bound, where everything is Gaussian.",
    needs=LINEAR_NEEDED, outside=LINEAR_OUTSIDE, tight=LINEAR_POSTERIOR,
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
    # A quadratic in the noise: two draws of noise, -1 and +1, average it exactly.
    log_var, two = 2 * np.log(sigma_q), np.array([[[-1.0]], [[1.0]]])
    log_px_z = gaussian_log_prob(x, w * reparameterize(mu_q, log_var, two), np.log(s)[:, 0])
    return log_px_z.mean(axis=0)[:, None] - kl_standard_normal(mu_q, log_var)
