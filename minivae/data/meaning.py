"""Decide what stored arrays mean: rows, pictures, labels, grey levels or counts, the held-out part."""

import math
import re

import numpy as np
from numpy.typing import NDArray

from minivae.checks import BRIGHT, are_whole, class_numbers, real_array, refuse
from minivae.data.dataset import Dataset, Grey, hold_out
from minivae.data.description import Description
from minivae.data.formats import Damaged
from minivae.data.raw import Raw, Reading

CLASS_NAMES = {"label", "labels", "class", "classes", "target", "y", "species", "category", "digit", "character"}
PIXELS = re.compile(r"(pixel|px|p)[-_ ]?\d+([-_x]\d+)?|\d+x\d+", re.IGNORECASE)
SMALLEST = 64                                               # rows of n^2 >= SMALLEST numbers count as pictures in `is_grey`
MOST_CLASSES = 100                                          # a column with more different values is not suggested as labels
SEVERAL = 5                                                 # with fewer rows, a first column 0, 1, 2, ... gives no warning

Shape = tuple[int, int] | None


def dataset_of(name: str, raw: Raw, how: Reading) -> Dataset:
    """Make a data set of the stored arrays `raw`. Raises ValueError if these arrays cannot be data."""
    x, y, test_x, test_y, notes = separated(raw, how)       # test_x and test_y can be `None`
    try:
        y, test_y, classes = numbered(x, y, test_x, test_y)
    except ValueError as error:
        raise Damaged(f"{error} {raw.unlabelled}".rstrip()) from error
    own_split = test_x is not None
    parts = [x, test_x] if own_split else [x]
    grey = is_grey(parts, raw, how)
    shape = picture_shape(x, grey, how)
    parts = [flat(part, shape, how.transpose) for part in parts]                # (N, D) each
    low, high, whole = range_of(parts)
    taken_for = meaning_of(low, high, whole, grey, how.trials)
    if grey:
        parts = [part.astype(np.uint8, copy=False) for part in parts]
    split = "the file's own" if own_split else "every fifth row" + " of each class" * (y is not None)
    if not own_split:
        try:
            *parts, y, test_y = hold_out(parts[0], y)
        except ValueError as error:
            raise Damaged(f"{error} {raw.unlabelled if y is not None else ''}".rstrip()) from error
    train_x, test_x = (Grey(parts[0]), Grey(parts[1])[:]) if grey else parts
    shape, orientation = (shape[::-1], "transposed") if how.transpose else (shape, "as stored")
    about = Description(
        name, len(train_x), len(test_x), train_x.shape[1], class_texts(y, test_y, classes), shape, low, high, taken_for,
        split, orientation, tuple(notes),
    )  # fmt: skip
    return Dataset(name, train_x, test_x, y, test_y, shape, how.trials, classes=classes, about=about)


def separated(raw: Raw, how: Reading) -> tuple:
    """Return x, y, test_x, test_y and notes; x and test_x hold finite numbers, without the column of the labels."""
    x, test_x = (None if part is None else rows_of(part) for part in (raw.x, raw.test_x))
    if test_x is not None and x.shape[1:] != test_x.shape[1:]:
        raise Damaged(f"training and test rows should have the same shape; they have {x.shape[1:]} and {test_x.shape[1:]}.")
    y, test_y = raw.y, raw.test_y
    if how.label is not None and y is None:
        x, y, test_x, test_y = take_column(x, test_x, how.label)
    warnings = suspects(x, y is not None, raw) if x.ndim == 2 else []
    return x, y, test_x, test_y, raw.notes + warnings


def range_of(parts: list[NDArray]) -> tuple[float, float, bool]:
    """Return the smallest number, the largest number, and True if all numbers are whole."""
    low, high = min(part.min() for part in parts), max(part.max() for part in parts)
    return float(low), float(high), all(map(are_whole, parts))


def rows_of(x: NDArray) -> NDArray:
    """Return numbers (N, D) or pictures (N, height, width); further axes of length one are removed."""
    if x.dtype.kind not in "buif":
        remedy = "Save it with x.astype(float)." if x.dtype.kind == "U" else ""
        raise Damaged(f"expected numbers x (N, D) or (N, height, width); got {x.dtype}. {remedy}".strip())
    shape = x.shape
    if x.ndim == 4 and 1 not in x.shape[1:] and {3, 4} & {x.shape[1], x.shape[3]}:
        axis = 1 if x.shape[1] in (3, 4) and x.shape[3] not in (3, 4) else -1
        colours = {(3, 1): "x", (3, -1): "x", (4, 1): "x[:, :3]", (4, -1): "x[..., :3]"}[x.shape[axis], axis]
        scaled, words = " / 255" if x.max(initial=0) > 1 else "", "three colours" + " and opacity" * (x.shape[axis] == 4)
        raise Damaged(
            f"x {shape} has {words}. In Python, save grey pictures: np.save('grey.npy', {colours}.mean({axis}){scaled}); "
            f"or save rows of numbers: np.save('flat.npy', x.reshape(len(x), -1){scaled})."
        )
    if x.ndim == 4 and len(x) == 1:
        raise Damaged(f"expected numbers x (N, D) or (N, height, width); got shape {shape}, one row. Write x[0].")
    if x.ndim > 2:
        x = x.reshape(len(x), *([side for side in x.shape[1:] if side != 1] or [1]))
    if x.ndim not in (2, 3):
        remedy = "Write x[:, None] if each number is a row." if x.ndim == 1 else "Write x.reshape(len(x), -1)."
        raise Damaged(f"expected numbers x (N, D) or (N, height, width); got shape {shape}. {remedy}")
    return real_array("x", x, (None,) * x.ndim)


def take_column(x: NDArray, test_x: NDArray | None, label: str | int) -> tuple:
    """Move the column of the labels from x to y, and from test_x to test_y; return (x, y, test_x, test_y).

    Without test data, the result is (x, y, None, None).
    """
    number = re.fullmatch(r"[+-]?\d{1,9}", str(label))
    if x.ndim != 2 or not number or not -x.shape[1] <= int(label) < x.shape[1] or x.shape[1] == 1:
        known = f"Columns have the numbers 0 to {x[0].size - 1}." if x.ndim == 2 else "Pictures have no columns."
        raise Damaged(f"label {label!r} is not a column of x {x.shape}. {known}")
    at = int(label) % x.shape[1]
    parts = [part for part in (x, test_x) if part is not None]
    (x, y), *test = ((np.delete(part, at, axis=1), part[:, at]) for part in parts)
    return (x, y, *test[0]) if test else (x, y, None, None)


def numbered(x: NDArray, y: object, test_x: NDArray | None, test_y: object) -> tuple:
    """Return the labels y and test_y as whole numbers, and the names of the classes if the labels are text."""
    if test_x is not None and (y is None) != (test_y is None):
        refuse("test_y", "given together with y", "only one of them", "Give both, or leave out both.")
    if y is None:
        return None, None, None
    if test_x is None:
        codes, classes = class_numbers("labels y", y, len(x))
        return codes, None, classes
    if np.shape(y)[1:] != np.shape(test_y)[1:]:
        shapes = f"{np.shape(y)} and {np.shape(test_y)}"
        raise Damaged(f"labels of both parts should have the same axes; their shapes are {shapes}.")
    for part, labels in ((x, y), (test_x, test_y)):
        if len(part) != len(labels):
            raise Damaged(f"every row needs a label; {len(part)} rows have {len(labels)} labels.")
    codes, classes = class_numbers("labels y", np.concatenate([y, test_y]), len(x) + len(test_x))
    return codes[: len(x)], codes[len(x) :], classes


def is_grey(parts: list[NDArray], raw: Raw, how: Reading) -> bool:
    """Return True if the numbers are grey levels. The result is False if the user gave `trials`.

    The bytes of IDX pictures are grey levels, unless all are 0 or 1. Other numbers are grey levels if three conditions hold.
    First, the numbers are bytes or pictures. Second, all numbers are whole and at least 0. Third, the largest number is from
    BRIGHT to 255. Pictures are arrays with three axes. An array with two axes counts as pictures if the user has given the
    image shape, if all columns have names of pixels, or if each row has n^2 >= SMALLEST numbers.
    """
    x, (low, high, whole) = parts[0], range_of(parts)
    if how.trials is not None or high <= 1 or low < 0:
        return False
    if raw.grey or how.older:
        return raw.grey
    if not BRIGHT <= high <= 255 or not whole:
        return False
    pixels = bool(raw.columns) and all(map(PIXELS.fullmatch, raw.columns))
    pictures = x.ndim == 3 or how.image is not None or pixels
    return x.dtype == np.uint8 or pictures or (x.shape[1] >= SMALLEST and square(x.shape[1]) is not None)


def square(features: int) -> Shape:
    """Return (side, side) if `features` is the square of a whole number `side`, else None."""
    side = math.isqrt(features)
    return (side, side) if side * side == features else None


def picture_shape(x: NDArray, grey: bool, how: Reading) -> Shape:
    """Return (height, width), or None if x holds no pictures.

    If the user has given a shape, this shape is returned. Otherwise, an array x with three axes contains pictures of the
    shape x.shape[1:]. Rows of n^2 bytes or grey levels are pictures of the shape (n, n).
    """
    features = x[0].size
    if how.image is not None:
        if math.prod(how.image) != features:
            height = next(n for n in range(math.isqrt(features), 0, -1) if features % n == 0)
            sides = height, features // height
            remedy = f"Try --image {sides[0]}x{sides[1]} (in Python: image={sides})."
            refuse("image", f"a shape of {features} pixels", f"{how.image[0]}x{how.image[1]}", remedy)
        return how.image
    if x.ndim == 3:
        return x.shape[1:]
    if grey or x.dtype == np.uint8:
        return square(features)
    return None


def flat(x: NDArray, shape: Shape, transpose: bool) -> NDArray:
    """Return rows of numbers (N, D); with `transpose`, rows and columns of each picture are exchanged."""
    if transpose and shape is None:
        refuse("transpose", "used with pictures", f"rows of {x.shape[1]} numbers", "Add --image HEIGHTxWIDTH.")
    if transpose:
        x = x.reshape(len(x), *shape).swapaxes(1, 2)
    return np.ascontiguousarray(x.reshape(len(x), -1))


def meaning_of(low: float, high: float, whole: bool, grey: bool, trials: int | None) -> str:
    """Return the meaning of the values as text. With `trials`, refuses numbers that are not counts 0..trials."""
    if grey:
        return "grey levels of bytes, divided by 255"
    if trials is not None:
        if low < 0 or not whole:
            got = f"values from {low:g} to {high:g}" + ("" if whole else ", not all whole")
            refuse("trials", "used with counts 0..n", got, "Leave it out.")
        if high > trials:
            remedy = f"Add --trials {high:.0f} (in Python: trials={high:.0f})."
            refuse("trials", "at least the largest count", f"{trials}, and a count of {high:g}", remedy)
        return f"counts of {trials} trials"
    if low >= 0 and high <= 1:
        return "zeros and ones" if whole else "fractions"
    return "whole numbers" if whole else "real numbers"


def class_texts(y: NDArray | None, test_y: NDArray | None, classes: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Return the names of the classes, sorted; None if there are no labels."""
    if y is None:
        return None
    return classes or tuple(str(label) for label in np.unique(np.concatenate([y, test_y])))


def suspects(x: NDArray, labelled: bool, raw: Raw) -> list[str]:
    """Return warnings about a first column of row numbers, and about a column of unlabelled data that looks like labels."""
    found, last = [], x.shape[1] - 1
    first = x[:, 0]
    index = len(x) >= SEVERAL and last > 0 and are_whole(first) and bool((np.diff(first.astype(float)) == 1).all())
    if index:
        counted = f"warning: the first column counts the rows, {first[0]:g} to {first[-1]:g}, and the model is trained on it"
        found.append(f"{counted}; to leave it out: {raw.cut or 'x[:, 1:] in Python'}")
    named = [at for at, name in enumerate(raw.columns) if name.lower() in CLASS_NAMES]
    for at in [] if labelled else dict.fromkeys([*named, int(index), last]):
        classes = len(np.unique(x[:, at])) if are_whole(x[:, at]) and last > 1 else 0
        rest = last - index
        rest_is_square = rest >= 16 and square(rest) is not None
        if 2 <= classes <= min(MOST_CLASSES, len(x) / 2) and (rest_is_square or at in named):
            typed = raw.columns[at] if at in named else at
            place = {0: "the first column", last: "the last column"}.get(at, f"column {at}")
            seen = f"warning: {place} looks like {classes} classes, and the model is trained on it"
            found.append(f"{seen}; add --label {typed} (in Python: label={typed!r}) to take it as labels")
            break
    return found
