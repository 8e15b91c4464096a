"""Rate and distortion: the two parts of the ELBO of a data set, and the two parts of the rate ("ELBO surgery").

-ELBO = distortion + rate. The distortion is the mean of -E_q log p(x|z); the rate is the mean of KL( q(z|x) || p(z) ). The
rate has two parts: the mutual information of data point and z, and the KL of the aggregate posterior to the prior. The
aggregate posterior is the mean of q(z|x) over the data.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minivae import checks
from minivae.evidence import sums
from minivae.evidence.sums import IN_CACHE, Moments, in_rows, log_mean_exp, need_log
from minivae.gaussian import LOG_2PI, kl_standard_normal, log_normal, reparameterize
from minivae.vae import VAE

ACTIVE = 0.01                                               # z_j is active if the variance of mu_j over data is above this


class Rates(NamedTuple):
    """Rate, distortion and the parts of the rate in nats, as means over a data set; active dimensions; moments of q(z).

    The standard errors are due to the random draws of z only; the data are not random.
    """

    reconstruction: float       # E_q log p(x|z) = -distortion
    reconstruction_se: float
    kl: float                   # the rate: KL( q(z|x) || p(z) ) in closed form = mutual_information + marginal_kl
    mutual_information: float   # between z and the index of the data point: at most log N
    marginal_kl: float          # KL( q(z) || p(z) ) of the aggregate posterior q(z), the mean of q(z|x) over the data
    surgery_se: float           # standard error of mutual_information, equal to that of marginal_kl; their sum has no error
    kl_per_dimension: NDArray   # (J,)
    variance_of_means: NDArray  # (J,) variance of mu_j over the data
    active: NDArray             # (J,) True where variance_of_means is above ACTIVE
    mean: NDArray               # (J,)   mean of q(z), in closed form
    cov: NDArray                # (J, J) covariance of q(z), in closed form


def rate_distortion(vae: VAE, x: NDArray, rng: np.random.Generator, draws: int = 10) -> Rates:
    """Return rate, distortion, the parts of the rate, and the active latent dimensions, for data x (N, D).

    mean KL( q(z|x) || p(z) ) = I(n; z) + KL( q(z) || p(z) ),   q(z) = 1/N sum_n q(z|x_n)
    I(n; z) = mean over n of E_q(z|x_n) [ log q(z|x_n) - log q(z) ],   estimated from `draws` >= 2 values of z for each n

    Hoffman and Johnson (2016) split the rate into these two parts; they call it ELBO surgery. Active dimensions are defined
    as in Burda et al. (2016). log q(z) is exact: a log-sum-exp over all N data for each z. So the time grows as
    `draws * N^2 * J`; the memory is bounded. Raises ValueError if an argument is invalid, the model has no noise, or the
    decoder overflows.
    """
    checks.generator("rng", rng)
    draws = checks.whole_number("draws", draws, 2)
    vae.check_noise()
    vae = vae.astype(np.float64)
    x = vae.check_data(x)
    mu, log_var = vae.encode(x)
    reconstruction, information = [], []                    # for each block of rows: means, squared standard errors
    for rows in in_rows(vae, np.arange(len(x)), draws):
        z = reparameterize(mu[rows], log_var[rows], rng.standard_normal((draws, len(rows), vae.latent)))
        with np.errstate(over="ignore", invalid="ignore"):
            log_px_z = need_log("log p(x|z)", vae.log_likelihood(x[rows], z))               # (L, rows)
        log_q_z = log_aggregate(z.reshape(-1, vae.latent), mu, log_var).reshape(log_px_z.shape)
        reconstruction.append(_moments(log_px_z))
        information.append(_moments(log_normal(z, mu[rows], log_var[rows]) - log_q_z))
    (mean, se), (mutual, mutual_se) = _mean_over_data(reconstruction), _mean_over_data(information)
    kl = kl_standard_normal(mu, log_var).mean(axis=0)                                       # (J,)
    cov_of_means = np.atleast_2d(np.cov(mu.T, bias=True))                                   # (J, J)
    variance, cov = np.diagonal(cov_of_means), cov_of_means + np.diag(np.exp(log_var).mean(axis=0))
    rate = float(kl.sum())
    parts = (mutual, rate - mutual, mutual_se, kl, variance, variance > ACTIVE, mu.mean(axis=0), cov)
    return Rates(mean, se, rate, *parts)


def log_aggregate(z: NDArray, mu: NDArray, log_var: NDArray) -> NDArray:
    """Return log q(z), (L,), of the aggregate posterior q(z) = 1/N sum_n N(z; mu_n, sigma_n^2), for z (L, J), mu (N, J)."""
    one_over_sigma = np.exp(-log_var / 2).T                 # (J, N)
    at_mean = -(log_var + LOG_2PI).sum(axis=1) / 2          # (N,)     log q(z|x_n) at its mean
    rows = max(1, sums.AT_ONCE // (IN_CACHE * len(mu)))
    parts = []
    for start in range(0, len(z), rows):
        squares = np.zeros((min(rows, len(z) - start), len(mu)))                            # (rows, N)
        for z_j, mu_j, one_over_sigma_j in zip(z[start : start + rows].T, mu.T, one_over_sigma):
            u = np.subtract.outer(z_j, mu_j)                # expanding the square would lose digits for a narrow q
            u *= one_over_sigma_j
            u *= u
            squares += u
        parts.append(log_mean_exp(at_mean - squares / 2, axis=1))
    return np.concatenate(parts)


def _moments(values):
    moments = Moments()
    moments.add(values)
    return moments.mean(), moments.error() ** 2


def _mean_over_data(parts):
    """Return the mean over all data and its standard error.

    Each data point has independent draws. So the squared standard error of a sum is the sum of the squared standard errors.
    """
    means, squares = (np.concatenate(column) for column in zip(*parts))
    return float(means.mean()), math.sqrt(squares.sum()) / len(means)
