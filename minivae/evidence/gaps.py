"""The gap between the bound and log p(x) taken apart, for one or two latent dimensions, where all of it is exact."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minivae import checks
from minivae.evidence.descent import minimise
from minivae.evidence.quadrature import exact_log_px
from minivae.evidence.slopes import log_px_z_and_slope
from minivae.evidence.sums import IN_CACHE, in_rows
from minivae.gaussian import (
    kl_standard_normal,
    kl_standard_normal_backward,
    log_normal,
    log_standard_normal,
    reparameterize,
    reparameterize_backward,
)
from minivae.vae import VAE

FINE = {1: (1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64), 2: (1 / 4, 1 / 8)}           # spacings, in standard deviations
SEARCH = {1: 24, 2: 12}                                     # nodes on each axis during the search for the best Gaussian
POLISH = {1: 64, 2: 32}                                     # and in the last steps, from the better of the places found
LIGHT = 1e-7                                                # the search leaves out nodes of less weight: a third of them


class Gap(NamedTuple):
    """log p(x) - ELBO and its parts in nats, per datum (N,), with the best Gaussian (N, J)."""

    log_px: NDArray
    elbo: NDArray               # of the encoder's q(z|x)
    kl: NDArray                 # KL( q(z|x) || p(z|x) ), an integral of its own: equal to log_px - elbo
    best_elbo: NDArray          # of the best diagonal Gaussian for this datum
    approximation: NDArray      # log_px - best_elbo: what no diagonal Gaussian can reach
    amortisation: NDArray       # best_elbo - elbo: what the encoder misses
    error: NDArray              # of any of them: by how much the integrals changed in their last refinement
    mu: NDArray                 # (N, J) of the best Gaussian
    log_var: NDArray            # (N, J)


def gap(vae: VAE, x: NDArray, tolerance: float = 1e-7) -> Gap:
    """The gap taken apart (Cremer, Li and Duvenaud 2018), for data x (N, D) and one or two latent dimensions.

    log p(x) - ELBO  =  KL( q(z|x) || p(z|x) )  =  approximation gap + amortisation gap

    log p(x), ELBO and KL are integrals, each on its own nodes. Each is refined until it changes by at most `tolerance` nats
    or its finest grid is reached; `error` is larger where kinks (relu) converge slowly. The best Gaussian is a local
    optimum, never worse than q(z|x). Two descents search for it on a few nodes, one from q(z|x), one from the posterior's
    mean and covariance; a third one, on more nodes, starts from the better of the two. Each ends when a step promises
    less than a thousandth of `tolerance`.

    Raises ValueError if there are more than two latent dimensions, or the model has no noise.
    """
    vae.check_noise()
    checks.real_number("tolerance", tolerance, above=0)
    exact = exact_log_px(vae, x, tolerance)
    vae = vae.astype(np.float64)
    x = vae.check_data(x)
    mu, log_var = vae.encode(x)
    elbo, error_elbo = expected(vae, x, mu, log_var, tolerance)
    log_ratio, error_kl = _log_ratio(vae, x, mu, log_var, tolerance)
    best_elbo, error_best = elbo.copy(), error_elbo.copy()
    best = np.concatenate([mu, log_var], axis=1)                                            # (N, 2J)
    starts = (best.copy(), SEARCH), (_matching(exact.mean, exact.cov), SEARCH), (None, POLISH)
    for start, nodes in starts:
        points = _descend(vae, x, best.copy() if start is None else start, nodes[vae.latent], tolerance / 1000)
        value, error = expected(vae, x, *np.split(points, 2, axis=1), tolerance)
        better = value > best_elbo
        best[better], best_elbo[better], error_best[better] = points[better], value[better], error[better]
    error = np.maximum.reduce([error_elbo, error_kl, error_best]) + exact.error
    parts = exact.log_px - best_elbo, best_elbo - elbo
    return Gap(exact.log_px, elbo, log_ratio + exact.log_px, best_elbo, *parts, error, *np.split(best, 2, axis=1))


def expected(vae: VAE, x: NDArray, mu: NDArray, log_var: NDArray, tolerance: float) -> tuple[NDArray, NDArray]:
    """ELBO of q = N(mu, sigma^2) by quadrature, and its error, (N,) each: E_q log p(x|z) - KL in closed form."""
    def integrand(rows, eps):
        return vae.log_likelihood(x[rows], reparameterize(mu[rows], log_var[rows], eps))

    rules = [_gauss_hermite(nodes, vae.latent) for nodes in (8, 16, 32)]                    # enough for a narrow q
    rules += [_trapezoid(spacing, vae.latent, 0.5) for spacing in FINE[vae.latent]]
    mean, error = _refine(vae, x, rules, integrand, tolerance)
    return mean - kl_standard_normal(mu, log_var).sum(axis=-1), error


def _log_ratio(vae, x, mu, log_var, tolerance):
    """E_q ( log q(z|x) - log p(x, z) ), (N,), and its error: no closed form enters, and no node of `expected`."""
    def integrand(rows, eps):
        z = reparameterize(mu[rows], log_var[rows], eps)
        log_joint = vae.log_likelihood(x[rows], z) + log_standard_normal(z)
        return log_normal(z, mu[rows], log_var[rows]) - log_joint

    rules = [_trapezoid(spacing, vae.latent) for spacing in (1, 1 / 2, *FINE[vae.latent])]
    return _refine(vae, x, rules, integrand, tolerance)


def _refine(vae, x, rules, integrand, tolerance):
    """The weighted sum of integrand(rows, eps) (L, rows), by one rule after the other, for those data still unsure."""
    values, error = np.full(len(x), np.inf), np.full(len(x), np.inf)
    unsure = np.arange(len(x))
    for eps, weights in rules:
        refined = [weights @ integrand(rows, eps) for rows in in_rows(vae, unsure, IN_CACHE * len(eps))]
        refined = np.concatenate(refined)
        with np.errstate(invalid="ignore"):
            error[unsure] = np.where(refined == values[unsure], 0, np.abs(refined - values[unsure]))   # -inf twice: 0
        values[unsure] = refined
        unsure = unsure[error[unsure] > tolerance]
        if not len(unsure):
            break
    return values, error


def _gauss_hermite(nodes, latent, light=1e-18):
    """eps (L, 1, J) and weights (L,) of the mean over standard normal noise; exact up to degree 2 nodes - 1."""
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    return _product(points, weights, latent, light)


def _trapezoid(spacing, latent, offset=0.0):
    """The same on an equidistant grid, which is right to exp(-2 pi^2 / spacing^2) for smooth functions."""
    points = spacing * (np.arange(-int(9 / spacing), int(9 / spacing) + 1) + offset)
    return _product(points, np.exp(-points * points / 2), latent)


def _product(points, weights, latent, light=1e-18):
    """The product of one rule on each axis, without nodes of weight `light` or less."""
    eps = np.stack(np.meshgrid(*[points] * latent, indexing="ij"), axis=-1).reshape(-1, 1, latent)
    weight = np.prod(np.meshgrid(*[weights / weights.sum()] * latent, indexing="ij"), axis=0).ravel()
    weighs = weight > light
    return eps[weighs], weight[weighs] / weight[weighs].sum()


def _matching(mean, cov):
    """(N, 2J): the diagonal Gaussian that is best where the posterior is a Gaussian, of variance 1 / (cov^-1)_jj."""
    precision = np.linalg.inv(cov)
    return np.concatenate([mean, -np.log(np.diagonal(precision, axis1=1, axis2=2))], axis=1)


def _descend(vae, x, start, nodes, tolerance=1e-10):
    """The diagonal Gaussian (N, 2J) that a descent of -ELBO from `start` finds, for each datum by itself.

    The ELBO is a sum over `nodes` Gauss-Hermite nodes on each axis. The first steps are scaled by the inverse Fisher
    information of a Gaussian: sigma^2 in mu, and 2 in log_var.
    """
    eps, weights = _gauss_hermite(nodes, vae.latent, LIGHT)
    scale = np.concatenate([np.exp(start[:, vae.latent :]), np.full((len(x), vae.latent), 2.0)], axis=1)
    rows = in_rows(vae, np.arange(len(x)), IN_CACHE * len(eps))
    found = [minimise(_local_loss(vae, x[r], eps, weights), start[r], tolerance, scale=scale[r]) for r in rows]
    return np.concatenate([points for points, _ in found])


def _local_loss(vae, x, eps, weights):
    """-ELBO and its gradient as functions of mu and log_var (n, 2J) of the data numbered `which`; nodes are the noise."""
    def loss(points, which):
        mu, log_var = np.split(points, 2, axis=1)
        noise = np.broadcast_to(eps, (len(eps), *mu.shape))                                 # (L, n, J)
        with np.errstate(over="ignore", invalid="ignore"):                                  # a step too far is not taken
            log_px_z, d_z = log_px_z_and_slope(vae, x[which], reparameterize(mu, log_var, noise))
            kl = kl_standard_normal(mu, log_var).sum(axis=-1)
            d_mu_z, d_log_var_z = reparameterize_backward(-weights[:, None, None] * d_z, mu, log_var, noise)
            d_mu_kl, d_log_var_kl = kl_standard_normal_backward(1, mu, log_var)
        return kl - weights @ log_px_z, np.concatenate([d_mu_z + d_mu_kl, d_log_var_z + d_log_var_kl], axis=1)

    return loss
