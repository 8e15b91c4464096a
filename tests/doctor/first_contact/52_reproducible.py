import numpy as np

SEED = 42


def set_seed(seed=SEED):
    np.random.seed(seed)


def sample(mu, log_var):
    set_seed()                     # reproducible results
    eps = np.random.randn(*mu.shape)
    return mu + eps * np.exp(0.5 * log_var)


def kl(mu, log_var):
    return 0.5 * np.sum(mu ** 2 + np.exp(log_var) - 1 - log_var, axis=1)


def loss(x, output, mu, log_var):
    return np.mean(0.5 * np.sum((x - output) ** 2, axis=1) + kl(mu, log_var))
