import numpy as np

b = 0.5     # scale of the Laplace likelihood, fixed


def log_px_given_z(x, output):
    # log Laplace(x; output, b)
    return np.sum(-np.abs(x - output) / b - np.log(2 * b), axis=1)


def kl(mu, log_var):
    var = np.exp(log_var)
    return 0.5 * np.sum(var + np.square(mu) - log_var, axis=1) - 0.5 * mu.shape[1]


def loss(x, output, mu, log_var):
    return -np.mean(log_px_given_z(x, output) - kl(mu, log_var))


def sample(mu, log_var, eps):
    return mu + eps * np.exp(log_var) ** 0.5
