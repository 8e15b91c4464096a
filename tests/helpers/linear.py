"""Linear-Gaussian models, and closed forms of log p(x) and the ELBO, computed in other ways than in minivae."""

import math
from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from minivae.evidence.descent import minimise
from minivae.likelihood import Gaussian
from minivae.vae import VAE


def linear_model(seed, latent, features=5, sigma=0.7, rows=6, spread=0.5):
    """Return a VAE without hidden layers and data x drawn from it. Its encoder is random, not the posterior."""
    rng = np.random.default_rng(seed)
    vae = VAE.init(rng, features, latent, (), dtype=np.float64, likelihood=Gaussian(sigma))
    vae.params.flat[...] = rng.normal(0, spread, vae.params.flat.shape)
    vae.params["log_sigma"][...] = math.log(sigma)
    W, b = vae.layers("decoder")[0]
    x = rng.normal(size=(rows, latent)) @ W + b + sigma * rng.normal(size=(rows, features))
    return vae, x


linear_models = st.builds(
    linear_model,
    seed=st.integers(0, 2**32 - 1),
    latent=st.integers(1, 4),
    features=st.integers(1, 6),
    sigma=st.sampled_from([0.3, 1.0, 3.0]),
    rows=st.integers(1, 5),
)


def log_density(x, mean, cov):
    """Return log N(x; mean, cov) of every row of x (N, D), computed from the eigenvalues of cov; mean is (N, D) or (D,)."""
    values, vectors = np.linalg.eigh(cov)
    u = (x - mean) @ vectors
    return -(u * u / values + np.log(2 * math.pi * values)).sum(axis=-1) / 2


def closed_log_px(vae, x):
    """Return log p(x) = log N(x; b, W'W + sigma^2 I), (N,)."""
    W, b = vae.layers("decoder")[0]
    return log_density(x, b, W.T @ W + np.exp(2 * vae.params["log_sigma"]) * np.eye(vae.features))


def closed_elbo(vae, x):
    """Return E_q log p(x|z) - KL, (N,), with E |x - W'z - b|^2 = |x - W'mu - b|^2 + sum_j sigma_j^2 |W_j|^2."""
    W, b = vae.layers("decoder")[0]
    mu, log_var = vae.encode(x)
    variance = np.exp(log_var)
    squares = ((x - mu @ W - b) ** 2).sum(axis=1) + variance @ (W * W).sum(axis=1)
    log_sigma = vae.params["log_sigma"]
    reconstruction = -squares / (2 * np.exp(2 * log_sigma)) - vae.features * (log_sigma + math.log(2 * math.pi) / 2)
    return reconstruction - (mu * mu + variance - 1 - log_var).sum(axis=1) / 2


def sigma_points(latent, rows):
    """Return noise eps (2J, rows, J): for every row, the points +-sqrt(J) e_j.

    These points have mean 0 and covariance I, like standard normal noise. The loss of a linear model is quadratic in eps, so
    the mean loss over these points is exactly the mean loss over the noise.
    """
    points = np.sqrt(latent) * np.concatenate([np.eye(latent), -np.eye(latent)])
    return np.repeat(points[:, None, :], rows, axis=1)


def fit_linear(vae, x, tolerance=1e-13):
    """Fit a linear VAE to the data x, and return the mean ELBO of the fitted model. This changes the parameters of `vae`.

    BFGS minimises the exact mean loss; `VAE.backward` computes the gradient.
    """
    eps = sigma_points(vae.latent, len(x))

    def loss(flat, _):
        model = replace(vae, params=vae.params.like(flat[0]))
        f = model.forward(x, eps)
        return f.loss[None], model.backward(x, eps, f, model.params.zeros_like()).flat[None]

    points, values = minimise(loss, vae.params.flat[None], tolerance, max_steps=5000)
    vae.params.flat[...] = points[0]
    return -float(values[0])
