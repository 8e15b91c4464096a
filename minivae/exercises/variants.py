"""Known wrong versions of a function: common confusions, exhibits of the museum, and all changes of one place.

Each change is made on the function's tree. Its name says what changed, and does not show the rest of the line.
"""

import ast
import copy
import functools
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from minivae.exercises.confusions import CONFUSIONS
from minivae.exercises.cut import Piece, compiled, source_of, target, tree_of
from minivae.museum.exhibits import bugs

OTHER = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult, ast.MatMult: ast.Mult}
SIGN = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**", ast.MatMult: "@"}
CALLS = {"exp": "expm1", "expm1": "exp", "log": "log1p", "log1p": "log", "sum": "mean", "mean": "sum", "sqrt": "square",
         "tanh": "sin", "minimum": "maximum", "maximum": "minimum", "max": "min"}  # fmt: skip
UNARY = ("np.exp", "np.expm1", "np.log", "np.log1p", "np.sqrt", "np.tanh", "sigmoid")


VAGUE = ("a factor, a term or a function is missing", "one name, sign or function is another")


class Variant(NamedTuple):
    """A wrong version: its name, the words for a learner, the function, and the name that the changed line computes."""

    name: str
    words: str
    function: Callable
    line: str = ""

    @property
    def rank(self) -> int:
        """0 for confusions and the museum, 2 for a name in place of another and exchanges, 1 for all other changes."""
        if self.name.startswith(("confusion", "museum")):
            return 0
        return 2 if re.fullmatch(r"`[a-z]\w*` in place of `[a-z]\w*`", self.words) or "exchanged" in self.words else 1

    def said(self, names: frozenset[str] | None) -> str:
        """Return the words; if they have a name that is not in the learner's file, only the kind of the change."""
        def known(text):
            return names is None or set(re.findall(r"[A-Za-z_]\w*", text)) <= names | {"np"}

        where = f"in the line of `{self.line}`, " if self.line and known(self.line) else ""
        if all(known(text) and "..." not in text for text in re.findall("`([^`]*)`", self.words)):
            return where + self.words
        return where + VAGUE[not self.words.endswith("is missing")]


@functools.cache
def variants(piece: Piece) -> tuple[Variant, ...]:
    """Return the museum's versions of a function, then all versions with one change."""
    return (*confusions(piece), *of_museum(piece), *one_change(piece))


def confusions(piece: Piece) -> Iterator[Variant]:
    """Yield the common confusions about this function. Raises LookupError if the source has no such line."""
    for function, replaced, words in CONFUSIONS:
        if function == piece.function:
            text = source_of(piece)
            for right, broken in replaced.items():
                if text.count(right) != 1:
                    raise LookupError(f"{piece.name} has {text.count(right)} times {right!r}: change CONFUSIONS, too.")
                text = text.replace(right, broken)
            yield Variant(f"confusion: {words}", words, compiled(piece, tree_of(piece, text)))


def of_museum(piece: Piece) -> Iterator[Variant]:
    """Yield every exhibit of the museum that changes this function."""
    source = source_of(piece)
    for bug in bugs():
        text = source
        for change in bug.changes:
            if change.module == piece.module and text.count(change.right.strip()) == 1:
                text = text.replace(change.right.strip(), change.broken.strip())
        if text != source:
            try:
                tree = tree_of(piece, text)
            except (SyntaxError, LookupError):              # a change of several lines, indented otherwise
                continue
            if ast.dump(tree) != ast.dump(tree_of(piece)):
                words = f"{bug.title} (the museum's exhibit {bug.name})"
                yield Variant(f"museum {bug.name}", words, compiled(piece, tree))


def one_change(piece: Piece) -> Iterator[Variant]:
    """Yield every version of a function that differs in one place and can be compiled."""
    tree = tree_of(piece)
    names = [argument.arg for argument in tree.args.args]
    names += [part for node in tree.body for part in target(node).split(", ") if part.isidentifier()]
    seen = set()
    for index, node in enumerate(ast.walk(tree)):
        for words, change in changes(node, names):
            changed = copy.deepcopy(tree)
            place = list(ast.walk(changed))[index]
            change(place, changed)
            ast.fix_missing_locations(changed)
            line = line_of(tree, node)
            name = f"{line}:{index}: {words}"
            if name not in seen and ast.dump(changed) != ast.dump(tree):
                seen.add(name)
                yield Variant(name, words, compiled(piece, changed), "" if line == "return" or piece.whole else line)


def line_of(tree: ast.FunctionDef, node: ast.AST) -> str:
    """Return the target of the assignment that contains a node, "return" in a return, else ""."""
    for statement in ast.walk(tree):
        if isinstance(statement, (ast.Assign, ast.AugAssign, ast.Return)) and any(node is n for n in ast.walk(statement)):
            if isinstance(statement, ast.AugAssign):
                return ast.unparse(statement.target)
            return target(statement) or "return"
    return ""


def changes(node: ast.AST, names: list[str]) -> Iterator[tuple[str, Callable]]:
    """Yield (words, function that changes a copy of this node in a copy of the tree) for every change of one node."""
    if isinstance(node, (ast.BinOp, ast.AugAssign)) and type(node.op) in OTHER:
        other = OTHER[type(node.op)]
        yield f"`{SIGN[other]}` in place of `{SIGN[type(node.op)]}`", lambda n, _: setattr(n, "op", other())
    if isinstance(node, ast.BinOp) and type(node.op) in SIGN:
        sign = SIGN[type(node.op)]
        yield f"`{sign} {short(node.right)}` is missing", lambda n, tree: replace(tree, n, n.left)
        first = f"`{short(node.left)} {sign}`"
        yield f"{first} is missing", lambda n, tree: replace(tree, n, n.right)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield "a minus sign is missing", lambda n, tree: replace(tree, n, n.operand)
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        for value in {0: (1, 2), 1: (0, 2), 2: (1, 4), 0.5: (1, 2), -1: (0,)}.get(node.value, ()):
            yield f"`{value}` in place of `{node.value}`", lambda n, _, value=value: setattr(n, "value", value)
    if isinstance(node, ast.Attribute) and node.attr == "T":
        yield "`.T` is missing", lambda n, tree: replace(tree, n, n.value)
    if isinstance(node, ast.Call):
        yield from changed_calls(node)
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in names:
        for other in names:
            if other != node.id and (len(names) < 12 or kind(other) == kind(node.id)):
                yield f"`{other}` in place of `{node.id}`", lambda n, _, other=other: setattr(n, "id", other)
    if isinstance(node, ast.Return):
        yield from changed_results(node)


def changed_calls(node: ast.Call) -> Iterator[tuple[str, Callable]]:
    """Yield the changes of a call: another function, no function, no sum, exchanged arguments."""
    function = ast.unparse(node.func)
    last = function.rpartition(".")[2]
    if last in CALLS and isinstance(node.func, ast.Attribute):
        yield f"`{CALLS[last]}` in place of `{last}`", lambda n, _: setattr(n.func, "attr", CALLS[last])
    if function in UNARY:
        yield f"`{function}` is missing", lambda n, tree: replace(tree, n, n.args[0])
    if last in ("sum", "mean") and isinstance(node.func, ast.Attribute) and not function.startswith("np."):
        yield f"the {last} is missing", lambda n, tree: replace(tree, n, n.func.value)
        if node.keywords:
            yield f"the {last} runs over all axes", lambda n, _: setattr(n, "keywords", [])
    if len(node.args) >= 2 and not function.startswith("np."):
        for i in range(len(node.args) - 1):
            yield (f"arguments {i + 1} and {i + 2} of `{last}` exchanged",
                   lambda n, _, i=i: n.args.insert(i, n.args.pop(i + 1)))


def changed_results(node: ast.Return) -> Iterator[tuple[str, Callable]]:
    """Yield the changes of what is returned: the sign of one result, two results exchanged."""
    results = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
    for i, result in enumerate(results):
        which = f"result {i + 1} has" if len(results) > 1 else "the result has"
        if not isinstance(result, ast.Name) or result.id != "gradient":
            yield f"{which} the wrong sign", lambda n, _, i=i: negate(n, i)
    for i in range(len(results) - 1):
        yield f"results {i + 1} and {i + 2} exchanged", lambda n, _, i=i: n.value.elts.insert(i, n.value.elts.pop(i + 1))


def negate(node: ast.Return, i: int) -> None:
    """Put a minus before one result."""
    if isinstance(node.value, ast.Tuple):
        node.value.elts[i] = ast.UnaryOp(ast.USub(), node.value.elts[i])
    else:
        node.value = ast.UnaryOp(ast.USub(), node.value)


def kind(name: str) -> list[str]:
    """Return ["mu"] for d_mu, d_mu_kl and d_mu_z: in a long function, only names of one kind are exchanged."""
    return name.removeprefix("d_log_").removeprefix("d_").split("_")[:1]


def replace(tree: ast.AST, old: ast.AST, new: ast.AST) -> None:
    """Put a node in the place of another."""
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            if value is old:
                setattr(parent, name, new)
            elif isinstance(value, list) and any(part is old for part in value):
                setattr(parent, name, [new if part is old else part for part in value])


def short(node: ast.AST) -> str:
    """Return the text of an expression, or its beginning if it is long."""
    text = ast.unparse(node)
    if isinstance(node, (ast.BinOp, ast.UnaryOp)):
        text = f"({text})"
    return text if len(text) <= 24 else text[:20] + " ..."
