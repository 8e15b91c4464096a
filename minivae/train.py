"""Training: mini-batches, Adam, and one record for each epoch."""

import math
import warnings
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from minivae import checks
from minivae.adam import Adam
from minivae.likelihood import squared_error
from minivae.vae import VAE, Forward

CHUNK = 4096                                                # rows at a time, where all of the data is evaluated


class Diverged(ValueError):
    """Raised when the loss, a parameter or a moment of Adam is NaN or infinite; no step is taken after that."""


class Record(NamedTuple):
    """One epoch, in nats, mean per datum: elbo = reconstruction - kl, whatever beta is.

    kl and elbo are None for a model without noise, which has no q(z|x). sigma is that of a Gaussian likelihood at the end
    of the epoch, train_mse the mean squared error per feature; both are None for a fixed sigma and for other likelihoods.
    At the optimum sigma^2 = train_mse.
    """

    epoch: int
    train_reconstruction: float
    train_kl: float | None
    train_elbo: float | None
    test_reconstruction: float
    test_kl: float | None
    test_elbo: float | None
    sigma: float | None = None
    train_mse: float | None = None


class Data(Protocol):
    """Interface of the data: `minivae.data.Dataset` has it, and so may any object with these three."""

    train_x: NDArray            # (N, D) rows to train on
    test_x: NDArray             # (N', D) rows held out

    def take(self, rows: NDArray, rng: np.random.Generator) -> NDArray:
        """Return these training rows, (B, D); `rng` is there for data that are drawn anew each time."""


class Training:
    """A training run that can be stepped, saved and resumed exactly.

    Parameters
    ----------
    vae, data : VAE, Dataset
        The model, trained in place, and the data. Only `data.train_x` is trained on.
    rng : numpy.random.Generator
        The order of the data, then the noise: the same generator, the same run.
    epochs, batch, lr, samples : numbers
        Epochs (passes over the data), rows in a mini-batch, Adam's learning rate, draws of z for every datum (L).

    Raises
    ------
    ValueError
        If an argument breaks its rule.
    """

    def __init__(self, vae: VAE, data: Data, rng: np.random.Generator, *, epochs=300, batch=64, lr=2e-3, samples=1):
        self.vae, self.data, self.rng = vae, data, checks.generator("rng", rng)
        self.epochs, self.batch = checks.whole_number("epochs", epochs, 1), checks.whole_number("batch", batch, 1)
        self.samples = checks.whole_number("samples", samples, 1)
        for x in (*in_chunks(data.train_x), data.test_x):
            vae.check_data(x)
        self.optimiser, self.gradient = Adam(vae.params, lr), vae.params.zeros_like()
        self.epoch = 1                                      # the current epoch
        self.order = np.empty(0, int)                       # its order of the rows, (N,); empty before it begins
        self.done = 0                                       # its mini-batches so far
        self.reconstruction = self.kl = 0.0                 # sums over its rows so far
        keep_freed_memory()

    def steps(self) -> Iterator[Record | None]:
        """Train step by step: yields None after a mini-batch, a Record after the last one of an epoch.

        To stop, stop iterating. Raises Diverged if the loss becomes infinite or NaN.
        """
        while self.epoch <= self.epochs:
            if not len(self.order):
                self.order = self.rng.permutation(len(self.data.train_x))
            batches = split(self.order, self.batch)
            while self.done < len(batches):
                self.step(batches[self.done])
                self.done += 1
                if self.done < len(batches):
                    yield None
            yield self.end_epoch()

    def step(self, rows: NDArray) -> None:
        """Take one training step on these rows."""
        x = self.data.take(rows, self.rng).astype(self.vae.dtype, copy=False)
        eps = self.vae.draw_noise(self.rng, len(x), self.samples)
        f = self.vae.forward(x, eps)
        if not math.isfinite(f.loss):
            raise Diverged(diverged_message(first_bad(f), self.epoch, self.done + 1))
        self.vae.backward(x, eps, f, self.gradient)
        self.optimiser.step(self.gradient)
        self.reconstruction += float(f.log_px_z.mean()) * len(rows)
        self.kl += float(f.kl.mean()) * len(rows)

    def end_epoch(self) -> Record:
        """Return this epoch's record and prepare the next epoch."""
        noise = settle_own(self.vae, self.data.train_x, self.rng)
        learned = elbo_of(self.vae, self.reconstruction / len(self.order), self.kl / len(self.order))
        held_out = evaluate(self.vae, self.data.test_x, self.rng)
        record = Record(self.epoch, *learned, *held_out, *noise)
        self.epoch, self.order, self.done = self.epoch + 1, self.order[:0], 0
        self.reconstruction = self.kl = 0.0
        return record

    # Saving and resuming

    def state(self) -> tuple[dict[str, NDArray], dict]:
        """Everything but the model: arrays, and the rest as plain JSON types.

        Raises Diverged if one of them, or a parameter, is infinite or NaN: training cannot be resumed from that.
        """
        for name, array in {"Adam's m": self.optimiser.m, "Adam's v": self.optimiser.v, **self.vae.params}.items():
            if not np.isfinite(array).all():
                raise Diverged(diverged_message(name, *self.last_step()))
        arrays = {"m": self.optimiser.m, "v": self.optimiser.v, "order": self.order.astype(np.int64)}
        numbers = {name: getattr(self, name) for name in ("epoch", "done", "reconstruction", "kl")}
        return arrays, numbers | self.settings() | {"t": self.optimiser.t, "rng": self.rng.bit_generator.state}

    def last_step(self) -> tuple[int, int]:
        """Epoch and number of the last step; (1, 0) before the first."""
        if self.done or self.epoch == 1:
            return self.epoch, self.done
        return self.epoch - 1, math.ceil(len(self.data.train_x) / self.batch)

    def settings(self) -> dict:
        """Settings that must stay the same when a training is resumed."""
        return {"batch": self.batch, "lr": self.optimiser.lr, "samples": self.samples}

    def restore(self, arrays: dict[str, NDArray], numbers: dict) -> None:
        """Resume from what `state` returned. Raises ValueError unless it is a possible state of this training."""
        for came, mine in zip((arrays, numbers), self.state()):
            if came.keys() != mine.keys():
                checks.refuse("a training", f"of {sorted(mine)}", str(sorted(came)), "It is damaged.")
        for name, value in self.settings().items():
            if numbers[name] != value:
                checks.refuse(name, f"{numbers[name]}, as it began", str(value), "The config.json says another thing now.")
        n, size = len(self.data.train_x), self.vae.params.flat.shape
        order, m, v = (arrays[name] for name in ("order", "m", "v"))
        begun = order.shape != (0,)
        holds_all = np.array_equal(np.sort(order, axis=None), np.arange(n))
        if order.dtype != np.int64 or order.ndim != 1 or (begun and not holds_all):
            checks.refuse("order", f"a permutation of the {n} rows", f"shape {order.shape}", "Are these its data?")
        for name, moment in (("m", m), ("v", v)):
            if moment.shape != size or moment.dtype != self.vae.dtype or not np.isfinite(moment).all():
                checks.refuse(name, f"finite {self.vae.dtype} of shape {size}", str(moment.shape), "It is damaged.")
        if (v < 0).any():
            checks.refuse("v", "at least 0", "a negative number", "It is damaged.")
        self.epoch = checks.whole_number("epoch", numbers["epoch"], 1)
        self.done = checks.whole_number("done", numbers["done"], 0)
        if self.done > (len(split(order, self.batch)) if len(order) else 0):
            checks.refuse("done", "at most the mini-batches of an epoch", str(self.done), "It is damaged.")
        self.reconstruction, self.kl = (checks.real_number(name, numbers[name]) for name in ("reconstruction", "kl"))
        self.order = order
        self.optimiser.m[...], self.optimiser.v[...] = m, v
        self.optimiser.t = checks.whole_number("t", numbers["t"], 0)
        try:
            with warnings.catch_warnings(action="error"):       # NumPy 1 wraps a negative number around, and warns
                self.rng.bit_generator.state = numbers["rng"]
        except (DeprecationWarning, ValueError, TypeError, KeyError, OverflowError) as error:
            checks.refuse("rng", f"a state of {type(self.rng.bit_generator).__name__}", str(error), "It is damaged.")


def train(
    vae: VAE,
    data: Data,
    rng: np.random.Generator,
    *,
    stop: Callable[[], bool] = lambda: False,
    **settings,
) -> Iterator[Record]:
    """Train `vae` in place; yields a `Record` after every epoch. Arguments and errors are those of `Training`.

    `stop` is called before every step: when it returns True, the generator ends, with the parameters of the last step.
    """
    return _records(Training(vae, data, rng, **settings), stop)     # a bad argument is refused here, not at the first epoch


def _records(training, stop):
    steps = training.steps()
    while not stop():
        record = next(steps, StopIteration)
        if record is StopIteration:
            return
        if record is not None:
            yield record


def keep_freed_memory() -> None:
    """Ask malloc to reuse freed memory up to 60 MB: 12 % of a step at 784-400-20 with 1,000 rows.

    glibc raises its limit to twice the largest block that was mapped and freed; otherwise the system zeroes every page of
    a large array again. Other C libraries ignore this.
    """
    np.empty(31 << 20, np.uint8)


def split(order: NDArray, batch: int) -> list[NDArray]:
    """All row numbers in batches whose sizes differ by at most one: rows of a small last batch would weigh more."""
    return np.array_split(order, math.ceil(len(order) / batch))


def elbo_of(vae: VAE, reconstruction: float, kl: float) -> tuple[float, float | None, float | None]:
    """Reconstruction, KL and ELBO; KL and ELBO are None for a model without noise."""
    return (reconstruction, kl, reconstruction - kl) if vae.noise else (reconstruction, None, None)


def evaluate(vae: VAE, x: NDArray, rng: np.random.Generator) -> tuple[float, float | None, float | None]:
    """Reconstruction, KL and ELBO in nats, mean over all rows with one draw each; without noise only the first."""
    reconstruction = kl = 0.0
    for part in in_chunks(x):
        part = part.astype(vae.dtype, copy=False)
        f = vae.forward(part, vae.draw_noise(rng, len(part)), fit=False)
        reconstruction += float(f.log_px_z.mean()) * len(part) / len(x)
        kl += float(f.kl.mean()) * len(part) / len(x)
    return elbo_of(vae, reconstruction, kl)


def settle_own(vae: VAE, x: NDArray, rng: np.random.Generator) -> tuple[float, float] | tuple[None, None]:
    """sigma of a Gaussian and the mean squared error of all of x, one draw of z for each; None, None if sigma is fixed.

    An "optimal" sigma, re-estimated on each batch during the epoch, is set to the root of that error   [hong.14]
    """
    kind = getattr(vae.likelihood, "sigma", None)
    if kind not in ("learned", "optimal"):
        return None, None
    error = 0.0
    for part in in_chunks(x):
        part = part.astype(vae.dtype, copy=False)
        f = vae.forward(part, vae.draw_noise(rng, len(part)))
        error += float(squared_error(part.astype(float), f.out.astype(float)).sum()) / x.size   # float32 would underflow
    if kind == "optimal":
        vae.params["log_sigma"][...] = math.log(error) / 2
    return float(np.exp(vae.params["log_sigma"], dtype=float)), error


def in_chunks(x: NDArray) -> Iterator[NDArray]:
    """x (N, D) in parts of a few thousand rows."""
    return (x[start : start + CHUNK] for start in range(0, len(x), CHUNK))


def first_bad(f: Forward) -> str:
    """The first result of the forward pass that is infinite or NaN."""
    steps = {"mu": f.mu, "log_var": f.log_var, "z": f.z, "the decoder's output": f.out}
    steps |= {"log p(x|z)": f.log_px_z, "KL": f.kl}
    return next((name for name, value in steps.items() if not np.isfinite(value).all()), "the loss")


def diverged_message(first: str, epoch: int, step: int) -> str:
    """Text for Diverged: the first quantity that is infinite or NaN, and the usual causes."""
    return (
        f"training diverged in epoch {epoch}, step {step}: {first} is the first quantity that is infinite or NaN. "
        "Usual causes: a learning rate that is too high (try --lr a tenth of it), data on a large scale, or a tiny --sigma."
    )
