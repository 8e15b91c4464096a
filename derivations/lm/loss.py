"""LM, "Variational AutoEncoder": the section "Loss Explanation", and the remark that we have to maximise L (l.32)."""

from dataclasses import replace

import numpy as np

from derivations.engine.domains import positive, real
from derivations.engine.equation import equation
from derivations.engine.numerics import expect, integrate, kl_normal, log_density
from derivations.engine.worlds import ENCODED, linear_elbo, linear_log_evidence, linear_posterior
from derivations.lm.first_display import WORLD
from derivations.odaibo.batch import linear_vae
from minivae.gaussian import (
    kl_standard_normal_backward,
    reparameterize,
    reparameterize_backward,
)
from minivae.likelihood import gaussian_log_prob_backward

# The loss of one latent dimension, as a function of (mu, sigma), for three weights of the KL

BETA = np.array([0.25, 1, 4])
LEAST = r"-\beta\ln\int p(z)\,p(x|z)^{1/\beta}dz"
Q_BETA = r"q_\beta(z) \propto p(z)\,p(x|z)^{1/\beta}"


def best_q(w, s, x):
    """Return mean and standard deviation of q_beta, (n, 3) each. q_beta is the posterior for the noise sqrt(beta) s."""
    return linear_posterior(w, s * np.sqrt(BETA), x)


def of_each(f, *letters):
    """Apply f to each column of the arguments; return (n, 3), or (n, 1) if every argument has only one column.

    Each argument has one column or three. An argument with one column has the same value for all three columns.
    """
    return f(*(letter[..., None] for letter in letters))[..., 0]


def reconstruction(w, s, x, mu, sigma):
    """Return -E_q[ln p(x|z)]."""
    return of_each(
        lambda w, s, x, mu, sigma: expect(lambda z: -log_density(x, w * z, s), mu, sigma), w, s, x, mu, sigma
    )


def least_loss(w, s, x):
    """Return -beta ln of the integral of `p(z) p(x|z)^(1/beta)`, (n, 3), by quadrature. For beta = 1: -ln p(x).

    Dividing the integrand by its largest value prevents underflow.
    """
    def log_integral(w, s, x, beta, mu, sigma):
        log_integrand = lambda z: log_density(z, 0, 1) + log_density(x, w * z, s) / beta  # noqa: E731
        highest = log_integrand(mu)
        return highest + np.log(integrate(lambda z: np.exp(log_integrand(z) - highest), mu, sigma))

    return -BETA * of_each(log_integral, w, s, x, BETA[None], *best_q(w, s, x))


@equation(
    "lm.43", "l.68-75 figure",
    r"-E_q[\ln p(x|z)] + \beta D_{KL}(q\Vert p(z))"
    rf" = {LEAST} + \beta D_{{KL}}(q\Vert q_\beta) \geq {LEAST}",
    (*WORLD, *ENCODED), kind="figure", verdict="figure",
    tight={"w": 0, "s": 1, "x": 1, "mu_q": 0, "sigma_q": 1},
    says="Here beta, the weight of the KL, is 1/4, 1 and 4. The loss is smallest if q is q_beta, which is proportional to "
    "p(z) p(x|z)^(1/beta). For beta = 1, q_beta is the posterior.",
)  # fmt: skip
def lm_43(w, s, x, mu_q, sigma_q):
    kl_term = BETA * kl_normal(mu_q, sigma_q, 0, 1)
    gap = BETA * of_each(kl_normal, mu_q, sigma_q, *best_q(w, s, x))
    least = least_loss(w, s, x)
    return reconstruction(w, s, x, mu_q, sigma_q) + kl_term, "=", least + gap, ">=", least


def loss_by_minivae(w, s, x, mu, sigma, beta):
    """Return minivae's loss of one x, with q = N(mu, sigma^2)."""
    vae = replace(linear_vae(np.array([[0], [mu], [0], [sigma]]), w, s), beta=float(beta))
    two = np.array([[[-1.0]], [[1.0]]])                     # for a quadratic, the mean over these two draws is exact
    return vae.loss(x[None], two)


@lm_43.tied("minivae.vae.VAE.loss", draws=20)
def _(w, s, x, mu_q, sigma_q):
    every = np.vectorize(loss_by_minivae, signature="(o),(o),(o),(),(),()->()")
    letters = (np.repeat(letter[:, None], 3, axis=1) for letter in (w, s, x))   # (n, 3, 1)
    return every(*letters, *best_q(w, s, x), BETA)


# Gradient ascent in mu and ln sigma, from the prior q = N(0, 1).

SMALL_STEPS = (                                             # for these values gradient ascent converges
    real("w", "w", 0.5, (1, 2, 0.5)),
    positive("s", "s", 0.15, (1, 2)),
    real("x", "x", simple=(1, 0, 2)),
)
STEPS, SIZE = 500, 0.05


def ascend(gradient, x):
    """Return mu and sigma after the last step. `gradient` returns dL/dmu and dL/dln sigma."""
    mu, log_sigma = np.zeros_like(x), np.zeros_like(x)
    for _ in range(STEPS):
        d_mu, d_log_sigma = gradient(mu, log_sigma)
        mu, log_sigma = mu + SIZE * d_mu, log_sigma + SIZE * d_log_sigma
    return mu, np.exp(log_sigma)


@equation(
    "lm.44", "l.32",
    r"\left(\mu_{\mathrm{end}},\; \sigma_{\mathrm{end}},\; \mathcal L(q_{\mathrm{end}})\right) ="
    r" \left(\frac{wx}{w^2 + s^2},\; \frac{s}{\sqrt{w^2 + s^2}},\; \ln p(x)\right)", SMALL_STEPS,
    kind="claim",
    claim='The text says that "we only need to find a way to maximize" L (l.32).',
    says="After 500 steps of gradient ascent with step size 0.05, q is the posterior.",
    needs="0.05 (1 + w^2/s^2) < 1.9, so the steps of the ascent are small enough", outside={"w": 2, "s": 0.3, "x": 1},
)  # fmt: skip
def lm_44(w, s, x):
    precision = 1 + (w / s) ** 2                            # minus the curvature of L in mu

    def gradient(mu, log_sigma):
        return w * x / s**2 - precision * mu, 1 - precision * np.exp(2 * log_sigma)

    mu, sigma = ascend(gradient, x)
    return (
        np.hstack([mu, sigma, linear_elbo(w, s, x, mu, sigma)]),
        "=", np.hstack([*linear_posterior(w, s, x), linear_log_evidence(w, s, x)]),
    )  # fmt: skip


@lm_44.tied("minivae.gaussian.kl_standard_normal_backward", draws=100)
def _(w, s, x):
    # log p(x|z) is quadratic in the noise eps, so its mean over eps = -1 and eps = 1 is the exact expectation.
    two = np.array([-1.0, 1.0])[:, None, None] * np.ones_like(x)

    def gradient(mu, log_sigma):
        log_var, half = 2 * log_sigma, np.full((2, len(x)), 0.5)
        z = reparameterize(mu, log_var, two)
        d_mean, _ = gaussian_log_prob_backward(half, x / s, w / s * z, np.zeros(()))    # x and its mean w z, in units of s
        from_z = reparameterize_backward(w / s * d_mean, mu, log_var, two)
        d_mu, d_log_var = (a - b for a, b in zip(from_z, kl_standard_normal_backward(1, mu, log_var)))
        return d_mu, 2 * d_log_var

    mu, sigma = ascend(gradient, x)
    return np.hstack([mu, sigma, linear_elbo(w, s, x, mu, sigma)])
