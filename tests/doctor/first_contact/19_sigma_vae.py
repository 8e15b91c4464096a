"""sigma-VAE: one shared decoder sigma, set to its maximum-likelihood value per batch
(Rybkin, Daniilidis, Levine 2021)."""
import numpy as np


def gaussian_nll(mean, log_sigma, x):
    return 0.5 * ((x - mean) / np.exp(log_sigma)) ** 2 + log_sigma + 0.5 * np.log(2 * np.pi)


def optimal_log_sigma(x, mean):
    return 0.5 * np.log(np.mean((x - mean) ** 2))


def log_px_given_z(x, output):
    ls = optimal_log_sigma(x, output)
    return -gaussian_nll(output, ls, x).sum(axis=1)


def kl(mu, log_var):
    return 0.5 * (mu ** 2 + np.exp(log_var) - log_var - 1).sum(axis=1)


def loss(x, output, mu, log_var):
    return np.mean(-log_px_given_z(x, output) + kl(mu, log_var))
