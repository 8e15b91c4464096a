import numpy as np


def binary_cross_entropy(target, pred):
    target = np.clip(target, 1e-7, 1 - 1e-7)
    pred = np.clip(pred, 1e-7, 1 - 1e-7)
    return -np.sum(target * np.log(pred) + (1 - target) * np.log(1 - pred), axis=1)


def kl(mu, log_var):
    return -0.5 * np.sum(1 + log_var - mu ** 2 - np.exp(log_var), axis=1)


def loss(x, output, mu, log_var):
    reconstruction = binary_cross_entropy(output, x)
    return np.mean(reconstruction + kl(mu, log_var))


def sample(mu, log_var, eps):
    return mu + np.exp(0.5 * log_var) * eps
