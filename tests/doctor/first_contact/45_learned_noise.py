"""Gaussian decoder with a learned noise level.

Gradient descent trains the noise level together with the weights. The test log likelihood that
we report is iw_bound(log_w), with log_w = log_px_given_z(x, output) + log p(z) - log q(z|x).
"""
import numpy as np

axis = 1
log_sigma_x = -0.7      # learned scalar


def log_px_given_z(x, output):
    r = (x - output) / np.exp(log_sigma_x)
    return -0.5 * np.sum(r ** 2, axis=1)


def kl(mu, log_var):
    return 0.5 * np.sum(mu ** 2 + np.exp(log_var) - 1 - log_var, axis=1)


def loss(x, output, mu, log_var):
    return np.mean(-log_px_given_z(x, output) + kl(mu, log_var))


def iw_bound(log_w):
    m = log_w.max(axis=axis, keepdims=True)
    return (m + np.log(np.mean(np.exp(log_w - m), axis=axis, keepdims=True))).squeeze(axis)
