"""Make a copy of a package in memory with changed lines. No file is written, and the imported package does not change.

While a copy is made, Python's import system has an extra finder for names such as `minivae_copy`. The finder reads the
original source, changes it, and renames its imports.
"""

import ast
import functools
import importlib
import importlib.abc
import importlib.util
import sys
from collections.abc import Iterable, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType, SimpleNamespace
from typing import NamedTuple

from minivae.checks import refuse

SUFFIX = "_copy"
CORE = (
    "checks", "divergences", "ops", "gaussian", "likelihood", "params", "objective", "vae", "adam", "data", "train",
    "evidence",
)  # fmt: skip


class Change(NamedTuple):
    """A change of some lines of a module: replace `right` by `broken`. `right` occurs exactly once in the source."""

    module: str                                             # for example "gaussian", for minivae/gaussian.py
    right: str
    broken: str

    @property
    def file(self) -> str:
        """Return the path of the module, relative to the project."""
        return f"minivae/{self.module.replace('.', '/')}.py"


def package(changes: Sequence[Change] = ()) -> SimpleNamespace:
    """Return a copy of the modules in CORE with these changes: `package(...).vae.VAE` is the model of the copy."""
    modules = load([f"minivae.{name}" for name in CORE], changes)
    return SimpleNamespace(changes=tuple(changes), **{name: modules[f"minivae.{name}"] for name in CORE})


def load(names: Iterable[str], changes: Sequence[Change] = ()) -> dict[str, ModuleType]:
    """Return {name of a module: its copy} for these names. The copies import each other, not the originals.

    Raises ValueError if the lines to replace do not occur exactly once.
    """
    names = list(names)
    packages = frozenset({"minivae", "derivations"})        # always both, so that `compiled` finds cached results
    finder = Finder(packages, tuple(changes))
    sys.meta_path.insert(0, finder)
    try:
        return {name: importlib.import_module(copied(name, packages)) for name in names}
    finally:
        sys.meta_path.remove(finder)                        # no longer needed: the copies have references to each other
        for name in list(sys.modules):
            if name.partition(".")[0] in {copied(package, packages) for package in packages}:
                del sys.modules[name]


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finder and loader for Python's import system. It loads each module of a copy by executing the changed source."""

    def __init__(self, packages: frozenset, changes: tuple[Change, ...]):
        self.packages, self.changes = packages, changes

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Return the spec of a copied module, or None for any other module."""
        name = original(fullname)
        if name == fullname or name.partition(".")[0] not in self.packages:
            return None
        spec = importlib.util.find_spec(name)
        if spec is None:
            return None
        is_package = spec.submodule_search_locations is not None
        return importlib.util.spec_from_loader(fullname, self, origin=spec.origin, is_package=is_package)

    def exec_module(self, module: ModuleType) -> None:
        """Fill `module`, which is a copied module, by executing the changed source of the original module."""
        name, source = original(module.__name__), Path(module.__spec__.origin)
        changes = tuple(change for change in self.changes if f"minivae.{change.module}" == name)
        exec(compiled(source, changes, self.packages), module.__dict__)


@functools.cache
def compiled(source: Path, changes: tuple[Change, ...], packages: frozenset) -> CodeType:
    """Compile the changed source of a file. Each import of one of `packages` becomes an import of its copy."""
    tree = ast.parse(changed(source.read_text(encoding="utf-8"), changes))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level:
            node.module = copied(node.module, packages)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                alias.asname = alias.asname or (alias.name if copied(alias.name, packages) != alias.name else None)
                alias.name = copied(alias.name, packages)
    return compile(tree, f"<copy of {source.name}>", "exec")


def changed(text: str, changes: Iterable[Change]) -> str:
    """Return the source of a module with these changes. Raises ValueError unless each `right` occurs exactly once."""
    for change in changes:
        if text.count(change.right) != 1:
            rule = f"found exactly once in {change.file}"
            remedy = "The source was changed: change the exhibit in the same way."
            refuse("right", rule, f"{text.count(change.right)} times {change.right!r}", remedy)
        text = text.replace(change.right, change.broken)
    return text


def copied(name: str, packages: Iterable[str]) -> str:
    """Return "minivae_copy.vae" for "minivae.vae"; other packages keep their names."""
    root, dot, rest = name.partition(".")
    return root + SUFFIX + dot + rest if root in packages else name


def original(name: str) -> str:
    """Return "minivae.vae" for "minivae_copy.vae"."""
    root, dot, rest = name.partition(".")
    return root.removesuffix(SUFFIX) + dot + rest
