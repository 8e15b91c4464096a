import numpy as np

# the encoder ends in an exp(), so the second output is the variance itself


def sample(mu, var, eps):
    return mu + np.sqrt(var) * eps


def kl(mu, var):
    return 0.5 * np.sum(var + mu ** 2 - 1 - np.log(var), axis=1)


def loss(x, output, mu, var):
    p = np.clip(output, 1e-7, 1 - 1e-7)
    nll = -np.sum(x * np.log(p) + (1 - x) * np.log(1 - p), axis=1)
    return (nll + kl(mu, var)).mean()
