"""Odaibo, "Tutorial: Deriving the Standard VAE Loss Function": "VAE Objective", up to equation (22).

Equations (17) to (22) are about one datum x_i. A table p(x, z) has one row for each datum. A side in square brackets is our
addition: for example, the page prints (20) to (22) without a left side, and we add the left side of (19).
"""

from dataclasses import replace

import numpy as np

from derivations.engine.domains import Symbol, positive, real, vector, weights
from derivations.engine.equation import Zero, equation
from derivations.engine.graph import arrows, reaches
from derivations.engine.numerics import kl, kl_normal, kl_of_weights, log, noise, times, total
from derivations.engine.worlds import (
    ENCODER,
    SIGMA_Q,
    TABLE,
    TABLES,
    S,
    evidence,
    likelihood,
    linear_elbo,
    linear_log_evidence,
    linear_posterior,
    posterior,
    prior,
    small_vae,
)


@equation(
    "odaibo.t13", "l.118", r"\text{autoencoding variational Bayes, and what it is used for}",
    kind="claim",
    claim="The text cites the origin of the VAE [Kingma et al. 2013] and an application [Odaibo 2019] (l.118).",
    says="A citation: nothing to compute.",
    verdict="prose",
)  # fmt: skip
def t_13():
    return ()


# theta is a weight of the encoder, and phi is a weight of the decoder. So log p(x) depends on phi, but not on theta.

THETA, THETA_2 = real("theta", r"\theta", 0.5, (1, 0.5)), real("theta_2", r"\theta'", 0.5, (2, 0, -1))
PHI = positive("phi", r"\phi", 0.3, (1, 2))
X = real("x", "x", simple=(2, 1))
KL_POSTERIOR = r"D_{KL}\left(q_\theta(z|x_i)||p(z|x_i)\right)"
BAYES = r"\frac{p_\phi(x_i|z)p(z)}{q_\theta(z|x_i)}"


@equation(
    "odaibo.t14", "l.118-120",
    r"\log p_\phi(x) = \mathrm{ELBO}_\theta + D_{KL}(q_\theta||p_\phi(z|x)) ="
    r" \mathrm{ELBO}_{\theta'} + D_{KL}(q_{\theta'}||p_\phi(z|x))",
    (THETA, THETA_2, PHI, S, X, SIGMA_Q), kind="claim",
    claim="The text calls the weights of the encoder theta and those of the decoder phi (l.118-120).",
    says="theta belongs to the encoder, so log p_phi(x) does not depend on theta. (Kingma and Welling, and Hong, use phi "
    "for the encoder.)",
)  # fmt: skip
def t_14(theta, theta_2, phi, s, x, sigma_q):
    elbo = lambda theta: linear_elbo(phi, s, x, theta * x, sigma_q)  # noqa: E731
    gap = lambda theta: kl_normal(theta * x, sigma_q, *linear_posterior(phi, s, x))  # noqa: E731
    return linear_log_evidence(phi, s, x), "=", elbo(theta) + gap(theta), "=", elbo(theta_2) + gap(theta_2)


DATUM = vector("x", "x", 3, simple=((0, 0, 0), (1, 0, -1)))


@equation(
    "odaibo.t15", "l.120",
    r"(\mu, \sigma^2) = \left(E_{\sim q}[z],\; \mathrm{Var}_{\sim q}[z]\right)", (DATUM,),
    kind="claim",
    claim='The text says that the encoder outputs parameters of a distribution "which is sampled" (l.120).',
    says="The decoder's input is a draw from q(z|x), not its mean mu.",
)  # fmt: skip
def t_15(x):
    # Quadrature nodes replace the draws of noise, so mean and variance of the decoder's inputs are exact.
    vae, (eps, chances) = small_vae(hidden=(5,)), noise(2)
    mu, log_var = vae.encode(x)
    eps = np.repeat(eps[:, None], len(x), axis=1)                           # (9, n, 2)
    inputs = vae.forward(x, eps).decoder_hs[0].reshape(eps.shape)           # (9, n, 2)   the decoder's inputs
    average = lambda f: np.einsum("l,lbj->bj", chances, f)  # noqa: E731
    mean = average(inputs)
    return np.hstack([mu, np.exp(log_var)]), "=", np.hstack([mean, average((inputs - mean) ** 2)])


NODES = ("x", "mu", "log_var", "eps", "z", "out")
# ACTS_ON[i, j] is 1 if node i acts on node j, directly or indirectly.
ACTS_ON = np.array([
    [0, 1, 1, 0, 1, 1],     # x acts on mu and log_var, and through them on z and out
    [0, 0, 0, 0, 1, 1],     # mu
    [0, 0, 0, 0, 1, 1],     # log_var
    [0, 0, 0, 0, 1, 1],     # eps acts on z and out; nothing acts on eps
    [0, 0, 0, 0, 0, 1],     # z acts on out, the decoder's output, but not on mu or log_var
    [0, 0, 0, 0, 0, 0],     # out
])  # fmt: skip


@equation(
    "odaibo.F2", "l.125 Figure 2",
    r"\left|\text{arrows and shapes drawn} - \text{arrows and shapes of the model}\right| < 1",
    kind="figure",
    says="Arrows lead from x to the encoder, then to mu and sigma, then to z, then to the decoder. No arrow leads back from "
    "z, and no arrow leads to the noise. (Our copy has lost the drawing.)",
    verdict="figure",
)  # fmt: skip
def figure_2():
    vae, rng = small_vae(hidden=(5,)), np.random.default_rng(1)
    x, eps = rng.normal(size=(4, 3)), rng.normal(size=(7, 4, 2))
    found = arrows(vae, x, eps, rng)
    acting = np.array([[reaches(found, a, b) for b in NODES] for a in NODES])
    made = vae.forward(x, eps)
    shapes = [*made.mu.shape, *made.log_var.shape, *made.z.shape, *made.out.shape]
    drawn = [4, 2, 4, 2, 7, 4, 2, 7, 4, 3]                                  # B = 4, L = 7, J = 2, D = 3
    return np.abs(np.append(ACTS_ON - acting, np.subtract(drawn, shapes))), "<", 1


# (17) to (22), line by line: the divergence from the true posterior

NEEDED = "p(x_i) > 0 and q(z|x_i) sums to 1"
# In NOT_A_DISTRIBUTION, row 1 of q sums to 0.2, not to 1. At the second point of OUTSIDE, p(x_1) = 0. At NO_Z, p(z_2) = 0.
NOT_A_DISTRIBUTION = {"p_xz": [[0.1, 0.4], [0.3, 0.2]], "q": [[0.1, 0.1], [0.5, 0.5]]}
OUTSIDE = (NOT_A_DISTRIBUTION, {"p_xz": [[0, 0], [0.5, 0.5]], "q": [[0.5, 0.5], [0.5, 0.5]]})
NEEDED_BY_BAYES = "p(x_i) > 0, p(z) > 0, and q(z|x_i) sums to 1"
NO_Z = {"p_xz": [[0.5, 0], [0.5, 0]], "q": [[1, 0], [1, 0]]}
OUTSIDE_BAYES = (*OUTSIDE, NO_Z)
POSTERIOR = {"p_xz": [[0.1, 0.4], [0.3, 0.2]], "q": [[0.2, 0.8], [0.6, 0.4]]}   # q is the posterior


def kl_from_posterior(p_xz, q):
    """Return KL(q(z|x_i) || p(z|x_i)). This KL can be near 0, so it is marked: its absolute error is checked."""
    return Zero(1, kl_of_weights(q, posterior(p_xz)))


@equation(
    "odaibo.17", "l.129 (17)",
    KL_POSTERIOR + r" = -\int q_\theta(z|x_i)\log\left(\frac{p(z|x_i)}{q_\theta(z|x_i)}\right)dz \geq 0",
    TABLES, says="The divergence of the encoder's q(z|x_i) from the true posterior of this datum is never negative.",
    needs=NEEDED, outside=OUTSIDE, tight=POSTERIOR,
)  # fmt: skip
def eq_17(p_xz, q):
    p_z_given_x = posterior(p_xz)
    return kl_from_posterior(p_xz, q), "=", -total(times(q, log(p_z_given_x / q))), ">=", Zero(1)


@equation(
    "odaibo.18", "l.133 (18)",
    KL_POSTERIOR
    + r" = -\int q_\theta(z|x_i)\log\left(\frac{p_\phi(x_i|z)p(z)}{q_\theta(z|x_i)p(x_i)}\right)dz \geq 0",
    TABLES, says="Bayes' theorem replaces the posterior by the likelihood times the prior, divided by the evidence.",
    needs=NEEDED_BY_BAYES, outside=OUTSIDE_BAYES, tight=POSTERIOR,
)  # fmt: skip
def eq_18(p_xz, q):
    p_x_given_z, p_z, p_x = likelihood(p_xz), prior(p_xz), evidence(p_xz)
    return kl_from_posterior(p_xz, q), "=", -total(times(q, log(p_x_given_z * p_z / (q * p_x)))), ">=", Zero(1)


@equation(
    "odaibo.19", "l.137 (19)",
    KL_POSTERIOR
    + r" = -\int q_\theta(z|x_i)\left[\log\left(" + BAYES + r"\right) - \log p(x_i)\right]dz \geq 0",
    TABLES, says="The logarithm of a quotient is a difference of logarithms.",
    needs=NEEDED_BY_BAYES, outside=OUTSIDE_BAYES, tight=POSTERIOR,
)  # fmt: skip
def eq_19(p_xz, q):
    p_x_given_z, p_z, p_x = likelihood(p_xz), prior(p_xz), evidence(p_xz)
    return kl_from_posterior(p_xz, q), "=", -total(times(q, log(p_x_given_z * p_z / q) - log(p_x))), ">=", Zero(1)


@equation(
    "odaibo.20", "l.142 (20)",
    r"\left[" + KL_POSTERIOR + r"\right] = -\int q_\theta(z|x_i)\log\left(" + BAYES + r"\right)dz"
    r" + \int q_\theta(z|x_i)\log p(x_i)\,dz \geq 0",
    TABLES, says="The integral of a difference is a difference of integrals.",
    needs=NEEDED_BY_BAYES, outside=OUTSIDE_BAYES, tight=POSTERIOR,
)  # fmt: skip
def eq_20(p_xz, q):
    p_x_given_z, p_z, p_x = likelihood(p_xz), prior(p_xz), evidence(p_xz)
    return (
        kl_from_posterior(p_xz, q),
        "=", -total(times(q, log(p_x_given_z * p_z / q))) + total(times(q, log(p_x))),
        ">=", Zero(1),
    )  # fmt: skip


@equation(
    "odaibo.21", "l.145-147 (21)",
    r"\left[" + KL_POSTERIOR + r"\right] = -\int q_\theta(z|x_i)\log\left(" + BAYES + r"\right)dz"
    r" + \log p(x_i)\int q_\theta(z|x_i)\,dz \geq 0",
    TABLES, says="log p(x_i) does not depend on z, so it comes out of the integral.",
    needs=NEEDED_BY_BAYES, outside=OUTSIDE_BAYES, tight=POSTERIOR,
)  # fmt: skip
def eq_21(p_xz, q):
    p_x_given_z, p_z, p_x = likelihood(p_xz), prior(p_xz), evidence(p_xz)
    return (
        kl_from_posterior(p_xz, q),
        "=", -total(times(q, log(p_x_given_z * p_z / q))) + log(p_x) * total(q),
        ">=", Zero(1),
    )  # fmt: skip


@equation(
    "odaibo.22", "l.150-152 (22)",
    r"\left[" + KL_POSTERIOR + r"\right] = -\int q_\theta(z|x_i)\log\left(" + BAYES + r"\right)dz"
    r" + \log p(x_i) \geq 0",
    TABLES, says="q(z|x_i) is a distribution, so its integral is 1.",
    needs=NEEDED_BY_BAYES, outside=OUTSIDE_BAYES, tight=POSTERIOR,
)  # fmt: skip
def eq_22(p_xz, q):
    p_x_given_z, p_z, p_x = likelihood(p_xz), prior(p_xz), evidence(p_xz)
    return kl_from_posterior(p_xz, q), "=", -total(times(q, log(p_x_given_z * p_z / q))) + log(p_x), ">=", Zero(1)


# If p(x_i) has no index phi, a reader can think that it is the distribution of the data, not of the model.

ROWS = ([[0.1], [0.9]], [[0.5], [0.5]])                             # two simple values of p(x), each a table with one column
P_DATA = Symbol("p_data", "p(x)", "> 0, summing to 1", 4, lambda raw: weights(raw, False)[:, :, None], ROWS)
MODEL = replace(TABLE, simple=([[0.3, 0.3], [0.2, 0.2]], *TABLE.simple))


@equation(
    "odaibo.t16", "l.133-175", r"\log p(x_i) \geq \int q_\theta(z|x_i)\log\left(" + BAYES + r"\right)dz",
    (P_DATA, MODEL, ENCODER), kind="claim", verdict="loose", tight=POSTERIOR,
    claim="The text writes p(x_i) and p(z|x_i) without the letter phi (l.133-175).",
    says="Read literally, the text says: p(x_i) in the bound is the distribution of the data.",
    fault="p(x_i) should be p_phi(x_i), the density of the model, because (18) uses Bayes' theorem for the model. The bound "
    "can exceed the log p(x_i) of the data.",
)  # fmt: skip
def t_16(p_data, p_xz, q):
    return log(p_data), ">=", total(times(q, log(likelihood(p_xz) * prior(p_xz) / q)))


@t_16.precise(
    r"\log p_\phi(x_i) \geq \int q_\theta(z|x_i)\log\left(" + BAYES + r"\right)dz"
    r" = \left[\log p_\phi(x_i) - D_{KL}\left(q_\theta(z|x_i)||p_\phi(z|x_i)\right)\right]",
    inputs=(MODEL, ENCODER),
)  # fmt: skip
def _(p_xz, q):
    log_p_x = log(evidence(p_xz))
    return (
        log_p_x,
        ">=", total(times(q, log(likelihood(p_xz) * prior(p_xz) / q))),
        "=", log_p_x - kl(q, posterior(p_xz)),
    )  # fmt: skip
