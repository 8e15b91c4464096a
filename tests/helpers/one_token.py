"""Mutants of a module that differ from it in one token: an operator, a number, or the name of a function."""

import ast
import io
import keyword
import tokenize
from collections.abc import Iterator
from typing import NamedTuple

from minivae.museum.patched import Change

OPERATORS = {
    "+": "-", "-": "+", "*": "/", "/": "*", "**": "*", "//": "/", "%": "*", "+=": "-=", "-=": "+=", "*=": "/=", "/=": "*=",
    "<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "|": "&", "&": "|",
}  # fmt: skip
NUMBERS = {"0": "1", "1": "2", "2": "1", "0.0": "1.0", "1.0": "2.0", "0.5": "1.0", "2.0": "1.0"}
NAMES = {
    "min": "max", "max": "min", "minimum": "maximum", "maximum": "minimum", "sum": "mean", "mean": "sum", "any": "all",
    "all": "any", "exp": "expm1", "expm1": "exp", "log": "log1p", "log1p": "log", "sqrt": "square", "square": "sqrt",
    "zeros": "ones", "zeros_like": "ones_like", "and": "or", "or": "and", "True": "False", "False": "True", "not": "",
    "ceil": "floor", "floor": "ceil", "tanh": "sin", "mu": "log_var", "log_var": "mu", "weight": "bias", "bias": "weight",
}  # fmt: skip


class Mutant(NamedTuple):
    """Its place and the line as it was, and the change in the form that the museum's tools take."""

    name: str
    changes: list[Change]


def mutants(module: str, source: str) -> Iterator[Mutant]:
    """Yield every mutant of the source of minivae/MODULE.py that Python can compile.

    Imports, annotations and what stands before the body of a function are left alone.
    """
    lines = source.splitlines(keepends=True)
    spared = {row for node in ast.walk(ast.parse(source)) for row in _rows_to_spare(node)}
    before = None
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        (row, start), (_, end) = token.start, token.end
        instead = None if row in spared else _instead(token, before)
        before = token
        if instead is None:
            continue
        line = lines[row - 1]
        broken = line[:start] + instead + line[end:]
        if _compiles("".join([*lines[: row - 1], broken, *lines[row:]])):
            name = f"{module}.py:{row}:{start}  {token.string} -> {instead or '(nothing)'}  in  {line.strip()}"
            yield Mutant(name, [_change(module, source, lines, row - 1, broken)])


def _rows_to_spare(node):
    if isinstance(node, (ast.Import, ast.ImportFrom, ast.AnnAssign)):
        yield from range(node.lineno, node.end_lineno + 1)
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.body[0].lineno > node.lineno:
        yield from range(node.lineno, node.body[0].lineno)


def _instead(token, before):
    """The token to put there, or None."""
    if token.type == tokenize.OP and token.string != "-":   # a binary operator has a term before it; * of *args has none
        is_name = before.type == tokenize.NAME and not keyword.iskeyword(before.string)
        if not (is_name or before.type == tokenize.NUMBER or before.string in (")", "]")):
            return None
    kinds = {tokenize.OP: OPERATORS, tokenize.NUMBER: NUMBERS, tokenize.NAME: NAMES}
    return kinds.get(token.type, {}).get(token.string)


def _compiles(source):
    try:
        compile(source, "mutant", "exec")
    except SyntaxError:
        return False
    return True


def _change(module, source, lines, index, broken):
    """The line and its mutant, with as many of the lines before them as make the text occur once."""
    first = index
    while source.count("".join(lines[first : index + 1])) > 1:
        first -= 1
    above = "".join(lines[first:index])
    return Change(module, above + lines[index], above + broken)
