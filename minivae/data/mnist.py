"""Read IDX files of pictures, with their labels and test set: MNIST, Fashion-MNIST, EMNIST, KMNIST, QMNIST."""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minivae.data.foreign import of_directory
from minivae.data.formats import Damaged, read_idx
from minivae.data.raw import DataError, Raw, Reading, quoted

AXES = {"images": 3, "labels": 1}
USUAL = {"train": "train", "test": "t10k"}
NAME = re.compile(
    r"(?:(?P<set>.+?)[-_.])?(?P<part>train|t10k|test)[-_.](?P<kind>images|labels)[-_.]idx(?P<axes>[13])[-_.]ubyte(\.gz)?",
    re.IGNORECASE,
)


class Place(NamedTuple):
    """Parts of the name of an IDX file."""

    prefix: str                 # such as "emnist-letters" in "emnist-letters-train-..."; "" for MNIST
    part: str                   # "train" or "test"
    kind: str                   # "images" or "labels"


def place_of(file: Path) -> Place | None:
    """Return the parts of the name of an IDX file; None for other names.

    The name may have "-", "." or "_" between its parts, and ".gz" at its end.
    """
    found = NAME.fullmatch(file.name)
    if found is None or AXES[found["kind"].lower()] != int(found["axes"]):
        return None
    part = "train" if found["part"].lower() == "train" else "test"
    return Place(found["set"] or "", part, found["kind"].lower())


def read_mnist(path: Path, how: Reading) -> Raw:
    """Read the IDX files in the directory `path`; if `path` is DIR/PREFIX, read the files in DIR with this prefix.

    Without test files, the caller holds out training rows. With test files, the training set and the test set both have
    labels, or both have none.
    """
    home = path if path.is_dir() else path.parent
    files = {}
    for file in sorted(home.iterdir(), reverse=True):       # NAME comes after NAME.gz here, and replaces it in `files`
        place = place_of(file)
        if place is not None and not file.is_dir() and (path.is_dir() or place.prefix.lower() == path.name.lower()):
            files[place] = file
    prefixes = sorted({place.prefix for place in files})
    if not files:
        raise DataError(f"{path}: {of_directory(path)}")
    if len(prefixes) > 1:
        names = ", ".join(prefix or "(no prefix)" for prefix in prefixes)
        named = next(filter(None, prefixes))
        raise DataError(f"{path}: it holds several sets: {names}. Name one: --data {quoted(home / named)}")
    files = dict(sorted(files.items(), key=lambda item: (item[0].part != "train", item[0].kind)))
    arrays = {place[1:]: images_or_labels(file, place.kind) for place, file in files.items()}
    check_parts(path, arrays, files, prefixes[0])
    if how.label is not None and ("train", "labels") in arrays:
        raise DataError(f"{path}: --label is for columns of a table; the labels have their own file. Leave --label out.")
    ordered = (arrays.get((part, kind)) for part in ("train", "test") for kind in AXES)
    return Raw(*ordered, grey=True)


def check_parts(path: Path, arrays: dict[tuple[str, str], NDArray], files: dict[Place, Path], prefix: str) -> None:
    """Raise DataError if numbers of images and labels differ, if sizes of images differ, or if a needed file is missing."""
    has_test, has_labels = ("test", "images") in arrays, any(kind == "labels" for _, kind in arrays)
    for part in ("train", "test"):
        for kind in ("images", "labels"):
            wanted = part == "train" and kind == "images" or (kind == "labels" and has_labels and (part, "images") in arrays)
            if (part, kind) not in arrays and (wanted or (kind == "images" and (part, "labels") in arrays)):
                missing(path, files, Place(prefix, part, kind))
        counts = [len(arrays[part, kind]) for kind in AXES if (part, kind) in arrays]
        if len(set(counts)) > 1:
            words = f"{counts[0]} images and {counts[1]} labels"
            raise DataError(f"{path}: every image needs a label; the {part} files have {words}.")
    if has_test:
        sizes = [arrays[part, "images"].shape[1:] for part in ("train", "test")]
        if sizes[0] != sizes[1]:
            words = f"the training images have {sizes[0]}, the test images {sizes[1]}"
            raise DataError(f"{path}: all images should have the same size; {words}.")


def missing(path: Path, files: dict[Place, Path], place: Place) -> None:
    """Raise DataError for a missing file; if there is a file of images, the message says how to use it alone."""
    usual = f"{place.prefix}-" * bool(place.prefix) + f"{USUAL[place.part]}-{place.kind}-idx{AXES[place.kind]}-ubyte"
    images = [str(file) for other, file in files.items() if other.kind == "images"]
    remedy = f"To use the pictures alone: --data {quoted(Path(images[0]))}" if images else "There is no file of images."
    raise DataError(f"{path}: {usual}(.gz) is missing. {remedy}")


def images_or_labels(file: Path, kind: str) -> NDArray:
    """Return the bytes in one file as an array. Raises DataError with the name of the file."""
    try:
        array = read_idx(file)
    except ValueError as error:
        raise DataError(f"{file}: {error}") from error
    if array.ndim != AXES[kind] or array.dtype != np.uint8 or not array.size:
        got = f"{array.dtype} of shape {array.shape}"
        raise DataError(f"{file}: expected a non-empty array of bytes with {AXES[kind]} axes; got {got}.")
    return array


def read_one_idx(path: Path, how: Reading) -> Raw:
    """Read the array of one IDX file."""
    x = read_idx(path)
    if x.ndim == 1:
        raise Damaged(f"it holds {len(x):,} numbers, one for each row, like a file of labels. Name the file of the images.")
    place = place_of(path)
    note = f"one file alone; for labels and test files too: --data {quoted(path.parent)}"
    return Raw(x, grey=x.dtype == np.uint8 and x.ndim == 3 and not how.older, notes=[note] if place else [])
