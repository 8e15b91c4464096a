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
from minivae.data.raw import Raw, Reading, separator_of
from minivae.data.remedies import filtered, of_text, without_columns

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "blanks"}
TYPED = {"\t": "tab", " ": "space", ";": "';'", "|": "'|'"}                     # how to type a separator after --delimiter
MISSING = {"", "na", "n/a", "nan", "null", "none", "?", "-"}
LOOKED_AT = 20                                              # the first 20 lines show separator, header, columns of text
MOST_NAMED = 6                                              # an error message names at most this many columns
SEVERAL = 5                                                 # a column of 5 or more texts, all different, may name the rows

Line = tuple[int, str]                                      # number of the line, from 1, and its text


class Pulled(io.RawIOBase):
    """A stream of the bytes that a function `read(n)` returns."""

    def __init__(self, read: Callable[[int], bytes]):
        self.pull = read

    def readable(self) -> bool:
        """Return True: this is a stream to read from."""
        return True

    def readinto(self, buffer: memoryview) -> int:
        """Copy the next bytes of the stream to the start of the buffer; return the number of these bytes."""
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
            remedy = f"If it is in Latin-1: {filtered(path, 'iconv -f latin1 -t utf-8')}"
            raise Damaged(f"its text is not in UTF-8 ({error.reason}). {remedy}") from error


def numbered(text: Iterator[str]) -> Iterator[Line]:
    """Yield the number and the text of each line of data. Skips blank lines, comments, and a first line `sep=;` of Excel."""
    for number, line in enumerate(text, 1):
        line = line.rstrip("\r\n")
        if number == 1 and re.fullmatch('"?sep=."?', line):
            continue
        if line.strip(" \t") and not line.startswith("#"):
            yield number, line


def table_of(lines: Iterator[Line], path: Path, how: Reading) -> Raw:
    """Return the arrays of the table that `lines` contain."""
    first = list(islice(lines, LOOKED_AT))
    if not first:
        raise Damaged("the file is empty: it holds no line of data.")
    separator = choose_separator(first, path, how)
    header = has_header(first, separator, path)
    names = tuple(cells_of(first[0][1], separator)) if header else ()
    width = len(cells_of(first[0][1], separator))
    if len(first) == header:
        raise Damaged("there is a header, but no row below it.")
    label = label_column(how.label, names, width)
    refuse_shape(first, header, separator, path)
    refuse_text(first, header, path, separator, names, label)
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
    notes = [] if header else header_of_numbers(first[:2], separator, path)
    cut = without_columns(path, separator, [int(label == 0)], width)
    return Raw(x, None if label is None else np.array(labels), columns=names, notes=notes, cut=cut)


def header_of_numbers(first: list[Line], separator: str, path: Path) -> list[str]:
    """Return a warning in a list if the first line looks like a header of numbers, and the second does not; else [].

    A header of numbers has at least three cells, and each is the previous one plus 1: 0, 1, 2, 3 or 1999, 2000, 2001.
    """
    rows = [cells_of(line, separator) for _, line in first]
    counts = [len(row) > 2 and row[0].isdigit() and row == [str(int(row[0]) + i) for i in range(len(row))] for row in rows]
    if counts != [True, False]:
        return []
    number, shown = first[0][0], ", ".join(rows[0][:3])
    removed = filtered(path, f"sed {number}d")
    return [f"warning: line {number} is {shown}, ...: a header? It is read as a row; to remove it: {removed}"]


def choose_separator(first: list[Line], path: Path, how: Reading) -> str:
    """Return `how.delimiter`, or a tab for a .tsv, or a comma. Refuses lines that seem to have another separator."""
    if how.delimiter is not None:
        return separator_of(how.delimiter)
    usual = "\t" if ".tsv" in (suffix.lower() for suffix in path.suffixes) else ","
    texts = [line.strip() for _, line in first]
    others = [one for one in (";", "\t", "|", ",", " ") if one != usual and all(one in line for line in texts)]
    # If all lines have commas, but also a semicolon or a tab, the commas may be decimal commas, not the separator.
    if all(usual in line for line in texts) and not set(others) & {";", "\t"}:
        return usual
    for other in others:                                    # spaces separate cells only if they separate numbers
        if other != " " or sum(is_number(cell) for cell in texts[-1].split()) > 1:
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
    """Return True if the first line is a header.

    There are two kinds of header. In the first kind, no cell is a number. In the second kind, all cells but one count up
    from 0 or 1. The remaining cell is a text in a column of numbers, or an empty first cell.

    Raises Damaged if the first line is not a header, but has text above a number.
    """
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
        remedy = f"If it is a header, remove it: {filtered(path, f'sed {first[0][0]}d')}"
        raise Damaged(f"line {first[0][0]}: {top[mixed[0]]!r} is text, and below it there are numbers. {remedy}")
    return False


def label_column(label: str | int | None, names: tuple[str, ...], width: int) -> int | None:
    """Return the index of the column of labels, or None."""
    if label is None:
        return None
    if names.count(label) > 1:
        raise Damaged(f"{names.count(label)} columns have the name {label!r}. Give a column number: 0 is the first.")
    named = label in names
    if named or re.fullmatch(r"[+-]?\d{1,9}", str(label)) and -width <= int(label) < width:
        if width == 1:
            raise Damaged("the table has only one column. If this column holds the labels, no column is left to train on.")
        return names.index(label) if named else int(label) % width
    alike = [i for i, name in enumerate(names) if name.lower().strip() == str(label).lower().strip()]
    if alike:
        other = typed_name(alike[0], names)
        raise Damaged(f"--label {label} is not a column, but {names[alike[0]]!r} is. Write --label {other}.")
    known = f"; the header has {listed(names)}" if names else "; there is no header"
    raise Damaged(f"--label {label} is not one of the {width} columns{known}. Columns have the numbers 0 to {width - 1}.")


def listed(names: tuple[str, ...] | list[str]) -> str:
    """Return the names as text. If there are more than MOST_NAMED, show the first ones, "..." and the last one."""
    names = [name or "(no name)" for name in names]
    return ", ".join(names if len(names) <= MOST_NAMED else [*names[: MOST_NAMED - 1], "...", names[-1]])


def typed_name(i: int, names: tuple[str, ...]) -> str | int:
    """Return the value of --label for column i: its name if this is unique and needs no quotes, else its number."""
    return names[i] if i < len(names) and re.fullmatch(r"[^\W\d][\w.]*", names[i]) and names.count(names[i]) == 1 else i


ENDS = "Remove the separators at the ends of lines: "
COMPLETE = " Correct the line, or leave the row out."


def ragged(line: int, cells: int, width: int) -> str:
    """Return the error message for a line that has more or fewer cells than the first line."""
    return f"line {line} has {cells} cell{'s' * (cells != 1)}; the first line has {width}."


def refuse_shape(first: list[Line], header: int, separator: str, path: Path) -> None:
    """Refuse a table if all lines end with a separator, or if the line below the header is not a row that fits the header.

    A row fits the header if it has the same number of cells, and does not seem to contain units such as "cm".
    """
    stripped = "[[:space:]]*" if separator == "\t" else separator
    ends = f"sed 's/{stripped}$//'"
    if separator != " " and all(line.endswith(separator) for _, line in first):
        raise Damaged(f"every line ends with a separator. {ENDS}{filtered(path, ends)}")
    number, line = first[header]
    if len(cells_of(line, separator)) != len(cells_of(first[0][1], separator)):
        also = f" It ends with a separator. {ENDS}{filtered(path, ends)}" if line.endswith(separator) else COMPLETE
        raise Damaged(ragged(number, len(cells_of(line, separator)), len(cells_of(first[0][1], separator))) + also)
    if not header or len(first) < 3:
        return
    second, third = (cells_of(text, separator) for _, text in first[1:3])
    words = not any(is_number(cell) or cell.lower() in MISSING for cell in second)
    if len(second) > 1 and words and any(map(is_number, third)):
        remedy = f"Remove this line: {filtered(path, f'sed {number}d')}"
        raise Damaged(f"line {number}, below the header, also contains text, such as {second[0]!r}. Is it a unit? {remedy}")


def refuse_text(
    first: list[Line], header: int, path: Path, separator: str, names: tuple[str, ...], label: int | None
) -> None:
    """Raise Damaged if the first row has text outside the column of labels."""
    number, line = first[header]
    cells = cells_of(line, separator)
    text = [i for i, cell in enumerate(cells) if i != label and not is_number(cell) and cell.lower() not in MISSING]
    if not text:
        return
    if separator != "," and all(re.fullmatch(r"[+-]?\d+,\d+", cells[i]) for i in text):
        remedy = f"Write points instead: {filtered(path, 'tr , .')}"
        raise Damaged(f"line {number}: {cells[text[0]]!r} has a decimal comma. {remedy}")
    where = [f"{names[i]!r}" if i < len(names) else str(i) for i in text]
    holds = f"line {number}: column {where[0]} holds text, {cells[text[0]][:30]!r}, not numbers."
    if len(text) > 1:
        holds = f"line {number}: columns {listed(where)} hold text, such as {cells[text[0]][:30]!r}."
    if len(cells) == 1:
        raise Damaged(f"{holds} If there are several columns, name their separator: --delimiter CHAR.")
    remedy = of_text([cells[i] for i in text], path) or text_remedy(first, path, separator, names, label, text)
    raise Damaged(f"{holds} {remedy}")


def text_remedy(
    first: list[Line], path: Path, separator: str, names: tuple[str, ...], label: int | None, text: list[int]
) -> str:
    """Return how to use one column of text as labels, and how to leave out the other columns of text."""
    width, quotes = len(cells_of(first[0][1], separator)), any('"' in line for _, line in first)

    def leave_out(columns: list[int], what: str = "") -> str:
        command = "" if quotes else without_columns(path, separator, columns, width)
        return f"leave {what or ('it' if len(columns) == 1 else 'them')} out" + (f": {command}" if command else ".")

    if label is not None:                                   # the user has named the column of labels
        left = label - sum(i < label for i in text)
        return f"With --label {typed_name(label, names) if names else left}, {leave_out(text)}"
    rows = [cells_of(line, separator) for _, line in first[bool(names) :]]
    different = [len({row[i] for row in rows if i < len(row)}) for i in text]
    # Classes repeat, so take the column with the fewest different texts; a column with only one text comes last.
    _, classes = min((n == 1, n, i) for n, i in zip(different, text))[1:]
    others = [i for i in text if i != classes]
    if others:
        left = classes - sum(i < classes for i in others)
        use = f"To use column {repr(names[classes]) if names else classes} as classes, add --label "
        return f"{use}{typed_name(classes, names) if names else left}, and {leave_out(others, 'the other text')}"
    typed = typed_name(classes, names)
    names_of_rows = len(rows) >= SEVERAL and min(different) == len(rows)
    other = "if it names the rows, as it seems," if names_of_rows else "else"
    return f"If it holds the classes, add --label {typed} (in Python: label={typed!r}); {other} {leave_out(text)}"


def feature_lines(
    lines: Iterator[Line], separator: str, width: int, label: int | None, labels: list[str], place: list[int]
) -> Iterator[str]:
    """Yield each line without its label, which is appended to `labels`; `place[0]` becomes the number of the line."""
    for place[0], line in lines:
        if '"' in line or separator == " ":
            cells = cells_of(line, separator)
        elif label is None and line.count(separator) == width - 1:
            yield line                                      # the usual case: no split, which saves time
            continue
        else:
            cells = line.split(separator)
        if len(cells) != width:
            also = " It ends with a separator." if not cells[-1].strip() else COMPLETE
            raise Damaged(ragged(place[0], len(cells), width) + also)
        if label is not None:
            labels.append(cells.pop(label).strip())
            if not labels[-1]:
                raise Damaged(f"line {place[0]}: its label is missing. Fill it, or leave the row out.")
        yield separator.join(cells)


def cell_error(error: Exception, names: tuple[str, ...], label: int | None) -> str:
    """Return a message about the cell that caused an error of NumPy."""
    found = re.search(r"could not convert string '(.*)' to float64 at row \d+, column (\d+)", str(error), re.DOTALL)
    if not found:
        return f"not rows of numbers ({error})."
    cell, column = found[1].strip(), int(found[2]) - 1
    column += label is not None and column >= label
    where = f"column {names[column]!r}" if column < len(names) else f"column {column}"
    if cell.lower() in MISSING:
        return f"{where} is {'empty' if not cell else repr(cell)}: a missing number. Fill it, or leave the row out."
    return f"{where} holds {cell[:30]!r}, which is not a number. Correct it, or leave the row out."
