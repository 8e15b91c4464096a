"""The same short training again and again, with another beta, sigma or number of latents: where the code collapses."""

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

DRAWS = 100                                                 # of z for every held-out datum


class Setting(NamedTuple):
    """What one training of a sweep is done with."""

    value: float | str          # what was swept, as the figure and the table name it
    likelihood: Likelihood
    beta: float = 1.0
    latent: int = 2


class Point(NamedTuple):
    """What came of one training, on the held-out data: nats, mean per datum."""

    value: float | str
    beta: float
    latent: int
    distortion: float           # -E log p(x|z)
    distortion_se: float        # of the draws
    rate: float                 # KL( q(z|x) || p(z) )
    elbo: float                 # -(distortion + rate), whatever beta is
    kls: tuple[float, ...]      # the rate of every latent, largest first
    active: int                 # latents with Var_x( E_q[z_u] ) > ACTIVE
    spread: float | None        # how much decoded means differ, relative to the data: 1 as they do; None if those do not

    @property
    def collapsed(self) -> bool:
        """Whether no latent says anything about x."""
        return self.active == 0


def sweep(
    data: Dataset, settings: Iterable[Setting], *, hidden=(64,), epochs: int = 40, batch: int = 128, lr: float = 2e-3,
    seed: int = 0, stop: Callable[[], bool] = lambda: False,
) -> Iterator[Point]:  # fmt: skip
    """Train one model for each setting, all from the same seed; yields a Point after each.

    `stop` is asked after every step: when it says True the generator ends, without a Point of a training that is not
    at its end. Raises ValueError if an argument breaks its rule or the data are not the likelihood's; and Diverged from
    the generator, where a training ends in what is no number.
    """
    checks.whole_number("seed", seed, 0)
    settings, how = list(settings), {"epochs": epochs, "batch": batch, "lr": lr}
    for setting in settings:                                # a bad one is refused by the call, not after those before it
        _begun(data, setting, hidden, seed, how)
    return _points(data, settings, hidden, seed, how, stop)


def _begun(data, setting, hidden, seed, how):
    """The training of one setting, before its first step."""
    rng = np.random.default_rng(seed)
    kind = {"likelihood": setting.likelihood, "beta": setting.beta, "data_mean": data.train_x.mean(axis=0)}
    vae = VAE.init(rng, data.train_x.shape[1], setting.latent, hidden, **kind)
    return Training(vae, data, rng, **how)


def _points(data, settings, hidden, seed, how, stop):
    for setting in settings:
        point = _point(_begun(data, setting, hidden, seed, how), setting.value, stop)
        if point is None:
            return
        yield point


@np.errstate(over="ignore", invalid="ignore")               # it is looked for
def _point(training, value, stop):
    """What comes of a training; None if it was to stop before its end."""
    for _ in training.steps():
        if stop() and training.epoch <= training.epochs:
            return None
    training.state()                                        # raises Diverged: Adam can overflow while the loss does not
    return measure(training.vae, training.data.test_x, training.rng, value)


def measure(vae: VAE, x: NDArray, rng: np.random.Generator, value: float | str) -> Point:
    """Rate, distortion and collapse of a trained model on data x (N, D), under the name `value`."""
    bounds = lower_bounds(vae, x, DRAWS, rng)
    mu, log_var = vae.astype(np.float64).encode(x)
    kls = kl_standard_normal(mu, log_var).mean(axis=0)      # (J,)
    means = vae.decode(mu.astype(vae.dtype))                # (N, D)
    apart = np.subtract(x, x[0], dtype=float).var(axis=0).mean()                # exactly 0 where all rows are the same
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
        spread=float((means.var(axis=0, dtype=float).mean() / apart) ** 0.5) if apart else None,
    )
