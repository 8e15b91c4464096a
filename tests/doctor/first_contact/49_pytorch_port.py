# port of a pytorch example (reduction='mean' for the reconstruction)
import numpy as np


def binary_cross_entropy(p, t, reduction='mean'):
    p = np.clip(p, 1e-7, 1 - 1e-7)
    l = -(t * np.log(p) + (1 - t) * np.log(1 - p)).sum(axis=1)
    return l.mean() if reduction == 'mean' else l.sum()


def kl(mu, log_var):
    return -0.5 * np.sum(1 + log_var - mu ** 2 - np.exp(log_var))


def loss(x, output, mu, log_var):
    BCE = binary_cross_entropy(output, x)
    KLD = kl(mu, log_var)
    return BCE + KLD


def sample(mu, log_var, eps):
    return mu + eps * np.exp(0.5 * log_var)
