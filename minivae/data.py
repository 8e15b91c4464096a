"""Data in: the bundled real digits, and the reader's own files.

The bundled digits are the 1,797 real handwritten ones of Alpaydin and Kaynak (UCI, 1998; CC BY 4.0): 8x8 pixels, each
the count 0..16 of set pixels in a 4x4 block of the scan. So Binomial(16) is their true discrete likelihood.
"""

import gzip
import math
import struct
import zipfile
import zlib
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minivae.checks import real_array


class DataError(ValueError):
    """A file that cannot be read as data; the message names the file and what was expected."""


@dataclass(frozen=True)
class Dataset:
    """Rows to learn from and rows held out. Labels colour the figures; nothing is learned from them.

    Attributes
    ----------
    name : str
        Where it comes from.
    train_x, test_x : ndarray, shape (N, D)
    train_y, test_y : ndarray of whole numbers, shape (N,), or None
    image_shape : (height, width) or None
        How a row is seen as a picture, if it is one.
    trials : int or None
        n, if the numbers are counts 0..n.
    """

    name: str
    train_x: NDArray
    test_x: NDArray
    train_y: NDArray | None = None
    test_y: NDArray | None = None
    image_shape: tuple[int, int] | None = None
    trials: int | None = None

    def as_fractions(self) -> "Dataset":
        """Counts 0..n as fractions 0..1, for the likelihoods that are not Binomial."""
        if self.trials is None:
            return self
        divided = {name: (getattr(self, name) / self.trials).astype(np.float32) for name in ("train_x", "test_x")}
        return replace(self, trials=None, **divided)


def load(source: str = "digits") -> Dataset:
    """The bundled "digits", or a path: .npz (x, y), .npy, .csv, an IDX file, or a directory with the files of MNIST.

    Raises DataError (a ValueError) if the path holds no such data.
    """
    if source == "digits":
        return digits()
    path = Path(source)
    try:
        if path.is_dir():
            return _mnist_directory(path)
        return _dataset(path.name, *hold_out(*_read(path)))
    except DataError:
        raise
    except (ValueError, EOFError, struct.error, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: {error}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}). Is the path right?") from error


def digits() -> Dataset:
    """The bundled digits: 1,442 to train on, 355 held out."""
    with resources.files("minivae").joinpath("digits.npz").open("rb") as file, np.load(file) as stored:
        x, y = stored["x"], stored["y"]
    return replace(_dataset("digits", *hold_out(x, y)), trials=16)


def hold_out(x: NDArray, y: NDArray | None) -> tuple:
    """Every fifth row of each class held out (every fifth row, without labels): the same split on every machine.

    Returns train_x, test_x, train_y, test_y.
    """
    rank = np.arange(len(x))                                # a row's place among the rows of its class
    if y is not None:
        for label in np.unique(y):
            rank[y == label] = np.arange(np.sum(y == label))
    held = rank % 5 == 4
    if held.all() or not held.any():
        raise ValueError(f"at least 5 rows are needed to hold some out; got {len(x)}.")
    return x[~held], x[held], None if y is None else y[~held], None if y is None else y[held]


def _dataset(name, train_x, test_x, train_y=None, test_y=None) -> Dataset:
    """Rows of pictures become rows of numbers; a square number of features is taken to be a square picture."""
    side = math.isqrt(train_x[0].size)
    square = (side, side) if side * side == train_x[0].size else None
    shape = train_x.shape[1:] if train_x.ndim == 3 else square
    flat = [real_array("x", x.reshape(len(x), -1), (None, None)) for x in (train_x, test_x)]
    return Dataset(name, *flat, train_y, test_y, shape)


def _read(path: Path) -> tuple[NDArray, NDArray | None]:
    """x and, where the file has them, labels y."""
    if path.suffix == ".npz":
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            if "x" not in stored:
                raise ValueError(f"an .npz needs an array named x (and y for labels); it holds {sorted(stored)}.")
            x, y = stored["x"], stored["y"] if "y" in stored else None
    elif path.suffix == ".npy":
        x, y = np.load(path, allow_pickle=False), None
    elif path.suffix == ".csv":
        x, y = np.loadtxt(path, delimiter=",", ndmin=2), None
    else:
        x, y = read_idx(path), None
    if x.ndim not in (2, 3) or (y is not None and y.shape != x.shape[:1]):
        raise ValueError(f"expected x (N, D) or (N, height, width) and y (N,); got {x.shape}, {np.shape(y)}.")
    return x, y


def _mnist_directory(path: Path) -> Dataset:
    """The four files of MNIST or Fashion-MNIST, plain or .gz; grey bytes become fractions of 255."""
    arrays = {}
    for part in ("train", "t10k"):
        for kind in ("images-idx3-ubyte", "labels-idx1-ubyte"):
            found = [p for p in (path / f"{part}-{kind}", path / f"{part}-{kind}.gz") if p.exists()]
            if not found:
                raise DataError(f"{path}: {part}-{kind}(.gz) is missing. Name a directory with the four files of MNIST.")
            arrays[part, kind[0]] = read_idx(found[0])
    grey = [(arrays[part, "i"] / np.float32(255)) for part in ("train", "t10k")]
    return _dataset(path.name, *grey, arrays["train", "l"], arrays["t10k", "l"])


IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: Path) -> NDArray:
    """An array in LeCun's IDX format, plain or gzipped: 0, 0, type, number of axes, their lengths, then the numbers."""
    content = Path(path).read_bytes()
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in IDX_TYPES:
        raise DataError(f"{path}: not an IDX file (it begins with {content[:4]!r}).")
    axes = content[3]
    shape = struct.unpack_from(f">{axes}I", content, 4)
    dtype, start = np.dtype(IDX_TYPES[content[2]]), 4 + 4 * axes
    if len(content) - start != math.prod(shape) * dtype.itemsize:
        raise DataError(f"{path}: {len(content) - start} bytes of data where shape {shape} of {dtype} was announced.")
    return np.frombuffer(content, dtype, offset=start).reshape(shape)
