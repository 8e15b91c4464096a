"""Expectations by exact sums and by quadrature, and checks that weights are a distribution.

Sums run over the last axis and keep it, so that every result is (n, 1) as scalars are. Refused, with a
ValueError: sigma <= 0, weights that do not sum to one, conditioning on an event of probability zero. If q > 0
where p = 0, the divergence is infinite; such a term of a sum is never left out.
"""

import functools
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from minivae.checks import refuse, whole_number
from minivae.gaussian import cholesky

HERMITE = np.polynomial.hermite_e.hermegauss(60)            # nodes and weights: exact for polynomials up to degree 119
LEGENDRE = np.polynomial.legendre.leggauss(20)
LINE = np.linspace(-12, 12, 241)                            # nodes of the trapezoid rule in units of sigma
WIDE = LINE[::4]                                            # enough for a Gaussian times a polynomial: error exp(-120)
ROOTS, (LOG_NODES, LOG_WEIGHTS) = 6, np.polynomial.legendre.leggauss(10)


def total(f: NDArray) -> NDArray:
    """Sum over the last axis, which is kept: (..., K) -> (..., 1)."""
    return np.sum(f, axis=-1, keepdims=True)


def need_pmf(name: str, p: NDArray) -> NDArray:
    """p, refused unless it is non-negative and sums to one along the last axis."""
    p = np.asarray(p, float)
    if not ((p >= 0).all() and (np.abs(p.sum(axis=-1) - 1) <= 1e-12).all()):
        refuse(name, "non-negative weights that sum to one", "weights that do not", "Divide them by their sum.")
    return p


def need_positive(name: str, sigma: NDArray) -> NDArray:
    """sigma, refused unless it is finite and above zero: sigma^2 would hide the sign."""
    sigma = np.asarray(sigma, float)
    good = np.isfinite(sigma) & (sigma > 0)
    if not good.all():
        refuse(name, "finite and > 0", f"{sigma[~good][0]:g}", "A standard deviation is above zero.")
    return sigma


def need_above_zero(name: str, t: NDArray) -> NDArray:
    """t, refused unless it is above zero, so that it has a logarithm."""
    t = np.asarray(t, float)
    if not (t > 0).all():
        refuse(name, "> 0", f"{t[~(t > 0)][0]:g}", "Only numbers above zero have a logarithm.")
    return t


def need_covered(q: NDArray, p: NDArray) -> None:
    """Refuse q > 0 where p = 0: there KL(q || p) is infinite."""
    if ((q > 0) & (p == 0)).any():
        refuse("p", "> 0 wherever q is", "p = 0 with q > 0", "No term of a divergence may be left out.")


def need_same_shape(**arrays: NDArray) -> None:
    """Refuse arrays of different shapes: NumPy would broadcast them in silence."""
    shapes = {name: np.shape(array) for name, array in arrays.items()}
    if len(set(shapes.values())) > 1:
        refuse(" and ".join(shapes), "of one shape", str(shapes), "Give both the same length.")


def log(p: NDArray) -> NDArray:
    """Natural logarithm; log 0 = -inf without a warning."""
    with np.errstate(divide="ignore"):
        return np.log(p)


def times(weight: NDArray, value: NDArray) -> NDArray:
    """weight * value, where 0 * anything = 0, infinities included: a term of weight 0 adds nothing."""
    with np.errstate(invalid="ignore"):
        return np.where(weight == 0, 0.0, weight * value)


def mean(weight: NDArray, value: NDArray) -> NDArray:
    """E[value] = sum of weight * value over the last axis: a finite expectation, by the exact sum."""
    return total(times(need_pmf("the weights of an expectation", weight), value))


def ratio(p: NDArray, q: NDArray) -> NDArray:
    """p / q, where 0 / 0 = 0 and p / 0 = inf."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((p == 0) & (q == 0), 0.0, p / q)


def kl(q: NDArray, p: NDArray) -> NDArray:
    """KL(q || p) of two pmfs without one call of log: the second route for everything that is written with log.

    The sum of q times -log(p/q), and that by quadrature. Infinite unless p > 0 wherever q is.
    """
    q, p = need_pmf("q", q), need_pmf("p", p)
    need_same_shape(q=q, p=p)
    both = (q > 0) & (p > 0)
    t = np.where(both, p, 1.0) / np.where(both, q, 1.0)
    term = np.where(both, q * minus_log(t), 0.0)
    return np.where(((q > 0) & (p == 0)).any(axis=-1, keepdims=True), np.inf, total(term))


def kl_of_weights(q: NDArray, p: NDArray) -> NDArray:
    """sum q log(q / p) of weights that need not sum to one, by the `kl` of the normalised ones: it may be negative."""
    q_sum, p_sum = total(q), total(p)
    return q_sum * (kl(q / q_sum, p / p_sum) + log(q_sum / p_sum))


def minus_log(t: NDArray) -> NDArray:
    """-log t without log: six square roots bring t near 1, then log t = integral of (t - 1) / (1 + u (t - 1)) du."""
    root = np.asarray(t, float)
    for _ in range(ROOTS):
        root = np.sqrt(root)
    u = (LOG_NODES + 1) / 2
    r = root[..., None] - 1
    return -(2**ROOTS) * (r / (1 + u * r)) @ (LOG_WEIGHTS / 2)


def normal(z: NDArray, mu: NDArray, sigma: NDArray) -> NDArray:
    """The density N(z; mu, sigma^2), from sigma and not from a logarithm of it."""
    sigma = need_positive("sigma", sigma)
    return np.exp(-(((z - mu) / sigma) ** 2) / 2) / (math.sqrt(2 * math.pi) * sigma)


def log_density(z: NDArray, mu: NDArray, sigma: NDArray) -> NDArray:
    """log N(z; mu, sigma^2), where the density itself would be too small to be a number."""
    sigma = need_positive("sigma", sigma)
    u = (z - mu) / sigma
    return -0.5 * u * u - (np.log(sigma) + math.log(2 * math.pi) / 2)


def expect(f: Callable[[NDArray], NDArray], mu: NDArray, sigma: NDArray) -> NDArray:
    """E f(z) under N(mu, sigma^2) by Gauss-Hermite quadrature: exact for polynomials, spectral for smooth f."""
    nodes, node_weights = HERMITE
    z = mu + need_positive("sigma", sigma) * nodes
    return total(node_weights * f(z)) / math.sqrt(2 * math.pi)


@functools.cache
def gauss(nodes: int) -> tuple[NDArray, NDArray]:
    """Nodes of Gauss and Hermite and their weights: found by eigenvalues, so found once."""
    return np.polynomial.hermite_e.hermegauss(nodes)


def noise(count: int, nodes: int = 3) -> tuple[NDArray, NDArray]:
    """`count` independent standard normal numbers as nodes (K, count), with weights (K,) that sum to one.

    K = nodes^count. Sums over the nodes are expectations: exact if the degree in every number is below twice `nodes`.
    """
    whole_number("the number of draws", count, 1)
    one, weights = gauss(nodes)
    every = np.stack(np.meshgrid(*[one] * count, indexing="ij"), axis=-1).reshape(-1, count)
    weight = np.stack(np.meshgrid(*[weights] * count, indexing="ij"), axis=-1).reshape(-1, count).prod(axis=-1)
    return every, weight / weight.sum()


def integrate(f: Callable[[NDArray], NDArray], mu: NDArray, sigma: NDArray, nodes: NDArray = LINE) -> NDArray:
    """The integral of f(z) dz, for an f that dies off like N(mu, sigma^2), by the trapezoid rule."""
    sigma = need_positive("sigma", sigma)
    return total(f(mu + sigma * nodes)) * sigma * (nodes[1] - nodes[0])


def kl_normal(mu_q: NDArray, sigma_q: NDArray, mu_p: NDArray, sigma_p: NDArray) -> NDArray:
    """KL of two scalar Gaussians from the definition: integral of q log(q/p), never from the closed form."""

    def integrand(z):
        log_q, log_p = log_density(z, mu_q, sigma_q), log_density(z, mu_p, sigma_p)
        return np.exp(log_q) * (log_q - log_p)

    return integrate(integrand, mu_q, sigma_q, WIDE)


def log_density_full(z: NDArray, mu: NDArray, cov: NDArray) -> NDArray:
    """log N(z; mu, cov) of codes z (..., K, J), from the inverse and the determinant: (..., K)."""
    d = z - mu[..., None, :]
    distance = np.einsum("...ki,...ij,...kj->...k", d, np.linalg.inv(cov), d)
    return -(distance + np.log(np.linalg.det(2 * math.pi * cov))[..., None]) / 2


def expect_full(f: Callable[[NDArray], NDArray], mu: NDArray, cov: NDArray) -> NDArray:
    """E f(z) under N(mu, cov), means (..., J), on nodes: exact for polynomials up to degree 5. (..., 1)"""
    root = cholesky(cov)                                    # refused unless cov is a covariance
    eps, weights = noise(root.shape[-1])
    return total(weights * f(mu[..., None, :] + eps @ np.swapaxes(root, -2, -1)))


def kl_normal_full(mu_q: NDArray, cov_q: NDArray, mu_p: NDArray, cov_p: NDArray) -> NDArray:
    """KL of two Gaussians with any covariance from the definition, E_q[log q - log p]: exact, and (..., 1)."""
    log_ratio = lambda z: log_density_full(z, mu_q, cov_q) - log_density_full(z, mu_p, cov_p)  # noqa: E731
    return expect_full(log_ratio, mu_q, cov_q)


def complex_step(f: Callable[[NDArray], NDArray], at: NDArray) -> NDArray:
    """f'(at) as Im f(at + ih) / h: no difference, so no cancellation."""
    step = 1e-30
    return f(at + 1j * step).imag / step


def central_difference(f: Callable[[NDArray], NDArray], at: NDArray, step: float = 1e-5) -> NDArray:
    """(f(at + h) - f(at - h)) / 2h."""
    return (f(at + step) - f(at - step)) / (2 * step)
