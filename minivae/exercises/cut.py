"""Make the exercises and their solutions from the package's own source code.

A blank is a place where `...` replaces code of the package. The learner replaces each `...` with code.

The source of a function is read from its module, once in each process. An unknown function raises AttributeError.
"""

import ast
import functools
import inspect
import pkgutil
import re
import textwrap
from collections.abc import Callable, Sequence
from typing import NamedTuple

from minivae import checks
from minivae.exercises.answers import ANSWERS

COLUMN = 60                                                 # column of the package's trailing comments
SHAPE = re.compile(r"\([LBDJHIO\d*, ]*\)(?: each)?")


class Piece(NamedTuple):
    """A function of the package as an exercise: some of its lines stay, and the learner writes the others.

    In the file of the exercise, `...` marks each place where the learner writes code.

    If `whole` is True, one `...` replaces the whole body of the function. The reason is that the function works in place, or
    that the names of its variables would tell the answer.
    """

    module: str                 # "gaussian"
    name: str                   # "reparameterize"; for a method, "VAE.backward"
    # arguments of the learner's function: their names or their number; 0 means all arguments without a default
    arguments: int | tuple[str, ...] = 0
    shown: tuple[str, ...] = ()  # variables; the lines that compute them are shown, not blanked
    whole: bool = False
    lines: tuple[str, ...] = ()  # for a part of a method: variables; the lines that compute them form the learner's function
    called: str = ""            # the name of the learner's function, if it differs from `name`

    @property
    def function(self) -> str:
        """The name of the learner's function."""
        return self.called or self.name.rpartition(".")[2]


def original(piece: Piece) -> Callable:
    """Return the function in the package. Raises AttributeError if the package has no such function."""
    return pkgutil.resolve_name(f"minivae.{piece.module}:{piece.name}")


@functools.cache
def source_of(piece: Piece) -> str:
    """Return the function's source in the package, without indentation."""
    return textwrap.dedent(inspect.getsource(original(piece)))


def solutions(name: str, pieces: Sequence[Piece]) -> list[str]:
    """Return the short answer to an exercise, if there is one; then the package's own lines."""
    short = [f"# A short answer{ANSWERS[name]}"] if name in ANSWERS else []
    note = "# In brackets: the name of an equation. `derivations show beyond.20` prints it.\n"
    sources = [solution(piece) for piece in pieces]
    return short + sources + [note] * bool(re.search(r"\[[a-z]+\.", "".join(sources)))


def solution(piece: Piece) -> str:
    """Return file name, line number and source of the solution: a function, or only the lines that the exercise uses."""
    source, (_, first) = source_of(piece), inspect.getsourcelines(original(piece))
    if piece.lines:
        chosen = [child for child in ast.parse(source).body[0].body if target(child) in piece.lines]
        lines = [line for child in chosen for line in source.splitlines()[child.lineno - 1 : child.end_lineno]]
        source, first = textwrap.dedent("\n".join(lines)) + "\n", first + chosen[0].lineno - 1
    return f"# minivae/{piece.module}.py, line {first}\n{source}"


def tree_of(piece: Piece, source: str = "") -> ast.FunctionDef:
    """Return the syntax tree of the solution, or of `source`, which is a changed version of the solution.

    The tree has no docstring, no annotations and no checks of arguments.
    """
    source = source or source_of(piece)
    if piece.lines:
        source = re.sub(r"\bf\.", "", source)               # the learner's function gets `mu`, not `f.mu`
    node = ast.parse(source).body[0]
    node.body = [child for child in node.body if not is_spoken(child)]
    if piece.lines:
        node.body = [child for child in node.body if target(child) in piece.lines]
        results = [name for name in piece.lines[1:] if "," not in name]
        node.body.append(ast.parse("return " + ", ".join(results)).body[0])
        node.args = ast.parse(f"def f({', '.join(piece.arguments)}): pass").body[0].args
        if missing := set(piece.lines) - {target(child) for child in node.body}:
            raise LookupError(f"{piece.name} has no line that computes {', '.join(sorted(missing))}")
    node.name, node.returns = piece.function, None
    for argument in (*node.args.args, *node.args.kwonlyargs):
        argument.annotation = None
    return ast.fix_missing_locations(node)


def is_spoken(node: ast.stmt) -> bool:
    """Return True for a docstring, and for a call that only checks arguments."""
    match node:
        case ast.Expr(value=ast.Constant(value=str())):
            return True
        case ast.Expr(value=ast.Call(func=ast.Name(id=name))):
            return hasattr(checks, name)
    return False


def target(node: ast.stmt) -> str:
    """Return the text left of the `=` of an assignment, "" for other statements."""
    if not isinstance(node, ast.Assign):
        return ""
    return ", ".join(ast.unparse(each).strip("()") for each in node.targets)


def computed(node: ast.stmt) -> list[str]:
    """Return the names that an assignment computes, [] for other statements."""
    return [name.lstrip("*") for name in target(node).split(", ") if name]


@functools.cache
def lines_of(piece: Piece) -> list[tuple[list[str], set[str]]]:
    """Return the assigned names and the names that the solution uses, for each assignment that the learner must complete."""
    found = []
    for node in tree_of(piece).body:
        if target(node) and target(node) not in piece.shown:
            used = {part.id for part in ast.walk(node.value) if isinstance(part, ast.Name)}
            found.append((computed(node), used))
    return found


def compiled(piece: Piece, tree: ast.FunctionDef) -> Callable:
    """Return the function that a syntax tree defines; it can use all names of the module that has the original function."""
    names = dict(original(piece).__globals__)
    exec(compile(ast.Module([tree], []), f"<{piece.function}>", "exec"), names)
    return names[piece.function]


# The learner's function, with blanks


def blank(piece: Piece) -> str:
    """Return the learner's function as text: `...` replaces expressions; comments keep only step numbers and shapes."""
    source, node = source_of(piece), tree_of(piece)
    lines = [f"def {piece.function}({', '.join(arguments_of(piece, node))}):"]
    if piece.whole:
        return "\n".join([*lines, "    ...", ""])
    for child in node.body:
        code = blanked(child, piece.shown)
        comment = shape_in(source.splitlines()[child.end_lineno - 1]) if code else ""
        code = code or ast.get_source_segment(source, child)
        lines.append(f"    {code:<{COLUMN - 4}}# {comment}" if comment else f"    {code}")
    return "\n".join([*lines, ""])


def arguments_of(piece: Piece, node: ast.FunctionDef) -> Sequence[str]:
    """Return the arguments of the learner's function; a default value is kept only if it is a whole number."""
    names = [argument.arg for argument in node.args.args]
    if isinstance(piece.arguments, tuple):
        return names
    needed = piece.arguments or len(names) - len(node.args.defaults)
    defaults = dict(zip(reversed(names), (ast.unparse(value) for value in reversed(node.args.defaults))))
    return [f"{name}={defaults[name]}" if defaults.get(name, "").isdigit() else name for name in names[:needed]]


def blanked(node: ast.stmt, shown: Sequence[str]) -> str:
    """Return the statement with `...` in place of each expression; returned names stay.

    If the statement assigns names in `shown`, return "". Then `blank` shows the original line to the learner.
    """
    if isinstance(node, ast.Return):
        parts = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
        return "return " + ", ".join(part.id if isinstance(part, ast.Name) else "..." for part in parts)
    if isinstance(node, ast.Assign):
        names = target(node)
        return "" if names in shown else f"{names} = {', '.join(['...'] * len(names.split(', ')))}"
    return "..."


def shape_in(line: str) -> str:
    """Return the step number and the shape in the trailing comment of a line."""
    comment = line.partition("  # ")[2]
    return "   ".join(match[0] for match in (re.match(r"\d(?=\s|$)", comment), SHAPE.search(comment)) if match)


def blanks_left(function: ast.FunctionDef) -> list[int]:
    """Return the line numbers of the blanks in a learner's function: expressions and statements that are still `...`."""
    found = []
    for node in ast.walk(function):
        value = getattr(node, "value", None) if isinstance(node, (ast.Assign, ast.Return, ast.Expr)) else None
        parts = value.elts if isinstance(value, ast.Tuple) else [value]
        if any(isinstance(part, ast.Constant) and part.value is Ellipsis for part in parts):
            found.append(node.lineno)
    return found
