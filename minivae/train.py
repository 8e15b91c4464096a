"""Training with mini-batches and Adam. Each epoch, a pass over the training data, ends with a record of its results."""

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

CHUNK = 4096                                                # largest number of data points that are processed together


class Diverged(ValueError):
    """Error that ends the training: the loss, a parameter or a moment of Adam is NaN or infinite."""


class Record(NamedTuple):
    """Results of one epoch: means over the data, in nats. elbo = reconstruction - kl, for every beta.

    A model without noise has no q(z|x), so kl = elbo = None. `sigma` is the decoder's sigma at the end of the epoch;
    `train_mse` is the mean squared error per feature. Both are None unless the likelihood is Gaussian with a learned or
    optimal sigma. At the optimum, sigma^2 = train_mse.
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
    """Interface of the data: any object with these two arrays and this method, such as `minivae.data.Dataset`."""

    train_x: NDArray            # (N, D) training rows
    test_x: NDArray             # (N', D) held-out rows: not used for training

    def take(self, rows: NDArray, rng: np.random.Generator) -> NDArray:
        """Return the training data with the row numbers `rows`, (B, D).

        Some data are probabilities: then `rng` draws new zeros and ones for each mini-batch.
        """


class Training:
    """A training run that can be stepped, saved and resumed exactly.

    Parameters
    ----------
    vae, data : VAE, Dataset
        The model and the data. The model is trained in place. Only `data.train_x` is used for training.
    rng : numpy.random.Generator
        Draws the order of the rows in each epoch, and the noise. A generator in the same state gives the same run.
    epochs, batch, lr, samples : numbers
        Number of epochs, number of rows in a mini-batch, Adam's learning rate, number L of draws of z for each data point.

    Raises
    ------
    ValueError
        If an argument is invalid.
    """

    def __init__(self, vae: VAE, data: Data, rng: np.random.Generator, *, epochs=300, batch=64, lr=2e-3, samples=1):
        if not hasattr(data, "train_x"):
            remedy = "Make one with minivae.data.from_arrays(x)."
            checks.refuse("data", "a Dataset, with train_x and test_x", type(data).__name__, remedy)
        self.vae, self.data, self.rng = vae, data, checks.generator("rng", rng)
        self.epochs, self.batch = checks.whole_number("epochs", epochs, 1), checks.whole_number("batch", batch, 1)
        self.samples = checks.whole_number("samples", samples, 1)
        for part in in_chunks(data.train_x, data.test_x):
            vae.check_data(part)
        self.optimiser, self.gradient = Adam(vae.params, lr), vae.params.zeros_like()
        self.epoch = 1                                      # the current epoch
        self.order = np.empty(0, int)                       # shuffled row numbers, (N,); empty between two epochs
        self.done = 0                                       # number of mini-batches of this epoch that are done
        self.reconstruction = self.kl = 0.0                 # sums over the data points that this epoch has used so far
        keep_freed_memory()

    def steps(self) -> Iterator[Record | None]:
        """Train step by step: yield a Record after the last mini-batch of an epoch, and None after each earlier mini-batch.

        To stop the training, stop iterating. Raises Diverged if the loss becomes infinite or NaN.
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
        """Do one training step with the mini-batch of training data that has these row numbers."""
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
        sigma_and_mse = update_sigma(self.vae, self.data.train_x, self.rng)
        training = elbo_of(self.vae, self.reconstruction / len(self.order), self.kl / len(self.order))
        held_out = evaluate(self.vae, self.data.test_x, self.rng)
        record = Record(self.epoch, *training, *held_out, *sigma_and_mse)
        self.epoch, self.order, self.done = self.epoch + 1, self.order[:0], 0
        self.reconstruction = self.kl = 0.0
        return record

    # Saving and resuming

    def state(self) -> tuple[dict[str, NDArray], dict]:
        """Return all that is needed to resume, except the model: a dict of arrays, and a dict of numbers and settings.

        The second dict has plain JSON types if `rng` is NumPy's default, a PCG64 generator. Raises Diverged if a moment of
        Adam or a parameter is infinite or NaN, because training cannot continue with such numbers.
        """
        for name, array in {"Adam's m": self.optimiser.m, "Adam's v": self.optimiser.v, **self.vae.params}.items():
            if not np.isfinite(array).all():
                raise Diverged(diverged_message(name, *self.last_step()))
        arrays = {"m": self.optimiser.m, "v": self.optimiser.v, "order": self.order.astype(np.int64)}
        numbers = {name: getattr(self, name) for name in ("epoch", "done", "reconstruction", "kl")}
        return arrays, numbers | self.settings() | {"t": self.optimiser.t, "rng": self.rng.bit_generator.state}

    def last_step(self) -> tuple[int, int]:
        """Return the epoch of the last step, and the number of steps done in this epoch; (1, 0) before the first step."""
        if self.done or self.epoch == 1:
            return self.epoch, self.done
        return self.epoch - 1, math.ceil(len(self.data.train_x) / self.batch)

    def settings(self) -> dict:
        """Return the settings that must stay the same when a training run is resumed."""
        return {"batch": self.batch, "lr": self.optimiser.lr, "samples": self.samples}

    def restore(self, arrays: dict[str, NDArray], numbers: dict) -> None:
        """Continue from a saved result of `state`. Raises ValueError if the saved state does not fit this training run."""
        for saved, current in zip((arrays, numbers), self.state()):
            if saved.keys() != current.keys():
                names = "the names in the state of a training run"
                checks.refuse(names, str(sorted(current)), str(sorted(saved)), "The state is damaged: train again.")
        for name, value in self.settings().items():
            if numbers[name] != value:
                rule, remedy = f"{numbers[name]}, as at the start", "Change it back in config.json."
                checks.refuse(name, rule, str(value), remedy)
        n, size = len(self.data.train_x), self.vae.params.flat.shape
        order, m, v = (arrays[name] for name in ("order", "m", "v"))
        in_epoch = order.shape != (0,)
        is_permutation = np.array_equal(np.sort(order, axis=None), np.arange(n))
        if order.dtype != np.int64 or order.ndim != 1 or (in_epoch and not is_permutation):
            remedy = "Check that the data are those of the run."
            checks.refuse("order", f"a permutation of the {n} rows", f"shape {order.shape}", remedy)
        for name, moment in (("m", m), ("v", v)):
            if moment.shape != size or moment.dtype != self.vae.dtype or not np.isfinite(moment).all():
                checks.refuse(name, f"finite {self.vae.dtype} of shape {size}", str(moment.shape), "The state is damaged.")
        if (v < 0).any():
            checks.refuse("v", "at least 0", "a negative number", "The state is damaged.")
        self.epoch = checks.whole_number("epoch", numbers["epoch"], 1)
        self.done = checks.whole_number("done", numbers["done"], 0)
        if self.done > (len(split(order, self.batch)) if len(order) else 0):
            checks.refuse("done", "at most the number of mini-batches", str(self.done), "The state is damaged.")
        self.reconstruction, self.kl = (checks.real_number(name, numbers[name]) for name in ("reconstruction", "kl"))
        self.order = order
        self.optimiser.m[...], self.optimiser.v[...] = m, v
        self.optimiser.t = checks.whole_number("t", numbers["t"], 0)
        try:
            with warnings.catch_warnings(action="error"):       # if the state has a negative number, NumPy 1 only warns
                self.rng.bit_generator.state = numbers["rng"]
        except (DeprecationWarning, ValueError, TypeError, KeyError, OverflowError) as error:
            checks.refuse("rng", f"a state of {type(self.rng.bit_generator).__name__}", str(error), "The state is damaged.")


def train(
    vae: VAE,
    data: Data,
    rng: np.random.Generator,
    *,
    stop: Callable[[], bool] = lambda: False,
    **settings,
) -> Iterator[Record]:
    """Train `vae` in place; yield a `Record` after every epoch. Arguments and errors are those of `Training`.

    `stop` is called before each step. When `stop` returns True, the generator ends. `vae` keeps the parameters of the last
    step.
    """
    return _records(Training(vae, data, rng, **settings), stop)     # a bad argument raises now, not at the first `next`


def _records(training, stop):
    steps = training.steps()
    while not stop():
        record = next(steps, StopIteration)
        if record is StopIteration:
            return
        if record is not None:
            yield record


def keep_freed_memory() -> None:
    """Make malloc reuse up to 62 MiB of freed memory. Otherwise the system fills new memory for large arrays with zeros.

    Reusing memory saves 12 % of the time of a training step (layers of 784, 400 and 20 units, batches of 1,000). The
    function works only with glibc, the C library of most Linux systems; with other C libraries, it has no effect.
    """
    np.empty(31 << 20, np.uint8)    # after a block of 31 MiB is freed, glibc keeps up to 62 MiB of freed memory


def split(order: NDArray, batch: int) -> list[NDArray]:
    """Return the row numbers in batches whose sizes differ by at most one.

    The loss is a mean over the batch. So in a small last batch, a data point would have more weight than in other batches.
    """
    return np.array_split(order, math.ceil(len(order) / batch))


def elbo_of(vae: VAE, reconstruction: float, kl: float) -> tuple[float, float | None, float | None]:
    """Return reconstruction, KL and ELBO; None in place of KL and ELBO for a model without noise."""
    return (reconstruction, kl, reconstruction - kl) if vae.noise else (reconstruction, None, None)


def evaluate(vae: VAE, x: NDArray, rng: np.random.Generator) -> tuple[float, float | None, float | None]:
    """Return reconstruction, KL and ELBO in nats (see `elbo_of`): means over all of x, with one z per data point."""
    reconstruction = kl = 0.0
    for part in in_chunks(x):
        part = part.astype(vae.dtype, copy=False)
        f = vae.forward(part, vae.draw_noise(rng, len(part)), fit=False)
        reconstruction += float(f.log_px_z.mean()) * len(part) / len(x)
        kl += float(f.kl.mean()) * len(part) / len(x)
    return elbo_of(vae, reconstruction, kl)


def update_sigma(vae: VAE, x: NDArray, rng: np.random.Generator) -> tuple[float, float] | tuple[None, None]:
    """Return sigma of a Gaussian likelihood, and the mean squared error over all of x. Each data point gets one draw of z.

    A training step estimates an "optimal" sigma from one mini-batch only. This function sets an "optimal" sigma to the root
    of the mean squared error over x: the best sigma for all of x   [hong.14]. Returns None, None if sigma is fixed or the
    likelihood is not Gaussian.
    """
    kind = getattr(vae.likelihood, "sigma", None)
    if kind not in ("learned", "optimal"):
        return None, None
    error = 0.0
    for part in in_chunks(x):
        part = part.astype(vae.dtype, copy=False)
        f = vae.forward(part, vae.draw_noise(rng, len(part)))
        error += float(squared_error(part.astype(float), f.out.astype(float)).sum()) / x.size   # float32 loses tiny squares
    if kind == "optimal":
        vae.params["log_sigma"][...] = math.log(error) / 2
    return float(np.exp(vae.params["log_sigma"], dtype=float)), error


def in_chunks(*arrays: NDArray) -> Iterator[NDArray]:
    """Yield each array (N, D) in parts of at most CHUNK data points, to save memory. N = 0 gives one empty part."""
    return (x[start : start + CHUNK] for x in arrays for start in range(0, max(len(x), 1), CHUNK))


def first_bad(f: Forward) -> str:
    """Return the name of the first result of the forward pass that is infinite or NaN."""
    steps = {"mu": f.mu, "log_var": f.log_var, "z": f.z, "the decoder's output": f.out}
    steps |= {"log p(x|z)": f.log_px_z, "KL": f.kl}
    return next((name for name, value in steps.items() if not np.isfinite(value).all()), "the loss")


def diverged_message(first: str, epoch: int, step: int) -> str:
    """Return the message of Diverged: the first quantity that is infinite or NaN, and the usual causes."""
    return (
        f"training diverged in epoch {epoch}, step {step}: {first} is the first quantity that is infinite or NaN. "
        "Usual causes: a learning rate that is too high (try a tenth of --lr), data on a large scale, or a tiny --sigma."
    )
