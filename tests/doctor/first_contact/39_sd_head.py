import numpy as np


def std_normal_kl(mean, sd):
    """KL( N(mean, sd^2) || N(0, 1) )"""
    return np.sum(0.5 * (mean ** 2 + sd ** 2 - 1) - np.log(sd), axis=-1)


def kl(mu, sd):
    # the encoder returns the standard deviation
    return std_normal_kl(mu, sd)


def sample(mu, sd):
    return np.random.normal(loc=mu, scale=sd)


def loss(x, output, mu, sd):
    rec = 0.5 * np.square(x - output).sum(-1)
    return (rec + kl(mu, sd)).mean()
