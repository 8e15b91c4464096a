"""Odaibo, "Tutorial: Deriving the Standard VAE Loss Function": VAE Objective, from its letters to (22).

Equations (17) to (22) speak of one datum x_i. Here a table p(x, z) has all data at once, one in each row.
A whole side in square brackets is not on the page: it is what the line is about, carried over from above it.
"""

from dataclasses import replace

import numpy as np

from derivations.engine.domains import Symbol, positive, real, vector, weights
from derivations.engine.equation import Zero, equation
from derivations.engine.graph import arrows, reaches
from derivations.engine.numerics import kl, kl_normal, log, mean, noise, times, total
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
    says="Says where the VAE comes from [Kingma et al. 2013] and names an application [Odaibo 2019].",
    verdict="prose",
)  # fmt: skip
def t_13():
    return ()


# The letters. Moving the encoder's weights leaves log p(x) where it is, moving the decoder's does not: this
# tells which letter is whose.

THETA, THETA_2 = real("theta", r"\theta", 0.5, (1, 0.5)), real("theta_2", r"\theta'", 0.5, (2, 0, -1))
PHI, PHI_2 = positive("phi", r"\phi", 0.3, (1, 2)), positive("phi_2", r"\phi'", 0.3, (3, 0.5))
X = real("x", "x", simple=(2, 1))
KL_POSTERIOR = r"D_{KL}\left(q_\theta(z|x_i)||p(z|x_i)\right)"
BAYES = r"\frac{p_\phi(x_i|z)p(z)}{q_\theta(z|x_i)}"


@equation(
    "odaibo.t14", "l.118-120", r"q_\theta(z|x),\; p_\phi(x|z):\quad \log p_\theta(x) = \log p_{\theta'}(x)",
    (THETA, THETA_2, S, X), kind="claim", verdict="slip",
    says="The encoder's weights are called theta: so moving theta leaves log p(x) where it is.",
    fault="In the paper it cites, theta is the decoder's: read so, log p(x) moves. Swap them to compare.",
)  # fmt: skip
def t_14(theta, theta_2, s, x):
    return linear_log_evidence(theta, s, x), "=", linear_log_evidence(theta_2, s, x)


@t_14.intended(
    r"\log p_\phi(x) = \mathrm{ELBO}_\theta + D_{KL}(q_\theta||p_\phi(z|x)) ="
    r" \mathrm{ELBO}_{\theta'} + D_{KL}(q_{\theta'}||p_\phi(z|x)) \neq \log p_{\phi'}(x)",
    inputs=(THETA, THETA_2, PHI, PHI_2, S, X, SIGMA_Q),
)  # fmt: skip
def _(theta, theta_2, phi, phi_2, s, x, sigma_q):
    elbo = lambda theta: linear_elbo(phi, s, x, theta * x, sigma_q)  # noqa: E731
    gap = lambda theta: kl_normal(theta * x, sigma_q, *linear_posterior(phi, s, x))  # noqa: E731
    return (
        linear_log_evidence(phi, s, x),
        "=", elbo(theta) + gap(theta),
        "=", elbo(theta_2) + gap(theta_2),
        "!=", linear_log_evidence(phi_2, s, x),
    )  # fmt: skip


DATUM = vector("x", "x", 3, simple=((0, 0, 0), (1, 0, -1)))


@equation(
    "odaibo.t15", "l.120",
    r"(\mu, \sigma^2) = \left(E_{\sim q}[z],\; \mathrm{Var}_{\sim q}[z]\right)", (DATUM,),
    kind="claim",
    says="The encoder puts out the parameters of q(z|x). What enters the decoder is drawn from it, not mu.",
)  # fmt: skip
def t_15(x):
    # The noise is quadrature nodes, not draws: so mean and variance are exact.
    vae, (eps, chances) = small_vae(hidden=(5,)), noise(2)
    mu, log_var = vae.encode(x)
    eps = np.repeat(eps[:, None], len(x), axis=1)                           # (9, n, 2)
    fed = vae.forward(x, eps).decoder_hs[0].reshape(eps.shape)                      # what enters the decoder
    average = lambda f: np.einsum("l,lbj->bj", chances, f)  # noqa: E731
    first = average(fed)
    return np.hstack([mu, np.exp(log_var)]), "=", np.hstack([first, average((fed - first) ** 2)])


NODES = ("x", "mu", "log_var", "eps", "z", "out")
ACTS_ON = np.array([
    # x  mu log_var eps z out                   what the number of this row acts on, in however many steps
    [0, 1, 1, 0, 1, 1],     # x: through the encoder on mu and sigma
    [0, 0, 0, 0, 1, 1],     # mu
    [0, 0, 0, 0, 1, 1],     # log_var
    [0, 0, 0, 0, 1, 1],     # eps: on z, and nothing acts on it
    [0, 0, 0, 0, 0, 1],     # z: on the decoder's output, never back on mu or sigma
    [0, 0, 0, 0, 0, 0],     # out
])  # fmt: skip


@equation(
    "odaibo.F2", "l.125 Figure 2",
    r"\left|\text{arrows and shapes drawn} - \text{arrows and shapes of the model}\right| < 1",
    kind="figure",
    says="x, encoder, mu and sigma, z, decoder: nothing leads from z back to mu or sigma; noise is a leaf.",
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


# (17) to (22): the divergence to the true posterior, line by line

NEEDED = "p(x_i) > 0, and q(z|x_i) is zero wherever p(z|x_i) is"
OUTSIDE = (
    {"p_xz": [[0.5, 0], [0.25, 0.25]], "q": [[0.5, 0.5], [0.5, 0.5]]},  # q has mass where p has none
    {"p_xz": [[0, 0], [0.5, 0.5]], "q": [[0.5, 0.5], [0.5, 0.5]]},      # p(x) = 0 in the first row
    {"p_xz": [[0.1, 0.4], [0.3, 0.2]], "q": [[0.6, 0.6], [0.5, 0.5]]},  # q sums to 1.2
)
POSTERIOR = {"p_xz": [[0.1, 0.4], [0.3, 0.2]], "q": [[0.2, 0.8], [0.6, 0.4]]}   # q is the posterior


def zero(q):
    """The side 0 of these lines: what cancels in it is of the size of E_q[-log q]."""
    return Zero(mean(q, -log(q)))


@equation(
    "odaibo.17", "l.129 (17)",
    KL_POSTERIOR + r" = -\int q_\theta(z|x_i)\log\left(\frac{p(z|x_i)}{q_\theta(z|x_i)}\right)dz \geq 0",
    TABLES, says="How far the encoder's q(z|x_i) is from the true posterior of this datum; never below zero.",
    needs=NEEDED, outside=OUTSIDE, tight=POSTERIOR,
)  # fmt: skip
def eq_17(p_xz, q):
    p_z_given_x = posterior(p_xz)
    return kl(q, p_z_given_x), "=", -total(times(q, log(p_z_given_x / q))), ">=", zero(q)


@equation(
    "odaibo.18", "l.133 (18)",
    KL_POSTERIOR
    + r" = -\int q_\theta(z|x_i)\log\left(\frac{p_\phi(x_i|z)p(z)}{q_\theta(z|x_i)p(x_i)}\right)dz \geq 0",
    TABLES, says="Bayes' theorem, put in for the posterior.", needs=NEEDED, outside=OUTSIDE, tight=POSTERIOR,
)  # fmt: skip
def eq_18(p_xz, q):
    p_x_given_z, p_z, p_x = likelihood(p_xz), prior(p_xz), evidence(p_xz)
    return kl(q, posterior(p_xz)), "=", -total(times(q, log(p_x_given_z * p_z / (q * p_x)))), ">=", zero(q)


@equation(
    "odaibo.19", "l.137 (19)",
    KL_POSTERIOR
    + r" = -\int q_\theta(z|x_i)\left[\log\left(" + BAYES + r"\right) - \log p(x_i)\right]dz \geq 0",
    TABLES, says="The logarithm of a quotient is a difference of logarithms.",
    needs=NEEDED, outside=OUTSIDE, tight=POSTERIOR,
)  # fmt: skip
def eq_19(p_xz, q):
    p_x_given_z, p_z, p_x = likelihood(p_xz), prior(p_xz), evidence(p_xz)
    return kl(q, posterior(p_xz)), "=", -total(times(q, log(p_x_given_z * p_z / q) - log(p_x))), ">=", zero(q)


@equation(
    "odaibo.20", "l.142 (20)",
    r"\left[" + KL_POSTERIOR + r"\right] = -\int q_\theta(z|x_i)\log\left(" + BAYES + r"\right)dz"
    r" + \int q_\theta(z|x_i)\log p(x_i)\,dz \geq 0",
    TABLES, says="The integral of a difference, as a difference of integrals.",
    needs=NEEDED + "; both integrals are finite", outside=OUTSIDE, tight=POSTERIOR,
)  # fmt: skip
def eq_20(p_xz, q):
    p_x_given_z, p_z, p_x = likelihood(p_xz), prior(p_xz), evidence(p_xz)
    return (
        kl(q, posterior(p_xz)),
        "=", -total(times(q, log(p_x_given_z * p_z / q))) + total(times(q, log(p_x))),
        ">=", zero(q),
    )  # fmt: skip


@equation(
    "odaibo.21", "l.145-147 (21)",
    r"\left[" + KL_POSTERIOR + r"\right] = -\int q_\theta(z|x_i)\log\left(" + BAYES + r"\right)dz"
    r" + \log p(x_i)\int q_\theta(z|x_i)\,dz \geq 0",
    TABLES, says="log p(x_i) does not depend on z, so it comes out of the integral.",
    needs=NEEDED + "; both integrals are finite", outside=OUTSIDE, tight=POSTERIOR,
)  # fmt: skip
def eq_21(p_xz, q):
    p_x_given_z, p_z, p_x = likelihood(p_xz), prior(p_xz), evidence(p_xz)
    return (
        kl(q, posterior(p_xz)),
        "=", -total(times(q, log(p_x_given_z * p_z / q))) + log(p_x) * total(q),
        ">=", zero(q),
    )  # fmt: skip


@equation(
    "odaibo.22", "l.150-152 (22)",
    r"\left[" + KL_POSTERIOR + r"\right] = -\int q_\theta(z|x_i)\log\left(" + BAYES + r"\right)dz"
    r" + \log p(x_i) \geq 0",
    TABLES, says="q(z|x_i) is a distribution: it integrates to one.",
    needs=NEEDED + "; q(z|x_i) sums to 1", outside=OUTSIDE, tight=POSTERIOR,
)  # fmt: skip
def eq_22(p_xz, q):
    p_x_given_z, p_z, p_x = likelihood(p_xz), prior(p_xz), evidence(p_xz)
    return kl(q, posterior(p_xz)), "=", -total(times(q, log(p_x_given_z * p_z / q))) + log(p_x), ">=", zero(q)


# Whose p(x_i)? Without the letter phi it looks like the law of the data.

ROWS = ([[0.1], [0.9]], [[0.5], [0.5]])                             # simple values, (rows, 1) like p(x)
P_DATA = Symbol("p_data", "p(x)", "> 0, summing to 1", 4, lambda raw: weights(raw, False)[:, :, None], ROWS)
MODEL = replace(TABLE, simple=([[0.3, 0.3], [0.2, 0.2]], *TABLE.simple))


@equation(
    "odaibo.t16", "l.133-175", r"\log p(x_i) \geq \int q_\theta(z|x_i)\log\left(" + BAYES + r"\right)dz",
    (P_DATA, MODEL, ENCODER), kind="claim", verdict="slip", tight=POSTERIOR,
    says="p(x_i) and p(z|x_i) are printed without the letter phi.",
    fault="Both are the model's and move with phi: the law of the data is no upper limit of its bound.",
)  # fmt: skip
def t_16(p_data, p_xz, q):
    return log(p_data), ">=", total(times(q, log(likelihood(p_xz) * prior(p_xz) / q)))


@t_16.intended(
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
