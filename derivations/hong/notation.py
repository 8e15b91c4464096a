"""Hong, "Derivations": section 2 and the letters of 2.1, hong.1 to hong.7.

The model in which q(z|x) and the posterior are computed is that of world.py.
"""

import math

import numpy as np
from numpy import exp, log

from derivations.engine.domains import Symbol, positive, real, vector
from derivations.engine.equation import equation
from derivations.engine.numerics import expect, kl_normal, log_density_full, need_same_shape, normal, total
from derivations.engine.worlds import SIGMA_Q, linear_elbo, linear_log_evidence, linear_posterior
from derivations.hong.world import MODEL, MSE, SIGMA, SIGMA_THETA, corners, decoded, minus_log_evidence
from minivae.gaussian import log_normal, log_standard_normal, reparameterize
from minivae.likelihood import gaussian_log_prob, squared_error


@equation(
    "hong.1", "l.15", r"D = 3 \times 32 \times 32 = 3072",
    kind="claim",
    says="x has D numbers, and z has d. An image of CIFAR10 is three colours of 32 by 32 pixels.",
)  # fmt: skip
def dimensions():
    image = np.zeros((3, 32, 32))
    return image.reshape(-1).shape[0], "=", 3 * 32 * 32, "=", 3072


X_4 = vector("x", "x", 4, simple=((0.5, 0.5, 0.5, 0.5), (1, 0, 1, 0)))
X_TILDE = vector("x_tilde", r"\tilde{x}", 4, simple=((0, 0, 0, 0), (1, 1, 0, 0)))
SIGMA_4 = positive("sigma", r"\sigma", 0.3, (0.5, 1, 2))


def mse(x, x_tilde):
    """MSE(x, x~), (n, 1), as it is printed in hong.2."""
    need_same_shape(x=x, x_tilde=x_tilde)
    return total((x - x_tilde) ** 2) / x.shape[-1]


@equation(
    "hong.2", "l.19", rf"{MSE} = \frac{{1}}{{D}}\sum_{{i=1}}^{{D}}(x_i-\tilde{{x}}_i)^2", (X_4, X_TILDE),
    says="The squared difference of x and its reconstruction, averaged over the D numbers.",
)  # fmt: skip
def eq_2(x, x_tilde):
    average = lambda f: f.mean(axis=-1, keepdims=True)  # noqa: E731
    return average(x**2) - 2 * average(x * x_tilde) + average(x_tilde**2), "=", mse(x, x_tilde)


@eq_2.tied("minivae.likelihood.squared_error")
def _(x, x_tilde):
    return squared_error(x, x_tilde[None]).T / x.shape[-1]


# Which letter is whose: q_phi(z|x) = N(phi x, sigma_q^2), p_theta(x|z) = N(theta z, s^2)

PHI, PHI_2 = real("phi", r"\phi", 0.5, (1, 0.5)), real("phi_2", r"\phi'", 0.5, (2, 0, -1))
THETA, THETA_2 = positive("theta", r"\theta", 0.3, (1, 2)), positive("theta_2", r"\theta'", 0.3, (3, 0.5))
NETWORKS = (PHI, PHI_2, THETA, THETA_2, positive("s", "s"), real("x", "x", simple=(2, 1)), SIGMA_Q)


@equation(
    "hong.3", "l.23",
    r"q_\phi(z|x),\; p_\theta(x|z):\quad"
    r" \ln p_\theta(x) = \mathrm{ELBO}_\phi + D_{KL}(q_\phi||p_\theta(z|x)) ="
    r" \mathrm{ELBO}_{\phi'} + D_{KL}(q_{\phi'}||p_\theta(z|x)) \neq \ln p_{\theta'}(x)", NETWORKS,
    kind="claim",
    says="phi is the encoder's and theta the decoder's, as in most papers: log p(x) moves with theta alone.",
)  # fmt: skip
def networks(phi, phi_2, theta, theta_2, s, x, sigma_q):
    elbo = lambda phi: linear_elbo(theta, s, x, phi * x, sigma_q)  # noqa: E731
    gap = lambda phi: kl_normal(phi * x, sigma_q, *linear_posterior(theta, s, x))  # noqa: E731
    return (
        linear_log_evidence(theta, s, x),
        "=", elbo(phi) + gap(phi),
        "=", elbo(phi_2) + gap(phi_2),
        "!=", linear_log_evidence(theta_2, s, x),
    )  # fmt: skip


MEAN_4 = vector("mean", r"\mu_\theta(z)", 4, simple=((0, 0, 0, 0), (1, 1, 0, 0)))


def mse_of_a_draw(x, mean, sigma):
    """E MSE(x, x~) for x~ ~ N(mean, sigma^2 I): pixel by pixel, by quadrature."""
    square = lambda x_tilde: (x[..., None] - x_tilde) ** 2  # noqa: E731
    return expect(square, mean[..., None], sigma[..., None]).mean(axis=-2)


@equation(
    "hong.4", "l.23",
    r"(\tilde{x} \sim p_\theta(x|z)):\quad E\left[" + MSE + r"\right] = \text{MSE}(x,\mu_\theta(z))",
    (X_4, MEAN_4, SIGMA_4), kind="claim", verdict="slip",
    says='"We write this as another PDF": the reconstruction as a draw from p(x|z), noise and all.',
    fault="The loss needs the mean of p(x|z). A draw has sigma^2 more MSE: D/2 nats, whatever sigma is.",
)  # fmt: skip
def reconstruction(x, mean, sigma):
    return mse_of_a_draw(x, mean, sigma), "=", mse(x, mean)


@reconstruction.intended(
    r"(\tilde{x} = \mu_\theta(z),\; x' \sim p_\theta(x|z)):\quad"
    r" \frac{D}{2\sigma^2}E\left[\text{MSE}(x,x')\right] - \frac{D}{2} = \frac{D}{2\sigma^2}" + MSE
)
def _(x, mean, sigma):
    D = x.shape[-1]
    return D / (2 * sigma**2) * mse_of_a_draw(x, mean, sigma) - D / 2, "=", D / (2 * sigma**2) * mse(x, mean)


@reconstruction.tied("minivae.likelihood.gaussian_log_prob")
def _(x, mean, sigma):
    nats = -gaussian_log_prob(x, mean[None], log(sigma)[:, 0]).T
    return nats - x.shape[-1] * (log(sigma) + math.log(2 * math.pi) / 2)        # the part of the squares


# q(z|x) in the model of world.py, where the posterior is known

Z = vector("z", "z", 2, 0.8, ((0, 0), (1, 0)))


def posterior_density(z, W, sigma_theta, x):
    """p(z|x) = p(x|z) p(z) / p(x), (n, 1): Bayes' theorem with three densities."""
    likely = normal(x, decoded(W, z[:, None])[:, 0], sigma_theta).prod(axis=-1, keepdims=True)
    return likely * normal(z, 0, 1).prod(axis=-1, keepdims=True) * exp(minus_log_evidence(W, sigma_theta, x))


def diagonal_density(z, mu, sigma):
    """N(z; mu, diag(sigma^2)), (n, 1), from the matrix."""
    return exp(log_density_full(z[:, None], mu, sigma[..., None] ** 2 * np.eye(z.shape[-1])))


@equation(
    "hong.5", "l.25", r"p(z|x) = N(z;\, \mu_\phi(x),\, \sigma_\phi(x)^2)", (Z, *MODEL),
    kind="claim", verdict="slip",
    says='z is "a sample from the posterior, characterized by" the mean and sigma of the encoder.',
    fault="It is a sample from q(z|x), which approximates the posterior; its covariance is diag(sigma^2).",
)  # fmt: skip
def encoded(z, W, sigma_theta, x, mu, sigma):
    return posterior_density(z, W, sigma_theta, x), "=", diagonal_density(z, mu, sigma)


@encoded.intended(r"p(z|x) \neq q_\phi(z|x) = N(z;\, \mu_\phi(x),\, \mathrm{diag}(\sigma_\phi(x)^2))")
def _(z, W, sigma_theta, x, mu, sigma):
    return (
        posterior_density(z, W, sigma_theta, x),
        "!=", normal(z, mu, sigma).prod(axis=-1, keepdims=True),                # d independent coordinates
        "=", diagonal_density(z, mu, sigma),
    )  # fmt: skip


@encoded.tied("minivae.gaussian.log_normal")
def _(z, W, sigma_theta, x, mu, sigma):
    return exp(log_normal(z, mu, 2 * log(sigma)))[:, None]


# Here D = d: else the covariance of z would not even have the shape of that of the data

SQUARE_W = Symbol("W", "W", "real", 4, lambda raw: raw.reshape(-1, 2, 2), (np.eye(2), [[1, 2], [0, 1]]))
DIRECTION = Symbol("v", "v", "real, not (0, 0)", 2, lambda raw: raw + (0.5, -0.5), ((1, 1), (1, 0)))
TWO_EACH = (SQUARE_W, SIGMA_THETA, SIGMA)
Z_AND_NOISE = corners(4)                                    # (16, 4)   z and eps, two numbers each


def data(W, sigma_theta):
    """Equal draws x = W z + sigma_theta eps, (n, 16, D), with z from the prior."""
    return decoded(W, Z_AND_NOISE[:, :2]) + sigma_theta[..., None] * Z_AND_NOISE[:, 2:]


def covariance_of(draws):
    """E[u u'] of draws u (n, L, J) with mean 0: (n, J, J)."""
    return np.swapaxes(draws, 1, 2) @ draws / draws.shape[1]


@equation(
    "hong.6", "l.25",
    r"(\sigma_\phi(x)^2)^T I_d = \mathrm{Cov}_{\sim q(z|x)}[z] = \mathrm{Cov}_{\sim p(x)}[x]", TWO_EACH,
    kind="claim", verdict="wrong",
    says='That product "acts as a diagonal covariance matrix of the data distribution".',
    fault="It is a row of d numbers, no matrix: write diag. And it is the covariance of z, not of the data.",
)  # fmt: skip
def row_vector(W, sigma_theta, sigma):
    d = sigma.shape[-1]
    return (
        (sigma**2)[:, None, :] @ np.eye(d),                                     # (n, 1, d)   a single row
        "=", covariance_of(sigma[:, None] * corners(d)),
        "=", covariance_of(data(W, sigma_theta)),
    )  # fmt: skip


@row_vector.corrected(
    r"\left(v^T \mathrm{diag}(\sigma_\phi(x)^2)\, v,\; v^T(WW^T + \sigma_\theta^2 I_D)\, v\right) ="
    r" \left(\mathrm{Var}_{\sim q(z|x)}[v^T z],\; \mathrm{Var}_{\sim p(x)}[v^T x]\right)",
    inputs=(*TWO_EACH, DIRECTION),
)
def _(W, sigma_theta, sigma, v):
    column, eye = v[..., None], np.eye(v.shape[-1])
    along = lambda cov: (np.swapaxes(column, 1, 2) @ cov @ column)[..., 0]  # noqa: E731
    spread = lambda draws: ((draws @ column) ** 2).mean(axis=1)  # noqa: E731
    cov_z, cov_x = sigma[..., None] ** 2 * eye, W @ np.swapaxes(W, 1, 2) + sigma_theta[..., None] ** 2 * eye
    return (
        np.concatenate([along(cov_z), along(cov_x)], axis=-1),
        "=", np.concatenate([spread(sigma[:, None] * corners(2)), spread(data(W, sigma_theta))], axis=-1),
    )  # fmt: skip


@row_vector.tied("minivae.gaussian.reparameterize")
def _(W, sigma_theta, sigma, v):
    z, eps = Z_AND_NOISE[:, None, :2], Z_AND_NOISE[:, None, 2:]                 # (16, 1, 2) each
    of_z = reparameterize(0 * sigma, 2 * log(sigma), eps)                       # (16, n, 2)
    mean, ones = decoded(W, np.swapaxes(z, 0, 1)).swapaxes(0, 1), np.ones((16, len(W), 2))
    of_x = reparameterize(mean, 2 * log(sigma_theta) * ones, eps * ones)        # (16, n, 2)
    return np.stack([((draws * v).sum(axis=-1) ** 2).mean(axis=0) for draws in (of_z, of_x)], axis=-1)


@equation(
    "hong.7", "l.27", r"p(z) := N(z;\, 0,\, I_d)", (Z,), kind="claim", verdict="defines",
    says="The prior: d independent standard normal numbers.",
)  # fmt: skip
def prior(z):
    return normal(z, 0, 1).prod(axis=-1, keepdims=True), ":=", diagonal_density(z, 0 * z, 1 + 0 * z)


@prior.tied("minivae.gaussian.log_standard_normal")
def _(z):
    return exp(log_standard_normal(z))[:, None]
