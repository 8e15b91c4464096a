import numpy as np


class VAELoss:
    def __init__(self, beta=1.0):
        self.beta = beta

    def reconstruction(self, x, x_hat):
        return np.mean((x - x_hat) ** 2)

    def divergence(self, mu, logvar):
        return np.mean(-0.5 * np.sum(1 + logvar - mu ** 2 - np.exp(logvar), axis=1), axis=0)

    def __call__(self, x, x_hat, mu, logvar):
        return self.reconstruction(x, x_hat) + self.beta * self.divergence(mu, logvar)


criterion = VAELoss()


def loss(x, output, mu, log_var):
    return criterion(x, output, mu, log_var)


def kl(mu, log_var):
    return criterion.divergence(mu, log_var)


def sample(mu, log_var):
    std = np.exp(0.5 * log_var)
    return mu + std * np.random.standard_normal(std.shape)
