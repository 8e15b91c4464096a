import numpy as np


def cross_entropy(x, p):
    return -np.sum(x * np.log(np.clip(p, 1e-7, 1 - 1e-7)), axis=1)


def kl(mu, log_var):
    return 0.5 * np.sum(mu ** 2 + np.exp(log_var) - 1 - log_var, axis=1)


def loss(x, output, mu, log_var):
    """x: binarised MNIST in {0,1}, output: pixel probabilities"""
    return np.mean(cross_entropy(x, output) + kl(mu, log_var))


def sample(mu, log_var, eps):
    return mu + eps * np.exp(0.5 * log_var)
