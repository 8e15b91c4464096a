"""Antithetic noise: the second half of the batch gets minus the noise of the first half.
Each row of z is still a draw from N(mu, sigma^2). The method suits a batch with every image twice, once in each half."""
import numpy as np

_rng = np.random.default_rng()


def antithetic(batch, dim):
    half = (batch + 1) // 2
    e = _rng.standard_normal((half, dim))
    return np.concatenate([e, -e], axis=0)[:batch]


def sample(mu, log_var):
    return mu + np.exp(0.5 * log_var) * antithetic(*mu.shape)


def kl(mu, log_var):
    return 0.5 * np.sum(mu ** 2 + np.exp(log_var) - 1 - log_var, axis=1)


def loss(x, output, mu, log_var):
    return np.mean(0.5 * np.sum((x - output) ** 2, axis=1) + kl(mu, log_var))
