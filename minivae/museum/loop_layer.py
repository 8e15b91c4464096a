"""The group of checks "loop": compare Adam and the training loop with plain versions, and check how the data are split."""

from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

from minivae.museum.problems import insist, notice, problem


def loop(copy: SimpleNamespace) -> None:
    """Check Adam, two training epochs and the numbers that they log, a resumed training, and how the data are split."""
    adam(copy)
    epochs(copy)
    resume(copy)
    data(copy)


class TextbookAdam:
    """Algorithm 1 of Kingma and Ba (2015), line by line."""

    def __init__(self, theta: NDArray, lr: float):
        self.theta, self.lr, self.t = theta, lr, 0
        self.m = self.v = np.zeros_like(theta)

    def step(self, g: NDArray) -> None:
        """Update the parameters once, in place."""
        self.t += 1
        self.m = 0.9 * self.m + 0.1 * g
        self.v = 0.999 * self.v + 0.001 * g * g
        m_hat, v_hat = self.m / (1 - 0.9**self.t), self.v / (1 - 0.999**self.t)
        self.theta -= self.lr * m_hat / (np.sqrt(v_hat) + 1e-8)


def adam(copy: SimpleNamespace) -> None:
    """Compare ten steps of Adam with the textbook version."""
    rng = np.random.default_rng(0)
    params = copy.params.Params({"w": (6,)}, rng.normal(size=6))
    optimiser, textbook = copy.adam.Adam(params, 0.01), TextbookAdam(params.flat.copy(), 0.01)
    for g in rng.normal(size=(10, 6)):
        optimiser.step(params.like(g))
        textbook.step(g)
    notice("parameters after ten steps of Adam", params.flat, textbook.theta)


def epochs(copy: SimpleNamespace) -> None:
    """Train for two epochs on nine rows; compare the parameters and the logged numbers with those of a plain loop.

    Each epoch has 3 batches of 3 rows. In each epoch, training and the plain loop draw the same random numbers: first the
    order of the rows, then the noise of each batch, then the noise of the held-out rows.
    """
    vae, x, _ = problem(copy, rows=9)
    training = start(copy, vae, x)
    again, *_ = problem(copy, rows=9)
    textbook, rng = TextbookAdam(again.params.flat, 0.01), np.random.default_rng(4)
    for record in training.steps():
        if record is None:
            continue
        sums = np.zeros(2)
        for rows in np.array_split(rng.permutation(9), 3):
            eps = again.draw_noise(rng, len(rows))
            f = again.forward(x[rows], eps)
            sums += float(f.log_px_z.mean()) * len(rows), float(f.kl.mean()) * len(rows)
            textbook.step(again.gradient(x[rows], eps).flat)
        again.draw_noise(rng, 9)                            # unused: training also draws noise here, for the held-out rows
        notice("logged reconstruction and KL", [record.train_reconstruction, record.train_kl], sums / 9)
        insist(record.train_kl >= 0, f"a logged KL is {record.train_kl:.3g}")
        notice("logged ELBO", record.train_elbo, (sums[0] - sums[1]) / 9)
    notice("parameters after two epochs", vae.params.flat, textbook.theta)


def start(copy: SimpleNamespace, vae: object, x: NDArray) -> object:
    """Return a new Training of `vae` on the rows x, with fixed settings and a fixed seed."""
    rows = copy.data.Dataset("nine rows", x, x)
    return copy.train.Training(vae, rows, np.random.default_rng(4), epochs=2, batch=4, lr=0.01)


def resume(copy: SimpleNamespace) -> None:
    """Save a training after two of six steps and resume it; the parameters must equal those of an uninterrupted training."""
    whole, x, _ = problem(copy, rows=9)
    list(start(copy, whole, x).steps())
    part, *_ = problem(copy, rows=9)
    stopped = start(copy, part, x)
    steps = stopped.steps()
    next(steps), next(steps)
    arrays, numbers = stopped.state()
    other = start(copy, part, x)
    other.restore({name: array.copy() for name, array in arrays.items()}, numbers)
    list(other.steps())
    insist(np.array_equal(part.params.flat, whole.params.flat), "a resumed run ends with other parameters")


def data(copy: SimpleNamespace) -> None:
    """Check that held-out rows are not trained on, that no row is lost, and that labels stay with their rows."""
    y = (3 * np.arange(50) + 2) % 7
    x = np.arange(50)[:, None] * [1, 0] + y[:, None] * [0, 1]                   # a row contains its number and label
    train_x, test_x, train_y, test_y = copy.data.hold_out(x, y)
    both = np.intersect1d(train_x[:, 0], test_x[:, 0])
    insist(not len(both), f"{len(both)} rows are both training and held-out rows")
    insist(len(train_x) + len(test_x) == 50, f"50 rows are split into {len(train_x)} and {len(test_x)}")
    labels = np.array_equal(train_x[:, 1], train_y) and np.array_equal(test_x[:, 1], test_y)
    insist(labels, "labels do not belong to their rows")
