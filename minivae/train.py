"""Learning: mini-batches, Adam, and one record for each epoch."""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minivae import checks
from minivae.adam import Adam
from minivae.data import Dataset
from minivae.vae import VAE, Forward

CHUNK = 4096                                                # rows at a time, where all of the data is passed through


class Diverged(ValueError):
    """The loss is no longer a number. The parameters are those of the last step at which it was."""


class Record(NamedTuple):
    """One epoch, in nats, mean per datum: elbo = reconstruction - kl, whatever beta is."""

    epoch: int
    train_reconstruction: float
    train_kl: float
    train_elbo: float
    test_reconstruction: float
    test_kl: float
    test_elbo: float


def train(
    vae: VAE,
    data: Dataset,
    rng: np.random.Generator,
    *,
    epochs: int = 300,
    batch: int = 64,
    lr: float = 2e-3,
    samples: int = 1,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Record]:
    """Train `vae` in place; yields a `Record` after every epoch.

    Parameters
    ----------
    vae, data : VAE, Dataset
        The model and what it learns from. Only `data.train_x` is learned from.
    rng : numpy.random.Generator
        The order of the data, then the noise: the same generator, the same run.
    epochs, batch, lr, samples : numbers
        Passes over the data, rows in a mini-batch, Adam's learning rate, draws of z for every datum (L).
    stop : function
        Asked before every step; when it says True the generator ends, with the parameters as the last step left them.

    Raises
    ------
    ValueError
        If an argument breaks its rule. Raised by the call itself, before the first epoch.
    Diverged
        If the loss becomes infinite or NaN.
    """
    checks.generator("rng", rng)
    epochs, batch = checks.whole_number("epochs", epochs, 1), checks.whole_number("batch", batch, 1)
    checks.whole_number("samples", samples, 1)
    for x in (data.train_x, data.test_x):
        vae.check_data(x)
    optimiser = Adam(vae.params, lr)
    return _epochs(vae, data, rng, optimiser, epochs, batch, samples, stop)


def _epochs(vae, data, rng, optimiser, epochs, batch, samples, stop):
    gradient = vae.params.zeros_like()
    for epoch in range(1, epochs + 1):
        reconstruction = kl = 0.0
        for rows in minibatches(rng, len(data.train_x), batch):
            if stop():
                return
            x = data.train_x[rows].astype(vae.dtype, copy=False)
            eps = vae.draw_noise(rng, len(x), samples)
            f = vae.forward(x, eps)
            if not math.isfinite(f.loss):
                raise Diverged(diverged_message(f, epoch))
            vae.backward(x, eps, f, gradient)
            optimiser.step(gradient)
            reconstruction += float(f.log_px_z.mean()) * len(rows)
            kl += float(f.kl.mean()) * len(rows)
        settle_own(vae, data.train_x, rng)
        n = len(data.train_x)
        held_out = evaluate(vae, data.test_x, rng)
        yield Record(epoch, reconstruction / n, kl / n, (reconstruction - kl) / n, *held_out)


def minibatches(rng: np.random.Generator, rows: int, batch: int) -> list[NDArray]:
    """All row numbers in random order, in batches whose sizes differ by one at most: no small last batch weighs more."""
    return np.array_split(rng.permutation(rows), math.ceil(rows / batch))


def evaluate(vae: VAE, x: NDArray, rng: np.random.Generator) -> tuple[float, float, float]:
    """Reconstruction, KL and ELBO in nats: mean over all rows, one draw for each."""
    reconstruction = kl = 0.0
    for part in in_chunks(x):
        part = part.astype(vae.dtype, copy=False)
        f = vae.forward(part, vae.draw_noise(rng, len(part)), fit=False)
        reconstruction += float(f.log_px_z.mean()) * len(part) / len(x)
        kl += float(f.kl.mean()) * len(part) / len(x)
    return reconstruction, kl, reconstruction - kl


def settle_own(vae: VAE, x: NDArray, rng: np.random.Generator) -> None:
    """Re-estimate on all of x what has an analytic optimum: for Gaussian("optimal"), sigma^2 = mean squared error."""
    if getattr(vae.likelihood, "sigma", None) != "optimal":
        return
    variance = 0.0
    for part in in_chunks(x):
        part = part.astype(vae.dtype, copy=False)
        (log_sigma,) = vae.forward(part, vae.draw_noise(rng, len(part))).own
        variance += float(np.exp(2 * log_sigma)) * len(part) / len(x)
    vae.params["log_sigma"][...] = math.log(variance) / 2


def in_chunks(x: NDArray) -> Iterator[NDArray]:
    """x (N, D) in parts of a few thousand rows."""
    return (x[start : start + CHUNK] for start in range(0, len(x), CHUNK))


def diverged_message(f: Forward, epoch: int) -> str:
    """Which step of the forward pass was the first to be infinite or NaN, and what usually does that."""
    steps = {"mu": f.mu, "log_var": f.log_var, "z": f.z, "the decoder's output": f.out, "log p(x|z)": f.log_px_z, "KL": f.kl}
    first = next((name for name, value in steps.items() if not np.isfinite(value).all()), "the loss")
    return (
        f"training diverged in epoch {epoch}: {first} is the first quantity that is infinite or NaN. "
        "Usual causes: a learning rate that is too high (try --lr a tenth of it), or data on a large scale."
    )
