import numpy as np


def kl(mu, log_var):
    # closed form, per example
    m, lv = mu[:, 0], log_var[:, 0]
    return 0.5 * (m ** 2 + np.exp(lv) - lv - 1)


def loss(x, output, mu, log_var):
    rec = 0.5 * np.sum((x - output) ** 2, axis=1)
    return np.mean(rec + kl(mu, log_var))


def sample(mu, log_var, eps):
    return mu + eps * np.exp(0.5 * log_var)
