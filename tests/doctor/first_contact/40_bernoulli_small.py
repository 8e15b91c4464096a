import numpy as np


def sample(mu, log_var, eps):
    log_var *= 0.5              # log sd
    std = np.exp(log_var)
    return mu + std * eps


def kl(mu, log_var):
    return 0.5 * np.sum(mu ** 2 + np.exp(log_var) - 1 - log_var, axis=1)


def loss(x, output, mu, log_var):
    p = np.clip(output, 1e-7, 1 - 1e-7)
    ce = -np.sum(x * np.log(p) + (1 - x) * np.log(1 - p), axis=1)
    return np.mean(ce + kl(mu, log_var))
