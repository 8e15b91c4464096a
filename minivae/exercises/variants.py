"""Known wrong versions of a function: the mistakes in CONFUSIONS, the bugs of minivae.museum, all versions with one change.

A change replaces one node of the function's syntax tree, such as a sign or a number.
"""

import ast
import contextlib
import copy
import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from minivae.exercises.confusions import CONFUSIONS
from minivae.exercises.cut import Piece, compiled, source_of, target, tree_of
from minivae.museum.exhibits import bugs

OTHER = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult, ast.MatMult: ast.Mult}
SIGN = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**", ast.MatMult: "@"}
CALLS = {"exp": "expm1", "expm1": "exp", "log": "log1p", "log1p": "log", "sum": "mean", "mean": "sum", "sqrt": "square",
         "tanh": "sin", "minimum": "maximum", "maximum": "minimum", "max": "min"}  # fmt: skip
UNARY = ("np.exp", "np.expm1", "np.log", "np.log1p", "np.sqrt", "np.tanh", "sigmoid")
OPERATION = {ast.Add: "a sign is wrong", ast.Sub: "a sign is wrong", ast.Mult: "a factor is used as a divisor",
             ast.Div: "a divisor is used as a factor", ast.Pow: "a product is used instead of a power",
             ast.MatMult: "a product of entries is used instead of a matrix product"}
AXIS = "a sum runs over a wrong axis"
NUMBER, ARRAY = "a number is wrong", "an array is used instead of another one"


class Variant(NamedTuple):
    """A wrong version: its name, the words for a learner, the function, and the variables that the changed line computes.

    The name contains code of the solution, so learners see only the words.
    """

    name: str
    words: str
    function: Callable
    line: str = ""

    @property
    def rank(self) -> int:
        """Return 0 for a mistake from CONFUSIONS or a bug of the museum, 2 for a wrong number, array or order, else 1.

        If several variants give the learner's numbers, only the variants with the lowest rank are shown.
        """
        if self.name.startswith(("confusion", "museum")):
            return 0
        return 2 if self.words in (NUMBER, ARRAY) or "exchanged" in self.words else 1

    def computes(self) -> set[str]:
        """Return the names of the variables that the changed line computes."""
        return set(self.line.replace("*", "").split(", ")) - {""}

    def said(self, names: frozenset[str] | None) -> str:
        """Return the words for the learner, which begin with the variables that the changed line computes.

        These variables are left out if the learner's file does not contain all of them.
        """
        where = self.line and (names is None or self.computes() <= names)
        return f"in the line of `{self.line}`, {self.words}" if where else self.words


@functools.cache
def variants(piece: Piece) -> tuple[Variant, ...]:
    """Return all known wrong versions of a function: first those of `listed`, then those with one change."""
    return (*listed(piece), *one_change(piece))


def listed(piece: Piece) -> Iterator[Variant]:
    """Yield the wrong versions of this function: each has a mistake from CONFUSIONS or a bug of the museum.

    Each mistake and each bug replaces pieces of right code by wrong code. A piece must occur exactly once in the function.
    Otherwise, `listed` raises LookupError for a mistake. For a bug, `listed` does not replace the piece.
    """
    source = source_of(piece)
    known = [(f"confusion: {words}", words, replaced) for name, replaced, words in CONFUSIONS if name == piece.function]
    for name, _, replaced in known:
        for right in replaced:
            if source.count(right) != 1:
                raise LookupError(f"{right!r} occurs {source.count(right)} times in {piece.name}, not 1: change CONFUSIONS.")
    for bug in bugs():
        changes = {each.right.strip(): each.broken.strip() for each in bug.changes if each.module == piece.module}
        known.append((f"museum {bug.name}", bug.title, {a: b for a, b in changes.items() if source.count(a) == 1}))
    for name, words, replaced in known:
        text = functools.reduce(lambda text, pair: text.replace(*pair), replaced.items(), source)
        with contextlib.suppress(SyntaxError, LookupError):     # changed lines can have a wrong indentation
            if ast.dump(tree := tree_of(piece, text)) != ast.dump(tree_of(piece)):
                yield Variant(name, words, compiled(piece, tree))


def one_change(piece: Piece) -> Iterator[Variant]:
    """Yield the versions of a function in which one node of the syntax tree is changed."""
    tree = tree_of(piece)
    names = [argument.arg for argument in tree.args.args]
    names += [part for node in tree.body for part in target(node).split(", ") if part.isidentifier()]
    seen = set()
    for index, node in enumerate(ast.walk(tree)):
        for code, words, other in changes(node, names):
            changed = ast.fix_missing_locations(copy.deepcopy(tree, {id(node): other}))     # `other` replaces the node
            line = line_of(tree, node)
            name = f"{line}:{index}: {code}"
            if name not in seen and ast.dump(changed) != ast.dump(tree):
                seen.add(name)
                yield Variant(name, words, compiled(piece, changed), "" if line == "return" or piece.whole else line)


def line_of(tree: ast.FunctionDef, node: ast.AST) -> str:
    """Return the target of the assignment that contains a node, "return" for a node of a return statement, or else ""."""
    for statement in ast.walk(tree):
        if isinstance(statement, (ast.Assign, ast.AugAssign, ast.Return)) and any(node is n for n in ast.walk(statement)):
            if isinstance(statement, ast.AugAssign):
                return ast.unparse(statement.target)
            return target(statement) or "return"
    return ""


def edited(node: ast.AST, **fields: Any) -> ast.AST:
    """Return a copy of a node in which the given fields are replaced."""
    other = copy.copy(node)
    vars(other).update(fields)
    return other


def exchanged(nodes: list, i: int) -> list:
    """Return a list in which the entries i and i + 1 are exchanged."""
    return [*nodes[:i], nodes[i + 1], nodes[i], *nodes[i + 2 :]]


def parsed(text: str) -> ast.expr:
    """Return the syntax tree of an expression."""
    return ast.parse(text, mode="eval").body


def changes(node: ast.AST, names: list[str]) -> Iterator[tuple[str, str, ast.AST]]:
    """Yield (code, words, new node) for each possible change of this node."""
    if isinstance(node, (ast.BinOp, ast.AugAssign)) and type(node.op) in OTHER:
        other = OTHER[type(node.op)]
        code = f"`{SIGN[other]}` in place of `{SIGN[type(node.op)]}`"
        yield code, OPERATION[type(node.op)], edited(node, op=other())
    if isinstance(node, ast.BinOp) and type(node.op) in SIGN:
        sign = SIGN[type(node.op)]
        words = f"a {'term' if sign in '+-' else 'factor'} is missing"
        yield f"`{sign} {short(node.right)}` is missing", words, node.left
        yield f"`{short(node.left)} {sign}` is missing", words, node.right
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield "a minus sign is missing", "a minus sign is missing", node.operand
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        for value in {0: (1, 2), 1: (0, 2), 2: (1, 4), 0.5: (1, 2), -1: (0,)}.get(node.value, ()):
            yield f"`{value}` in place of `{node.value}`", NUMBER, edited(node, value=value)
    if isinstance(node, ast.Attribute) and node.attr == "T":
        yield "`.T` is missing", "a transpose is missing", node.value
    if isinstance(node, ast.Call):
        yield from changed_calls(node)
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in names:
        for other in names:
            if other != node.id and (len(names) < 12 or kind(other) == kind(node.id)):
                yield f"`{other}` in place of `{node.id}`", ARRAY, edited(node, id=other)
        if node.id == names[0] and node.id.startswith("d_"):
            code = f"{node.id}.sum()"
            yield f"`{code}`", f"`{node.id}` is summed, but each of its entries counts alone", parsed(code)
    if isinstance(node, ast.Return):
        yield from changed_results(node)


def changed_calls(node: ast.Call) -> Iterator[tuple[str, str, ast.AST]]:
    """Yield changed versions of a call: another function, no function, no sum, another axis, exchanged arguments."""
    function, attribute = ast.unparse(node.func), isinstance(node.func, ast.Attribute)
    last = function.rpartition(".")[2]
    if last in CALLS and attribute:
        words = {"sum": "a mean is taken instead of a sum", "mean": "a sum is taken instead of a mean"}
        other = edited(node, func=edited(node.func, attr=CALLS[last]))
        yield f"`{CALLS[last]}` in place of `{last}`", words.get(last, "a wrong function is called"), other
    if function in UNARY:
        yield f"`{function}` is missing", "a function is missing", node.args[0]
    if last in ("sum", "mean") and attribute and not function.startswith("np."):
        yield f"the {last} is missing", f"the {last} is missing", node.func.value
        if node.keywords:
            words = f"the {last} runs over all axes"
            yield words, words, edited(node, keywords=[])
            axis, *rest = node.keywords
            for other in ("0", "1", "-1", *(["1 - axis"] if ast.unparse(axis.value) == "axis" else [])):
                yield f"axis {other}", AXIS, edited(node, keywords=[edited(axis, value=parsed(other)), *rest])
    if not function.startswith("np."):
        for i in range(len(node.args) - 1):
            yield (f"arguments {i + 1} and {i + 2} of `{last}` exchanged", "two arguments of a call are exchanged",
                   edited(node, args=exchanged(node.args, i)))


def changed_results(node: ast.Return) -> Iterator[tuple[str, str, ast.AST]]:
    """Yield changed versions of a return statement: one result has a minus sign, or two results are exchanged."""
    results = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
    for i, result in enumerate(results):
        if not isinstance(result, ast.Name) or result.id != "gradient":
            minus = ast.UnaryOp(ast.USub(), result)
            several = [*results[:i], minus, *results[i + 1 :]]
            value = minus if len(results) == 1 else edited(node.value, elts=several)
            yield f"minus result {i + 1}", "the sign is wrong", edited(node, value=value)
    for i in range(len(results) - 1):
        words = f"results {i + 1} and {i + 2} are exchanged"
        yield words, words, edited(node, value=edited(node.value, elts=exchanged(results, i)))


def kind(name: str) -> list[str]:
    """Return the kind of a name: ["mu"] for d_mu_kl.

    In the wrong versions of a long function, a name is replaced only by a name of the same kind.
    """
    return name.removeprefix("d_log_").removeprefix("d_").split("_")[:1]


def short(node: ast.AST) -> str:
    """Return the text of an expression, or its beginning if it is long."""
    text = ast.unparse(node)
    if isinstance(node, (ast.BinOp, ast.UnaryOp)):
        text = f"({text})"
    return text if len(text) <= 24 else text[:20] + " ..."
