"""Steps 6 and 7 of the model: the KL term and the loss, each with its backward directly below.

A model uses one of four objectives. In expectation, each loss is minus a lower bound of log p(x) (at beta = 1), in nats:

    elbo, analytic    KL in closed form; the loss is beta KL - log p(x|z)
    elbo, sampled     KL estimated as log q(z|x) - log p(z) at the drawn z: the same in expectation
    elbo, path        as sampled, but the gradient leaves out the score of q (see `kl_path_backward`)
    iwae, sampled     minus the importance-weighted bound, which is log 1/L sum_l p(x|z_l) p(z_l) / q(z_l|x)

Shapes: mu, log_var (B, J); z (L, B, J); log_px_z (L, B); kl is (B,) in closed form, (L, B) if sampled.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minivae.checks import same_axes
from minivae.gaussian import (
    kl_standard_normal, kl_standard_normal_backward, log_normal, log_normal_backward, log_standard_normal,
    log_standard_normal_backward,
)  # fmt: skip
from minivae.ops import log_sum_exp, log_sum_exp_backward

# Step 6: KL( q(z|x) || p(z) )


def kl_analytic(z: NDArray, mu: NDArray, log_var: NDArray) -> NDArray:
    """KL in closed form, summed over the J coordinates, (B,). It does not depend on the drawn z."""
    return kl_standard_normal(mu, log_var).sum(axis=-1)

def kl_analytic_backward(d_kl, z, mu, log_var):
    """Gradients in z (zeros), mu and log_var   [beyond.14, beyond.15]"""
    d_mu, d_log_var = kl_standard_normal_backward(np.repeat(d_kl[:, None], mu.shape[1], axis=1), mu, log_var)
    return np.zeros_like(z), d_mu, d_log_var


def kl_sampled(z: NDArray, mu: NDArray, log_var: NDArray) -> NDArray:
    """KL estimated at every draw, (L, B):   log q(z|x) - log p(z)"""
    return log_normal(z, mu, log_var) - log_standard_normal(z)

def kl_sampled_backward(d_kl, z, mu, log_var):
    """Gradients in z, mu and log_var; z enters both densities   [beyond.10, beyond.25]"""
    d_z_q, d_mu, d_log_var = log_normal_backward(d_kl, z, mu, log_var)
    d_z_p = log_standard_normal_backward(-d_kl, z)
    return d_z_q + d_z_p, d_mu, d_log_var

def kl_path_backward(d_kl, z, mu, log_var):
    """The gradient of `kl_sampled` through z alone. The score d log q / d(mu, log_var) at fixed z has mean 0 and is omitted.

    If q(z|x) is the posterior and beta = 1, the encoder's gradient is exactly 0 at every draw (Roeder, Wu and Duvenaud
    2017)   [beyond.48]
    """
    d_z, d_mu, d_log_var = kl_sampled_backward(d_kl, z, mu, log_var)
    return d_z, 0 * d_mu, 0 * d_log_var


# Step 7: the loss, a mean over data and draws


def elbo_loss(log_px_z: NDArray, kl: NDArray, beta: float) -> NDArray:
    """loss = mean of (beta KL - log p(x|z)): at beta = 1, minus the ELBO   [odaibo.43]"""
    same_axes(log_px_z, kl)
    return (beta * kl - log_px_z).mean()                    # ()

def elbo_loss_backward(d_loss, log_px_z, kl, beta):
    """Gradients in log_px_z and kl: every entry of a mean has the same weight."""
    return np.full_like(log_px_z, -d_loss / log_px_z.size), np.full_like(kl, d_loss * beta / kl.size)


def iw_bound(log_w: NDArray) -> NDArray:
    """The importance-weighted bound of log p(x), (B,):   log 1/L sum_l w_l,   log w (L, B)   [beyond.4]

    The bound is at least the mean of log w over the draws. For L = 1, it equals log w (Burda, Grosse, Salakhutdinov 2016).
    """
    return log_sum_exp(log_w) - math.log(len(log_w))


def iw_loss(log_px_z: NDArray, kl: NDArray, beta: float) -> NDArray:
    """loss = minus the mean over data of `iw_bound`,   log w = log p(x|z) + log p(z) - log q(z|x).   beta is not used."""
    same_axes(log_px_z, kl)
    log_w = log_px_z - kl                                   # (L, B)
    return -iw_bound(log_w).mean()                          # ()

def iw_loss_backward(d_loss, log_px_z, kl, beta):
    """Gradients in log_px_z and kl: draw l has the weight w_l / (w_1 + ... + w_L)."""
    same_axes(log_px_z, kl)
    log_w = log_px_z - kl                                   # (L, B)
    d_bound = np.full_like(log_w[0], -d_loss / log_w.shape[1])                  # (B,)
    d_log_w = log_sum_exp_backward(d_bound, log_w)          # (L, B)
    return d_log_w, -d_log_w


class Objective(NamedTuple):
    """The functions of steps 6 and 7."""

    kl: Callable
    kl_backward: Callable
    loss: Callable
    loss_backward: Callable


OBJECTIVES = {                                              # keys: (objective, estimator)
    ("elbo", "analytic"): Objective(kl_analytic, kl_analytic_backward, elbo_loss, elbo_loss_backward),
    ("elbo", "sampled"): Objective(kl_sampled, kl_sampled_backward, elbo_loss, elbo_loss_backward),
    ("elbo", "path"): Objective(kl_sampled, kl_path_backward, elbo_loss, elbo_loss_backward),
    ("iwae", "sampled"): Objective(kl_sampled, kl_sampled_backward, iw_loss, iw_loss_backward),
}
