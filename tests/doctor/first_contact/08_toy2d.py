import numpy as np

# 2-d toy data, gaussian decoder with unit variance


def nll(x, x_rec):
    return 0.5 * ((x - x_rec) ** 2).sum(axis=1)


def kl(mu, log_var):
    """mean over the batch"""
    k = 0.5 * (mu ** 2 + np.exp(log_var) - log_var - 1)
    return k.sum(axis=0).mean()


def loss(x, output, mu, log_var):
    return nll(x, output).mean() + kl(mu, log_var)


def sample(mu, log_var, eps):
    return mu + np.sqrt(np.exp(log_var)) * eps
