import numpy as np

rng = np.random.default_rng()


def sample(mu, log_var):
    # reparameterisation trick
    eps = rng.standard_normal(mu.shape[-1])
    return mu + eps * np.exp(log_var * 0.5)


def kl(mu, log_var):
    return 0.5 * np.sum(np.exp(log_var) + mu ** 2 - 1.0 - log_var, axis=1).mean()


def loss(x, output, mu, log_var):
    mse = 0.5 * np.sum((output - x) ** 2, axis=1).mean()
    return mse + kl(mu, log_var)
