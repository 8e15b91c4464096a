"""Worlds for the checks: models in which every probability is known exactly.

- Finite joint tables p(x, z) with an encoder q(z|x).
- Events of a finite space.
- Pairs of Gaussians: of numbers, of vectors with independent coordinates, of vectors with any covariance.
- Linear-Gaussian models x = w z + s eps with z ~ N(0, 1), and x = b + W z + s eps with z ~ N(0, I). The evidence and
  the posterior of these models have closed forms.

The last function, `small_vae`, makes a small model of minivae.
"""

import numpy as np
from numpy.typing import NDArray

from derivations.engine.domains import Symbol, conditional, joint, pmf, positive, positives, real, vector
from derivations.engine.numerics import (
    expect,
    kl_normal,
    log_density,
    log_density_full,
    need_positive,
    need_same_shape,
    refuse,
    total,
)
from minivae.likelihood import Gaussian
from minivae.vae import VAE

# Finite tables: one row for each x, one column for each z. The functions return arrays (n, rows, columns). A result that
# does not depend on z has only one column: p(x) has the shape (n, rows, 1). A result that does not depend on x has only one
# row: p(z) has the shape (n, 1, columns).

TABLE = joint("p_xz", "p(x, z)")
ENCODER = conditional("q", "q(z|x)")
TABLES = (TABLE, ENCODER)


def evidence(p_xz: NDArray) -> NDArray:
    """p(x) = sum over z of p(x, z), (n, rows, 1)."""
    return total(p_xz)


def prior(p_xz: NDArray) -> NDArray:
    """p(z) = sum over x of p(x, z), (n, 1, columns)."""
    return np.sum(p_xz, axis=-2, keepdims=True)


def likelihood(p_xz: NDArray) -> NDArray:
    """p(x|z) = p(x, z) / p(z): every column sums to one."""
    return given(p_xz, prior(p_xz), "p(z)")


def posterior(p_xz: NDArray) -> NDArray:
    """p(z|x) = p(x, z) / p(x): every row sums to one."""
    return given(p_xz, evidence(p_xz), "p(x)")


def given(both: NDArray, condition: NDArray, name: str = "the condition") -> NDArray:
    """P(both) / P(condition); raise ValueError if the condition has probability zero."""
    if not (np.asarray(condition) > 0).all():               # `not >` also refuses NaN
        refuse(name, "> 0", "0", "A probability given an impossible event is undefined.")
    return both / condition


# An event is an array with one number for each outcome of a finite space: 1 if the outcome is in the event, 0 if not.
# `atoms` has the probability of each outcome.

ATOMS = pmf("atoms", r"P(\omega)", 12, simple=((0.25, 0.25, 0.25, 0.25), (0.1, 0.2, 0.3, 0.4)))


def event(name: str, latex: str, simple):
    """A random event that is never empty, as a mask (n, 12): 1 for the outcomes in it, 0 for the others."""
    def make(raw):
        mask = raw > 0
        mask[np.arange(len(raw)), np.abs(raw).argmax(axis=-1)] = True
        return mask.astype(float)

    return Symbol(name, latex, "an event of positive probability, 1 for each outcome in it", 12, make, simple)


X = event("X", "X", ((1, 1, 0, 0), (0, 1, 1, 1), (1, 0, 1, 0)))
Y = event("Y", "Y", ((0, 1, 1, 1), (0, 1, 0, 0), (1, 1, 0, 0)))
EVENTS = (ATOMS, X, Y)


def probability(atoms: NDArray, event: NDArray) -> NDArray:
    """P(event), the sum of the probabilities of its outcomes, (n, 1)."""
    return total(atoms * event)


def conditioned(atoms: NDArray, condition: NDArray) -> NDArray:
    """The probabilities of all outcomes given an event: set to 0 outside the event, then divided by their sum."""
    kept = atoms * condition
    return given(kept, total(kept), "P(condition)")


# Two kinds of symbols: random probabilities, and letters with one fixed value


def chance(name: str, latex: str, simple=(0.5, 0.1, 0.25, 0.9), top: int = 100):
    """A probability k/100, with k from 1 to `top`.

    Two probabilities p and q of this kind are equal, or differ by at least 1/100. So log p - log q is accurate.
    """
    make = lambda raw: np.ceil(top / (1 + np.exp(-1.7 * raw))) / 100  # noqa: E731
    return Symbol(name, latex, "> 0, a probability; drawn in hundredths", 1, make, simple)


def chosen(name: str, latex: str, value: float, meaning: str):
    """A letter with one fixed value, which the source assumes but does not state. Other values violate the assumption."""
    return Symbol(name, latex, meaning, 1, lambda raw: np.full_like(raw, value), (value,))


# Scalar Gaussians

MU_Q, SIGMA_Q = real("mu_q", r"\mu_q"), positive("sigma_q", r"\sigma_q")
MU_P, SIGMA_P = real("mu_p", r"\mu_p", simple=(0, 1, -1)), positive("sigma_p", r"\sigma_p")
PAIR = (MU_Q, SIGMA_Q, MU_P, SIGMA_P)
ENCODED = (MU_Q, SIGMA_Q)

# Pairs (q, p) of Gaussians with two coordinates: first with independent coordinates, then with any covariance

MUS_Q, SIGMAS_Q = vector("mu_q", r"\mu_q", 2, simple=((0, 0), (1, -1))), positives("sigma_q", r"\sigma_q", 2)
# Because 0.5 is added, mu_p differs from mu_q even if both are made from equal raw numbers.
MUS_P = Symbol("mu_p", r"\mu_p", "real", 2, lambda raw: 1.2 * raw + 0.5, ((0.5, 1), (-1, 0.5)))
SIGMAS_P = positives("sigma_p", r"\sigma_p", 2)
DIAGONAL_PAIR = (MUS_Q, SIGMAS_Q, MUS_P, SIGMAS_P)
RHO = chosen("rho", r"\rho", 0, "the correlation of z_1 and z_2 under q")


def covariance(sigma: NDArray, rho: NDArray) -> NDArray:
    """((sigma_1^2, rho sigma_1 sigma_2), (rho sigma_1 sigma_2, sigma_2^2)), (..., 2, 2); sigma (..., 2), rho (..., 1)."""
    correlation = np.eye(2) + np.asarray(rho)[..., None] * (1 - np.eye(2))
    return sigma[..., :, None] * correlation * sigma[..., None, :]


def any_covariance(name: str, latex: str) -> Symbol:
    """A symmetric positive definite matrix (n, 2, 2): any sigma, any correlation."""
    make = lambda raw: covariance(np.exp(raw[:, :2] / 2), np.tanh(raw[:, 2:]))  # noqa: E731
    return Symbol(name, latex, "symmetric, positive definite", 3, make, ([[1, 0], [0, 1]], [[2, 1], [1, 2]]))


FULL_PAIR = (MUS_Q, any_covariance("cov_q", r"\Sigma_q"), MUS_P, any_covariance("cov_p", r"\Sigma_p"))

# The linear-Gaussian model: z ~ N(0, 1), x = w z + s eps

W, S, OBSERVED = real("w", "w", simple=(1, 2, 0.5)), positive("s", "s"), real("x", "x", simple=(1, 0, 2))
LINEAR = (W, S, OBSERVED)


def linear_log_evidence(w: NDArray, s: NDArray, x: NDArray) -> NDArray:
    """log p(x) = log N(x; 0, w^2 + s^2)."""
    return log_density(x, 0, np.sqrt(w**2 + need_positive("s", s) ** 2))


def linear_posterior(w: NDArray, s: NDArray, x: NDArray) -> tuple[NDArray, NDArray]:
    """Mean and standard deviation of p(z|x) = N(w x / (w^2 + s^2), s^2 / (w^2 + s^2))."""
    variance = w**2 + need_positive("s", s) ** 2
    return w * x / variance, s / np.sqrt(variance)


def linear_elbo(w: NDArray, s: NDArray, x: NDArray, mu_q: NDArray, sigma_q: NDArray) -> NDArray:
    """E_q log p(x|z) - KL(q || p(z)) of the linear-Gaussian model, both terms by quadrature; q = N(mu_q, sigma_q^2)."""
    log_2_pi_s2 = np.log(2 * np.pi) + 2 * np.log(need_positive("s", s))
    log_likelihood = lambda z: -(((x - w * z) / s) ** 2 + log_2_pi_s2) / 2  # noqa: E731
    return expect(log_likelihood, mu_q, sigma_q) - kl_normal(mu_q, sigma_q, 0, 1)


# Two latent coordinates: z ~ N(0, I), x = w z + s eps with w (n, 2); q = N(mu_j, sigma_j^2) in each coordinate

PLANE_W = Symbol("w", "w", "real", 2, lambda raw: 1.2 * raw + (0.5, -0.5), ((1, -0.5), (0, 1)))     # never (0, 0)
PLANE_S = positive("s", "s", 0.3, (1, 0.5))
PLANE_X = real("x_i", "x_i", simple=(1.2, 0))
PLANE_MU = vector("mu", r"\mu", 2, simple=((0.5, -1), (0, 0)))
PLANE_SIGMA = positives("sigma", r"\sigma", 2, simple=((0.5, 2), (1, 1)))
PLANE = (PLANE_W, PLANE_S, PLANE_X, PLANE_MU, PLANE_SIGMA)


def plane_elbo(w: NDArray, s: NDArray, x: NDArray, mu: NDArray, sigma: NDArray) -> NDArray:
    """log p(x) - KL( q || p(z|x) ), exact: p(x) is N(0, |w|^2 + s^2), and p(z|x) has the precision matrix I + w w' / s^2."""
    need_same_shape(mu=mu, sigma=sigma)
    need_positive("sigma", sigma)
    variance = total(w**2) + s**2
    d = mu - w * x / variance                               # mu minus the posterior's mean
    distance = total(d**2) + (total(w * d) / s) ** 2
    trace = total((1 + (w / s) ** 2) * sigma**2)
    kl = (trace + distance - 2 - np.log(variance / s**2) - total(2 * np.log(sigma))) / 2
    return log_density(x, 0, np.sqrt(variance)) - kl


def plane_log_p(w: NDArray, s: NDArray, x: NDArray, z: NDArray) -> NDArray:
    """log p(x|z) = log N(x; w z, s^2), (..., K), for K latent vectors z, (..., K, 2)."""
    return log_density(x, np.einsum("...j,...kj->...k", w, z), s)


def plane_moments(w: NDArray, s: NDArray, x: NDArray, mu: NDArray, sigma: NDArray) -> tuple[NDArray, NDArray]:
    """Mean and variance of log p(x|z) under q, computed from the mean and the variance of w z, without an integral."""
    residual, spread = x - total(w * mu), total((w * sigma) ** 2)
    return log_density(residual, 0, s) - spread / (2 * s**2), (spread * residual**2 + spread**2 / 2) / s**4


def one_or_two(name: str, meaning: str) -> Symbol:
    """A letter for an index, 1 or 2, which a source uses but does not define."""
    return Symbol(name, name, meaning, 1, lambda raw: np.where(raw > 0, 2.0, 1.0), (1, 2))


def pick(values: NDArray, index: NDArray) -> NDArray:
    """Take element number `index`, counted from 1, along the last axis; keep the axis."""
    return np.take_along_axis(values, index.astype(int) - 1, axis=-1)


# Vectors: z ~ N(0, I) has two coordinates, and x = b + W z + s eps has three coordinates. The posterior has a full
# covariance.

MATRIX_W = Symbol("W", "W", "real, 3 by 2", 6, lambda raw: raw.reshape(-1, 3, 2), (
    [[1, 0], [0, 1], [1, 1]], [[1, 0], [0, 2], [0, 0]], [[1, 1], [0, 0], [0, 0]],
))  # fmt: skip
OFFSET = vector("b", "b", 3, simple=((0, 0, 0), (1, 0, 0)))
OBSERVED_3 = vector("x", "x", 3, simple=((1, 1, 0), (0, 0, 0)))
VECTOR_LINEAR = (MATRIX_W, OFFSET, S, OBSERVED_3)


def vector_log_evidence(W: NDArray, b: NDArray, s: NDArray, x: NDArray) -> NDArray:
    """log p(x) = log N(x; b, W W' + s^2 I), (n, 1)."""
    noise = need_positive("s", s)[..., None] ** 2 * np.eye(W.shape[-2])
    return log_density_full(x[..., None, :], b, W @ np.swapaxes(W, -2, -1) + noise)


def vector_posterior(W: NDArray, b: NDArray, s: NDArray, x: NDArray) -> tuple[NDArray, NDArray]:
    """Mean V W' (x - b) / s^2, (n, 2), and covariance V = (I + W' W / s^2)^-1, (n, 2, 2), of p(z|x)."""
    scaled = np.swapaxes(W, -2, -1) / need_positive("s", s)[..., None] ** 2     # (n, 2, 3)   W' / s^2
    cov = np.linalg.inv(np.eye(W.shape[-1]) + scaled @ W)
    return (cov @ scaled @ (x - b)[..., None])[..., 0], (cov + np.swapaxes(cov, -2, -1)) / 2


def vector_log_p(W: NDArray, b: NDArray, s: NDArray, x: NDArray, z: NDArray) -> NDArray:
    """log p(x|z) = log N(x; b + W z, s^2 I), (n, K), for K latent vectors z, (n, K, 2)."""
    mean = b[..., None, :] + z @ np.swapaxes(W, -2, -1)     # (n, K, 3)
    return log_density(x[..., None, :], mean, s[..., None]).sum(axis=-1)


# A model of minivae


def small_vae(hidden: tuple[int, ...] = ()) -> VAE:
    """A VAE with D = 3, J = 2, a Gaussian likelihood, random weights and biases. With no `hidden` layers it is linear."""
    rng = np.random.default_rng(0)
    vae = VAE.init(rng, 3, 2, hidden, dtype=np.float64, likelihood=Gaussian(0.8))
    weights = [name for name in vae.params if name not in vae.likelihood.scale]
    for name in weights:
        vae.params[name][...] = rng.normal(0, 0.5, vae.params[name].shape)
    return vae
