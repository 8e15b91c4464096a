"""Statements of LM, "Variational AutoEncoder", section "More about this ELBO"."""

import numpy as np

from derivations.engine.domains import positive, real
from derivations.engine.equation import equation
from derivations.engine.numerics import (
    integrate,
    kl_normal,
    kl_normal_full,
    kl_of_weights,
    log,
    log_density,
    log_density_full,
    noise,
    normal,
    times,
    total,
)
from derivations.engine.worlds import evidence, likelihood, linear_posterior, posterior, prior, small_vae
from derivations.lm.bound import ASSUMED, ASSUMED_BY_BAYES, divergence, near_zero
from derivations.lm.first_display import TABLES
from derivations.odaibo.claims import linear_model
from derivations.odaibo.objective import DATUM
from minivae.gaussian import kl_standard_normal

JOINT = (
    real("w", "w", 0.6, (1, 2)),
    positive("s", "s", 0.3, (1, 0.5)),
    real("x", "x", 0.8, (1, 0)),
    real("z", "z", 0.8, (0, 1)),
)


@equation(
    "lm.26", "l.36", r"p_\theta(x|z)\,p(z) \neq p(x, z)", JOINT,
    kind="claim", verdict="loose",
    claim='The text says that we do not know p(x, z) "either" (l.36).',
    says="If we read the text literally, the unknown p(x, z) differs from the product of decoder and prior.",
    fault="The joint density is known: it is decoder times prior, as the next line of the text says. The integral of the "
    "joint density over z is p(x). p(x) is unknown, and so is p(z|x).",
)  # fmt: skip
def lm_26(w, s, x, z):
    return normal(x, w * z, s) * normal(z, 0, 1), "!=", joint_density(w, s, x, z)


def joint_density(w, s, x, z):
    """Return p(x, z) of the linear model, from the Gaussian density of the pair (x, z)."""
    cov = np.stack([np.stack([w**2 + s**2, w], axis=-1), np.stack([w, 0 * w + 1], axis=-1)], axis=-2)[:, 0]
    return np.exp(log_density_full(np.stack([x, z], axis=-1), np.zeros((len(x), 2)), cov))


@lm_26.precise(
    r"\left(p_\theta(x|z)\,p(z),\; \int p_\theta(x|z)\,p(z)\,dz\right) = (p(x, z),\; p(x))"
)
def _(w, s, x, z):
    joint = lambda z: normal(x, w * z, s) * normal(z, 0, 1)  # noqa: E731
    return (
        np.hstack([joint(z), integrate(joint, *linear_posterior(w, s, x))]),
        "=", np.hstack([joint_density(w, s, x, z), normal(x, 0, np.sqrt(w**2 + s**2))]),
    )  # fmt: skip


# The four lines of the displayed formula should equal L = ln p(x) - KL(q(z|x) || p(z|x)). In this KL, and in the KL of line
# 4, the logarithm ln(q/p) is computed as an integral, by quadrature. All other logarithms are computed with np.log. So the
# check of lines 1 to 3 compares two independent computations of ln(q/p).

KL_TO = r"\mathrm{KL}(q(z|x)\parallel"
SPLIT = r"\int q(z|x)\ln p(x|z)\,dz"


def bound(p_xz, q):
    """Return L(q) = ln p(x) - KL(q(z|x) || p(z|x))."""
    return near_zero(log(evidence(p_xz)) - kl_of_weights(q, posterior(p_xz)))


@equation(
    "lm.27", "l.38, line 1", r"\mathcal L(q) = \int q(z|x)\ln\frac{p(x, z)}{q(z|x)}dz", TABLES,
    says="The bound is the mean of ln[p(x, z) / q(z|x)] under q.", **ASSUMED,
)  # fmt: skip
def lm_27(p_xz, q):
    return bound(p_xz, q), "=", total(times(q, log(p_xz / q)))


@equation(
    "lm.28", "l.38, line 2",
    r"\left[\mathcal L(q)\right] = \int q(z|x)\ln\frac{p(x|z)p(z)}{q(z|x)}dz", TABLES,
    says="The joint is decoder times prior.", **ASSUMED_BY_BAYES,
)  # fmt: skip
def lm_28(p_xz, q):
    return bound(p_xz, q), "=", total(times(q, log(likelihood(p_xz) * prior(p_xz) / q)))


@equation(
    "lm.29", "l.38, line 3",
    rf"\left[\mathcal L(q)\right] = {SPLIT} + \int q(z|x)\ln\frac{{p(z)}}{{q(z|x)}}dz", TABLES,
    says="The logarithm of a product is a sum, which gives two integrals.", **ASSUMED_BY_BAYES,
)  # fmt: skip
def lm_29(p_xz, q):
    second = total(times(q, log(prior(p_xz) / q)))
    return bound(p_xz, q), "=", total(times(q, log(likelihood(p_xz)))) + second


@equation(
    "lm.30", "l.38, line 4", rf"\left[\mathcal L(q)\right] = {SPLIT} - {KL_TO} p(z))", TABLES,
    says="The second integral is minus the divergence of q from the prior.", **ASSUMED_BY_BAYES,
)  # fmt: skip
def lm_30(p_xz, q):
    return bound(p_xz, q), "=", total(times(q, log(likelihood(p_xz)))) - divergence(p_xz, q)


@equation(
    "lm.31", "l.42",
    rf"-\mathcal L(q) = \left[-\ln p(x) + {KL_TO} p(z|x))\right] = -E_q\ln p(x|z) + {KL_TO} p(z))", (DATUM,),
    says="The loss -L is the divergence from the prior minus the reconstruction. (L depends on theta as well as on q.)",
)  # fmt: skip
def lm_31(x):
    mu, sigma, W, b, s = linear_model(x)                                        # mu and sigma are (n, 1, 2)
    eps, chances = noise(2)                                                     # (9, 2), (9,)
    z, x = mu + sigma * eps, x[:, None]                                         # (n, 9, 2), (n, 1, 3)
    log_p_x = log_density_full(x, b, W.T @ W + s**2 * np.eye(3))
    cov = np.linalg.inv(np.eye(2) + W @ W.T / s**2)                             # covariance of the posterior
    mean = ((x - b) @ W.T @ cov / s**2)[:, 0]                                   # mean of the posterior
    gap = kl_normal_full(mu[:, 0], sigma[:, 0, :, None] ** 2 * np.eye(2), mean, cov)
    kl_prior = kl_normal(mu[:, 0, :, None], sigma[:, 0, :, None], 0, 1).sum(axis=1)
    log_p_x_given_z = log_density(x, z @ W + b, s).sum(axis=-1)
    log_joint = log_p_x_given_z + log_density(z, 0, 1).sum(axis=-1)
    log_q = log_density(z, mu, sigma).sum(axis=-1)
    return (
        total(chances * (log_q - log_joint)),
        "=", -log_p_x + gap,
        "=", -total(chances * log_p_x_given_z) + kl_prior,
    )  # fmt: skip


@lm_31.tied("minivae.vae.VAE.loss", draws=50)
def _(x):
    # The loss is quadratic in the noise, so the mean over the four draws in `corners` is its exact expectation.
    vae, corners = small_vae(), np.array([[-1.0, -1], [-1, 1], [1, -1], [1, 1]])[:, None]
    return np.vectorize(lambda datum: vae.loss(datum[None], corners), signature="(d)->()")(x)[:, None]


def layers(x, first, second):
    """Return tanh(x W + b) W' + b', a network with one hidden layer. tanh is computed from exponentials."""
    (W, b), (W_2, b_2) = first, second
    e = np.exp(2 * (np.einsum("ni,ih->nh", x, W) + b))
    return np.einsum("nh,ho->no", (e - 1) / (e + 1), W_2) + b_2


@equation(
    "lm.32", "l.44",
    r"\left(\mu(x),\; \ln\sigma^2(x),\; f(\mu(x))\right) :="
    r" \left(W_\phi'\tanh(W_\phi x + b_\phi) + b_\phi',\;"
    r" W_\theta'\tanh(W_\theta\mu(x) + b_\theta) + b_\theta'\right)", (DATUM,),
    kind="claim", verdict="defines",
    claim="The text calls q(z|x) the encoder and p(x|z) the decoder (l.44).",
    says="Encoder and decoder are networks that output the parameters of Gaussians.",
)  # fmt: skip
def lm_32(x):
    vae = small_vae(hidden=(5,))
    made = vae.forward(x, np.zeros((1, len(x), 2)))                             # no noise: z = mu
    heads = layers(x, *vae.layers("encoder"))
    decoded = layers(heads[:, :2], *vae.layers("decoder"))
    return np.hstack([made.mu, made.log_var, made.out[0]]), ":=", np.hstack([heads, decoded])


@lm_32.tied("minivae.vae.VAE.decode")
@lm_32.tied("minivae.vae.VAE.encode")
def _(x):
    vae = small_vae(hidden=(5,))
    mu, log_var = vae.encode(x)
    return np.hstack([mu, log_var, vae.decode(mu)])


BEST = (
    positive("w", "w", 0.3, (1, 2)),
    positive("s", "s", 0.3, (0.5, 1)),
    real("x", "x", 1, (2, 1, 0)),
)


@equation(
    "lm.33", "l.44", r"D_{KL}(q^*(z|x)\Vert p(z)) = 0", BEST,
    kind="claim", verdict="loose",
    claim='The text says that the second term "ensures our encoder is similar to our priors" (l.44).',
    says="Read literally, the text says: the best q is equal to the prior.",
    fault="The KL term penalises distance from the prior, but it does not force equality. If w is not 0, the best q has KL "
    "> 0.",
)  # fmt: skip
def lm_33(w, s, x):
    return kl_normal(*linear_posterior(w, s, x), 0, 1), "=", 0


@lm_33.precise(
    r"\{\mu = wx/(w^2 + s^2),\; \sigma^2 = s^2/(w^2 + s^2)\}:\;"
    r" 0 < D_{KL}(q^*(z|x)\Vert p(z)) = \frac{\mu^2 + \sigma^2 - 1 - \ln\sigma^2}{2}"
)
def _(w, s, x):
    mu, sigma = w * x / (w**2 + s**2), s / np.sqrt(w**2 + s**2)
    return 0, "<", kl_normal(*linear_posterior(w, s, x), 0, 1), "=", (mu**2 + sigma**2 - 1 - log(sigma**2)) / 2


@lm_33.tied("minivae.gaussian.kl_standard_normal")
def _(w, s, x):
    mu, sigma = linear_posterior(w, s, x)
    return kl_standard_normal(mu, 2 * np.log(sigma))
