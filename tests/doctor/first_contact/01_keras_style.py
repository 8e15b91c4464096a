"""MNIST-type VAE, ported from the Keras example (binary_crossentropy averages over pixels)."""
import numpy as np

original_dim = 784
EPS = 1e-7


def binary_crossentropy(y_true, y_pred):
    y_pred = np.clip(y_pred, EPS, 1 - EPS)
    return np.mean(-(y_true * np.log(y_pred) + (1 - y_true) * np.log(1 - y_pred)), axis=-1)


def kl(mu, log_var):
    return -0.5 * np.sum(1 + log_var - np.square(mu) - np.exp(log_var), axis=-1)


def loss(x, output, mu, log_var):
    xent = binary_crossentropy(x, output) * x.shape[-1]   # undo the mean over pixels
    return np.mean(xent + kl(mu, log_var))


def sample(mu, log_var, eps):
    return mu + np.exp(log_var / 2) * eps
