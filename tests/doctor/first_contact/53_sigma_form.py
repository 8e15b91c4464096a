import numpy as np


def kl(mu, log_var):
    # -log sigma + (sigma^2 + mu^2)/2 - 1/2
    sigma = np.exp(log_var)
    return np.sum(-log_var + 0.5 * (sigma ** 2 + mu ** 2) - 0.5, axis=1)


def sample(mu, log_var, eps):
    std = np.exp(0.5 * log_var)
    return mu + std * eps


def loss(x, output, mu, log_var):
    return np.mean(0.5 * np.sum((x - output) ** 2, axis=1) + kl(mu, log_var))
