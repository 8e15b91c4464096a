import numpy as np


def kl(mu, log_var):
    return 0.5 * np.sum(mu ** 2 + np.exp(log_var) - 1 - log_var, axis=1)


def loss(x, output, mu, log_var):
    """summed over the batch, output = logits"""
    return np.sum(np.logaddexp(0, output) - x * output) + np.sum(kl(mu, log_var))


def gradient(x, output, mu, log_var):
    """with respect to x, output, mu, log_var, in this order"""
    p = 1 / (1 + np.exp(-output))
    return -output, p - x, mu.copy(), 0.5 * np.expm1(log_var)


def sample(mu, log_var, eps):
    return mu + eps * np.exp(0.5 * log_var)
