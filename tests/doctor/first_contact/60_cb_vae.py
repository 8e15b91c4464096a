"""VAE with the continuous Bernoulli likelihood."""
import numpy as np


def cb_log_norm(lam, eps=1e-3):
    mid = np.abs(lam - 0.5) < eps
    l = np.where(mid, 0.4, lam)
    v = np.log(2 * np.arctanh(1 - 2 * l) / (1 - 2 * l))
    return np.where(mid, np.log(2.0) + 4 / 3 * (lam - 0.5) ** 2, v)


def log_px_given_z(x, output):
    lam = np.clip(output, 1e-6, 1 - 1e-6)
    bern = x * np.log(lam) + (1 - x) * np.log(1 - lam)
    return np.sum(bern - cb_log_norm(lam), axis=1)


def kl(mu, log_var):
    return 0.5 * np.sum(mu ** 2 + np.exp(log_var) - 1 - log_var, axis=1)


def loss(x, output, mu, log_var):
    return -np.mean(log_px_given_z(x, output) - kl(mu, log_var))
