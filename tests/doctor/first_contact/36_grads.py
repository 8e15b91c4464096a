import numpy as np


def sigmoid(a):
    return 1.0 / (1.0 + np.exp(-a))


def kl(mu, log_var):
    return 0.5 * np.sum(mu ** 2 + np.exp(log_var) - 1 - log_var, axis=1)


def loss(x, output, mu, log_var):
    """output are the pre-activations of the last layer; squared error on the pixels"""
    y = sigmoid(output)
    return np.mean(0.5 * np.sum((y - x) ** 2, axis=1) + kl(mu, log_var))


def gradient(x, output, mu, log_var):
    B = x.shape[0]
    y = sigmoid(output)
    return {
        'output': (y - x) / B,
        'mu': mu / B,
        'log_var': 0.5 * (np.exp(log_var) - 1) / B,
    }
