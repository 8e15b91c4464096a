"""The encoder head gives log sigma (log of the standard deviation), not log variance."""
import numpy as np


def sample(mu, log_sigma, eps):
    return mu + np.exp(log_sigma) * eps


def kl(mu, log_sigma):
    return np.sum(-log_sigma + 0.5 * (np.exp(2 * log_sigma) + mu ** 2) - 0.5, axis=1)


def loss(x, output, mu, log_sigma):
    rec = 0.5 * np.sum((x - output) ** 2, axis=1)
    return np.mean(rec + kl(mu, log_sigma))
