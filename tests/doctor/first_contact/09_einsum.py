import numpy as np


def kl(mu, log_var):
    var = np.exp(log_var)
    J = mu.shape[1]
    return 0.5 * (np.einsum('bj,bj->b', mu, mu) + np.einsum('bj->b', var)
                  - np.einsum('bj->b', log_var) - J)


def log_px_given_z(x, output):
    r = x - output
    return -0.5 * np.einsum('bd,bd->b', r, r) - 0.5 * x.shape[1] * np.log(2 * np.pi)


def loss(x, output, mu, log_var):
    w = np.full(len(x), 1.0 / len(x))
    return np.einsum('b,b->', w, kl(mu, log_var) - log_px_given_z(x, output))


def gradient(x, output, mu, log_var):
    """d loss / d (output, mu, log_var)"""
    n = len(x)
    return {'output': (output - x) / n,
            'mu': mu / n,
            'log_var': 0.5 * (np.exp(log_var) - 1) / n}
