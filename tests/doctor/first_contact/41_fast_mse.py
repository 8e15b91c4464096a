import numpy as np


def squared_error(target, prediction):
    prediction -= target         # avoid a temporary
    np.square(prediction, out=prediction)
    return 0.5 * prediction.sum(axis=1)


def kl(mu, log_var):
    return 0.5 * np.sum(mu ** 2 + np.exp(log_var) - 1 - log_var, axis=1)


def loss(x, output, mu, log_var):
    return np.mean(squared_error(x, output) + kl(mu, log_var))
