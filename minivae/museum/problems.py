"""Small models and data for the checks of a copy of the package. All copies get the same numbers, from fixed seeds."""

import math
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray


class Noticed(Exception):
    """Raised when a check finds a fault in a copy of the package. The message describes the fault, mostly with numbers."""


def notice(what: str, got: object, expected: object, rel: float = 1e-10) -> None:
    """Raise Noticed unless `got` equals `expected`, in shape and in numbers.

    `rel` is the tolerance relative to the largest entry of `expected`.
    """
    got, expected = np.asarray(got), np.asarray(expected)
    if got.shape != expected.shape:
        raise Noticed(f"{what}: shape {got.shape} instead of {expected.shape}")
    with np.errstate(all="ignore"):
        wrong = ~(np.abs(got - expected) <= rel * np.abs(expected).max(initial=0))
    if wrong.any():
        worst = np.unravel_index(np.argmax(np.where(wrong, np.abs(got - expected), -1)), wrong.shape)
        raise Noticed(f"{what}: {got[worst]:.4g} instead of {expected[worst]:.4g}")


def insist(condition: bool, message: str) -> None:
    """Raise Noticed with the message unless the condition is true."""
    if not condition:
        raise Noticed(message)


def likelihood_of(copy: SimpleNamespace, name: str, sigma: float | str = "learned") -> object:
    """Return the copy's likelihood with this name; a Binomial has 16 trials."""
    settings = {"bernoulli": {}, "binomial": {"n": 16}, "gaussian": {"sigma": sigma}}
    return copy.likelihood.make_likelihood(name, **settings[name])


def problem(
    copy: SimpleNamespace,
    likelihood: str = "bernoulli",
    *,
    sigma: float | str = "learned",
    decoder: float = 1.0,
    rows: int = 3,
    samples: int = 2,
    dtype: type = np.float64,
    **settings: object,
) -> tuple:
    """Return a VAE of `copy` (a copy of minivae), data (rows, 4) and noise (samples, rows, 2). The parameters are random.

    `decoder` multiplies the weights of the decoder's last layer: a large factor makes large logits.
    """
    rng = np.random.default_rng(7)
    kind = likelihood_of(copy, likelihood, sigma)
    vae = copy.vae.VAE.init(np.random.default_rng(0), 4, 2, (3,), dtype=dtype, likelihood=kind, **settings)
    vae.params.flat[...] = rng.normal(0, 0.5, vae.params.flat.shape)
    vae.layers("decoder")[-1][0][...] *= decoder
    most = {"bernoulli": 1, "binomial": 16}.get(likelihood)
    x = rng.normal(size=(rows, 4)) if most is None else rng.integers(0, most, (rows, 4), endpoint=True)
    return vae, x.astype(dtype), rng.standard_normal((samples, rows, 2)).astype(dtype)


def complex_gradient(f: Callable, flat: NDArray) -> NDArray:
    """Return the gradient of f(flat) by complex steps, Im f(flat + ih) / h. Nothing is subtracted, so no digits are lost."""
    gradient = np.empty_like(flat)
    for i in range(len(flat)):
        moved = flat.astype(complex)
        moved[i] += 1e-30j
        gradient[i] = f(moved).imag / 1e-30
    return gradient


def noise_nodes(latent: int, rows: int, nodes: int = 8) -> tuple[NDArray, NDArray]:
    """Return eps (L, rows, J) and weights (L,) of Gauss-Hermite quadrature: sum_l weights[l] f(eps[l]) is E f(eps)."""
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    eps = np.stack(np.meshgrid(*[points] * latent, indexing="ij"), axis=-1).reshape(-1, 1, latent)
    weight = np.prod(np.meshgrid(*[weights] * latent, indexing="ij"), axis=0).ravel()
    return np.repeat(eps, rows, axis=1), weight / weight.sum()


def linear_world(copy: SimpleNamespace, beta: float = 1.0, widen: float = 0.0) -> tuple:
    """Return three results: a model without hidden layers, data (4, 5), and the exact log p(x) of these data.

    The model is x = z W + b + sigma eps, with orthogonal rows of W. The encoder gives the exact posterior, but `widen` is
    added to its log_var.
    """
    rng = np.random.default_rng(3)
    latent, features, sigma = 2, 5, 0.6
    settings = {"dtype": np.float64, "beta": beta, "likelihood": copy.likelihood.Gaussian(sigma)}
    vae = copy.vae.VAE.init(rng, features, latent, (), **settings)
    W = np.linalg.qr(rng.normal(size=(features, latent)))[0].T * [[0.7], [1.6]]             # (J, D)
    b = rng.normal(size=features)
    variance = 1 / (1 + (W * W).sum(axis=1) / sigma**2)                                     # (J,)   variances of p(z|x)
    weight = np.hstack([W.T * variance / sigma**2, np.zeros((features, latent))])           # (D, 2J)
    (encoder,), (decoder,) = vae.layers("encoder"), vae.layers("decoder")
    encoder[0][...], decoder[0][...], decoder[1][...] = weight, W, b
    encoder[1][...] = np.concatenate([-b @ weight[:, :latent], np.log(variance) + widen])
    x = rng.normal(size=(4, latent)) @ W + b + sigma * rng.normal(size=(4, features))
    covariance = W.T @ W + sigma**2 * np.eye(features)
    squares = np.einsum("bd,bd->b", x - b, np.linalg.solve(covariance, (x - b).T).T)
    return vae, x, -(squares + np.linalg.slogdet(2 * math.pi * covariance)[1]) / 2
