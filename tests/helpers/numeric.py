"""Common helpers: a strict comparison, numerical gradients by two methods, exact means over the noise, random models.

tests/house/test_numeric.py shows that each check can fail.
"""

import dataclasses
import re

import numpy as np
import pytest

from minivae.likelihood import Bernoulli, Binomial, Gaussian
from minivae.vae import VAE


def close(actual, desired, *, rel, abs_=0.0):
    """Raise AssertionError unless |actual - desired| <= rel * (largest |desired|) + abs_ in every entry.

    Shapes and kinds of dtype must agree, NaN equals nothing, and an infinity equals only itself.
    """
    __tracebackhide__ = True
    actual, desired = np.asarray(actual), np.asarray(desired)
    if actual.shape != desired.shape:
        raise AssertionError(f"shape {actual.shape} instead of {desired.shape}")
    if actual.dtype.kind != desired.dtype.kind:
        raise AssertionError(f"dtype {actual.dtype} instead of {desired.dtype}")
    if actual.size == 0:
        return
    if actual.dtype.kind in "biu":
        actual, desired = actual.astype(float), desired.astype(float)   # unsigned differences would wrap around
    finite = np.isfinite(desired)
    bound = rel * np.abs(desired[finite]).max(initial=0) + abs_
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.where(finite, np.abs(actual - desired), np.where(actual == desired, 0, np.inf))
    bad = ~(error <= bound)                                 # also true if the error is NaN
    if bad.any():
        worst = np.unravel_index(np.where(bad, np.nan_to_num(error, nan=np.inf), -1).argmax(), bad.shape)
        raise AssertionError(
            f"{bad.sum()} of {bad.size} entries differ, most at {tuple(map(int, worst))}: "
            f"{actual[worst]!r} instead of {desired[worst]!r}; off by {error[worst]:.3g}, allowed {bound:.3g}"
        )


def complex_step(f, arrays, index):
    """Return the gradient of the number f(*arrays) with respect to arrays[index]: `Im f(a + ih) / h`; no digits cancel."""
    step = 1e-30
    return _entry_by_entry(arrays, index, lambda moved: f(*moved(step * 1j)).imag / step)


def central_difference(f, arrays, index):
    """Return the gradient as (f(a + h) - f(a - h)) / 2h.

    This gradient is less exact than that of `complex_step`, but f does not have to accept complex numbers.
    """
    step = 1e-5
    return _entry_by_entry(arrays, index, lambda moved: (f(*moved(step)) - f(*moved(-step))) / (2 * step))


def _entry_by_entry(arrays, index, slope):
    gradient = np.empty(arrays[index].shape)
    for place in np.ndindex(gradient.shape):

        def moved(by, place=place):
            copies = [a.astype(type(by)) if a.dtype.kind == "f" else a for a in arrays]    # integer data stay integers
            copies[index][place] += by
            return copies

        gradient[place] = slope(moved)
    return gradient


ORACLES = {"complex step": (complex_step, 1e-12), "central difference": (central_difference, 1e-7)}


def check_gradient(f, arrays, gradients, oracle):
    """Raise AssertionError unless each gradients[i] is the gradient of the number f(*arrays) with respect to arrays[i].

    The tolerance is relative to the largest entry of each array: an absolute tolerance would accept small wrong gradients.
    """
    slope, rel = ORACLES[oracle]
    for index, gradient in gradients.items():
        try:
            close(gradient, slope(f, arrays, index), rel=rel)
        except AssertionError as error:
            raise AssertionError(f"gradient for input {index}, by {oracle}: {error}") from None


def check_model_gradient(vae, x, eps, oracle):
    """Raise AssertionError unless `vae.gradient` returns the gradient of the model's loss in every parameter."""
    slope, rel = ORACLES[oracle]
    actual = vae.gradient(x, eps)

    moved = {}

    def loss(flat):
        if flat.dtype not in moved:                         # making a model takes time, so make one per dtype
            moved[flat.dtype] = dataclasses.replace(vae, params=vae.params.like(np.empty_like(flat)))
        moved[flat.dtype].params.flat[...] = flat
        return moved[flat.dtype].forward(x, eps).loss

    desired = vae.params.like(slope(loss, [vae.params.flat], 0))
    if has_fixed_sigma(vae.likelihood):
        desired["log_sigma"][...] = 0                       # the gradient of a fixed sigma must be 0
    for name in vae.params:
        try:
            close(actual[name], desired[name], rel=rel)
        except AssertionError as error:
            raise AssertionError(f"gradient for {name}, by {oracle}: {error}") from None


def noise_nodes(latent, rows, nodes=5):
    """Return eps (L, rows, J) and weights (L,): the mean of f(eps) for standard normal eps is sum_l weights[l] f(eps[l]).

    This is Gauss-Hermite quadrature. It is exact if f is a polynomial with a degree below 2 * nodes in every coordinate.
    """
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    eps = np.stack(np.meshgrid(*[points] * latent, indexing="ij"), axis=-1).reshape(-1, 1, latent)
    weight = np.prod(np.meshgrid(*[weights] * latent, indexing="ij"), axis=0).ravel()
    return np.repeat(eps, rows, axis=1), weight / weight.sum()


def gaussian_line(mu, sigma):
    """Return nodes and spacing: f(nodes).sum() * spacing is the integral of f, if f decays like N(mu, sigma^2).

    This is the trapezoid rule with the spacing h sigma. For such an f, the rule has an error of about exp(-2 pi^2 / h^2). If
    h is 0.1, this error is far below the rounding error.
    """
    h = 0.1
    return mu + sigma * h * np.arange(-140, 141), sigma * h


def gaussian_density(x, mu, sigma):
    """Return the Gaussian density of the textbook, with sigma instead of log_var, as a reference."""
    return np.exp(-(((x - mu) / sigma) ** 2) / 2) / (sigma * np.sqrt(2 * np.pi))


COINS = Bernoulli()
LIKELIHOODS = [COINS, Binomial(16), Gaussian(0.7), Gaussian("learned"), Gaussian("optimal")]
every_likelihood = pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=repr)


def has_fixed_sigma(likelihood):
    return isinstance(likelihood, Gaussian) and not isinstance(likelihood.sigma, str)


def random_vae(rng, likelihood=COINS, *, features=4, latent=2, hidden=(3,), dtype=np.float64, **settings):
    """Return a model with random weights and biases. The small weights and zero biases of a new model hide errors."""
    vae = VAE.init(rng, features, latent, hidden, dtype=dtype, likelihood=likelihood, **settings)
    vae.params.flat[...] = rng.normal(0, 0.5, vae.params.flat.shape)
    if has_fixed_sigma(likelihood):
        vae.params["log_sigma"][...] = np.log(likelihood.sigma)
    return vae


def random_data(rng, likelihood, rows, features=4, dtype=np.float64):
    """Return random data (rows, features) that the likelihood accepts."""
    if isinstance(likelihood, Gaussian):
        return rng.normal(size=(rows, features)).astype(dtype)
    return rng.integers(0, getattr(likelihood, "n", 1), (rows, features), endpoint=True).astype(dtype)


def random_problem(seed, likelihood=COINS, *, rows=3, samples=1, dtype=np.float64, **settings):
    """Return a random model, data and noise for it."""
    rng = np.random.default_rng(seed)
    vae = random_vae(rng, likelihood, dtype=dtype, **settings)
    x = random_data(rng, likelihood, rows, vae.features, dtype)
    return vae, x, rng.standard_normal((samples, rows, vae.latent)).astype(dtype)


def arrays_in(value):
    """Return one list of all arrays in nested tuples and lists. Leave out numbers and arrays of shape ()."""
    if isinstance(value, (list, tuple)):
        return [array for part in value for array in arrays_in(part)]
    return [value] if np.ndim(value) else []


def refused(call, argument, rule, got, remedy):
    """Raise AssertionError unless the call raises a ValueError whose four parts contain these words."""
    with pytest.raises(ValueError) as info:
        call()
    pattern = r"(?P<argument>.+?) must be (?P<rule>.+?); got\s(?P<got>.+?)(\. |\.?\n)(?P<remedy>[A-Z].+)"
    found = re.fullmatch(pattern, str(info.value), re.DOTALL)
    if not found:
        raise AssertionError(f"not 'ARGUMENT must be RULE; got WHAT. REMEDY': {info.value}")
    for place, word in {"argument": argument, "rule": rule, "got": got, "remedy": remedy}.items():
        if word not in found[place]:
            raise AssertionError(f"{word!r} is not in the {place} {found[place]!r} of: {info.value}")
