"""Source code for the book: functions without decorators. Names in this code link to functions, constants and entries."""

import ast
import builtins
import functools
import inspect
import io
import keyword
import re
import sys
import textwrap
import tokenize
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from derivations.pages.html import Html, link, markup, tag

LONG = 40                                                   # columns: a line with more columns may not fit on a phone


class Constant(NamedTuple):
    """A constant of a module, such as CHANCES, with the code that defines it."""

    module: str
    name: str
    definition: str


Named = Callable | Constant                                 # the book shows the name of such an object as a link
Targets = dict[Named, str]                                  # {function or constant: its anchor in the book}


def dotted(named: Named) -> str:
    """Return the dotted name of a function or a constant."""
    if isinstance(named, Constant):
        return f"{named.module}.{named.name}"
    return f"{named.__module__}.{named.__qualname__}"


@functools.cache
def constants(module: str) -> dict[str, Constant]:
    """Return {name: constant} for the constants that a module defines or imports; {} for a module of another package.

    The name of a constant is in capital letters.
    """
    if not module.startswith(("derivations.", "minivae.")) or not (file := sys.modules[module].__file__):
        return {}
    text, found = Path(file).read_text(encoding="utf-8"), {}
    lines = text.splitlines()
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign):
            definition = "\n".join(lines[node.lineno - 1 : node.end_lineno])
            names = (one.id for target in node.targets for one in ast.walk(target) if isinstance(one, ast.Name))
            found |= {name: Constant(module, name, definition) for name in names if name.isupper()}
        elif isinstance(node, ast.ImportFrom):
            names = [one.name for one in node.names if one.name.isupper()]
            found |= {name: one for name in names if (one := constants(node.module).get(name))}
    return found


def names_of(named: Named) -> dict[str, Named]:
    """Return {name: constant or function} for the module of `named`. Names of local variables of `named` are left out."""
    function = None if isinstance(named, Constant) else inspect.unwrap(named)
    module = function.__module__ if function else named.module
    local = function.__code__.co_varnames + function.__code__.co_cellvars if inspect.isfunction(function) else ()
    return {name: one for name, one in defined(module).items() if name not in local}


@functools.cache
def defined(module: str) -> dict[str, Named]:
    """Return {name: constant or function} of a module."""
    values = {name: unwrapped(value) for name, value in vars(sys.modules[module]).items()}
    return constants(module) | {name: value for name, value in values.items() if inspect.isfunction(value)}


def unwrapped(value: object) -> object:
    """Return the plain function in a value.

    For an entry, return the function that computes the printed formula. For a decorated function, return the function
    without its decorators. Any other value is returned unchanged.
    """
    value = value.printed.function if hasattr(value, "printed") else value
    return inspect.unwrap(value) if callable(value) else value


@functools.cache
def source(named: Named) -> str:
    """Return the code of a constant or a function, without decorators, `noqa` marks and wide gaps before comments."""
    is_constant = isinstance(named, Constant)
    text = named.definition if is_constant else textwrap.dedent(inspect.getsource(inspect.unwrap(named)))
    lines = text.splitlines()
    first = next((i for i, line in enumerate(lines) if line.startswith(("def ", "class ", "lambda"))), 0)
    lines = (re.sub(r" +# (fmt: skip|noqa.*)$", "", line) for line in lines[first:])
    return "\n".join(re.sub(r"(?<=\S) {3,}#", "  #", line) for line in lines)


def helpers(shown: Iterable[Named], known: Targets) -> list[Named]:
    """Return the functions and constants of our packages that the code of `shown` needs, except those in `known`."""
    wanted, waiting = set(), list(dict.fromkeys(shown))
    while waiting:
        named = waiting.pop()
        names = names_of(named)
        for other in filter(None, map(names.get, used(named))):
            ours = dotted(other).startswith(("derivations.", "minivae.")) and "<" not in dotted(other)
            if ours and other not in known and other not in wanted:
                wanted.add(other)
                waiting.append(other)
    return sorted(wanted, key=dotted)


@functools.cache
def tokens(named: Named) -> list[tokenize.TokenInfo]:
    """Return the tokens of the code of a function or a constant."""
    return list(tokenize.generate_tokens(io.StringIO(source(named)).readline))


def used(named: Named) -> set[str]:
    """Return the names in the code of a function or a constant, except names of attributes."""
    found, before = set(), ""
    for token in tokens(named):
        if token.type == tokenize.NAME and before != ".":
            found.add(token.string)
        before = token.string
    return found


def code(named: Named, targets: Targets) -> Html:
    """Return the code of a function or a constant; names of other functions and constants are links."""
    lines, names, row, column, before = source(named).splitlines(), names_of(named), 1, 0, ""
    parts: list[str] = []
    for token in tokens(named):
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
    """Return lines of code as HTML. Each line is a pair (text, markup). A line that is too long wraps with an indent."""
    made = ""
    for text, line in lines:
        indent = len(text) - len(text.lstrip()) + 4
        made += f'<span style="--i:{indent}ch">{line}</span>' if len(text) > LONG else f"{line}\n"
    return tag("pre", tag("code", Html(made)))


def shown(token: tokenize.TokenInfo, before: str, target: str | None) -> str:
    """Return a token of the code as HTML: a link, a styled comment, string or keyword, or plain text."""
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
