"""Minus the loss against the exact log p(x) of the user's own model, for one or two latent dimensions.

Minus the loss is averaged over the noise by Gauss-Hermite nodes, through the user's own encoder, sampler and decoder;
log p(x) is the integral of the user's own p(x|z) N(z; 0, I) over z, by the trapezoid rule.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minivae.doctor.calls import Call, Failed
from minivae.doctor.findings import Finding
from minivae.gaussian import log_standard_normal
from minivae.ops import log_sum_exp, sigmoid

ROWS, REACH = 4, 9.0
GRID, NODES = {1: 4001, 2: 161}, {1: 40, 2: 16}             # per axis
BEYOND = 1e-5                                               # nats above log p(x) that count, besides the estimated errors


class Density(NamedTuple):
    """What is known of log_px_given_z: "bce", "logits" or "mse" with its sigma; a normalised density."""

    kind: str
    sigma: float | None


def latent_size(decode: Call) -> tuple[int, int] | None:
    """Return (J, D) for the one or two latent dimensions that the decoder takes, or None."""
    for latent in (1, 2):
        try:
            out = decode.whole(np.zeros((2, latent)))
        except Failed:
            continue
        if out.ndim == 2 and len(out) == 2:
            return latent, out.shape[1]
    return None


def data(decode: Call, density: Density, latent: int, given: NDArray | None, rng: np.random.Generator) -> NDArray:
    """Return rows of x: the user's, or draws from the user's own model."""
    if given is not None:
        return given[:ROWS]
    out = decode.whole(rng.standard_normal((ROWS, latent)))
    if density.kind == "mse":
        return out + density.sigma * rng.standard_normal(out.shape)
    p = sigmoid(out) if density.kind == "logits" else out
    return (rng.uniform(size=out.shape) < p).astype(float)


def exact(decode: Call, log_px: Call, x: NDArray, latent: int) -> tuple[NDArray, NDArray]:
    """Return log p(x) and an estimate of its error for every row."""
    axis = np.linspace(-REACH, REACH, GRID[latent])
    z = np.stack(np.meshgrid(*[axis] * latent, indexing="ij"), axis=-1).reshape(-1, latent)
    out, prior = decode.whole(z), log_standard_normal(z)
    fine, coarse = [], []
    skip = np.ones((len(axis),) * latent, bool)
    skip[(slice(None, None, 2),) * latent] = False
    for row in x:
        joint = row_values(log_px, np.repeat(row[None], len(z), axis=0), out) + prior
        fine.append(log_sum_exp(joint, 0) + latent * np.log(axis[1] - axis[0]))
        coarse.append(log_sum_exp(joint[~skip.ravel()], 0) + latent * np.log(axis[2] - axis[0]))
    return np.array(fine), np.abs(np.subtract(fine, coarse))


def row_values(log_px: Call, x: NDArray, out: NDArray) -> NDArray:
    """Return log p(x|z) of every row, also of a function that returns one number for all rows."""
    values = log_px.whole(x, out)
    if values.shape == (len(x),):
        return values
    if values.ndim == 2 and len(values) == len(x):
        return values.sum(axis=1)
    return np.array([float(log_px.whole(a[None], b[None]).sum()) for a, b in zip(x, out)])


def claimed(loss: Call, encode: Call, sample: Call, decode: Call, x: NDArray, latent: int, nodes: int) -> NDArray:
    """Return minus the loss for every row, averaged over the noise by quadrature."""
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    eps = np.stack(np.meshgrid(*[points] * latent, indexing="ij"), axis=-1).reshape(-1, latent)
    weight = np.prod(np.meshgrid(*[weights] * latent, indexing="ij"), axis=0).ravel()
    weight = weight / weight.sum()
    means = []
    for row in x:
        mu, second = encoded(encode, row[None])
        values = []
        for noise in eps:
            z = sample.raw(mu, second, noise[None])
            z = z[0] if isinstance(z, tuple) else z
            values.append(float(loss.whole(row[None], decode.whole(z), mu, second).sum()))
        means.append(-(weight @ np.array(values)))
    return np.array(means)


def encoded(encode: Call, x: NDArray) -> tuple[NDArray, NDArray]:
    """Return mu and the second argument; encode returns both."""
    result = encode.raw(x)
    if isinstance(result, dict):
        result = tuple(result.values())
    if not isinstance(result, tuple) or len(result) < 2:
        raise Failed("encode must return two arrays, mu and log_var. Return both.")
    return result[0], result[1]


def compare(calls: dict[str, Call], density: Density, x: NDArray, latent: int, scale: float, constant: float) -> Finding:
    """Return the finding: minus loss / scale - constant, in nats, is or is not below log p(x)."""
    x = x.astype(float)
    log_px, error = exact(calls["decode"], calls["log_px_given_z"], x, latent)
    parts = [calls[name] for name in ("loss", "encode", "sample", "decode")]
    bounds = [claimed(*parts, x, latent, nodes) / scale - constant for nodes in (NODES[latent], NODES[latent] // 2 + 1)]
    unsure = error + np.abs(bounds[0] - bounds[1]) + BEYOND * (1 + np.abs(log_px))
    if not (np.isfinite(bounds[0]).all() and np.isfinite(log_px).all()) or unsure.max() > 0.5:
        words = "minus the loss against the exact log p(x): the integrals did not converge"
        return Finding("cannot tell", "loss", "bound", words, float(bounds[0].mean()), float(log_px.mean()),
                       "log p(x) is about")
    above = bounds[0] - log_px
    worst = int(np.argmax(above - unsure))
    numbers = float(bounds[0][worst]), float(log_px[worst]), "the exact log p(x) of your model is"
    if above[worst] > unsure[worst]:
        words = (
            f"minus the loss is no lower bound: it lies {above[worst]:.3g} nats above log p(x), for one of "
            f"{len(x)} data points"
        )
        return Finding("wrong", "loss", "bound", words, *numbers)
    words = (
        f"minus the loss is below log p(x) for each of {len(x)} data points; the closest is "
        f"{-above[worst]:.3g} nats below"
    )
    return Finding("is", "loss", "bound", words, *numbers)
