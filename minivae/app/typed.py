"""Commands to paste into a shell: every value is quoted; a value that begins with a dash is not read as an option."""

import os
import shlex
from collections.abc import Iterable

PATHS = ("data", "out", "resume")                           # options whose values are paths


def option(name: str, value: object) -> list[str]:
    """Return an option and its value as words: --name VALUE, or --name=VALUE if the value begins with a dash.

    If the value is True, only the option is returned. A tuple is joined with commas; an empty one becomes the word none. A
    path that begins with a dash is written as ./PATH, without an equals sign.
    """
    if value is True:
        return [f"--{name}"]
    if name in PATHS:
        return [f"--{name}", place(value)]
    text = ",".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value)
    return [f"--{name}={text}"] if text.startswith("-") else [f"--{name}", text]


def place(path: str | os.PathLike) -> str:
    """Return a path as a word, with ./ before a path that begins with a dash."""
    return f"./{path}" if str(path).startswith("-") else str(path)


def line(words: Iterable[str]) -> str:
    """Return the words of a command as one line, quoted for the shell."""
    return shlex.join(words)


def pasted(path: str | os.PathLike) -> str:
    """Return a path, quoted as one word for the shell."""
    return shlex.quote(place(path))


def held_out_points(held_out: int) -> str:
    """Return "1 held-out data point" or "355 held-out data points"."""
    return f"{held_out} held-out data point{'s' * (held_out != 1)}"


def replaced(command: str, name: str, value: object) -> str:
    """Return the command with the new `value` of the option `name`; this option is now the last one.

    Raises ValueError if a quotation mark is not closed.
    """
    words = shlex.split(command)
    kept = [word for word in words if not word.startswith(f"--{name}=")]
    if f"--{name}" in kept:
        at = kept.index(f"--{name}")
        del kept[at : at + 2]
    return line([*kept, *option(name, value)])
