"""A data set (rows to train on, rows held out), and the bundled digits.

The bundled digits are 1,797 handwritten digits of Alpaydin and Kaynak (UCI, 1998; CC BY 4.0): 8x8 pixels. Each
pixel is the number, 0 to 16, of inked pixels in a 4x4 block of the scan. So Binomial(16) is a distribution over exactly
these values. The 16 pixels of a block are neighbours, so not independent: the counts have more variance than Binomial(16).
"""

import math
from dataclasses import dataclass, replace
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from minivae.checks import class_numbers, real_array, refuse, whole_number
from minivae.data.description import Description


class Grey:
    """uint8 images; indexing returns rows as float32 in [0, 1], the bytes divided by 255.

    Parameters
    ----------
    levels : ndarray of uint8, shape (N, D)
        Kept as bytes: float32 would take four times the memory.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, levels: NDArray):
        self.levels, self.shape = levels, levels.shape

    def __len__(self) -> int:
        return len(self.levels)

    def __getitem__(self, rows: NDArray | slice) -> NDArray:
        x = self.levels[rows].astype(np.float32)
        x /= 255
        return x

    def mean(self, axis: int = 0) -> NDArray:
        """Mean over the rows, in fractions from 0 to 1, (D,)."""
        return self.levels.mean(axis) / 255

    def draw(self, rows: NDArray | slice, rng: np.random.Generator) -> NDArray:
        """Draw x = 1 with probability exactly level / 255: x is 1 where the level exceeds a uniform byte from 0 to 254."""
        levels = self.levels[rows]                          # (B, D)
        u = np.frombuffer(bytearray(rng.bytes(levels.size)), np.uint8)
        while len(top := np.flatnonzero(u == 255)):         # draw again each byte that is 255
            u[top] = np.frombuffer(rng.bytes(len(top)), np.uint8)
        return (u.reshape(levels.shape) < levels).astype(np.float32)


@dataclass(frozen=True)
class Dataset:
    """Rows to train on and rows held out. Labels colour the figures and are not used in training.

    Attributes
    ----------
    name : str
        Source of the data: "digits", the name of a file, or the `name` given to `from_arrays`.
    train_x, test_x : ndarray, shape (N, D)
        For grey levels 0..255, as in MNIST, train_x is a `Grey`; indexing it gives arrays.
    train_y, test_y : ndarray of whole numbers, shape (N,), or None
    image_shape : (height, width) or None
        Shape of a row as a picture, or None.
    trials : int or None
        n if the numbers are counts 0..n, else None.
    binarize : bool
        True if `take` draws zeros and ones. The training rows contain the probabilities of a 1.
    classes : tuple of str or None
        Names of the classes 0, 1, ... if the labels are text, else None.
    about : Description or None
        Description of what was read, for data from `load` and `from_arrays`.
    """

    name: str
    train_x: NDArray | Grey
    test_x: NDArray
    train_y: NDArray | None = None
    test_y: NDArray | None = None
    image_shape: tuple[int, int] | None = None
    trials: int | None = None
    binarize: bool = False
    classes: tuple[str, ...] | None = None
    about: Description | None = None

    def __post_init__(self):
        for name in ("train_x", "test_x"):
            x = getattr(self, name)
            if not isinstance(x, Grey):
                object.__setattr__(self, name, x if is_matrix(x) else real_array(name, x, (None, None)))
        for name in ("train", "test"):
            y, rows = getattr(self, f"{name}_y"), len(getattr(self, f"{name}_x"))
            if y is not None and not (isinstance(y, np.ndarray) and y.dtype.kind in "ui" and y.shape == (rows,)):
                object.__setattr__(self, f"{name}_y", class_numbers(f"{name}_y", y, rows)[0])

    def as_fractions(self) -> "Dataset":
        """Return the same data with counts 0..n divided by n, for likelihoods other than the Binomial."""
        if self.trials is None:
            return self
        divided = {name: (getattr(self, name) / self.trials).astype(np.float32) for name in ("train_x", "test_x")}
        return replace(self, trials=None, **divided)

    def binarized(self) -> "Dataset":
        """Return a data set with zeros and ones, in mini-batches (from `take`) and in held-out rows (`test_x`).

        Counts and grey levels are first converted to fractions. Each fraction is the probability of a 1. Every mini-batch
        is drawn anew: this is dynamic binarisation (Burda, Grosse and Salakhutdinov 2016). Held-out rows are drawn once.
        Every run draws the held-out rows with the same seed, so that results can be compared. Raises ValueError if a
        fraction is not between 0 and 1.
        """
        data = self.as_fractions()
        for x in (data.train_x if isinstance(data.train_x, np.ndarray) else data.train_x[:1], data.test_x):
            if x.min() < 0 or x.max() > 1:
                refuse("--binarize", "given for fractions 0..1", f"values from {x.min():g} to {x.max():g}", "Rescale them.")
        return replace(data, binarize=True, test_x=draw_binary(data.test_x, np.random.default_rng(0)))

    def take(self, rows: NDArray | slice, rng: np.random.Generator) -> NDArray:
        """Return the training rows `rows`, (B, D). With `binarize`, draw 0 or 1 for each pixel probability."""
        if not self.binarize:
            return self.train_x[rows]
        return self.train_x.draw(rows, rng) if isinstance(self.train_x, Grey) else draw_binary(self.train_x[rows], rng)

    def step(self, most: int) -> int:
        """Return the smallest k for which `test_x[::k]`, every k-th held-out row, has at most `most` rows."""
        return math.ceil(len(self.test_x) / whole_number("most", most, 1))

    def few(self, most: int) -> "Dataset":
        """Return the same data with at most `most` held-out rows, evenly spaced."""
        rows = slice(None, None, self.step(most))
        return replace(self, test_x=self.test_x[rows], test_y=None if self.test_y is None else self.test_y[rows])

    def without_training(self) -> "Dataset":
        """Return the held-out rows only: the same data without any training rows."""
        return replace(self, train_x=self.train_x[:0], train_y=None)


def pixels_of(x: NDArray) -> tuple[float, float, float]:
    """Return the smallest, the average and the largest number in x."""
    return float(x.min()), float(x.mean()), float(x.max())


def draw_binary(x: NDArray, rng: np.random.Generator) -> NDArray:
    """Draw zeros and ones as float32, (B, D); x contains the probabilities of a 1."""
    return (rng.random(x.shape, np.float32) < x).astype(np.float32)


def digits() -> Dataset:
    """The bundled digits: 1,442 to train on, 355 held out."""
    with resources.files("minivae.data").joinpath("digits.npz").open("rb") as file, np.load(file) as stored:
        x, y = stored["x"], stored["y"]
    parts, classes = hold_out(x.reshape(len(x), -1), y), tuple("0123456789")
    about = Description(
        "digits", len(parts[0]), len(parts[1]), parts[0].shape[1], classes, (8, 8), 0.0, 16.0, "counts of 16 trials",
        "every fifth row of each class", "as stored",
    )  # fmt: skip
    return Dataset("digits", *parts, (8, 8), trials=16, about=about)


def hold_out(x: NDArray, y: NDArray | None) -> tuple:
    """Hold out every fifth row of each class or, without labels, every fifth row; the split is the same on every machine.

    Returns train_x, test_x, train_y, test_y.
    """
    rank = np.arange(len(x))                                # index of each row; with labels, index of the row in its class
    if y is not None:
        order = np.argsort(y, kind="stable")
        _, first, sizes = np.unique(y[order], return_index=True, return_counts=True)
        rank[order] = np.arange(len(y)) - np.repeat(first, sizes)
    held = rank % 5 == 4
    if y is not None and len(x) and not held.any():
        largest = f"the largest class has {max(sizes)} (number of classes: {len(sizes)})"
        raise ValueError(f"a class of at least 5 rows is needed to hold out one row; {largest}. Are the labels classes?")
    if not held.any():
        raise ValueError(f"at least 5 rows are needed to hold out one row; got {len(x)}. Give more rows.")
    return x[~held], x[held], None if y is None else y[~held], None if y is None else y[held]


def is_matrix(x: object) -> bool:
    """Return True for a plain 2-D array of real numbers. The values are checked by the functions that use them."""
    return type(x) is np.ndarray and x.ndim == 2 and x.dtype.kind in "uif"
