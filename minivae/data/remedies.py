"""Commands that repair a table in a text file, for the shell or in Python. Each writes a new file and keeps the old one."""

import re
from collections.abc import Sequence
from pathlib import Path

from minivae.data.raw import converted_name, quoted


def filtered(path: Path, program: str) -> str:
    """Return the command that runs a program on a file and writes a new file. A gzipped file is first unpacked."""
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    new = converted_name(path, ".tsv" if ".tsv" in (suffix.lower() for suffix in path.suffixes) else ".csv")
    return f"gunzip -c {quoted(path)} | {program} > {new}" if packed else f"{program} < {quoted(path)} > {new}"


def without_columns(path: Path, separator: str, left_out: Sequence[int], width: int) -> str:
    """Return the command that leaves out the columns `left_out` (numbers from 0). Return "" if `cut` cannot do that."""
    kept = [i for i in range(width) if i not in left_out]
    if separator == " " or not kept:                        # between two blanks, `cut` would find an empty column
        return ""
    runs = []
    for i in kept:
        if runs and i == runs[-1][1] + 1:
            runs[-1][1] = i
        else:
            runs.append([i, i])
    fields = ",".join(f"{a + 1}" if a == b else f"{a + 1}-{b + 1}" for a, b in runs)
    between = {"\t": "", ",": "-d, "}.get(separator, f"-d'{separator}' ")
    return filtered(path, f"cut {between}-f{fields}")


def of_text(cells: list[str], path: Path) -> str | None:
    """Return the remedy for text that means numbers, such as true, 5 % or 1,000; None for other text."""
    if all(re.fullmatch("true|false", cell, re.IGNORECASE) for cell in cells):
        program = "sed -E 's/(True|TRUE|true)/1/g; s/(False|FALSE|false)/0/g'"
        return f"To write 1 and 0: {filtered(path, program)}"
    if all(re.fullmatch(r"[+-]?[\d.]+ ?%", cell) for cell in cells):
        return f"Without per cent signs: {filtered(path, 'tr -d %')}"
    if all(re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?", cell) for cell in cells):
        new = str(converted_name(path, ".csv"))
        read = f"import pandas; pandas.read_csv({str(path)!r}, thousands=',').to_csv({new!r}, index=False)"
        return f"Without commas between thousands, in Python: {read}"
    return None
