import numpy as np

FREE_BITS = 0.25   # nats per latent dimension, Kingma et al. 2016 (IAF)


def kl_per_dim(mu, log_var):
    return 0.5 * (mu ** 2 + np.exp(log_var) - 1 - log_var)


def kl(mu, log_var):
    """the true KL, for reporting"""
    return kl_per_dim(mu, log_var).sum(axis=1)


def free_bits_kl(mu, log_var, free_bits=FREE_BITS):
    """batch mean per dimension, no less than free_bits"""
    return np.maximum(kl_per_dim(mu, log_var).mean(axis=0), free_bits).sum()


def loss(x, output, mu, log_var):
    p = np.clip(output, 1e-7, 1 - 1e-7)
    bce = -np.sum(x * np.log(p) + (1 - x) * np.log(1 - p), axis=1).mean()
    return bce + free_bits_kl(mu, log_var)
