"""Continuous Bernoulli (Loaiza-Ganem & Cunningham 2019) for grey values in [0, 1]."""
import numpy as np


def log_C(lam):
    """log normalising constant, Taylor expansion near 1/2"""
    near = np.abs(lam - 0.5) < 1e-3
    safe = np.where(near, 0.25, lam)
    exact = np.log(np.abs(2 * np.arctanh(1 - 2 * safe))) - np.log(np.abs(1 - 2 * safe))
    u = lam - 0.5
    taylor = np.log(2.0) + 4.0 / 3.0 * u ** 2 + 104.0 / 45.0 * u ** 4
    return np.where(near, taylor, exact)


def log_px_given_z(x, output):
    lam = np.clip(output, 1e-6, 1 - 1e-6)
    return np.sum(x * np.log(lam) + (1 - x) * np.log(1 - lam) + log_C(lam), axis=1)


def kl(mu, log_var):
    return 0.5 * np.sum(mu ** 2 + np.exp(log_var) - 1 - log_var, axis=1)


def loss(x, output, mu, log_var):
    return np.mean(kl(mu, log_var) - log_px_given_z(x, output))
