"""Read tables of text: rows of numbers, with or without a header, at most one column of labels; plain or gzipped."""

import csv
import io
import re
import warnings
from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path

import numpy as np

from minivae.data.formats import Damaged, regular, unpacking
from minivae.data.raw import Raw, Reading, beside, quoted, separator_of

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "blanks"}
TYPED = {"\t": "tab", " ": "space", ";": "';'", "|": "'|'"}                     # as typed after --delimiter
MISSING = {"", "na", "n/a", "nan", "null", "none", "?", "-"}
LOOKED_AT = 20                                              # lines that decide separator, header and text columns
MOST_NAMED = 6                                              # columns named in a message

Line = tuple[int, str]                                      # its number, from 1, and its text


class Pulled(io.RawIOBase):
    """A stream of the bytes that a function `read(n)` returns."""

    def __init__(self, read: Callable[[int], bytes]):
        self.pull = read

    def readable(self) -> bool:
        """Return True: this is a stream to read from."""
        return True

    def readinto(self, buffer: memoryview) -> int:
        """Fill the buffer as far as the next piece goes; return its length."""
        piece = self.pull(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)


def read_table(path: Path, how: Reading) -> Raw:
    """Read rows of numbers; a line that begins with # is a comment. The column `how.label` becomes the labels."""
    with open(regular(path), "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        stream = io.BufferedReader(Pulled(unpacking(file) if packed else file.read))
        lines = numbered(io.TextIOWrapper(stream, encoding="utf-8-sig"))
        try:
            return table_of(lines, path, how)
        except UnicodeDecodeError as error:
            remedy = f"If it is in Latin-1: iconv -f latin1 -t utf-8 {quoted(path)} > {beside(path, '.csv')}"
            raise Damaged(f"its text is not in UTF-8 ({error.reason}). {remedy}") from error


def numbered(text: Iterator[str]) -> Iterator[Line]:
    """Yield the lines that hold data, with their numbers."""
    for number, line in enumerate(text, 1):
        line = line.rstrip("\r\n")
        if line.strip(" \t") and not line.startswith("#"):
            yield number, line


def table_of(lines: Iterator[Line], path: Path, how: Reading) -> Raw:
    """Return the table in these lines."""
    first = list(islice(lines, LOOKED_AT))
    if not first:
        raise Damaged("the file is empty: it holds no line of data.")
    separator = choose_separator(first, path, how)
    header = has_header(first, separator, path)
    names = tuple(cells_of(first[0][1], separator)) if header else ()
    width = len(cells_of(first[0][1], separator))
    if len(first) == header:
        raise Damaged("there is a header, and no row under it.")
    label = label_column(how.label, names, width)
    refuse_text(first[header], path, separator, names, label)
    labels, place = [], [first[0][0]]
    rows = feature_lines(chain(first[header:], lines), separator, width, label, labels, place)
    between = None if separator == " " else separator
    with warnings.catch_warnings(action="error"):
        try:
            x = np.loadtxt(rows, delimiter=between, ndmin=2, comments=None)
        except Damaged:
            raise
        except (ValueError, Warning) as error:
            raise Damaged(f"line {place[0]}: {cell_error(error, names, label)}") from error
    if label is not None:
        names = names[:label] + names[label + 1 :]
    counted = not header and width > 2 and first[0][1].split(separator) == list(map(str, range(width)))
    note = f"warning: line {first[0][0]} is 0, 1, 2, ...: a header? It is read as a row; `sed 1d OLD > NEW` removes it"
    return Raw(x, None if label is None else np.array(labels), columns=names, notes=[note] * counted)


def choose_separator(first: list[Line], path: Path, how: Reading) -> str:
    """Return `how.delimiter`, or a tab for a .tsv, or a comma. Refuses lines that seem to have another separator."""
    if how.delimiter is not None:
        return separator_of(how.delimiter)
    usual = "\t" if ".tsv" in (suffix.lower() for suffix in path.suffixes) else ","
    texts = [line.strip() for _, line in first]
    others = [one for one in (";", "\t", "|", ",", " ") if one != usual and all(one in line for line in texts)]
    if all(usual in line for line in texts) and not set(others) & {";", "\t"}:          # else it may be a decimal comma
        return usual
    for other in others:
        if other != " " or sum(is_number(cell) for cell in texts[-1].split()) > 1:      # or these are words of one column
            remedy = f"Add --delimiter {TYPED.get(other, other)} (in Python: delimiter={other!r})."
            raise Damaged(f"the separator seems to be {SEPARATORS[other]}, not {SEPARATORS[usual]}. {remedy}")
    return usual                                            # a single column has no separator


def cells_of(line: str, separator: str) -> list[str]:
    """Split a line into cells; a quoted cell may contain the separator."""
    if '"' in line:
        try:
            cells = next(csv.reader([line], delimiter=separator, skipinitialspace=separator == " ", strict=True))
        except csv.Error as error:
            raise Damaged(f"a quotation mark is out of place ({error}): {line[:40]!r}.") from error
    else:
        cells = line.split() if separator == " " else line.split(separator)
    return [cell.strip() for cell in cells]


def is_number(cell: str) -> bool:
    """Return True if a cell holds a number."""
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell                                  # float("1_000") works, but in a table it is not a number


def has_header(first: list[Line], separator: str, path: Path) -> bool:
    """Return True if the first line has no numbers, or the column numbers of pandas. Refuses a mixed first line."""
    top = cells_of(first[0][1], separator)
    if all(cell.lower() in MISSING for cell in top):
        return False
    numbers = [cell for cell in top if is_number(cell)]
    if not numbers:
        return True
    counted = [str(i) for i in range(int(numbers[0]), int(numbers[0]) + len(numbers))] if numbers[0] in "01" else []
    below = cells_of(first[1][1], separator) if len(first) > 1 else top
    mixed = [i for i, (a, b) in enumerate(zip(top, below)) if not is_number(a) and is_number(b) and a.lower() not in MISSING]
    if numbers == counted and len(numbers) > 1 and len(numbers) >= len(top) - 1 and (mixed or top[0] == ""):
        return True
    if mixed:
        remedy = f"If it is a header, remove it: sed {first[0][0]}d {quoted(path)} > {beside(path, '.csv')}"
        raise Damaged(f"line {first[0][0]}: {top[mixed[0]]!r} is text, and below it there are numbers. {remedy}")
    return False


def label_column(label: str | int | None, names: tuple[str, ...], width: int) -> int | None:
    """Return the number of the column of labels, from 0, or None."""
    if label is None:
        return None
    if label in names:
        if names.count(label) > 1:
            raise Damaged(f"{names.count(label)} columns have the name {label!r}. Give its number: 0 is the first.")
        return names.index(label)
    if re.fullmatch(r"[+-]?\d{1,9}", str(label)) and -width <= int(label) < width:
        if width == 1:
            raise Damaged("there is one column alone: without it there is nothing to train on.")
        return int(label) % width
    known = f"; the header has {listed(names)}" if names else "; there is no header"
    raise Damaged(f"--label {label} is no column of these {width}{known}. Columns have the numbers 0 to {width - 1}.")


def listed(names: tuple[str, ...] | list[str]) -> str:
    """Return the first names, in words."""
    return ", ".join(names[:MOST_NAMED]) + (", ..." if len(names) > MOST_NAMED else "")


def refuse_text(row: Line, path: Path, separator: str, names: tuple[str, ...], label: int | None) -> None:
    """Refuse columns of text that are not the labels."""
    number, line = row
    cells = cells_of(line, separator)
    text = [i for i, cell in enumerate(cells) if i != label and not is_number(cell) and cell.lower() not in MISSING]
    if not text:
        return
    if separator != "," and all(re.fullmatch(r"[+-]?\d+,\d+", cells[i]) for i in text):
        remedy = f"Make points of them: tr , . < {quoted(path)} > {beside(path, '.csv')}"
        raise Damaged(f"line {number}: {cells[text[0]]!r} has a decimal comma. {remedy}")
    i = text[0]
    column = f"column {names[i]!r}" if i < len(names) else f"column {i}"
    typed = names[i] if i < len(names) and re.fullmatch(r"\w[\w.]*", names[i]) else i
    more = f" (and {len(text) - 1} more columns)" if len(text) > 1 else ""
    remedy = f"If it holds the classes, add --label {typed} (in Python: label={typed!r}); else leave it out."
    remedy = remedy if len(cells) > 1 else "If there are several columns, name their separator: --delimiter CHAR."
    raise Damaged(f"line {number}: {column} holds text, {cells[i][:30]!r}{more}, not numbers. {remedy}")


def feature_lines(
    lines: Iterator[Line], separator: str, width: int, label: int | None, labels: list[str], place: list[int]
) -> Iterator[str]:
    """Yield each line without its label, which is appended to `labels`; `place[0]` is the number of the line."""
    for place[0], line in lines:
        if '"' in line or separator == " ":
            cells = cells_of(line, separator)
        elif label is None and line.count(separator) == width - 1:
            yield line                                      # the usual case is fast: nothing is split
            continue
        else:
            cells = line.split(separator)
        if len(cells) != width:
            end = " It ends with a separator." if not cells[-1].strip() else ""
            raise Damaged(f"line {place[0]} has {len(cells)} cells, the first line {width}.{end}")
        if label is not None:
            labels.append(cells.pop(label).strip())
            if not labels[-1]:
                raise Damaged(f"line {place[0]}: its label is missing. Fill it, or leave the row out.")
        yield separator.join(cells)


def cell_error(error: Exception, names: tuple[str, ...], label: int | None) -> str:
    """Return a message about a wrong cell, from NumPy's error."""
    found = re.search(r"could not convert string '(.*)' to float64 at row \d+, column (\d+)", str(error), re.DOTALL)
    if not found:
        return f"not rows of numbers ({error})."
    cell, column = found[1].strip(), int(found[2]) - 1
    column += label is not None and column >= label
    where = f"column {names[column]!r}" if column < len(names) else f"column {column}"
    if cell.lower() in MISSING:
        return f"{where} is {'empty' if not cell else repr(cell)}: a missing number. Fill it, or leave the row out."
    return f"{where} holds {cell[:30]!r}, which is not a number. Correct it, or leave the row out."
