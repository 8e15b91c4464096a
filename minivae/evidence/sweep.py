"""A sweep: short trainings that differ only in beta, sigma or the number of latent dimensions; some models collapse.

A collapsed model ignores its latent dimensions: q(z|x) is nearly the prior for each x.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minivae import checks
from minivae.data import Dataset
from minivae.evidence import lower_bounds
from minivae.evidence.rates import ACTIVE
from minivae.gaussian import kl_standard_normal
from minivae.likelihood import Likelihood
from minivae.train import Training
from minivae.vae import VAE

DRAWS = 100                                                 # number of draws of z for each held-out data point


class Setting(NamedTuple):
    """Settings of one training of a sweep."""

    value: float | str          # the swept value: a number, or a text such as "optimal"
    likelihood: Likelihood
    beta: float = 1.0
    latent: int = 2


class Point(NamedTuple):
    """Results of one training: means over the held-out data, in nats."""

    value: float | str
    beta: float
    latent: int
    distortion: float           # -E log p(x|z)
    distortion_se: float        # standard error due to the draws of z
    rate: float                 # KL( q(z|x) || p(z) )
    elbo: float                 # -(distortion + rate), whatever beta was used in training
    kls: tuple[float, ...]      # KL of each latent dimension, largest first
    active: int                 # number of latent dimensions j for which the variance of mu_j(x) is above ACTIVE
    spread: float | None        # sd of decode(mu) / sd of the data; None if the data do not vary

    @property
    def collapsed(self) -> bool:
        """True if no latent dimension is active."""
        return self.active == 0


def sweep(
    data: Dataset, settings: Iterable[Setting], *, hidden=(64,), epochs: int = 40, batch: int = 128, lr: float = 2e-3,
    seed: int = 0, stop: Callable[[], bool] = lambda: False,
) -> Iterator[Point]:  # fmt: skip
    """Train one model for each setting, all from the same seed; yields a Point after each training.

    `stop` is called after each step. When it returns True, the generator ends, and the unfinished training gives no Point.
    After the last step of a training, the result of `stop` is ignored. Raises ValueError if an argument is invalid or the
    data do not suit the likelihood. The generator raises Diverged if the loss or a parameter becomes infinite or NaN.
    """
    checks.whole_number("seed", seed, 0)
    settings, options = list(settings), {"epochs": epochs, "batch": batch, "lr": lr}
    for setting in settings:                                # refuse a bad setting before the first training
        _new_training(data, setting, hidden, seed, options)
    return _points(data, settings, hidden, seed, options, stop)


def _new_training(data, setting, hidden, seed, options):
    """Return the training of one setting, before its first step."""
    rng = np.random.default_rng(seed)
    model = {"likelihood": setting.likelihood, "beta": setting.beta, "data_mean": data.train_x.mean(axis=0)}
    vae = VAE.init(rng, data.train_x.shape[1], setting.latent, hidden, **model)
    return Training(vae, data, rng, **options)


def _points(data, settings, hidden, seed, options, stop):
    """Yield the Point of each training, until `stop` returns True."""
    for setting in settings:
        point = _point(_new_training(data, setting, hidden, seed, options), setting.value, stop)
        if point is None:
            return
        yield point


@np.errstate(over="ignore", invalid="ignore")               # Training checks for overflow
def _point(training, value, stop):
    """Run a training and return its Point; return None if `stop` ended it early."""
    for _ in training.steps():
        if stop() and training.epoch <= training.epochs:
            return None
    training.state()                                        # raises Diverged if Adam overflowed, even if the loss did not
    return measure(training.vae, training.data.test_x, training.rng, value)


def measure(vae: VAE, x: NDArray, rng: np.random.Generator, value: float | str) -> Point:
    """Return the Point of a trained model: rate, distortion and active latent dimensions, measured on data x (N, D)."""
    bounds = lower_bounds(vae, x, DRAWS, rng)
    mu, log_var = vae.astype(np.float64).encode(x)
    kls = kl_standard_normal(mu, log_var).mean(axis=0)      # (J,)
    means = vae.decode(mu.astype(vae.dtype))                # (N, D)
    variance = np.subtract(x, x[0], dtype=float).var(axis=0).mean()             # exactly 0 if all rows are equal
    return Point(
        value,
        vae.beta,
        vae.latent,
        distortion=-float(bounds.reconstruction.mean()),
        distortion_se=float((bounds.elbo_se**2).sum() ** 0.5 / len(x)),
        rate=float(bounds.kl.mean()),
        elbo=float(bounds.elbo.mean()),
        kls=tuple(float(kl) for kl in -np.sort(-kls)),
        active=int((mu.var(axis=0) > ACTIVE).sum()),
        spread=float((means.var(axis=0, dtype=float).mean() / variance) ** 0.5) if variance else None,
    )
