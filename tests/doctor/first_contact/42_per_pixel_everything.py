"""Loss per pixel: both terms are divided by the number of pixels, so losses for different
image sizes can be compared. Multiply by D to get the negative ELBO."""
import numpy as np


def kl(mu, log_var):
    return 0.5 * np.sum(mu ** 2 + np.exp(log_var) - 1 - log_var, axis=1)


def loss(x, output, mu, log_var):
    n_pixels = x.shape[1]
    p = np.clip(output, 1e-7, 1 - 1e-7)
    bce = -np.mean(x * np.log(p) + (1 - x) * np.log(1 - p))
    kl_per_pixel = kl(mu, log_var).mean() / n_pixels
    return bce + kl_per_pixel


def sample(mu, log_var, eps):
    return mu + np.exp(0.5 * log_var) * eps
