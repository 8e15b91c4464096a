import numpy as np

axis = 1


def logsumexp(a, axis=None):
    m = np.max(a, axis=axis, keepdims=True)
    s = np.log(np.sum(np.exp(a - m), axis=axis, keepdims=True)) + m
    return np.squeeze(s, axis=axis)


def iw_bound(log_w):
    """log_w: (B, L). Estimate of log p(x), Burda et al. eq. 8; one value per row"""
    return logsumexp(log_w, axis=axis)


def log_normal(z, mu, log_var):
    return -0.5 * np.sum(np.log(2 * np.pi) + log_var + (z - mu) ** 2 / np.exp(log_var), axis=-1)
