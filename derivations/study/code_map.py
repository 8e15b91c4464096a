"""The map between minivae, the ledger and the tests: what proves a function, what holds it, and back.

A function is proven by the entries that call it as one more link, its ties, and stated by those its docstring cites.
It is held by the tests that name it. Nothing of this is kept in a list: ties are registered, docstrings and tests read.
"""

import ast
import difflib
import inspect
import textwrap
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import minivae
from derivations.engine import ledger
from derivations.pages.records import located
from derivations.study.trace import ID
from minivae import divergences, evidence, gaussian, likelihood, objective, ops, vae
from minivae.checks import refuse
from minivae.evidence import bounds, linear, quadrature

MATHEMATICS = (ops, gaussian, divergences, likelihood, objective, vae, bounds, quadrature, linear)
PACKAGES = (minivae, evidence)                              # they offer what their modules define
TOOLS = {                                                   # they check and make, and compute nothing of their own
    "logits_of", "make_likelihood", "mlp_shapes", "with_best_encoder", "ppca", "checked_counts", "shapes_of",
}  # fmt: skip
METHODS = ("encode", "decode", "loss", "gradient", "elbo", "forward", "backward", "log_likelihood")     # of the model
TESTS = Path(__file__).parents[2] / "tests"


class Place(NamedTuple):
    """A public function of minivae: its dotted name, entries that call it, other entries it cites, tests that name it."""

    name: str
    tied: tuple[str, ...]
    cited: tuple[str, ...]
    tests: tuple[str, ...]


@cache
def functions() -> dict[str, Callable]:
    """Every public function of minivae's mathematics and every such method of its model, by dotted name, in order."""
    found = {}
    for module in MATHEMATICS:
        for name, thing in vars(module).items():
            own = getattr(thing, "__module__", "") == module.__name__ and not inspect.isclass(thing)
            if own and callable(thing) and not name.startswith("_") and name not in TOOLS:
                found[f"{module.__name__}.{name}"] = thing
    return found | {f"minivae.vae.VAE.{name}": getattr(vae.VAE, name) for name in METHODS}


@cache
def names_in(path: Path) -> frozenset[str]:
    """What the code of a file uses of minivae: dotted names, and ".name" of every attribute of anything."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    means = {}                                              # a name of the file: what was imported by it
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            means |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            means |= {alias.asname or alias.name: alias.name for alias in node.names}
    used = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            used.add(means.get(node.id, ""))
        elif isinstance(node, ast.Attribute):
            used |= {f".{node.attr}", f"{means.get(ast.unparse(node.value), '')}.{node.attr}"}
    return frozenset(real_names().get(name, name) for name in used)


@cache
def real_names() -> dict[str, str]:
    """Where what a package offers is defined: minivae.evidence.rate_distortion in minivae.evidence.rates, and so on."""
    offered = {f"{package.__name__}.{name}": getattr(package, name) for package in PACKAGES for name in package.__all__}
    offered |= {f"{gaussian.__name__}.{name}": thing for name, thing in vars(gaussian).items()}     # of divergences too
    return {name: f"{thing.__module__}.{thing.__name__}" for name, thing in offered.items() if inspect.isroutine(thing)}


def tests_of(name: str) -> tuple[str, ...]:
    """The test files that use a function; none where the tests are not installed."""
    word = f".{name.rpartition('.')[2]}" if ".VAE." in name else name
    return tuple(str(path.relative_to(TESTS)) for path in sorted(TESTS.rglob("test_*.py")) if word in names_in(path))


@cache
def ties() -> dict[str, tuple[str, ...]]:
    """The entries that are tied to a function, by its dotted name."""
    found: dict[str, list[str]] = {}
    for entry in ledger.entries():
        for tie in entry.ties:
            found.setdefault(tie.name, []).append(entry.id)
    return {name: tuple(dict.fromkeys(ids)) for name, ids in found.items()}


@cache
def place(name: str) -> Place:
    """What is known of one function."""
    tied = ties().get(name, ())
    cited = ID.findall(inspect.getdoc(functions()[name]) or "")
    own = {*tied, *(id.rstrip("abcdefg") for id in tied)}
    return Place(name, tied, tuple(id for id in dict.fromkeys(cited) if id not in own), tests_of(name))


def reading_map() -> list[Place]:
    """Every function of minivae's mathematics that the ledger or a test knows of, and those that none does."""
    return [place(name) for name in functions()]


def of_entry(id: str) -> list[Place]:
    """The functions that an entry, or a row of one, is about."""
    return [one for one in reading_map() if id in one.tied or any(id in (c, c.rstrip("abcdefg")) for c in one.cited)]


# As text


def found(name: str) -> list[Place]:
    """What a name means: a function by any ending of its dotted name, an entry, a row; everything, without one."""
    everything = reading_map()
    if not name:
        return everything
    if chosen := [one for one in everything if f".{one.name}".endswith(f".{name}")]:
        return chosen
    known = [one.name.removeprefix("minivae.") for one in everything]
    if name.partition(".")[0] not in ledger.SOURCES or "." not in name:
        near = difflib.get_close_matches(name, known, 3, 0.4)
        hint = f"Did you mean {' or '.join(near)}?" if near else "See `derivations map`."
        refuse("NAME", "a function of minivae's mathematics or an id of the ledger", repr(name), hint)
    entry = ledger.find(name)[0].entry
    return list(dict.fromkeys([*of_entry(name), *of_entry(entry.id)]))


def map_lines(places: list[Place], width: int) -> list[str]:
    """A paragraph for every function: its place in the source, and what is known of it."""
    lines = [] if places else ["no function of minivae computes it"]
    for one in places:
        lines.append(f"{one.name.removeprefix('minivae.'):40}{located(functions()[one.name])}")
        for label, names in (("proven by", one.tied), ("states", one.cited), ("held by", one.tests)):
            if names:
                lines += textwrap.wrap(", ".join(names), width, initial_indent=f"  {label:10}", subsequent_indent=" " * 12)
    return lines


def map_markdown(places: list[Place]) -> str:
    """The map as a table for the README."""
    lines = ["| function | proven by | states | held by |", "|---|---|---|---|"]
    for one in places:
        cells = (", ".join(f"`{name}`" for name in names) for names in (one.tied, one.cited, one.tests))
        lines.append(f"| `{one.name.removeprefix('minivae.')}` | {' | '.join(cells)} |")
    return "\n".join(lines)
