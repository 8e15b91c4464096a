# CS 294 homework 3, question 2
import numpy as np


def kl(mu, log_var):
    """KL between the approximate posterior and N(0, I), one number per example."""
    return np.sum(mu ** 2 + np.exp(log_var) - log_var - 1, axis=1)


def recon(x, p):
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return -np.sum(x * np.log(p) + (1 - x) * np.log(1 - p), axis=1)


def loss(x, output, mu, log_var):
    return np.mean(recon(x, output) + kl(mu, log_var))


def sample(mu, log_var, eps):
    sigma = np.exp(0.5 * log_var)
    return mu + sigma * eps
