"""beta-VAE (Higgins et al. 2017), beta = 4 on purpose, to see disentangling."""
import numpy as np

beta = 4.0


def kl(mu, log_var):
    return -0.5 * np.sum(1 + log_var - mu ** 2 - np.exp(log_var), axis=1)


def recon(x, output):
    p = np.clip(output, 1e-7, 1 - 1e-7)
    return -np.sum(x * np.log(p) + (1 - x) * np.log(1 - p), axis=1)


def loss(x, output, mu, log_var):
    return np.mean(recon(x, output)) + beta * np.mean(kl(mu, log_var))


def sample(mu, log_var, eps):
    return mu + np.exp(0.5 * log_var) * eps
