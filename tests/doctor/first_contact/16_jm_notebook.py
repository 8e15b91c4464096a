# %% [markdown]
# VAE notebook, cell 4: the loss
import numpy as np


def reconstruction_loss(x, out):
    out = np.clip(out, 1e-8, 1 - 1e-8)
    return -np.sum(x * np.log(out) + (1 - x) * np.log(1 - out), axis=1)


def kl_term(mu, logvar):
    # Appendix B of Kingma & Welling
    return 0.5 * np.sum(1 + logvar - mu ** 2 - np.exp(logvar), axis=1)


def loss(x, output, mu, log_var):
    return np.mean(reconstruction_loss(x, output) + kl_term(mu, log_var))


def sample(mu, log_var):
    return mu + np.exp(log_var / 2) * np.random.normal(size=mu.shape)
