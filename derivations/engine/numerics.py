"""Expectations by exact sums and by quadrature, and checks that weights are a distribution.

Quadrature computes an integral as a weighted sum of the function's values at chosen points, the nodes. A sum over
the last axis keeps this axis with length 1: the sum of an array (n, K) has the shape (n, 1), like a scalar. A sigma <= 0
raises ValueError. `mean` and `kl` also raise ValueError for weights that do not sum to one. If q > 0 where p = 0, `kl` is
infinite: the term is not omitted.
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
LINE = np.linspace(-12, 12, 241)                            # nodes of the trapezoid rule, in units of sigma
# For the product of a Gaussian density and a quadratic function, every fourth node is enough.
WIDE = LINE[::4]
ROOTS, (LOG_NODES, LOG_WEIGHTS) = 6, np.polynomial.legendre.leggauss(10)    # used in `minus_log`


def total(f: NDArray) -> NDArray:
    """Sum over the last axis and keep it: (..., K) -> (..., 1)."""
    return np.sum(f, axis=-1, keepdims=True)


def need_pmf(name: str, p: NDArray) -> NDArray:
    """Return p; raise ValueError unless it is non-negative and sums to one along the last axis."""
    p = np.asarray(p, float)
    if not ((p >= 0).all() and (np.abs(p.sum(axis=-1) - 1) <= 1e-12).all()):
        refuse(name, "non-negative weights that sum to one", "weights that do not", "Divide them by their sum.")
    return p


def need_positive(name: str, sigma: NDArray) -> NDArray:
    """Return sigma; raise ValueError unless it is finite and above zero. Formulas with sigma^2 would hide a wrong sign."""
    sigma = np.asarray(sigma, float)
    good = np.isfinite(sigma) & (sigma > 0)
    if not good.all():
        refuse(name, "finite and > 0", f"{sigma[~good][0]:g}", "A standard deviation is above zero.")
    return sigma


def need_above_zero(name: str, t: NDArray) -> NDArray:
    """Return t. Raise ValueError if a number in t is not above zero, because such a number has no logarithm."""
    t = np.asarray(t, float)
    if not (t > 0).all():
        refuse(name, "> 0", f"{t[~(t > 0)][0]:g}", "Only numbers above zero have a logarithm.")
    return t


def need_covered(q: NDArray, p: NDArray) -> None:
    """Raise ValueError if q > 0 where p = 0, because KL(q || p) is then infinite."""
    if ((q > 0) & (p == 0)).any():
        refuse("p", "> 0 wherever q > 0", "p = 0 with q > 0", "The divergence would be infinite.")


def need_same_shape(**arrays: NDArray) -> None:
    """Raise ValueError for arrays of different shapes, which NumPy would broadcast without an error."""
    shapes = {name: np.shape(array) for name, array in arrays.items()}
    if len(set(shapes.values())) > 1:
        refuse(" and ".join(shapes), "of one shape", str(shapes), "Give both the same length.")


def log(p: NDArray) -> NDArray:
    """Natural logarithm; log 0 = -inf without a warning."""
    with np.errstate(divide="ignore"):
        return np.log(p)


def times(weight: NDArray, value: NDArray) -> NDArray:
    """weight * value, but 0 if the weight is 0, even for 0 * inf."""
    with np.errstate(invalid="ignore"):
        return np.where(weight == 0, 0.0, weight * value)


def mean(weight: NDArray, value: NDArray) -> NDArray:
    """E[value] = sum of weight * value over the last axis: an exact expectation over finitely many values."""
    return total(times(need_pmf("the weights of an expectation", weight), value))


def ratio(p: NDArray, q: NDArray) -> NDArray:
    """p / q, where 0 / 0 = 0 and p / 0 = inf."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((p == 0) & (q == 0), 0.0, p / q)


def kl(q: NDArray, p: NDArray) -> NDArray:
    """KL(q || p) of two pmfs (lists of probabilities), computed without log: an independent check of formulas with log.

    KL is the sum of q times -log(p/q), where `minus_log` computes -log by quadrature. KL is infinite if q > 0 where p = 0.
    """
    q, p = need_pmf("q", q), need_pmf("p", p)
    need_same_shape(q=q, p=p)
    both = (q > 0) & (p > 0)
    t = np.where(both, p, 1.0) / np.where(both, q, 1.0)
    term = np.where(both, q * minus_log(t), 0.0)
    return np.where(((q > 0) & (p == 0)).any(axis=-1, keepdims=True), np.inf, total(term))


def kl_of_weights(q: NDArray, p: NDArray) -> NDArray:
    """Return sum q log(q / p). The weights q and p need not sum to one, so the result can be negative.

    `kl` computes the divergence of the normalised weights.
    """
    q_sum, p_sum = total(q), total(p)
    return q_sum * (kl(q / q_sum, p / p_sum) + log(q_sum / p_sum))


def minus_log(t: NDArray) -> NDArray:
    """-log t without log. Six square roots turn t into a number r near 1, and log t = 64 log r. By quadrature,

        log r = integral of (r - 1) / (1 + u (r - 1)) du, from u = 0 to 1
    """
    root = np.asarray(t, float)
    for _ in range(ROOTS):
        root = np.sqrt(root)
    u = (LOG_NODES + 1) / 2
    above = root[..., None] - 1                             # r - 1
    return -(2**ROOTS) * (above / (1 + u * above)) @ (LOG_WEIGHTS / 2)


def normal(z: NDArray, mu: NDArray, sigma: NDArray) -> NDArray:
    """The density N(z; mu, sigma^2), computed without a logarithm."""
    sigma = need_positive("sigma", sigma)
    return np.exp(-(((z - mu) / sigma) ** 2) / 2) / (math.sqrt(2 * math.pi) * sigma)


def log_density(z: NDArray, mu: NDArray, sigma: NDArray) -> NDArray:
    """log N(z; mu, sigma^2), computed directly, because the density itself can be too small for a float."""
    sigma = need_positive("sigma", sigma)
    u = (z - mu) / sigma
    return -0.5 * u * u - (np.log(sigma) + math.log(2 * math.pi) / 2)


def expect(f: Callable[[NDArray], NDArray], mu: NDArray, sigma: NDArray) -> NDArray:
    """E f(z) under N(mu, sigma^2) by Gauss-Hermite quadrature: exact for polynomials, very accurate for smooth f."""
    nodes, node_weights = HERMITE
    z = mu + need_positive("sigma", sigma) * nodes
    return total(node_weights * f(z)) / math.sqrt(2 * math.pi)


@functools.cache
def gauss(nodes: int) -> tuple[NDArray, NDArray]:
    """Nodes and weights of Gauss-Hermite quadrature; cached, because NumPy solves an eigenvalue problem for them."""
    return np.polynomial.hermite_e.hermegauss(nodes)


def noise(count: int, nodes: int = 3) -> tuple[NDArray, NDArray]:
    """Nodes (K, count) and weights (K,) of a quadrature for `count` independent standard normal numbers, K = nodes^count.

    The sum of weight * f(node) over the K nodes approximates E[f]. The sum is exact if f is a polynomial with a degree below
    2 * `nodes` in each of the `count` numbers.
    """
    whole_number("the number of draws", count, 1)
    one, weights = gauss(nodes)
    every = np.stack(np.meshgrid(*[one] * count, indexing="ij"), axis=-1).reshape(-1, count)
    weight = np.stack(np.meshgrid(*[weights] * count, indexing="ij"), axis=-1).reshape(-1, count).prod(axis=-1)
    return every, weight / weight.sum()


def integrate(f: Callable[[NDArray], NDArray], mu: NDArray, sigma: NDArray, nodes: NDArray = LINE) -> NDArray:
    """The integral of f(z) dz by the trapezoid rule, for an f that goes to zero as fast as N(mu, sigma^2)."""
    sigma = need_positive("sigma", sigma)
    return total(f(mu + sigma * nodes)) * sigma * (nodes[1] - nodes[0])


def kl_normal(mu_q: NDArray, sigma_q: NDArray, mu_p: NDArray, sigma_p: NDArray) -> NDArray:
    """KL of two scalar Gaussians, from its definition, the integral of q log(q/p). The closed form is not used."""

    def integrand(z):
        log_q, log_p = log_density(z, mu_q, sigma_q), log_density(z, mu_p, sigma_p)
        return np.exp(log_q) * (log_q - log_p)

    return integrate(integrand, mu_q, sigma_q, WIDE)


def log_density_full(z: NDArray, mu: NDArray, cov: NDArray) -> NDArray:
    """log N(z; mu, cov), (..., K), for K vectors z, (..., K, J), from the inverse and the determinant of cov."""
    d = z - mu[..., None, :]
    distance = np.einsum("...ki,...ij,...kj->...k", d, np.linalg.inv(cov), d)
    return -(distance + np.log(np.linalg.det(2 * math.pi * cov))[..., None]) / 2


def expect_full(f: Callable[[NDArray], NDArray], mu: NDArray, cov: NDArray) -> NDArray:
    """E f(z) under N(mu, cov) by quadrature, (..., 1), for mu (..., J); exact for polynomials f up to degree 5."""
    root = cholesky(cov)                                    # raises ValueError unless cov is a covariance matrix
    eps, weights = noise(root.shape[-1])
    return total(weights * f(mu[..., None, :] + eps @ np.swapaxes(root, -2, -1)))


def kl_normal_full(mu_q: NDArray, cov_q: NDArray, mu_p: NDArray, cov_p: NDArray) -> NDArray:
    """KL of two Gaussians with any covariance, (..., 1), from its definition E_q[log q - log p], by exact quadrature."""
    log_ratio = lambda z: log_density_full(z, mu_q, cov_q) - log_density_full(z, mu_p, cov_p)  # noqa: E731
    return expect_full(log_ratio, mu_q, cov_q)


def complex_step(f: Callable[[NDArray], NDArray], at: NDArray) -> NDArray:
    """f'(at) = Im f(at + i step) / step for an analytic f: nothing is subtracted, so no digits cancel."""
    step = 1e-30
    return f(at + 1j * step).imag / step


def central_difference(f: Callable[[NDArray], NDArray], at: NDArray, step: float = 1e-5) -> NDArray:
    """f'(at) = (f(at + step) - f(at - step)) / (2 step), approximately."""
    return (f(at + step) - f(at - step)) / (2 * step)
