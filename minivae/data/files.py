"""Load data from files: .npz, .npy, .csv, IDX, and the directory of MNIST."""

import os
import re
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minivae.checks import refuse
from minivae.data.dataset import Dataset, Grey, as_dataset, digits, hold_out
from minivae.data.formats import Damaged, read_idx, read_npy, read_npz, regular


class DataError(ValueError):
    """A file that cannot be read as data; the message names the file and what was expected."""


def load(source: str = "digits") -> Dataset:
    """Load the bundled "digits" or a path: .npz (x, y), .npy, .csv, an IDX file, or a directory with the files of MNIST.

    Raises DataError (a ValueError) if the path holds no such data.
    """
    if not isinstance(source, (str, os.PathLike)):
        refuse("source", "'digits' or a path", repr(source), "Try data.load().")
    if source == "digits":
        return digits()
    path = Path(source)
    try:
        if path.is_dir():
            return _mnist_directory(path)
        return as_dataset(path.name, *hold_out(*_read(path)))
    except DataError:
        raise
    except ValueError as error:                             # Damaged is one
        raise DataError(f"{path}: {error}") from error
    except OSError as error:
        where = error.filename or path                      # of a directory, the file
        raise DataError(f"{where}: cannot be read ({error.strerror or error}). Is the path right?") from error
    except MemoryError as error:
        raise DataError(f"{path}: more than fits into the memory of this machine. Take fewer rows.") from error


def _read(path: Path) -> tuple[NDArray, NDArray | None]:
    """Return x, and the labels y or None."""
    kind, y = path.suffix.lower(), None
    if kind == ".npz":
        arrays = read_npz(path)
        if "x" not in arrays:
            raise Damaged(f"an .npz of data has an array x (and y for labels); this one has {sorted(arrays)}.")
        x, y = arrays["x"], arrays.get("y")
    elif kind == ".npy":
        x = read_npy(path)
    elif kind == ".csv":
        x = read_csv(path)
    else:
        x = read_idx(path)
    if x.dtype.kind not in "buif" or x.ndim not in (2, 3) or (y is not None and y.shape != x.shape[:1]):
        shapes = f"x {x.shape} of {x.dtype}, y {np.shape(y)}"
        raise Damaged(f"expected numbers x (N, D) or (N, height, width), and y (N,) if any; got {shapes}.")
    if y is not None and not are_whole(y):
        raise Damaged(f"labels y must be whole numbers; got {y.dtype}. Number the classes 0, 1, 2, ...")
    return x, y


def are_whole(y: NDArray) -> bool:
    """Return True if all of these are whole numbers; floats only below 2^53, where each is exact in float64."""
    return y.dtype.kind in "bui" or (y.dtype.kind == "f" and bool(((y == np.rint(y)) & (np.abs(y) < 2**53)).all()))


def read_csv(path: Path) -> NDArray:
    """Read rows of numbers separated by commas, (N, D); a line that begins with # is a comment."""
    with open(regular(path), encoding="utf-8-sig") as file, warnings.catch_warnings(action="error"):
        try:
            rows = (line for line in file if not line.startswith("#"))
            return np.loadtxt(rows, delimiter=",", ndmin=2, comments=None)
        except (ValueError, Warning) as error:              # an empty file is a warning
            raise Damaged(f"not rows of numbers with commas between them ({error}).") from error


PARTS = {"train": "train", "test": "t10k"}
KINDS = {"images": 3, "labels": 1}                          # number of axes


def _mnist_directory(path: Path) -> Dataset:
    """Read the four files of MNIST or Fashion-MNIST, plain or .gz; grey bytes become fractions of 255."""
    arrays = {}
    for part, usual in PARTS.items():
        for kind, axes in KINDS.items():
            file = _find(path, usual, kind, axes)
            try:
                array = read_idx(file)
            except ValueError as error:
                raise DataError(f"{file}: {error}") from error
            if array.ndim != axes or array.dtype != np.uint8 or not array.size:
                came = f"{array.dtype} of shape {array.shape}"
                raise DataError(f"{file}: expected bytes with {axes} axes, and one at least; got {came}.")
            arrays[part, kind] = array
        if len(arrays[part, "images"]) != len(arrays[part, "labels"]):
            counts = [f"{len(arrays[part, kind])} {kind}" for kind in KINDS]
            raise DataError(f"{path}: every image needs a label; the {part} files have {' and '.join(counts)}.")
    sizes = [arrays[part, "images"].shape[1:] for part in PARTS]
    if sizes[0] != sizes[1]:
        raise DataError(f"{path}: all images should have one size; the two parts have {sizes[0]} and {sizes[1]}.")
    bytes_ = as_dataset(path.name, *(arrays[part, kind] for kind in KINDS for part in PARTS))
    return replace(bytes_, train_x=Grey(bytes_.train_x), test_x=Grey(bytes_.test_x)[:])


def _find(path: Path, part: str, kind: str, axes: int) -> Path:
    """Return the file of this part by its usual name: with - or . before idx, plain or .gz."""
    spelled = re.compile(rf"{part}[-_.]{kind}[-_.]idx{axes}[-_.]ubyte(\.gz)?", re.IGNORECASE)
    found = sorted(file for file in path.iterdir() if spelled.fullmatch(file.name) and not file.is_dir())
    if not found:
        usual = f"{part}-{kind}-idx{axes}-ubyte"
        raise DataError(f"{path}: {usual}(.gz) is missing. Name a directory with the four files of MNIST.")
    return found[0]
