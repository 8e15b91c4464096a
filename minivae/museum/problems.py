"""Small models and data for checks of a copy of the package. All copies get the same numbers, from one seed."""

import math
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray


class Noticed(Exception):
    """Raised by a layer that notices a fault of a copy; the message has words and numbers."""


def notice(what: str, came: object, wanted: object, rel: float = 1e-10) -> None:
    """Raise Noticed unless `came` equals `wanted`: in shape, and in numbers relative to the largest wanted entry."""
    came, wanted = np.asarray(came), np.asarray(wanted)
    if came.shape != wanted.shape:
        raise Noticed(f"{what}: shape {came.shape} instead of {wanted.shape}")
    with np.errstate(all="ignore"):
        wrong = ~(np.abs(came - wanted) <= rel * np.abs(wanted).max(initial=0))
    if wrong.any():
        worst = np.unravel_index(np.argmax(np.where(wrong, np.abs(came - wanted), -1)), wrong.shape)
        raise Noticed(f"{what}: {came[worst]:.4g} instead of {wanted[worst]:.4g}")


def insist(fine: bool, what: str) -> None:
    """Raise Noticed unless the condition is true."""
    if not fine:
        raise Noticed(what)


def likelihood_of(copy: SimpleNamespace, name: str, sigma: float | str = "learned") -> object:
    """Return the copy's likelihood with this name; counts are up to 16."""
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
    """Return a model of the copy with random weights and biases, data (rows, 4), and noise (samples, rows, 2).

    The weights of the decoder's last layer are multiplied by a factor: this makes logits large.
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
    """Return the gradient of f(flat) by complex steps, Im f(flat + ih) / h: without a difference, so no cancellation."""
    gradient = np.empty_like(flat)
    for i in range(len(flat)):
        moved = flat.astype(complex)
        moved[i] += 1e-30j
        gradient[i] = f(moved).imag / 1e-30
    return gradient


def noise_nodes(latent: int, rows: int, nodes: int = 8) -> tuple[NDArray, NDArray]:
    """Return eps (L, rows, J) and weights (L,): the weighted sum is the mean over the noise, exact for low polynomials."""
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    eps = np.stack(np.meshgrid(*[points] * latent, indexing="ij"), axis=-1).reshape(-1, 1, latent)
    weight = np.prod(np.meshgrid(*[weights] * latent, indexing="ij"), axis=0).ravel()
    return np.repeat(eps, rows, axis=1), weight / weight.sum()


def linear_world(copy: SimpleNamespace, beta: float = 1.0, widen: float = 0.0) -> tuple:
    """Return a model without hidden layers whose encoder is the exact posterior, data, and their exact log p(x).

    x = z W + b + sigma noise, with orthogonal rows of W. `widen` is added to the encoder's log_var.
    """
    rng = np.random.default_rng(3)
    latent, features, sigma = 2, 5, 0.6
    settings = {"dtype": np.float64, "beta": beta, "likelihood": copy.likelihood.Gaussian(sigma)}
    vae = copy.vae.VAE.init(rng, features, latent, (), **settings)
    W = np.linalg.qr(rng.normal(size=(features, latent)))[0].T * [[0.7], [1.6]]             # (J, D)
    b = rng.normal(size=features)
    variance = 1 / (1 + (W * W).sum(axis=1) / sigma**2)                                     # (J,) of the posterior
    weight = np.hstack([W.T * variance / sigma**2, np.zeros((features, latent))])           # (D, 2J)
    (encoder,), (decoder,) = vae.layers("encoder"), vae.layers("decoder")
    encoder[0][...], decoder[0][...], decoder[1][...] = weight, W, b
    encoder[1][...] = np.concatenate([-b @ weight[:, :latent], np.log(variance) + widen])
    x = rng.normal(size=(4, latent)) @ W + b + sigma * rng.normal(size=(4, features))
    covariance = W.T @ W + sigma**2 * np.eye(features)
    squares = np.einsum("bd,bd->b", x - b, np.linalg.solve(covariance, (x - b).T).T)
    return vae, x, -(squares + np.linalg.slogdet(2 * math.pi * covariance)[1]) / 2
