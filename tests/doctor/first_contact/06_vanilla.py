import numpy as np


def reparameterize(mu, logvar, noise):
    """z = mu + sigma * noise"""
    std = np.exp(logvar)
    return mu + std * noise


def bce(x_hat, x):
    x_hat = np.clip(x_hat, 1e-7, 1 - 1e-7)
    return -(x * np.log(x_hat) + (1 - x) * np.log(1 - x_hat)).sum()


def kl(mu, log_var):
    return -0.5 * np.sum(1 + log_var - mu ** 2 - np.exp(log_var))


def loss(x, output, mu, log_var):
    # both summed over the batch as in the pytorch example
    return bce(output, x) + kl(mu, log_var)


sample = reparameterize
