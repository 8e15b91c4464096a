"""Load the bundled digits, files, directories or arrays. The first bytes or the suffix of a file decide how it is read."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike, NDArray

from minivae.checks import real_array, refuse
from minivae.data import foreign
from minivae.data.archives import read_archive
from minivae.data.dataset import Dataset, digits
from minivae.data.formats import IDX_TYPES, Damaged, read_npy, regular
from minivae.data.meaning import dataset_of
from minivae.data.mnist import place_of, read_mnist, read_one_idx
from minivae.data.raw import DataError, Raw, Reading, reading
from minivae.data.tables import read_table


def read_array(path: Path, how: Reading) -> Raw:
    """Read the array of an .npy file."""
    return Raw(read_npy(path))


READERS = {                                                 # {suffix: reader}, for files with unknown first bytes
    ".npz": read_archive,
    ".npy": read_array,
    ".csv": read_table,
    ".tsv": read_table,
}


def load(source: str = "digits", *, older: bool = False, **how) -> Dataset:
    """Load the bundled "digits", a file (.npz, .npy, text, IDX), or IDX files (a directory, or the prefix of their names).

    Some facts about the data are not in the file. The user can give them as the keyword arguments label, delimiter, image,
    transpose and trials; see `Reading`. The attribute `about` of the result describes what was read. Raises DataError (a
    ValueError) if the path has no data in one of these formats.
    """
    how = reading("data.load", how | {"older": older})
    if not isinstance(source, (str, os.PathLike)):
        remedy = "Try data.load(); for arrays and DataFrames: data.from_arrays(x, y)."
        refuse("source", "'digits' or a path", repr(source) if not hasattr(source, "shape") else "an array", remedy)
    if not os.fspath(source):
        refuse("source", "'digits' or a path", "an empty text", "Name a file.")
    if source == "digits":
        return of_digits(how)
    path = Path(source)
    try:
        return dataset_of(path.name, read(path, how), how)
    except DataError:
        raise
    except ValueError as error:                             # catches Damaged, too: it is a ValueError
        raise DataError(f"{path}: {error}") from error
    except OSError as error:
        where = error.filename or path                      # in a directory, error.filename is the unreadable file
        raise DataError(f"{where}: cannot be read ({error.strerror or error}). {foreign.elsewhere(str(source))}") from error
    except MemoryError as error:
        raise DataError(f"{path}: not enough memory. Take fewer rows.") from error


def of_digits(how: Reading) -> Dataset:
    """Return the bundled digits; refuse every setting except trials=16: the digits are always counts of 16 trials."""
    values = {name: getattr(how, name) for name in ("label", "delimiter", "image", "transpose", "trials")}
    given = [name for name, value in values.items() if value is not None and value is not False]
    if given and not (given == ["trials"] and how.trials == 16):
        refuse(f"--{given[0]}", "used with --data PATH", "the bundled digits", "Leave it out, or name a file.")
    return digits()


def from_arrays(
    x: ArrayLike, y: ArrayLike | None = None, test_x: ArrayLike | None = None, test_y: ArrayLike | None = None, *,
    name: str = "arrays", **how,
) -> Dataset:  # fmt: skip
    """Return a data set made of arrays, lists or DataFrames of numbers: x (N, D) or (N, height, width), labels y if any.

    Without `test_x`, every fifth row is held out; if there are labels, every fifth row of each class. The keyword arguments
    are those of `load`; `label` may be the name of a column of a DataFrame.
    """
    settings = reading("data.from_arrays", how)
    if x is None or (test_x is None and test_y is not None):
        refuse("x" if x is None else "test_x", "an array", "None", "Give the rows of numbers.")
    columns, cut = (), ""
    if is_frame(x):
        names, label = list(x.columns), settings.label
        label = names[label] if type(label) is int and label not in names and -len(names) <= label < len(names) else label
        if y is None and label in names:
            x, y, test_x, test_y = without_label(x, test_x, label)
        columns, cut = tuple(map(str, x.columns)), "df.iloc[:, 1:] in Python, where df is the DataFrame"
    x, test_x = (None if part is None else numbers(part) for part in (x, test_x))
    return dataset_of(name, Raw(x, y, test_x, test_y, columns=columns, cut=cut), settings)


def is_frame(x: Any) -> bool:
    """Return True for a DataFrame."""
    return hasattr(x, "columns") and hasattr(x, "select_dtypes")


def without_label(x: Any, test_x: Any, label: Any) -> tuple:
    """Return (x, y, test_x, test_y): y and test_y are the column `label`, which is removed from x and test_x.

    Without test_x, the result is (x, y, None, None).
    """
    if test_x is not None and not (is_frame(test_x) and label in list(test_x.columns)):
        refuse("test_x", f"a DataFrame with the column {label!r}", type(test_x).__name__, "Or give y and test_y.")
    if test_x is None:
        return x.drop(columns=[label]), x[label], None, None
    return x.drop(columns=[label]), x[label], test_x.drop(columns=[label]), test_x[label]


def numbers(x: Any) -> NDArray:
    """Return x as an array of real numbers with at least one axis."""
    shape = getattr(x, "shape", None)
    return real_array("x", x, (None,) * (len(shape) if shape else 2))


def read(path: Path, how: Reading) -> Raw:
    """Return the arrays of a file, or of several IDX files.

    `path` is a file, a directory with IDX files, or DIR/PREFIX. DIR/PREFIX stands for the IDX files in DIR that
    have this prefix, such as PREFIX-train-images-idx3-ubyte.
    """
    if path.is_dir() or (not path.exists() and is_prefix(path)):
        return read_mnist(path, how)
    head, packed = foreign.beginning(regular(path))
    if not head and not packed:
        raise Damaged("the file is empty.")
    ending = next((suffix.lower() for suffix in reversed(path.suffixes) if suffix.lower() in READERS), "")
    known = foreign.seems(path, head, packed)
    if known:
        raise Damaged(known)
    return reader_for(path, head, packed, ending)(path, how)


def is_prefix(path: Path) -> bool:
    """Return True if the directory of `path` has IDX files whose prefix is the last part of `path`."""
    if not path.parent.is_dir():
        return False
    places = [place_of(file) for file in path.parent.iterdir()]
    return any(place and place.prefix.lower() == path.name.lower() for place in places)


def reader_for(path: Path, head: bytes, packed: bool, ending: str) -> Callable[[Path, Reading], Raw]:
    """Return the reader for a file whose first bytes are `head` and whose suffix is `ending`."""
    if head.startswith(b"\x93NUMPY"):
        return read_array
    if head.startswith(b"PK"):
        return read_archive
    if head[:2] == b"\0\0" and len(head) > 2 and head[2] in IDX_TYPES:
        return read_one_idx
    if ending in READERS and not (packed and READERS[ending] is not read_table):
        return READERS[ending]
    text = not any(byte < 9 or 13 < byte < 32 for byte in head) and head
    if text:
        return read_table
    if head[:2] == b"\0\0" or "idx" in "".join(path.suffixes).lower():
        return read_one_idx
    raise Damaged(f"its kind is not recognised: it begins with {head[:8]!r}. {foreign.READ}")
