"""Source code for the book: functions from `def` on, with names that lead to other functions and to entries."""

import builtins
import functools
import inspect
import io
import keyword
import re
import textwrap
import tokenize
from collections.abc import Callable, Iterable

from derivations.pages.html import Html, link, markup, tag

Targets = dict[Callable, str]                               # a function, and its anchor in the book
LONG = 40                                                   # a line that is longer may need two lines on a phone


def dotted(function: Callable) -> str:
    """Return the dotted name of a function."""
    return f"{function.__module__}.{function.__qualname__}"


def names_of(function: Callable) -> dict[str, Callable]:
    """Return the functions in the module of a function, by name: its code can call them."""
    found = {name: unwrapped(value) for name, value in inspect.unwrap(function).__globals__.items()}
    return {name: value for name, value in found.items() if inspect.isfunction(value)}


def unwrapped(value: object) -> object:
    """Return the function itself: of an entry, its printed form; of a decorated function, the one inside."""
    value = value.printed.function if hasattr(value, "printed") else value
    return inspect.unwrap(value) if callable(value) else value


@functools.cache
def source(function: Callable) -> str:
    """Return the code of a function from `def` on, without marks for tools and columns of comments."""
    text = textwrap.dedent(inspect.getsource(inspect.unwrap(function)))
    lines = text.splitlines()
    first = next((i for i, line in enumerate(lines) if line.startswith(("def ", "class ", "lambda"))), 0)
    lines = (re.sub(r" +# (fmt: skip|noqa.*)$", "", line) for line in lines[first:])
    return "\n".join(re.sub(r"(?<=\S) {3,}#", "  #", line) for line in lines)


def helpers(functions: Iterable[Callable], known: Targets) -> list[Callable]:
    """Return the functions of derivations that these functions call, directly or through other functions."""
    wanted, waiting = {}, list(functions)
    while waiting:
        function = waiting.pop()
        names = names_of(function)
        for word in used(function):
            other = names.get(word)
            if other in known or other in wanted or other is None:
                continue
            if other.__module__.startswith(("derivations.", "minivae.")) and "<" not in other.__qualname__:
                wanted[other] = dotted(other)
                waiting.append(other)
    return sorted(wanted, key=dotted)


@functools.cache
def tokens(function: Callable) -> list[tokenize.TokenInfo]:
    """Return the tokens of the code of a function."""
    return list(tokenize.generate_tokens(io.StringIO(source(function)).readline))


def used(function: Callable) -> set[str]:
    """Return the names in the code of a function, without attributes."""
    found, before = set(), ""
    for token in tokens(function):
        if token.type == tokenize.NAME and before != ".":
            found.add(token.string)
        before = token.string
    return found


def code(function: Callable, targets: Targets) -> Html:
    """Return the code of a function, with links on the names of other functions."""
    lines, names, row, column, before = source(function).splitlines(), names_of(function), 1, 0, ""
    parts: list[str] = []
    for token in tokens(function):
        if token.type in (tokenize.INDENT, tokenize.DEDENT, tokenize.NEWLINE, tokenize.NL, tokenize.ENDMARKER):
            continue
        while row < token.start[0]:
            parts.append(lines[row - 1][column:] + "\n")
            row, column = row + 1, 0
        parts.append(lines[row - 1][column : token.start[1]])
        parts.append(shown(token, before, targets.get(names.get(token.string))))
        (row, column), before = token.end, token.string
    return hanging(zip(lines, "".join(parts).split("\n")))


def hanging(lines: Iterable[tuple[str, str]]) -> Html:
    """Return lines of code, each given as text and as markup. A long line that is broken goes on with a larger indent."""
    made = ""
    for text, line in lines:
        indent = len(text) - len(text.lstrip()) + 4
        made += f'<span style="--i:{indent}ch">{line}</span>' if len(text) > LONG else f"{line}\n"
    return tag("pre", tag("code", Html(made)))


def shown(token: tokenize.TokenInfo, before: str, target: str | None) -> str:
    """Return a token: a link, or text in the style of its kind."""
    text = token.string
    if token.type == tokenize.NAME and target and before not in (".", "def"):
        return link(target, text)
    if token.type == tokenize.COMMENT:
        return tag("i", text)
    if token.type == tokenize.STRING:
        return "\n".join(tag("em", line) for line in text.split("\n"))
    if before == "def" or (keyword.iskeyword(text) and text not in vars(builtins)):
        return tag("b", text)
    return markup(text)
