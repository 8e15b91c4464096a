"""Mutants of a module that differ from it in one token: an operator, a number, a name, True or False."""

import ast
import io
import keyword
import tokenize
from collections.abc import Iterator
from itertools import pairwise
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
    """A mutant. `name` states its place, the old and new token, and the text of its line. `changes` has one `Change`."""

    name: str
    changes: list[Change]


def mutants(module: str, source: str) -> Iterator[Mutant]:
    """Yield every mutant of minivae/MODULE.py, a file with the text `source`. Leave out mutants that Python cannot compile.

    Imports, annotations, signatures and decorators stay unchanged.
    """
    lines, tree = source.splitlines(keepends=True), ast.parse(source)
    unchanged_rows = {row for node in ast.walk(tree) for row in _rows_to_leave(node)}
    ends = [0, *(node.end_lineno for node in tree.body)]    # last line of each top-level statement
    before = None
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        (row, start), (_, end) = token.start, token.end
        replacement = None if row in unchanged_rows else _replacement(token, before)
        before = token
        if replacement is None:
            continue
        line = lines[row - 1]
        broken = line[:start] + replacement + line[end:]
        first, last = next((first, last) for first, last in pairwise(ends) if row <= last)
        # Compile only the changed statement, to save time.
        if _compiles("".join([*lines[first : row - 1], broken, *lines[row:last]])):
            name = f"{module}.py:{row}:{start}  {token.string} -> {replacement or '(nothing)'}  in  {line.strip()}"
            yield Mutant(name, [_change(module, source, lines, row - 1, broken)])


def _rows_to_leave(node):
    if isinstance(node, (ast.Import, ast.ImportFrom, ast.AnnAssign)):
        yield from range(node.lineno, node.end_lineno + 1)
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
        yield from range(first, node.body[0].lineno)


def _replacement(token, before):
    """Return the token that replaces `token`, or None if `token` stays unchanged; `before` is the token before `token`."""
    # Replace an operator only if a name, a number, ")" or "]" comes before it. So the * of *args stays unchanged, because
    # it is not a multiplication. A "-" is always replaced.
    if token.type == tokenize.OP and token.string != "-":
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
    """Return the change of one line, with enough lines before it to make the old text unique in the file."""
    first = index
    while source.count("".join(lines[first : index + 1])) > 1:
        first -= 1
    above = "".join(lines[first:index])
    return Change(module, above + lines[index], above + broken)
