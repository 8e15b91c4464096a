"""Written with the precision tau = 1 / sigma^2, following my statistics notes."""
import numpy as np


def kl(mu, log_var):
    tau_q = np.exp(-log_var)      # precision of q
    tau_p = 1.0                   # precision of the prior
    per_dim = 0.5 * (np.log(tau_q / tau_p) + tau_p / tau_q + tau_p * mu ** 2 - 1)
    return per_dim.sum(axis=-1)


def sample(mu, log_var, eps):
    tau_q = np.exp(-log_var)
    return mu + eps / np.sqrt(tau_q)


def log_px_given_z(x, output, tau_x=1.0):
    d = x.shape[-1]
    return 0.5 * d * np.log(tau_x / (2 * np.pi)) - 0.5 * tau_x * np.sum((x - output) ** 2, -1)


def loss(x, output, mu, log_var):
    return np.mean(kl(mu, log_var) - log_px_given_z(x, output))
