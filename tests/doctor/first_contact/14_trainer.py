import numpy as np


def vae_loss(x, x_recon, mu, log_var):
    """returns (total, kl_per_example)"""
    p = np.clip(x_recon, 1e-7, 1 - 1e-7)
    bce = -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(1)
    kld = 0.5 * (np.exp(log_var) + mu ** 2 - 1 - log_var).sum(1)
    return bce + kld, kld


def kl(mu, log_var):
    return 0.5 * (np.exp(log_var) + mu ** 2 - 1 - log_var).sum(1)


def loss(x, output, mu, log_var):
    rec, kld = vae_loss(x, output, mu, log_var)
    beta = 1.0
    return np.mean(rec + beta * kld)
