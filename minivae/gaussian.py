"""Diagonal Gaussians: the reparameterised draw, the KL to N(0, I), densities. Everything is in nats.

A Gaussian is given by `mu` and `log_var` = log sigma^2, arrays of the same shape; the last axis is the J coordinates.
"""

import numpy as np
from numpy.typing import NDArray

from minivae.checks import same_axes, shared
from minivae.divergences import (  # noqa: F401   this module uses only LOG_2PI; the others are for users
    LOG_2PI, cholesky, entropy_diagonal, entropy_diagonal_backward, entropy_full, kl_diagonal, kl_diagonal_backward, kl_full,
    log_det,
)  # fmt: skip


def reparameterize(mu: NDArray, log_var: NDArray, eps: NDArray) -> NDArray:
    """z = mu + sigma eps,   sigma = exp(log_var / 2)

    mu, log_var (B, J); eps standard normal (L, B, J) or (L, 1, J) if all data share it; z (L, B, J)   [cards.29, odaibo.t31]
    """
    shared(mu, eps, log_var)
    sigma = np.exp(log_var / 2)                             # (B, J)
    return mu + sigma * eps                                 # (L, B, J)

def reparameterize_backward(d_z, mu, log_var, eps):
    """Gradients in mu and log_var; eps is noise and needs no gradient   [beyond.12]"""
    shared(mu, eps, log_var, d_z)
    sigma = np.exp(log_var / 2)                             # (B, J)
    d_mu = d_z.sum(axis=0)                                  # (B, J)   dz/dmu = 1, summed over the draws
    d_log_var = (d_z * eps).sum(axis=0) * sigma / 2         # (B, J)   dz/dlog_var = eps sigma / 2
    return d_mu, d_log_var


def kl_standard_normal(mu: NDArray, log_var: NDArray) -> NDArray:
    """KL( N(mu, sigma^2) || N(0, 1) ) = 1/2 (mu^2 + sigma^2 - 1 - log sigma^2), for every coordinate

    Near log_var = 0, expm1 avoids the cancellation in sigma^2 - 1, so the result is never negative   [odaibo.40c, beyond.51]
    """
    same_axes(mu, log_var)
    return (mu * mu + (np.expm1(log_var) - log_var)) / 2    # (B, J)

def kl_standard_normal_backward(d_kl, mu, log_var):
    """dKL/dmu = mu,   dKL/dlog_var = 1/2 (sigma^2 - 1)   [beyond.14, beyond.15]"""
    same_axes(mu, log_var, d_kl)
    return d_kl * mu, d_kl * np.expm1(log_var) / 2          # (B, J) each


def log_normal(z: NDArray, mu: NDArray, log_var: NDArray) -> NDArray:
    """log N(z; mu, sigma^2), summed over the last axis: z (L, B, J) -> (L, B)

    = -1/2 sum_j ( log 2 pi + log_var + (z - mu)^2 / sigma^2 )   [odaibo.30]
    """
    same_axes(z, mu, log_var)
    u = (z - mu) * np.exp(-log_var / 2)                     # (L, B, J)   z in standard units: (z - mu) / sigma
    return -(u * u + log_var + LOG_2PI).sum(axis=-1) / 2    # (L, B)

def log_normal_backward(d_out, z, mu, log_var):
    """Gradients in z, mu and log_var; L draws share mu and log_var, so the gradients of the draws add up   [beyond.10]"""
    same_axes(z, mu, log_var, summed=d_out)
    u = (z - mu) * np.exp(-log_var / 2)                     # (L, B, J)
    d = d_out[..., None]                                    # (L, B, 1)
    d_z = -d * u * np.exp(-log_var / 2)                     # (L, B, J)   -(z - mu) / sigma^2
    d_log_var = (d * (u * u - 1) / 2).sum(axis=0)           # (B, J)
    return d_z, -d_z.sum(axis=0), d_log_var


def log_standard_normal(z: NDArray) -> NDArray:
    """log N(z; 0, I), summed over the last axis: z (..., J) -> (...)   [odaibo.29]"""
    return -(z * z + LOG_2PI).sum(axis=-1) / 2

def log_standard_normal_backward(d_out, z):
    """Gradient in z:  d/dz log N(z; 0, I) = -z   [beyond.48]"""
    same_axes(z, summed=d_out)
    return -d_out[..., None] * z
