import numpy as np

sigma_x = 0.3     # standard deviation of the decoder


def log_px_given_z(x, output):
    """log N(x; output, sigma_x^2 I)"""
    D = x.shape[1]
    quad = np.sum((x - output) ** 2, axis=1) / sigma_x
    return -0.5 * (quad + D * np.log(2 * np.pi * sigma_x ** 2))


def kl(mu, log_var):
    return 0.5 * np.sum(mu ** 2 + np.exp(log_var) - 1 - log_var, axis=1)


def loss(x, output, mu, log_var):
    return np.mean(kl(mu, log_var) - log_px_given_z(x, output))
