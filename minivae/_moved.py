"""Old names of modules that were moved or renamed: `import minivae.checkpoint` still works.

Python calls a list of finders for each module that it imports. The finder below is the last in that list. It handles the
old names only, and returns the module under its new name.
"""

import importlib
import importlib.machinery
import sys
from types import ModuleType

MOVED = {
    "minivae.checkpoint": "minivae.runs.checkpoint",
    "minivae.cli": "minivae.app.cli",
    "minivae.command": "minivae.app.runner",
    "minivae.conventions": "minivae.rosetta.presets",
    "minivae.drawing": "minivae.figures.style",
    "minivae.evaluate": "minivae.app.evaluate",
    "minivae.figures_evidence": "minivae.figures.evidence",
    "minivae.figures_learning": "minivae.figures.training",
    "minivae.learn": "minivae.app.train",
    "minivae.museum.copies": "minivae.museum.patched",
    "minivae.museum.desk": "minivae.museum.command",
    "minivae.museum.gradient": "minivae.museum.exhibits.gradient",
    "minivae.museum.loop": "minivae.museum.loop_layer",
    "minivae.museum.objective": "minivae.museum.exhibits.objective",
    "minivae.progress": "minivae.app.progress",
    "minivae.rosetta_command": "minivae.rosetta.command",
    "minivae.strict": "minivae.data.formats",
    "minivae.sweep": "minivae.evidence.sweep",
    "minivae.sweep_command": "minivae.app.sweep",
    "derivations.cli": "derivations.app.cli",
    "derivations.reading": "derivations.study.code_map",
    "derivations.records": "derivations.pages.records",
    "derivations.unicode": "derivations.pages.unicode",
}
MOVED |= {f"derivations.{name}": f"derivations.engine.{name}"
          for name in ("domains", "equation", "graph", "judge", "ledger", "numerics", "ties", "worlds")}  # fmt: skip
MOVED |= {f"derivations.{name}": f"derivations.study.{name}"
          for name in ("compare", "flashcards", "fourways", "questions", "quiz", "trace")}  # fmt: skip


class Moved:
    """Finder and loader of modules under old names. It has no base class: importing `importlib.abc` would take 5 ms."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> importlib.machinery.ModuleSpec | None:
        """Return a spec if `fullname` is the old name of a moved module, else None."""
        return importlib.machinery.ModuleSpec(fullname, self) if fullname in MOVED else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        """Return None, so that Python makes an empty module."""

    def exec_module(self, module: ModuleType) -> None:
        """Put the module with the new name in place of the empty module that Python made."""
        sys.modules[module.__name__] = importlib.import_module(MOVED[module.__name__])


def fetch(package: str, name: str) -> ModuleType | None:
    """Return the module whose old name is `package.name`, or None. The `__getattr__` of a package uses this function."""
    return importlib.import_module(MOVED[f"{package}.{name}"]) if f"{package}.{name}" in MOVED else None


def install() -> None:
    """Add the finder to Python's list of finders, unless the list already has a finder whose class is called Moved.

    A copy of the package (see minivae/museum/patched.py) defines a second class Moved. So the names of the classes are
    compared, and the copy adds no second finder.
    """
    if not any(type(finder).__name__ == "Moved" for finder in sys.meta_path):
        sys.meta_path.append(Moved())
