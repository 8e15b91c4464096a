import numpy as np


def kl(mu, log_var):
    return 0.5 * np.sum(mu ** 2 + np.exp(log_var) - 1 - log_var, axis=1)


def loss(x, output, mu, log_var):
    mse = 0.5 * np.sum((output - x) ** 2, axis=1)
    return np.mean(mse + kl(mu, log_var))


def _loss_grads(x, output, mu, log_var):
    n = x.shape[0]
    d_out = (output - x) / n
    d_mu = mu / n
    d_lv = 0.5 * (np.exp(log_var) - 1) / n
    return d_out, d_mu, d_lv


def gradient(x, output, mu, log_var):
    grads = _loss_grads(x, output, mu, log_var)
    # average over the batch
    d_out, d_mu, d_lv = [g / len(x) for g in grads]
    return {'output': d_out, 'mu': d_mu, 'log_var': d_lv}
