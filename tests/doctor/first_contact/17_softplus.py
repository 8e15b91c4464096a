import numpy as np


def softplus(a):
    return np.logaddexp(0.0, a)


def to_sigma(pre):
    return softplus(pre) + 1e-6


def sample(mu, pre_sigma, eps):
    return mu + to_sigma(pre_sigma) * eps


def kl(mu, pre_sigma):
    s = to_sigma(pre_sigma)
    return np.sum(0.5 * (s ** 2 + mu ** 2 - 1) - np.log(s), axis=1)


def loss(x, output, mu, pre_sigma):
    return np.mean(0.5 * np.sum((x - output) ** 2, axis=1) + kl(mu, pre_sigma))
