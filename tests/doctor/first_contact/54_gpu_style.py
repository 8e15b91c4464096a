import numpy as np

EPSILON = 1e-10     # so that log never sees a zero


def bce(x, p):
    x = x.astype(np.float32)
    p = np.clip(p.astype(np.float32), np.float32(EPSILON), np.float32(1 - EPSILON))
    return -np.sum(x * np.log(p) + (1 - x) * np.log(1 - p), axis=1)


def kl(mu, log_var):
    return 0.5 * np.sum(mu ** 2 + np.exp(log_var) - 1 - log_var, axis=1)


def loss(x, output, mu, log_var):
    """output are pixel probabilities, after the sigmoid"""
    return np.mean(bce(x, output) + kl(mu, log_var))
