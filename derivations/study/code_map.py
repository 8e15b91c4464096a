"""The map between minivae, the ledger and the tests: the entries and tests of a function, and the functions of an entry.

"Proven by" lists the entries that call the function and compare its result with their numbers (ties). "States" lists
other entries that the docstring of the function cites. "Tested by" lists the test files that use the name of the
function. The map is computed from the registered ties, from the docstrings and from the source of the tests.
"""

import ast
import difflib
import inspect
import itertools
import textwrap
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import minivae
from derivations.engine import ledger
from derivations.pages.records import fetch, located, matching
from derivations.study.trace import ID
from minivae import divergences, evidence, gaussian, likelihood, objective, ops, vae
from minivae.checks import refuse
from minivae.evidence import bounds, linear, quadrature

MATHEMATICS = (ops, gaussian, divergences, likelihood, objective, vae, bounds, quadrature, linear)
PACKAGES = (minivae, evidence)                              # packages that re-export functions of their modules
TOOLS = {                                                   # not in the map: functions that check arguments or build models
    "logits_of", "make_likelihood", "mlp_shapes", "with_best_encoder", "ppca", "checked_counts", "shapes_of",
}  # fmt: skip
METHODS = [f"minivae.vae.VAE.{name}" for name in (
    "encode", "decode", "loss", "gradient", "elbo", "forward", "backward", "log_likelihood")]  # fmt: skip
TESTS = Path(__file__).parents[2] / "tests"


class Place(NamedTuple):
    """A public function of minivae.

    The entries in `tied` call the function. The docstring of the function cites the ids in `cited`: ids of entries and rows.
    Ids that are in `tied` are left out of `cited`. The files in `tests` use the function.
    """

    name: str
    tied: tuple[str, ...]
    cited: tuple[str, ...]
    tests: tuple[str, ...]


@cache
def functions() -> dict[str, Callable]:
    """Return {dotted name: function} of minivae's mathematics.

    These are the public functions, the methods in METHODS, and the methods that an entry of the ledger checks.
    """
    found = {}
    for module in MATHEMATICS:
        for name, value in vars(module).items():
            defined_here = getattr(value, "__module__", "") == module.__name__ and not inspect.isclass(value)
            if defined_here and callable(value) and not name.startswith("_") and name not in TOOLS:
                found[f"{module.__name__}.{name}"] = value
        methods = METHODS if module is vae else [name for name in ties() if name.startswith(f"{module.__name__}.")]
        found |= {name: fetch(name) for name in methods if name not in found}
    return found


@cache
def names_in(path: Path) -> frozenset[str]:
    """Return the dotted names that the code of a file uses. An attribute of any object is included as ".name"."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imports, nodes = {}, list(ast.walk(tree))               # {name in the file: dotted name of the imported object}
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            imports |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            imports |= {alias.asname or alias.name: alias.name for alias in node.names}
    used = set()
    for node in nodes:
        if isinstance(node, ast.Name):
            used.add(imports.get(node.id, ""))
        elif isinstance(node, ast.Attribute):
            used |= {f".{node.attr}", f"{imports.get(dotted(node.value), '')}.{node.attr}"}
    return frozenset(real_names().get(name, name) for name in used)


def dotted(node: ast.AST) -> str:
    """Return a dotted name such as a.b.c as text; "" for other expressions."""
    if isinstance(node, ast.Name):
        return node.id
    return f"{dotted(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else ""


@cache
def real_names() -> dict[str, str]:
    """Return {dotted name: dotted name in the defining module} for functions that minivae re-exports."""
    offered = {f"{package.__name__}.{name}": getattr(package, name) for package in PACKAGES for name in package.__all__}
    # the module gaussian re-exports functions of divergences
    offered |= {f"{gaussian.__name__}.{name}": value for name, value in vars(gaussian).items()}
    return {name: f"{value.__module__}.{value.__name__}" for name, value in offered.items() if inspect.isroutine(value)}


@cache
def test_files(folder: Path) -> list[Path]:
    """Return the files of tests in a folder, in the order of their names; [] if the tests are not installed."""
    return sorted(folder.rglob("test_*.py"))


def tests_of(name: str) -> tuple[str, ...]:
    """Return the test files that use a function; () if the tests are not installed."""
    *_, owner, last = name.split(".")
    word = f".{last}" if owner[0].isupper() else name       # tests write `object.method`, which does not show the class
    return tuple(str(path.relative_to(TESTS)) for path in test_files(TESTS) if word in names_in(path))


@cache
def ties() -> dict[str, tuple[str, ...]]:
    """Return {dotted name of a function: ids of the entries that are tied to it}."""
    found: dict[str, list[str]] = {}
    for entry in ledger.entries():
        for tie in entry.ties:
            found.setdefault(tie.name, []).append(entry.id)
    return {name: tuple(dict.fromkeys(ids)) for name, ids in found.items()}


@cache
def place(name: str) -> Place:
    """Return one function with its entries and tests."""
    tied = ties().get(name, ())
    cited = ID.findall(inspect.getdoc(functions()[name]) or "")
    tied_ids = {*tied, *(id.rstrip("abcdefg") for id in tied)}
    return Place(name, tied, tuple(id for id in dict.fromkeys(cited) if id not in tied_ids), tests_of(name))


def reading_map() -> list[Place]:
    """Return every function of minivae's mathematics with its entries and tests."""
    return [place(name) for name in functions()]


def of_entry(id: str) -> list[Place]:
    """Return the functions that are tied to the entry `id`, and those whose docstrings cite `id` or a row of this entry."""
    return [one for one in reading_map() if id in one.tied or any(id in (c, c.rstrip("abcdefg")) for c in one.cited)]


# The map as text


def found(name: str) -> list[Place]:
    """Return the functions with this name. If no function has this name, return functions whose names contain `name`.

    If no name contains `name`, find the entries with this source, id or word, and return the functions of these entries.
    """
    everything = reading_map()
    if chosen := [one for one in everything if not name or f".{one.name}".endswith(f".{name}")]:
        return chosen
    if chosen := [one for one in everything if name.lower() in short(one).lower()]:
        return chosen
    near = difflib.get_close_matches(name, map(short, everything), 3, 0.4)
    try:
        entries = matching(name)
    except ValueError:
        if name.partition(".")[0] in ledger.SOURCES:
            raise                                           # the message suggests existing ids
        rule = "a function of minivae, a part of its name, a source, an id or a word of an entry"
        refuse("FILTER", rule, repr(name), f"Did you mean {' or '.join(near)}?" if near else "See `derivations map`.")
    wanted = {one for id in (name, *(entry.id for entry in entries)) for one in of_entry(id)}
    return [one for one in everything if one in wanted]


def short(one: Place) -> str:
    """Return the dotted name without the package: "gaussian.kl_full"."""
    return one.name.removeprefix("minivae.")


def contents(places: list[Place], width: int) -> list[str]:
    """Return a paragraph for every module: the names of its functions."""
    lines = []
    for module, group in itertools.groupby(places, lambda one: functions()[one.name].__module__):
        names = ", ".join(one.name.removeprefix(f"{module}.") for one in group)
        lines.append(module.removeprefix("minivae."))
        lines += textwrap.wrap(names, width, initial_indent="  ", subsequent_indent="  ")
    return lines


def map_lines(places: list[Place], width: int) -> list[str]:
    """Return a paragraph for every function: its file and line, its entries, its test files."""
    lines = [] if places else ["no function of minivae is tied to this entry or cites it"]
    for one in places:
        lines.append(f"{short(one):40}{located(functions()[one.name])}")
        for label, names in (("proven by", one.tied), ("states", one.cited), ("tested by", one.tests)):
            if names:
                lines += textwrap.wrap(", ".join(names), width, initial_indent=f"  {label:10}", subsequent_indent=" " * 12)
    return lines


def map_markdown(places: list[Place]) -> str:
    """Return the map as a table in Markdown."""
    lines = ["| function | proven by | states | tested by |", "|---|---|---|---|"]
    for one in places:
        cells = (", ".join(f"`{name}`" for name in names) for names in (one.tied, one.cited, one.tests))
        lines.append(f"| `{short(one)}` | {' | '.join(cells)} |")
    return "\n".join(lines)
