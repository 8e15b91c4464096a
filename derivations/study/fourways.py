"""The gradient of one training step computed in four ways, on a VAE that is small enough to check on paper.

The four ways are: the hand-written backward pass of minivae ("by hand"); central differences; complex steps (steps in the
imaginary direction, in which no digits cancel); and the gradient of an integral over z. The integral needs no draws and
no reparameterisation.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from derivations.engine.numerics import LINE, normal
from minivae.likelihood import make_likelihood
from minivae.vae import VAE

SETTINGS = {"bernoulli": {}, "binomial": {"n": 4}, "gaussian": {"sigma": "learned"}}
DATA = {"bernoulli": (1, 0, 1), "binomial": (3, 0, 2), "gaussian": (0.5, -0.2, 0.9)}
ENOUGH = {"central difference": 5, "complex step": 11, "integral over z": 11}           # number of digits that must agree


class Problem(NamedTuple):
    """A model, one data point and one draw of noise; every number has at most one decimal."""

    vae: VAE
    x: NDArray
    eps: NDArray


def problem(name: str = "bernoulli", seed: int = 0, estimator: str = "analytic") -> Problem:
    """Return a VAE (D = 3, H = 2, J = 1), a data point and noise; all random numbers are rounded to one decimal."""
    rng = np.random.default_rng(seed)
    kind = make_likelihood(name, **SETTINGS.get(name, {}))  # raises ValueError for an unknown name
    model = VAE.init(rng, 3, 1, (2,), dtype=np.float64, likelihood=kind, estimator=estimator)
    short = rng.integers(1, 10, model.params.flat.shape) * rng.choice([-0.1, 0.1], model.params.flat.shape)
    model.params.flat[...] = np.round(short, 1)
    eps = np.round(rng.normal(size=(1, 1, 1)), 1)
    return Problem(model, model.check_data(np.array([DATA[kind.name]], float)), eps)


class Gradient(NamedTuple):
    """One component of the gradient: three numbers for the given noise, and two numbers for the average over the noise.

    The two averages are `averaged` and `integral`.
    """

    name: str
    by_hand: float
    central_difference: float
    complex_step: float
    averaged: float
    integral: float


def four_ways(given: Problem) -> list[Gradient]:
    """Return the derivative of the loss with respect to every parameter.

    At the given noise, the derivative is computed by hand, by central difference and by complex step. The average of the
    derivative over the noise is computed in two ways: as a weighted sum of gradients by hand, and as the gradient of the
    integral over z.
    """
    model, x, eps = given
    by_hand = model.gradient(x, eps).flat
    loss = lambda flat: with_numbers(model, flat).forward(x, eps).loss  # noqa: E731
    by_step = derivative(loss, model.params.flat, 1e-30j)
    by_difference = derivative(loss, model.params.flat, 1e-5)
    weights = normal(LINE, 0, 1) * (LINE[1] - LINE[0])
    averaged = sum(w * model.gradient(x, np.full_like(eps, node)).flat for node, w in zip(LINE, weights))
    exact = derivative(integral_of_loss(model, x), model.params.flat, 1e-30j)
    columns = (by_hand, by_difference, by_step, averaged, exact)
    return [Gradient(name, *map(float, row)) for name, *row in zip(entries(model), *columns)]


def with_numbers(model: VAE, flat: NDArray) -> VAE:
    """Return a copy of the model with the parameters `flat`, which may be complex."""
    return dataclasses.replace(model, params=model.params.like(flat))


def derivative(f: Callable[[NDArray], NDArray], at: NDArray, step: complex) -> NDArray:
    """Return the gradient of f, component by component: by complex step, or by central difference if the step is real."""
    found = []
    for i in range(at.size):
        change = np.zeros(at.shape, type(step))
        change[i] = step
        up = f(at + change)
        found.append(up.imag / step.imag if isinstance(step, complex) else (up - f(at - change)) / (2 * step))
    return np.array(found)


def integral_of_loss(model: VAE, x: NDArray) -> Callable[[NDArray], NDArray]:
    """Return the loss as a function of the parameters: the integral over z of `q(z|x) (log q(z|x) - log p(z) - log p(x|z))`.

    The integral is computed as a sum over many values of z, the nodes. The nodes are chosen for the model's own parameters.
    They stay the same if the loss is computed for other parameters.
    """
    mu, log_var = model.encode(x)
    sigma = np.exp(log_var / 2)
    z = (mu + sigma * LINE).T[:, None]                      # (K, 1, 1)   nodes
    width = float(sigma.item() * (LINE[1] - LINE[0]))

    def loss(flat: NDArray) -> NDArray:
        changed = with_numbers(model, flat)
        mu, log_var = (head.item() for head in changed.encode(x))
        log_q = -((z - mu) ** 2) / 2 * np.exp(-log_var) - log_var / 2 - math.log(2 * math.pi) / 2
        log_prior = -(z**2) / 2 - math.log(2 * math.pi) / 2
        log_px_z = changed.log_likelihood(x, z)[..., None]
        return (np.exp(log_q) * (log_q - log_prior - log_px_z)).sum() * width

    return loss


def entries(model: VAE) -> list[str]:
    """Return the name of every number in the flat vector of parameters, such as encoder.1.weight[0, 1]."""
    arrays = model.params.items()
    return [f"{name}{list(i)}" if i else name for name, array in arrays for i in np.ndindex(array.shape)]


def digits(a: float, b: float, scale: float) -> int:
    """Return the number of digits, at most 16, to which a and b agree.

    The difference of a and b is divided by `scale`, the largest component of the gradient.
    """
    apart = abs(a - b) / scale
    return 16 if apart < 1e-16 else int(-math.log10(apart)) if apart < 1 else 0         # 0 for NaN


def agrees(given: Problem, gradients: Sequence[Gradient]) -> bool:
    """Return True if every component of the gradient by hand agrees with all other ways in at least `ENOUGH[way]` digits.

    With the KL estimator "path", the gradient by hand omits the score of q. The average of this score over the noise is 0.
    So only the averages over the noise are compared.
    """
    ways = ["integral over z"] if given.vae.estimator == "path" else list(ENOUGH)
    found = agreement(gradients)
    return all(min(found[way]) >= ENOUGH[way] for way in ways)


def agreement(gradients: Sequence[Gradient]) -> dict[str, list[int]]:
    """Compare the gradient by hand with three others; return {way: number of digits that agree in each component}.

    The three ways to compute the other gradients are the central difference, the complex step and the integral over z. The
    integral has no noise, so it is compared with the average, over the noise, of the gradient by hand.
    """
    scale = max(abs(g.by_hand) for g in gradients)
    average = max(abs(g.averaged) for g in gradients)
    return {
        "central difference": [digits(g.by_hand, g.central_difference, scale) for g in gradients],
        "complex step": [digits(g.by_hand, g.complex_step, scale) for g in gradients],
        "integral over z": [digits(g.averaged, g.integral, average) for g in gradients],
    }
