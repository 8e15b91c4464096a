"""The linear-Gaussian model x = z W + b + sigma eps, z ~ N(0, I), eps ~ N(0, I): log p(x) and p(z|x) in closed form.

A VAE without hidden layers and with a Gaussian likelihood is this model. Its best fit to data is probabilistic PCA
(Tipping and Bishop 1999; Lucas, Tucker, Grosse and Norouzi 2019 for the VAE).
"""

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minivae import checks
from minivae.gaussian import LOG_2PI
from minivae.likelihood import Gaussian
from minivae.vae import VAE


class Linear(NamedTuple):
    """log p(x) in nats and the posterior p(z|x) = N(mean, cov); `cov` is the same for all data points."""

    log_px: NDArray             # (N,)
    mean: NDArray               # (N, J)
    cov: NDArray                # (J, J)


class PPCA(NamedTuple):
    """The linear-Gaussian model that fits a data set best: the rows of `weight` are scaled principal directions."""

    weight: NDArray             # W (J, D), longest row first; for any rotation R, R W fits equally well
    bias: NDArray               # b (D,), the mean of the data
    sigma: float
    log_px: float               # nats, mean over the fitted data
    eigenvalues: NDArray        # (D,) of the covariance of the data (divisor N), largest first
    collapsed: NDArray          # (J,) True where the eigenvalue is at most sigma^2: that row of W is 0


def exact_linear(vae: VAE, x: NDArray) -> Linear:
    """Return log p(x) and the posterior of a linear-Gaussian VAE, for data x (N, D).

    log p(x) = log N(x; b, W'W + sigma^2 I),   p(z|x) = N( cov W (x - b) / sigma^2, cov ),   cov = (I + W W' / sigma^2)^-1

    The code uses a QR decomposition and does not invert I + W W' / sigma^2: QR loses fewer digits if sigma is small. Raises
    ValueError if the model has hidden layers, or its likelihood is not Gaussian.
    """
    vae, weight, bias, sigma = _linear(vae)
    x = vae.check_data(x)
    Q, R = _stacked(weight, sigma)                          # (D + J, J), (J, J)
    r = (x - bias) / sigma                                  # (N, D)
    projected = r @ Q[: vae.features]                       # (N, J)
    mean = np.linalg.solve(R, projected.T).T                # (N, J)
    residual = r - projected @ Q[: vae.features].T          # (N, D)
    squares = (residual**2).sum(axis=1) + (mean**2).sum(axis=1)                             # terms >= 0: no cancellation
    log_det = 2 * np.log(np.abs(np.diagonal(R))).sum() + 2 * vae.features * math.log(sigma)
    root = np.linalg.inv(R)
    return Linear(-(squares + log_det + vae.features * LOG_2PI) / 2, mean, root @ root.T)


def with_best_encoder(vae: VAE) -> VAE:
    """Return the same linear-Gaussian model with the best encoder: the diagonal q(z|x) with the smallest KL to p(z|x).

    mu = E[z|x],   sigma_j^2 = 1 / P_jj,   KL(q || p(z|x)) = 1/2 ( sum_j log P_jj - log det P ),   P = I + W W' / sigma^2

    The KL is the same for every x. It is 0 if the rows of W are orthogonal. The result is float64. Raises ValueError if
    the model has hidden layers, or its likelihood is not Gaussian.
    """
    vae, weight, bias, sigma = _linear(vae)
    Q, R = _stacked(weight, sigma)
    vae = replace(vae, params=vae.params.copy())
    (encoder_weight, encoder_bias), = vae.layers("encoder")                                 # (D, 2J), (2J,)
    J = vae.latent
    encoder_weight[:, :J] = np.linalg.solve(R, Q[: vae.features].T).T / sigma
    encoder_weight[:, J:] = 0
    encoder_bias[:J] = -bias @ encoder_weight[:, :J]
    encoder_bias[J:] = -np.log((R**2).sum(axis=0))                                          # P = R'R
    return vae


def _linear(vae):
    """Return the model in float64, and its W (J, D), b (D,) and sigma."""
    if vae.hidden or not isinstance(vae.likelihood, Gaussian):
        got = f"hidden layers {vae.hidden} and {vae.likelihood!r}"
        remedy = "Use exact_log_px (one or two latent dimensions) or lower_bounds."
        checks.refuse("vae", "a model without hidden layers and with a Gaussian likelihood", got, remedy)
    vae = vae.astype(np.float64)
    weight, bias = vae.layers("decoder")[0]
    return vae, weight, bias, math.exp(vae.params["log_sigma"])


def _stacked(weight, sigma):
    """Put W'/sigma on top of the identity matrix I, and return Q, R of the QR decomposition of the stacked matrix.

    R'R is the precision (inverse covariance) of the posterior, I + W W'/sigma^2. Computing W W' first would square
    W and lose digits.
    """
    return np.linalg.qr(np.concatenate([weight.T / sigma, np.eye(len(weight))]))


def ppca(x: NDArray, latent: int, sigma: float | None = None) -> PPCA:
    """Return the maximum-likelihood linear-Gaussian model with J = `latent`, in closed form, for data x (N, D).

    With eigenvalues l_1 >= l_2 >= ... and eigenvectors u_j of the covariance of x:
    W_j = sqrt(max(l_j - sigma^2, 0)) u_j,   b = mean of x,   sigma^2 as given, or the mean of l_(J+1) ... l_D
    mean of log p(x) over the data = -1/2 sum_j ( log 2 pi + log c_j + l_j / c_j ),   c_j = |W_j|^2 + sigma^2
    (the sum is over all D eigenvalues; |W_j| = 0 for j > J)

    A latent dimension whose eigenvalue is at most sigma^2 collapses: W_j is 0, so z_j has no influence on x. Raises
    ValueError if an argument is invalid, or if the best sigma is 0, because then the likelihood has no maximum.
    """
    x = checks.real_array("x", x, (None, None), np.float64)
    latent = checks.whole_number("latent", latent, 1)
    N, D = x.shape
    if latent > D:
        checks.refuse("latent", f"at most the {D} features of x", f"{latent}", f"Try latent={min(2, D)}.")
    bias = x.mean(axis=0)
    values, vectors = np.linalg.eigh((x - bias).T @ (x - bias) / N)
    values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
    if sigma is None:
        left_out = values[latent:].sum() / max(D - latent, 1)
        if left_out <= 1e-14 * values[0]:                   # a mean this small is only rounding error
            remedy = "Pass a number as sigma, or fewer latent dimensions."
            checks.refuse("latent", "so small that the model does not fit x perfectly", f"{latent}", remedy)
        sigma = math.sqrt(left_out)
    sigma = checks.real_number("sigma", sigma, above=0)
    excess = np.maximum(values[:latent] - sigma**2, 0)                                      # (J,)
    fitted = np.full(D, sigma**2)                                                           # (D,)   c_j
    fitted[:latent] += excess
    log_px = -(LOG_2PI + np.log(fitted) + values / fitted).sum() / 2
    weight = np.sqrt(excess)[:, None] * vectors[:, :latent].T
    return PPCA(weight, bias, sigma, float(log_px), values, excess == 0)
