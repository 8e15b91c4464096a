import numpy as np


class Sampling:
    """Uses (z_mean, z_log_var) to sample z, the vector encoding a digit."""

    def __call__(self, inputs):
        z_mean, z_log_var = inputs
        batch, dim = z_mean.shape
        epsilon = np.random.rand(batch, dim)
        return z_mean + np.exp(0.5 * z_log_var) * epsilon


sampling = Sampling()


def sample(mu, log_var):
    return sampling([mu, log_var])


def kl(mu, log_var):
    kl_loss = 1 + log_var - np.square(mu) - np.exp(log_var)
    kl_loss = np.sum(kl_loss, axis=-1)
    return kl_loss * -0.5


def loss(x, output, mu, log_var):
    p = np.clip(output, 1e-7, 1 - 1e-7)
    rec = -np.sum(x * np.log(p) + (1 - x) * np.log1p(-p), axis=-1)
    return np.mean(rec + kl(mu, log_var))
