import numpy as np


def kl(mu, log_var):
    return 0.5 * np.sum(mu ** 2 + np.exp(log_var) - 1 - log_var, axis=1)


def loss(x, output, mu, log_var):
    p = np.clip(output, 1e-7, 1 - 1e-7)
    rec = -np.sum(x * np.log(p) + (1 - x) * np.log(1 - p))
    return rec + np.sum(kl(mu, log_var))


def gradient(x, output, mu, log_var):
    """one array for each argument of loss"""
    p = np.clip(output, 1e-7, 1 - 1e-7)
    d_x = np.log(1 - p) - np.log(p)
    d_output = (p - x) / (p * (1 - p))
    d_mu = mu
    d_log_var = np.exp(log_var) - 1
    return d_x, d_output, d_mu, d_log_var
