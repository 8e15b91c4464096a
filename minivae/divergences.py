"""The KL between any two Gaussians, diagonal or full, and their entropy, in nats. The model does not need these functions.

A diagonal Gaussian is given by `mu` and `log_var` = log sigma^2, arrays of the same shape; their last axis runs over
the J coordinates. A full Gaussian is given by `mu` (..., J) and `cov` (..., J, J): one Gaussian, or a stack of them.
"""

import math

import numpy as np
from numpy.typing import NDArray

from minivae.checks import real_array, refuse, same_axes

LOG_2PI = math.log(2 * math.pi)


def kl_diagonal(mu_q: NDArray, log_var_q: NDArray, mu_p: NDArray, log_var_p: NDArray) -> NDArray:
    """KL( N(mu_q, sigma_q^2) || N(mu_p, sigma_p^2) ) for every coordinate

    = 1/2 ( (mu_q - mu_p)^2 / sigma_p^2 + sigma_q^2 / sigma_p^2 - 1 - log(sigma_q^2 / sigma_p^2) )   [odaibo.39f]
    """
    same_axes(mu_q, log_var_q, mu_p, log_var_p)
    t = log_var_q - log_var_p                               # (B, J)   log of the ratio of the variances
    return ((mu_q - mu_p) ** 2 * np.exp(-log_var_p) + (np.expm1(t) - t)) / 2

def kl_diagonal_backward(d_kl, mu_q, log_var_q, mu_p, log_var_p):
    """Gradients in all four arguments; u = (mu_q - mu_p) / sigma_p^2, r = sigma_q^2 / sigma_p^2   [beyond.16]"""
    same_axes(mu_q, log_var_q, mu_p, log_var_p, d_kl)
    u = (mu_q - mu_p) * np.exp(-log_var_p)                  # (B, J)
    r_minus_1 = np.expm1(log_var_q - log_var_p)             # (B, J)
    d_mu_q = d_kl * u                                       # u
    d_log_var_q = d_kl * r_minus_1 / 2                      # (r - 1) / 2
    d_log_var_p = -d_log_var_q - d_mu_q * (mu_q - mu_p) / 2  # (1 - r - u (mu_q - mu_p)) / 2
    return d_mu_q, d_log_var_q, -d_mu_q, d_log_var_p


def entropy_diagonal(log_var: NDArray) -> NDArray:
    """H[ N(mu, sigma^2) ] = 1/2 (1 + log 2 pi + log_var) for every coordinate, the same for all mu   [beyond.26]"""
    return (1 + LOG_2PI + log_var) / 2

def entropy_diagonal_backward(d_h, log_var):
    """dH/dlog_var = 1/2"""
    same_axes(log_var, d_h)
    return d_h * np.full_like(log_var, 0.5)


def kl_full(mu_q: NDArray, cov_q: NDArray, mu_p: NDArray, cov_p: NDArray) -> NDArray:
    """KL( N(mu_q, cov_q) || N(mu_p, cov_p) ), means (..., J), covariances (..., J, J); returns (...)

    = 1/2 ( tr(cov_p^-1 cov_q) + d' cov_p^-1 d - J + log det cov_p - log det cov_q ),  d = mu_p - mu_q   [beyond.33]

    Raises ValueError if a covariance is not symmetric positive definite, or if the shapes do not match.
    """
    root_q, root_p = cholesky(cov_q, "cov_q"), cholesky(cov_p, "cov_p")         # (..., J, J)
    if root_p.shape != root_q.shape:
        refuse("cov_p", f"of the shape of cov_q, {root_q.shape}", f"{root_p.shape}", "Give both the same shape.")
    mu_q, mu_p = (real_array(name, mu, root_q.shape[:-1], float) for name, mu in (("mu_q", mu_q), ("mu_p", mu_p)))
    whitened = np.linalg.solve(root_p, root_q)              # (..., J, J)   its sum of squares is tr(cov_p^-1 cov_q)
    distance = np.linalg.solve(root_p, (mu_p - mu_q)[..., None])                # (..., J, 1)
    squares = (whitened**2).sum(axis=(-2, -1)) + (distance**2).sum(axis=(-2, -1))
    return (squares - root_q.shape[-1] + log_det(root_p) - log_det(root_q)) / 2


def entropy_full(cov: NDArray) -> NDArray:
    """H[ N(mu, cov) ] = 1/2 (J (1 + log 2 pi) + log det cov), cov (..., J, J); returns (...)   [beyond.26]

    Raises ValueError if a covariance is not symmetric positive definite.
    """
    root = cholesky(cov)
    return (root.shape[-1] * (1 + LOG_2PI) + log_det(root)) / 2


def cholesky(cov: NDArray, name: str = "cov") -> NDArray:
    """The lower triangular R with R R' = cov, (..., J, J). Raises ValueError if cov is not symmetric positive definite.

    Entries (i, j) and (j, i) may differ by rounding: by up to 4096 sigma_i sigma_j times the machine epsilon of the dtype.
    """
    cov, rule = real_array(name, cov, (..., None, None)), "a symmetric positive definite matrix"
    if cov.shape[-2] != cov.shape[-1]:
        refuse(name, rule, f"shape {cov.shape}", "It has a row and a column for every dimension.")
    cov = cov.astype(np.result_type(cov, np.float32), copy=False)
    sigma = np.sqrt(np.abs(np.diagonal(cov, axis1=-2, axis2=-1)))               # (..., J)
    rounding = 4096 * np.finfo(cov.dtype).eps * sigma[..., :, None] * sigma[..., None, :]
    if (np.abs(cov - np.swapaxes(cov, -2, -1)) > rounding).any():
        refuse(name, rule, f"one that is not symmetric, {cov}", "If that is rounding, take (cov + cov.T) / 2.")
    try:
        return np.linalg.cholesky(cov.astype(float, copy=False))
    except np.linalg.LinAlgError:
        remedy = "Variances are positive and |correlations| below 1: check the order of rows and columns."
        refuse(name, rule, str(cov), remedy)


def log_det(root: NDArray) -> NDArray:
    """log det cov, (...), from the triangular `root` of cov: twice the sum of the logarithms of the root's diagonal."""
    return 2 * np.log(np.diagonal(root, axis1=-2, axis2=-1)).sum(axis=-1)
