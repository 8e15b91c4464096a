import numpy as np


def kl(mu, log_var):
    # KL( q(z|x) || N(0, 1) )
    kl_elem = -0.5 * (1 + log_var + mu ** 2 - np.exp(log_var))
    return kl_elem.sum(axis=1)


def mse(x, y):
    return 0.5 * ((x - y) ** 2).sum(axis=1)


def loss(x, output, mu, log_var):
    return (mse(x, output) + kl(mu, log_var)).mean()


def sample(mu, log_var, eps):
    return mu + np.exp(0.5 * log_var) * eps
