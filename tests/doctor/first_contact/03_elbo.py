"""We *maximise* this one, so what is returned is the ELBO (in nats per example)."""
import numpy as np


def log_px_given_z(x, output):
    # Gaussian with unit variance
    D = x.shape[1]
    return -0.5 * np.sum((x - output) ** 2, axis=1) - 0.5 * D * np.log(2 * np.pi)


def kl(mu, log_var):
    return 0.5 * np.sum(mu ** 2 + np.exp(log_var) - log_var - 1.0, axis=1)


def elbo(x, output, mu, log_var):
    return (log_px_given_z(x, output) - kl(mu, log_var)).mean()


# the trainer looks for "loss" and maximises it by gradient ascent (maximize=True)
loss = elbo
