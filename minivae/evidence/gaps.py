"""The gap log p(x) - ELBO and its two parts, by quadrature, for one or two latent dimensions.

The amortisation gap is the encoder's error: another diagonal Gaussian would have a higher ELBO. The approximation gap
remains even with the best diagonal Gaussian, because the posterior p(z|x) is not a diagonal Gaussian.
"""

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

FINE = {1: (1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64), 2: (1 / 4, 1 / 8)}           # grid spacings, in standard deviations of q
SEARCH = {1: 24, 2: 12}                                     # nodes on each axis in the first two descents of `gap`
POLISH = {1: 64, 2: 32}                                     # nodes on each axis in the third descent
LIGHT = 1e-7                                                # descents leave out nodes of smaller weight: 33 to 75 % of all


class Gap(NamedTuple):
    """The gap log p(x) - ELBO, its parts in nats, and the best diagonal Gaussian: all for each of N data points."""

    log_px: NDArray             # (N,); the six fields below have the same shape
    elbo: NDArray               # ELBO of the encoder's q(z|x)
    kl: NDArray                 # KL( q(z|x) || p(z|x) ) = log_px - elbo, but computed as a separate integral
    best_elbo: NDArray          # ELBO of the best diagonal Gaussian for this data point
    approximation: NDArray      # log_px - best_elbo: the error of the best diagonal Gaussian
    amortisation: NDArray       # best_elbo - elbo: the encoder's error
    error: NDArray              # upper estimate of the largest error among the values above
    mu: NDArray                 # (N, J) mean of the best Gaussian
    log_var: NDArray            # (N, J) log variance of the best Gaussian


def gap(vae: VAE, x: NDArray, tolerance: float = 1e-7) -> Gap:
    """Split the gap into two parts (Cremer, Li and Duvenaud 2018), for data x (N, D) and one or two latent dimensions.

    log p(x) - ELBO  =  KL( q(z|x) || p(z|x) )  =  approximation gap + amortisation gap

    log p(x), ELBO and KL are three integrals, computed at different nodes. Each is refined until its estimated error is at
    most `tolerance` nats, or its finest grid is reached. `error` can be twice `tolerance`, because it can be the sum of two
    errors. If the decoder has kinks (relu), the integrals converge slowly, and `error` can be even larger.

    The best Gaussian is a local optimum, never worse than q(z|x). Three descents search for this Gaussian. The first starts
    from q(z|x), and the second from the posterior's mean and covariance; both compute the ELBO with few nodes. The third
    starts from the best Gaussian so far and uses more nodes. Each descent ends when the predicted decrease of a step is
    below `tolerance / 1000`.

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
    error = np.maximum.reduce([error_elbo, error_kl + exact.error, error_best + exact.error, error_elbo + error_best])
    parts = exact.log_px - best_elbo, best_elbo - elbo
    return Gap(exact.log_px, elbo, log_ratio + exact.log_px, best_elbo, *parts, error, *np.split(best, 2, axis=1))


def expected(
    vae: VAE, x: NDArray, mu: NDArray, log_var: NDArray, tolerance: float, first: tuple[int, ...] = (8, 16, 32)
) -> tuple[NDArray, NDArray]:
    """Return the ELBO of q = N(mu, sigma^2) and its error, (N,) each: E_q log p(x|z) by quadrature, minus the KL.

    Gauss-Hermite rules are tried first, because they suit a narrow q. `first` contains, for each Gauss-Hermite rule,
    the number of nodes on each axis.
    """
    def integrand(rows, eps):
        return vae.log_likelihood(x[rows], reparameterize(mu[rows], log_var[rows], eps))

    rules = [gauss_hermite(nodes, vae.latent) for nodes in first]
    rules += [_trapezoid(spacing, vae.latent, 0.5) for spacing in FINE[vae.latent]]
    mean, error = _refine(vae, x, rules, integrand, tolerance)
    return mean - kl_standard_normal(mu, log_var).sum(axis=-1), error


def _log_ratio(vae, x, mu, log_var, tolerance):
    """Return E_q ( log q(z|x) - log p(x, z) ) and its error, (N,) each.

    This function and the function `expected` use different nodes, and only `expected` uses the closed form of the KL. So
    the two results check each other.
    """
    def integrand(rows, eps):
        z = reparameterize(mu[rows], log_var[rows], eps)
        log_joint = vae.log_likelihood(x[rows], z) + log_standard_normal(z)
        return log_normal(z, mu[rows], log_var[rows]) - log_joint

    rules = [_trapezoid(spacing, vae.latent) for spacing in (1, 1 / 2, *FINE[vae.latent])]
    return _refine(vae, x, rules, integrand, tolerance)


def _refine(vae, x, rules, integrand, tolerance):
    """Return, for each data point, an integral and the error of the integral, (N,) each.

    A quadrature rule consists of L nodes `eps` and L weights. An integral is the sum of weight * integrand at all nodes;
    integrand(rows, eps) returns (L, rows). Each rule is finer than the previous rule. A finer rule is used only
    for data points with an error that is still above `tolerance`.
    """
    values, error = np.full(len(x), np.inf), np.full(len(x), np.inf)
    remaining = np.arange(len(x))
    for eps, weights in rules:
        refined = [weights @ integrand(rows, eps) for rows in in_rows(vae, remaining, IN_CACHE * len(eps))]
        refined = np.concatenate(refined)
        with np.errstate(invalid="ignore"):                 # if both rules give -inf, the error is 0
            error[remaining] = np.where(refined == values[remaining], 0, np.abs(refined - values[remaining]))
        values[remaining] = refined
        remaining = remaining[error[remaining] > tolerance]
        if not len(remaining):
            break
    return values, error


def gauss_hermite(nodes: int, latent: int, light: float = 1e-18) -> tuple[NDArray, NDArray]:
    """Return eps (L, 1, J) and weights (L,): the weighted sum of f(eps) approximates E f(eps), eps ~ N(0, I).

    The sum over all nodes is exact for polynomials f of degree up to `2 * nodes - 1`. Nodes of weight `light` or less are
    left out.
    """
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    return _product(points, weights, latent, light)


def _trapezoid(spacing, latent, offset=0.0):
    """Return eps and weights of an equidistant grid; for smooth functions the error is about exp(-2 pi^2 / spacing^2)."""
    points = spacing * (np.arange(-int(9 / spacing), int(9 / spacing) + 1) + offset)
    return _product(points, np.exp(-points * points / 2), latent)


def _product(points, weights, latent, light=1e-18):
    """Return eps and weights of a grid that has `points` on each axis. Nodes of weight `light` or less are left out."""
    eps = np.stack(np.meshgrid(*[points] * latent, indexing="ij"), axis=-1).reshape(-1, 1, latent)
    weight = np.prod(np.meshgrid(*[weights / weights.sum()] * latent, indexing="ij"), axis=0).ravel()
    heavy = weight > light
    return eps[heavy], weight[heavy] / weight[heavy].sum()


def _matching(mean, cov):
    """Return the best diagonal q for a Gaussian posterior N(mean, cov), as mu and log_var joined, (N, 2J).

    mu is the mean of the posterior, and log_var_j is -log (cov^-1)_jj.
    """
    precision = np.linalg.inv(cov)
    return np.concatenate([mean, -np.log(np.diagonal(precision, axis1=1, axis2=2))], axis=1)


def _descend(vae, x, start, nodes, tolerance=1e-10):
    """Return an array (N, 2J) with mu and log_var at a local minimum of -ELBO, for each data point.

    The descent begins at `start` (N, 2J). The ELBO is a sum over `nodes` Gauss-Hermite nodes on each axis. The first steps
    are scaled by the inverse Fisher information of a Gaussian: sigma^2 for mu, and 2 for log_var.
    """
    eps, weights = gauss_hermite(nodes, vae.latent, LIGHT)
    scale = np.concatenate([np.exp(start[:, vae.latent :]), np.full((len(x), vae.latent), 2.0)], axis=1)
    rows = in_rows(vae, np.arange(len(x)), IN_CACHE * len(eps))
    found = [minimise(_local_loss(vae, x[r], eps, weights), start[r], tolerance, scale=scale[r]) for r in rows]
    return np.concatenate([points for points, _ in found])


def _local_loss(vae, x, eps, weights):
    """Return a function loss(points, which): it returns -ELBO and the gradient of -ELBO for the data points `which`.

    `points` (n, 2J) contains mu and log_var. `eps` contains quadrature nodes instead of random noise.
    """
    def loss(points, which):
        mu, log_var = np.split(points, 2, axis=1)
        noise = np.broadcast_to(eps, (len(eps), *mu.shape))                                 # (L, n, J)
        with np.errstate(over="ignore", invalid="ignore"):                                  # the line search rejects NaN
            log_px_z, d_z = log_px_z_and_slope(vae, x[which], reparameterize(mu, log_var, noise))
            kl = kl_standard_normal(mu, log_var).sum(axis=-1)
            d_mu_z, d_log_var_z = reparameterize_backward(-weights[:, None, None] * d_z, mu, log_var, noise)
            d_mu_kl, d_log_var_kl = kl_standard_normal_backward(1, mu, log_var)
        return kl - weights @ log_px_z, np.concatenate([d_mu_z + d_mu_kl, d_log_var_z + d_log_var_kl], axis=1)

    return loss
