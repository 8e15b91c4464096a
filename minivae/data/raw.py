"""Stored arrays (`Raw`) and the user's settings (`Reading`). The module `meaning` makes a data set from both."""

import re
import shlex
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path

from numpy.typing import NDArray

from minivae.checks import refuse, sizes, whole_number


class DataError(ValueError):
    """Raised for a file that cannot be read as data; the message names the file and what was expected."""


@dataclass
class Raw:
    """Arrays as a file stores them. `test_x` is `None` if the file has no test set.

    `columns` are the names of the features, from a header. `notes` are sentences for the user. `grey` is True for IDX
    files that store pictures as bytes. `cut` is a command or Python code that leaves out the first column of x.
    `unlabelled` is a sentence with Python code that leaves out the labels.
    """

    x: NDArray
    y: NDArray | None = None
    test_x: NDArray | None = None
    test_y: NDArray | None = None
    columns: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)
    grey: bool = False
    cut: str = ""
    unlabelled: str = ""


@dataclass(frozen=True)
class Reading:
    """The user's settings about the data. None means that the user did not give the setting.

    Attributes
    ----------
    label : str or int or None
        Column of the labels: its name in the header, or its number (0 is the first, -1 the last). For an .npz, `label` can
        also be the name of the array of labels.
    delimiter : str or None
        Separator of a text file: one character, "tab" or "space" (any number of blanks).
    image : (height, width) or "28x28" or None
        Height and width of the picture in each row.
    transpose : bool
        True if every picture is stored with rows and columns exchanged.
    trials : int or None
        n if the numbers are counts 0..n.
    older : bool
        True for an old run, which does not store these settings. For an old run, only the bytes of an IDX directory count as
        grey levels, and only x and y are read from an .npz that has an array x.
    """

    label: str | int | None = None
    delimiter: str | None = None
    image: tuple[int, int] | str | None = None
    transpose: bool = False
    trials: int | None = None
    older: bool = False

    def __post_init__(self):
        if self.label is not None and not isinstance(self.label, (str, int)):
            refuse("label", "the name or the number of a column", repr(self.label), "Try label=0 for the first column.")
        if self.delimiter is not None and not (isinstance(self.delimiter, str) and separator_of(self.delimiter)):
            rule = "one character that no number contains, or the word tab or space"
            refuse("delimiter", rule, repr(self.delimiter), 'Try a semicolon: ";".')
        if self.trials is not None:
            whole_number("trials", self.trials, 1)
        if self.image is not None:
            object.__setattr__(self, "image", picture_size(self.image))


def reading(function: str, how: dict) -> Reading:
    """Return the keyword arguments `how` of a function as a Reading. Raises TypeError for an unknown keyword."""
    known = [one.name for one in fields(Reading)][:-1]      # without `older`, which is for old runs only
    unknown = [name for name in how if name not in (*known, "older")]
    if unknown:
        alike = get_close_matches(unknown[0], known, 1)
        also = f" Did you mean {alike[0]}?" if alike else ""
        raise TypeError(f"{function} has no keyword argument {unknown[0]!r}; it has {', '.join(known)}.{also}")
    return Reading(**how)


def separator_of(word: str) -> str | None:
    r"""Return the separator for a word: "\t" for "tab", " " for "space", and any other word itself.

    Return None if the word cannot separate cells. A separator is one character, but not a letter, a digit or a sign that a
    number or a comment may contain.
    """
    word = {"tab": "\t", "\\t": "\t", "space": " "}.get(word, word)
    return word if len(word) == 1 and not re.match(r"[\w.+\-\"#\r\n]", word) else None


def picture_size(value: object) -> tuple[int, int]:
    """Return (height, width) for (28, 20), [28, 20] or "28x20"."""
    if isinstance(value, str):
        parts = re.fullmatch(r"(\d{1,9})[xX×](\d{1,9})", value.strip())
        if not parts:
            refuse("image", "HEIGHTxWIDTH, in pixels", repr(value), "Write 28x28.")
        value = tuple(map(int, parts.groups()))
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        refuse("image", "(height, width), in pixels", repr(value), "Write (28, 28).")
    return sizes("image", value, "image=(28, 28)")


def converted_name(path: Path, suffix: str) -> Path:
    """Return the name of a converted file: "digits-converted.csv" for some/digits.mat and the suffix ".csv"."""
    stem = path.name.lstrip(".").split(".")[0]
    return Path(f"{stem or 'data'}-converted{suffix}")


def quoted(path: Path) -> str:
    """Return the path, quoted as one word for the shell."""
    return shlex.quote(f"./{path}" if str(path).startswith("-") else str(path))
