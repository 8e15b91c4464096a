"""Hong, "Derivations": section 2 and the notation of 2.1, hong.1 to hong.7.

q(z|x) and the posterior are computed in the model of world.py.
"""

import math

import numpy as np
from numpy import exp, log

from derivations.engine.domains import Symbol, positive, real, vector
from derivations.engine.equation import Zero, equation
from derivations.engine.numerics import (
    expect,
    kl_normal,
    log_density,
    log_density_full,
    need_same_shape,
    normal,
    total,
)
from derivations.engine.worlds import SIGMA_Q, linear_elbo, linear_log_evidence, linear_posterior
from derivations.hong.world import MODEL, MSE, SIGMA, SIGMA_THETA, codes, corners, decoded, minus_log_evidence
from minivae.gaussian import log_normal, log_standard_normal, reparameterize
from minivae.likelihood import gaussian_log_prob, squared_error


@equation(
    "hong.1", "l.15", r"D = 3 \times 32 \times 32 = 3072",
    says="x has D numbers and z has d numbers. An image of CIFAR10 has three colours for each of its 32 by 32 pixels.",
)  # fmt: skip
def dimensions():
    image = np.zeros((3, 32, 32))
    return image.reshape(-1).shape[0], "=", 3 * 32 * 32, "=", 3072


X_4 = vector("x", "x", 4, simple=((0.5, 0.5, 0.5, 0.5), (1, 0, 1, 0)))
X_TILDE = vector("x_tilde", r"\tilde{x}", 4, simple=((0, 0, 0, 0), (1, 1, 0, 0)))
SIGMA_4 = positive("sigma", r"\sigma", 0.3, (0.5, 1, 2))


def mse(x, x_tilde):
    """Return MSE(x, x~), (n, 1), by the formula of hong.2."""
    need_same_shape(x=x, x_tilde=x_tilde)
    return total((x - x_tilde) ** 2) / x.shape[-1]


@equation(
    "hong.2", "l.19", rf"{MSE} = \frac{{1}}{{D}}\sum_{{i=1}}^{{D}}(x_i-\tilde{{x}}_i)^2", (X_4, X_TILDE),
    says="The MSE is the mean of the D squared differences of x and its reconstruction x~.",
)  # fmt: skip
def eq_2(x, x_tilde):
    average = lambda f: f.mean(axis=-1, keepdims=True)  # noqa: E731
    squares = average(x**2) + average(x_tilde**2)
    return Zero(squares, squares - 2 * average(x * x_tilde)), "=", mse(x, x_tilde)


@eq_2.tied("minivae.likelihood.squared_error")
def _(x, x_tilde):
    return squared_error(x, x_tilde[None]).T / x.shape[-1]


# The letters phi and theta: q_phi(z|x) = N(phi x, sigma_q^2), p_theta(x|z) = N(theta z, s^2)

PHI, PHI_2 = real("phi", r"\phi", 0.5, (1, 0.5)), real("phi_2", r"\phi'", 0.5, (2, 0, -1))
THETA = positive("theta", r"\theta", 0.3, (1, 2))
NETWORKS = (PHI, PHI_2, THETA, positive("s", "s"), real("x", "x", simple=(2, 1)), SIGMA_Q)


@equation(
    "hong.3", "l.23",
    r"\ln p_\theta(x) = \mathrm{ELBO}_\phi + D_{KL}(q_\phi||p_\theta(z|x)) ="
    r" \mathrm{ELBO}_{\phi'} + D_{KL}(q_{\phi'}||p_\theta(z|x))", NETWORKS,
    kind="claim",
    claim="The text calls the encoder q_phi and the decoder p_theta, as many papers do (l.23).",
    says="phi belongs to the encoder, so ln p_theta(x) does not depend on phi. (Odaibo uses theta for the encoder.)",
)  # fmt: skip
def networks(phi, phi_2, theta, s, x, sigma_q):
    elbo = lambda phi: linear_elbo(theta, s, x, phi * x, sigma_q)  # noqa: E731
    gap = lambda phi: kl_normal(phi * x, sigma_q, *linear_posterior(theta, s, x))  # noqa: E731
    return (
        linear_log_evidence(theta, s, x),
        "=", elbo(phi) + gap(phi),
        "=", elbo(phi_2) + gap(phi_2),
    )  # fmt: skip


MEAN_4 = vector("mean", r"\mu_\theta(z)", 4, simple=((0, 0, 0, 0), (1, 1, 0, 0)))


def mse_of_a_draw(x, mean, sigma):
    """Return the expectation of MSE(x, x~) for x~ from N(mean, sigma^2 I). Use quadrature for each pixel."""
    square = lambda x_tilde: (x[..., None] - x_tilde) ** 2  # noqa: E731
    return expect(square, mean[..., None], sigma[..., None]).mean(axis=-2)


@equation(
    "hong.4", "l.23",
    r"(\tilde{x} \sim p_\theta(x|z)):\quad E\left[" + MSE + r"\right] = \text{MSE}(x,\mu_\theta(z))",
    (X_4, MEAN_4, SIGMA_4), kind="claim", verdict="slip",
    group="hong.15",
    claim="The text writes the reconstruction x~ as a draw from p(x|z) (l.23).",
    says="Read literally, the text says: the expected MSE of a draw is the MSE of the mean.",
    fault="The reconstruction in the loss is the mean of p(x|z), not a draw. The expected MSE of a draw is larger by "
    "sigma^2.",
)  # fmt: skip
def reconstruction(x, mean, sigma):
    return mse_of_a_draw(x, mean, sigma), "=", mse(x, mean)


@reconstruction.intended(
    r"(\tilde{x} = \mu_\theta(z),\; x' \sim p_\theta(x|z)):\quad"
    r" \frac{D}{2\sigma^2}E\left[\text{MSE}(x,x')\right] - \frac{D}{2} = \frac{D}{2\sigma^2}" + MSE
)
def _(x, mean, sigma):
    D = x.shape[-1]
    of_draws = D / (2 * sigma**2) * mse_of_a_draw(x, mean, sigma)
    return Zero(of_draws, of_draws - D / 2), "=", D / (2 * sigma**2) * mse(x, mean)


@reconstruction.tied("minivae.likelihood.gaussian_log_prob")
def _(x, mean, sigma):
    nll = -gaussian_log_prob(x, mean[None], log(sigma)[:, 0]).T
    return nll - x.shape[-1] * (log(sigma) + math.log(2 * math.pi) / 2)         # only the squared errors remain


# The encoder's q(z|x) and the posterior p(z|x), in the model of world.py

Z = vector("z", "z", 2, 0.8, ((0, 0), (1, 0)))


def posterior_density(z, W, sigma_theta, x):
    """Return p(z|x), (n, 1), from three densities by Bayes' theorem: p(x|z) p(z) / p(x)."""
    likelihood = normal(x, decoded(W, z[:, None])[:, 0], sigma_theta).prod(axis=-1, keepdims=True)
    return likelihood * normal(z, 0, 1).prod(axis=-1, keepdims=True) * exp(minus_log_evidence(W, sigma_theta, x))


def diagonal_density(z, mu, sigma):
    """Return N(z; mu, diag(sigma^2)), (n, 1), by the formula for a full covariance matrix."""
    return exp(log_density_full(z[:, None], mu, sigma[..., None] ** 2 * np.eye(z.shape[-1])))


@equation(
    "hong.5", "l.25", r"p(z|x) = N(z;\, \mu_\phi(x),\, \sigma_\phi(x)^2)", (Z, *MODEL),
    kind="claim", verdict="loose",
    claim='The text calls z "a sample from the posterior" with mean and sigma of the encoder (l.25).',
    says="Read literally, the text says: the encoder's Gaussian is the posterior p(z|x).",
    fault="z is a sample from q(z|x), which approximates the posterior p(z|x). The covariance of q(z|x) is "
    "diag(sigma_phi(x)^2).",
)  # fmt: skip
def encoded(z, W, sigma_theta, x, mu, sigma):
    return posterior_density(z, W, sigma_theta, x), "=", diagonal_density(z, mu, sigma)


@encoded.precise(
    r"q_\phi(z|x) = \prod_i N(z_i;\, \mu_i,\, \sigma_i^2) = N(z;\, \mu_\phi(x),\, \mathrm{diag}(\sigma_\phi(x)^2))",
    inputs=(Z, *MODEL[3:]),
)
def _(z, mu, sigma):
    product = normal(z, mu, sigma).prod(axis=-1, keepdims=True)
    return exp(log_density(z, mu, sigma).sum(axis=-1, keepdims=True)), "=", product, "=", diagonal_density(z, mu, sigma)


@encoded.tied("minivae.gaussian.log_normal")
def _(z, mu, sigma):
    return exp(log_normal(z, mu, 2 * log(sigma)))[:, None]


# Here D = d, so the covariances of z and of the data have the same shape.

SQUARE_W = Symbol("W", "W", "real", 4, lambda raw: raw.reshape(-1, 2, 2), (np.eye(2), [[1, 2], [0, 1]]))
TWO_EACH = (SQUARE_W, SIGMA_THETA, SIGMA)
Z_AND_NOISE = corners(4)                                    # (16, 4)   two numbers for z and two for eps


def data(W, sigma_theta):
    """Return 16 points x = W z + sigma_theta eps, (n, 16, D). Each point has the probability 1/16.

    The mean and the covariance of the 16 points are equal to the mean and the covariance of p(x).
    """
    return decoded(W, Z_AND_NOISE[:, :2]) + sigma_theta[..., None] * Z_AND_NOISE[:, 2:]


def covariance_of(draws):
    """Return the covariance matrices E[u u^T] of draws u (n, L, J) with mean 0; their shape is (n, J, J)."""
    return np.swapaxes(draws, 1, 2) @ draws / draws.shape[1]


@equation(
    "hong.6", "l.25",
    r"(\sigma_\phi(x)^2)^T I_d = \mathrm{Cov}_{\sim q(z|x)}[z] = \mathrm{Cov}_{\sim p(x)}[x]", TWO_EACH,
    kind="claim", verdict="slip",
    claim='The text calls (sigma_phi(x)^2)^T I_d "a diagonal covariance matrix of the data distribution" (l.25).',
    says="Read literally, the text says: (sigma_phi(x)^2)^T I_d is the covariance matrix of z, and also that of the data.",
    fault="The covariance of z is diag(sigma_phi(x)^2). The covariance of the data is another matrix, and the printed "
    "product with I_d is a row vector.",
)  # fmt: skip
def row_vector(W, sigma_theta, sigma):
    d = sigma.shape[-1]
    return (
        (sigma**2)[:, None, :] @ np.eye(d),                                     # (n, 1, d)   a single row
        "=", covariance_of(sigma[:, None] * corners(d)),
        "=", covariance_of(data(W, sigma_theta)),
    )  # fmt: skip


@row_vector.intended(r"\mathrm{Cov}_{\sim q(z|x)}[z] = \mathrm{diag}(\sigma_\phi(x)^2)", inputs=(SIGMA,))
def _(sigma):
    z, weights = codes(0 * sigma, sigma)                                        # (n, 9, 2), (9,)
    products = z[..., :, None] * z[..., None, :]                                # the products z_1 z_2 cancel in pairs
    return (weights[:, None, None] * products).sum(axis=1), "=", sigma[..., None] ** 2 * np.eye(2)


@row_vector.tied("minivae.gaussian.reparameterize")
def _(sigma):
    z = reparameterize(0 * sigma, 2 * log(sigma), corners(2)[:, None])          # (4, n, 2)
    return (z[..., :, None] * z[..., None, :]).mean(axis=0)


@equation(
    "hong.7", "l.27", r"p(z) := N(z;\, 0,\, I_d)", (Z,), kind="claim", verdict="defines",
    claim="The text assumes a standard Gaussian prior (l.27).",
    says="The coordinates of z are independent, and each has a standard normal distribution.",
)  # fmt: skip
def prior(z):
    return normal(z, 0, 1).prod(axis=-1, keepdims=True), ":=", diagonal_density(z, 0 * z, 1 + 0 * z)


@prior.tied("minivae.gaussian.log_standard_normal")
def _(z):
    return exp(log_standard_normal(z))[:, None]
