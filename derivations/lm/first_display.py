"""LM, "Variational AutoEncoder": from the beginning to the first displayed formula.

There are two models: tables p(x, z), for which integrals over z are sums, and x = w z + s eps. A side in square brackets is
our addition. In lm.4, this side is ln p(x): the page prints ln p(x) in line 1, but not again in line 2.
"""

from dataclasses import replace

import numpy as np

from derivations.engine.domains import positive, real, weights
from derivations.engine.equation import equation
from derivations.engine.numerics import expect, integrate, kl, kl_normal, log, log_density, mean, ratio, total
from derivations.engine.worlds import (
    ENCODER,
    TABLE,
    evidence,
    likelihood,
    linear_log_evidence,
    linear_posterior,
    posterior,
    prior,
)
from derivations.odaibo.batch import linear_vae
from minivae.likelihood import gaussian_log_prob

W, S = real("w", "w", simple=(2, 1, 0.5)), positive("s", "s", simple=(0.5, 1, 2))
X = real("x", "x", simple=(1, 0, 2))
WORLD = (W, S, X)
MU, SIGMA = real("mu", r"\mu"), positive("sigma", r"\sigma")
NOT_ZERO = replace(
    ENCODER, rule="> 0, every row summing to 1",
    make=lambda raw: weights(raw.reshape(-1, 4, 5), False),
    simple=ENCODER.simple[:3],
)  # fmt: skip
UNIFORM = [[0.25, 0.25], [0.25, 0.25]]
P = replace(TABLE, simple=([[0.1, 0.4], [0.3, 0.2]], [[0.5, 0.1], [0.1, 0.3]], UNIFORM))
TABLES, WHOLE_TABLES = (P, ENCODER), (P, NOT_ZERO)
Q_HAS_A_HOLE = {"p_xz": [[0.1, 0.4], [0.3, 0.2]], "q": [[1, 0], [0.5, 0.5]]}
NO_SECOND_Z = {"p_xz": [[0.5, 0], [0.5, 0]], "q": [[0.5, 0.5], [0.5, 0.5]]}                 # p(z_2) = 0


@equation(
    "lm.1", "l.5", r"E_q\left[(x - wz)^2\right] = (x - w\mu)^2 + w^2\sigma^2 \geq (x - w\mu)^2",
    (W, X, MU, SIGMA), kind="claim", verdict="prose", tight={"w": 0, "x": 1, "mu": 0, "sigma": 1},
    claim='The text says that a VAE is "very different from AE" (l.5).',
    says="In a VAE, the noise of z adds w^2 sigma^2 to the mean squared error. In an autoencoder, sigma = 0 and z = mu.",
)  # fmt: skip
def lm_1(w, x, mu, sigma):
    autoencoder = (x - w * mu) ** 2
    return (
        expect(lambda z: (x - w * z) ** 2, mu, sigma),
        "=", autoencoder + w**2 * sigma**2,
        ">=", autoencoder,
    )  # fmt: skip


def loss_of_autoencoder(w, x, mu):
    """Return (x - w mu)^2: minivae's loss of one x without noise (z = mu) and without KL (beta = 0), minus a constant.

    The decoder has the variance 1/2, so the loss is (x - w mu)^2 + ln(pi)/2.
    """
    vae = linear_vae(np.array([[0.0], mu, [0.0], [1.0]]), w, np.sqrt([0.5]))
    autoencoder = replace(vae, beta=0, noise=False)
    return autoencoder.loss(x[None], np.zeros((1, 1, 1))) - np.log(np.pi) / 2


@lm_1.tied("minivae.vae.VAE.loss", draws=50)
def _(w, x, mu, sigma):
    return np.vectorize(loss_of_autoencoder, signature="(o),(o),(o)->()")(w, x, mu)[:, None]


@equation(
    "lm.2", "l.5",
    r"p_\theta(x) = \int p_\theta(x|z)\,p(z)\,dz = E_q\left[\frac{p_\theta(x, z)}{q(z|x)}\right]",
    WHOLE_TABLES, kind="claim",
    claim='The text introduces q "to help us work out the weighted integral" over z (l.5).',
    says="The integral over z is an expectation under q.",
    needs="q(z|x) > 0 wherever p(x, z) > 0, and p(z) > 0", outside=(Q_HAS_A_HOLE, NO_SECOND_Z),
)  # fmt: skip
def lm_2(p_xz, q):
    return evidence(p_xz), "=", total(likelihood(p_xz) * prior(p_xz)), "=", mean(q, ratio(p_xz, q))


# The first displayed formula of the text has two lines. Each line states that ln p(x) equals an integral: LINE_1 in line 1,
# LINE_2 in line 2. The entry lm.3 checks line 1 in the linear model. The entry lm.4 checks line 2 in models that are tables
# p(x, z). The second displayed formula of the text begins with a copy of these two lines (see bound.py).

LINE_1 = r"\int \left(\ln p_\theta(x|z)\right)p(z)\,dz"
LINE_2 = r"\int \left(\ln\frac{q_\phi(z|x)}{q_\phi(z|x)}p_\theta(x|z)\right)p(z)\,dz"
GAP = r"D_{KL}(p(z)\Vert p(z|x))"
ONLY_JENSEN = (
    "ln p(x) is the logarithm of an integral. Here the logarithm is moved inside the integral. By Jensen's inequality, the "
    "result is at most ln p(x)."
)


def average_log_likelihood(w, s, x):
    """Return the expectation of ln p(x|z) for z drawn from the prior N(0, 1), in the linear model."""
    return expect(lambda z: log_density(x, w * z, s), 0, 1)


def prior_in_every_row(p_xz):
    """Return p(z), repeated for every x: (n, rows, columns)."""
    return np.broadcast_to(prior(p_xz), p_xz.shape)


def line_1(p_xz):
    """Return the integral LINE_1 for every x of a table p(x, z): the expectation of ln p(x|z) for z drawn from p(z)."""
    return mean(prior_in_every_row(p_xz), log(likelihood(p_xz)))


def line_2(p_xz, q):
    """Return the integral LINE_2 for every x of a table p(x, z). In LINE_2, p(x|z) is multiplied by q/q, which is 1."""
    return mean(prior_in_every_row(p_xz), log(q / q * likelihood(p_xz)))


def gap(p_xz):
    """Return KL(p(z) || p(z|x)). This KL is ln p(x) - LINE_1. LINE_2 equals LINE_1, so this KL is also ln p(x) - LINE_2."""
    return kl(prior_in_every_row(p_xz), posterior(p_xz))


@equation(
    "lm.3", "l.7 display 1, line 1", rf"\ln p_\theta(x) = {LINE_1}", WORLD,
    says="This line says that ln p(x) is the mean of ln p(x|z) over the prior.",
    verdict="wrong", fault=ONLY_JENSEN, tight={"w": 0, "s": 1, "x": 1},
)  # fmt: skip
def lm_3(w, s, x):
    return linear_log_evidence(w, s, x), "=", average_log_likelihood(w, s, x)


@lm_3.corrected(rf"\ln p_\theta(x) = \ln\int p_\theta(x|z)\,p(z)\,dz = {LINE_1} + {GAP} \geq {LINE_1}")
def _(w, s, x):
    line_1, mu_sigma = average_log_likelihood(w, s, x), linear_posterior(w, s, x)
    # Dividing p(x|z) p(z) by its largest value prevents underflow.
    log_joint = lambda z: log_density(x, w * z, s) + log_density(z, 0, 1)  # noqa: E731
    highest = log_joint(mu_sigma[0])
    integral = integrate(lambda z: np.exp(log_joint(z) - highest), *mu_sigma)
    return (
        linear_log_evidence(w, s, x),
        "=", highest + log(integral),
        "=", line_1 + kl_normal(0, 1, *mu_sigma),
        ">=", line_1,
    )  # fmt: skip


@lm_3.tied("minivae.likelihood.gaussian_log_prob")
def _(w, s, x):
    two = np.array([-1.0, 1.0])[:, None, None]              # for a quadratic, the mean over these two z is exact
    return gaussian_log_prob(x, w * two, np.log(s)[:, 0]).mean(axis=0)[:, None]


@equation(
    "lm.4", "l.7 display 1, line 2", rf"[\ln p_\theta(x)] = {LINE_2}", WHOLE_TABLES,
    says="This line multiplies the likelihood by q/q = 1.",
    verdict="wrong", group="lm.3",
    fault="Line 2 equals line 1, but line 1 is not ln p(x): the logarithm was moved inside the integral. So line 2 is not "
    "ln p(x).",
)  # fmt: skip
def lm_4(p_xz, q):
    return log(evidence(p_xz)), "=", line_2(p_xz, q)


@lm_4.corrected(
    r"\ln p_\theta(x) = \ln\int q_\phi(z|x)\frac{p_\theta(x|z)\,p(z)}{q_\phi(z|x)}dz"
    rf" = {LINE_2} + {GAP} = {LINE_1} + {GAP}"
)
def _(p_xz, q):
    return (
        log(evidence(p_xz)),
        "=", log(mean(q, likelihood(p_xz) * prior(p_xz) / q)),
        "=", line_2(p_xz, q) + gap(p_xz),
        "=", line_1(p_xz) + gap(p_xz),
    )  # fmt: skip
