"""Compare minus the loss with the exact log p(x) of the user's own model, for one or two latent dimensions.

The loss is averaged over the noise by Gauss-Hermite quadrature, with the user's own encoder, sampler and decoder.
log p(x) is the integral of the user's own p(x|z) N(z; 0, I) over z, by the trapezoid rule.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minivae import checks
from minivae.doctor.balance import convention_of
from minivae.doctor.calls import Call, Failed
from minivae.doctor.constants import normalisers, sigma_of
from minivae.doctor.findings import Finding
from minivae.doctor.names import Measured
from minivae.doctor.sampler import takes_noise
from minivae.evidence.gaps import gauss_hermite
from minivae.gaussian import log_standard_normal
from minivae.ops import log_sum_exp, sigmoid
from minivae.rosetta.convention import read

ROWS, REACH = 4, 9.0
GRID, NODES = {1: 4001, 2: 161}, {1: 40, 2: 16}             # {J: points on each axis of z}, {J: points on each axis of eps}
BEYOND = 1e-5                                               # BEYOND * (1 + |log p(x)|) is added to the estimated errors


def drawn(decode: Call, kind: str, sigma: float | None, latent: int, rng: np.random.Generator) -> NDArray:
    """Return rows of x, drawn from the user's own model."""
    out = decode.whole(rng.standard_normal((ROWS, latent)))
    if kind == "mse":
        return out + sigma * rng.standard_normal(out.shape)
    p = sigmoid(out) if kind == "logits" else out
    return (rng.uniform(size=out.shape) < p).astype(float)


def exact(decode: Call, log_px: Call, x: NDArray, latent: int) -> tuple[NDArray, NDArray]:
    """Return log p(x) of each row, and an estimate of its error."""
    axis, spacing = np.linspace(-REACH, REACH, GRID[latent], retstep=True)
    nodes = np.stack(np.meshgrid(*[axis] * latent, indexing="ij"), axis=-1)                # (n, J) or (n, n, J)
    z = nodes.reshape(-1, latent)
    out, prior = decode.whole(z), log_standard_normal(z)
    fine, coarse = [], []
    for row in x:
        joint = row_values(log_px, np.repeat(row[None], len(z), axis=0), out) + prior
        every_second = joint.reshape(nodes.shape[:-1])[(slice(None, None, 2),) * latent]
        fine.append(log_sum_exp(joint) + latent * np.log(spacing))
        coarse.append(log_sum_exp(every_second.ravel()) + latent * np.log(2 * spacing))
    return np.array(fine), np.abs(np.subtract(fine, coarse))


def row_values(log_px: Call, x: NDArray, out: NDArray) -> NDArray:
    """Return log p(x|z) of each row, even if `log_px` returns one number for all rows."""
    values = log_px.whole(x, out)
    if values.shape == (len(x),):
        return values
    if values.ndim == 2 and len(values) == len(x):
        return values.sum(axis=1)
    return np.array([float(log_px.whole(a[None], b[None]).sum()) for a, b in zip(x, out)])


def claimed(calls: Mapping[str, Call], x: NDArray, latent: int, nodes: int) -> NDArray:
    """Return minus the loss of each row, averaged over the noise by quadrature."""
    noise, weights = gauss_hermite(nodes, latent)
    means = []
    for row in x[:, None]:
        parts = calls["encode"].parts(row)
        if len(parts) < 2:
            raise Failed("encode must return two arrays, mu and log_var. Return both.")
        values = []
        for eps in noise:
            output = calls["decode"].whole(calls["sample"].parts(*parts[:2], eps)[0])
            values.append(calls["loss"].whole(row, output, *parts[:2]).sum())
        means.append(-(weights @ values))
    return np.array(means)


def compare(calls: Mapping[str, Call], x: NDArray, latent: int, scale: float, constant: float) -> Finding:
    """Return the finding that says if minus the loss in nats, `-loss / scale - constant`, is below log p(x)."""
    log_px, error = exact(calls["decode"], calls["log_px_given_z"], x, latent)
    bounds = [claimed(calls, x, latent, nodes) / scale - constant for nodes in (NODES[latent], NODES[latent] // 2 + 1)]
    unsure = error + np.abs(bounds[0] - bounds[1]) + BEYOND * (1 + np.abs(log_px))
    if not (np.isfinite(bounds[0]).all() and np.isfinite(log_px).all()) or unsure.max() > 0.5:
        words = "minus the loss is not compared with log p(x), because the integrals did not converge"
        return Finding("cannot tell", "loss", "bound", words, bounds[0].mean(), log_px.mean(), "log p(x) is about")
    above = bounds[0] - log_px
    worst = int(np.argmax(above - unsure))
    words = f"minus the loss is below log p(x) for each of {len(x)} data points, by at least {-above[worst]:.3g} nats"
    verdict = "is"
    if above[worst] > unsure[worst]:
        verdict = "wrong"
        words = (f"minus the loss is not a lower bound: it lies {above[worst]:.3g} nats above log p(x), for one of "
                 f"{len(x)} data points")
    return Finding(verdict, "loss", "bound", words, bounds[0][worst], log_px[worst],
                   "the exact log p(x) of your model is")


def is_density(part: Measured) -> bool:
    """Return True if log_px_given_z is known to be a normalised density."""
    if part.cost is None or part.cost.weight >= 0 or (part.powers.get("cost") or {}).get("D", 0) != 0:
        return False
    if part.cost.kind in ("bce", "logits"):
        return part.cost.weight == -1
    normaliser = normalisers(part.cost).get("gaussian", math.inf)
    return part.constant is not None and abs(part.constant - normaliser) < 1e-6


def against_log_px(calls: Mapping[str, Call], measured: Mapping[str, Measured], latent: int | None, data: Any,
                   rng: np.random.Generator) -> list[Finding]:
    """Compare minus the loss with log p(x), and return the finding in a list.

    The list is empty if the comparison is not possible, for example because a function is missing or not understood.
    """
    if not {"loss", "encode", "sample", "decode", "log_px_given_z"} <= set(calls) or not takes_noise(calls["sample"]):
        return []
    density, whole = measured["log_px_given_z"], measured["loss"]
    if latent not in GRID or whole.cost is None or not is_density(density):
        return []
    out, kind = calls["decode"].whole(np.zeros((2, latent))), whole.cost.kind
    if out.ndim != 2:
        return []
    features = out.shape[1]
    convention = convention_of(whole, {"features": features, "latent": latent, "batch": 1})
    if convention is None or kind != density.cost.kind:
        return []
    sigma = sigma_of(density.cost)[0] if kind == "mse" else None
    reading = read(convention, sigma)
    if reading.beta < 1 - 1e-6:
        words = "minus the loss is not compared with log p(x): with the p(x|z) of log_px_given_z, beta is below 1"
        return [Finding("cannot tell", "loss", "bound", words, reading.beta, 1.0, "for a bound, beta is at least")]
    x = drawn(calls["decode"], kind, sigma, latent, rng) if data is None else rows_of_data(data, features)
    scale = reading.factor * math.copysign(1, whole.cost.weight)
    dropped = any(f.key == "minus-one-dropped" for f in whole.findings)
    kl_constant = 0.5 * latent * convention.kl_weight * convention.on_latents / reading.factor if dropped else 0.0
    return [compare(calls, x, latent, scale, reading.constant * features - kl_constant)]


def rows_of_data(given: Any, features: int) -> NDArray:
    """Return the first ROWS rows of the user's data."""
    try:
        x = np.asarray(given, dtype=float)
    except (TypeError, ValueError):
        x = np.array(np.nan)
    if not x.size or x.size % features or not np.isfinite(x).all():
        checks.refuse("x", f"an array of finite numbers, {features} in each row, as decode returns",
                      f"{type(given).__name__} of shape {x.shape}", f"Write x = x.reshape(-1, {features}).")
    return x.reshape(-1, features)[:ROWS]
