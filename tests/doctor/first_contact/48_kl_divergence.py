import numpy as np


def gaussian_kl(mu_1, var_1, mu_2, var_2):
    """KL( N(mu_1, var_1) || N(mu_2, var_2) ), elementwise"""
    return 0.5 * (np.log(var_2 / var_1) + (var_1 + (mu_1 - mu_2) ** 2) / var_2 - 1)


def kl(mu, log_var):
    prior_mu, prior_var = np.zeros_like(mu), np.ones_like(mu)
    return gaussian_kl(prior_mu, prior_var, mu, np.exp(log_var)).sum(axis=1)


def loss(x, output, mu, log_var):
    return np.mean(0.5 * np.sum((x - output) ** 2, axis=1) + kl(mu, log_var))


def sample(mu, log_var, eps):
    return mu + eps * np.exp(0.5 * log_var)
