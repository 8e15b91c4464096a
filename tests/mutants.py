"""Every exhibit of the museum as a mutant of the project: which test kills it?

    python -m tests.mutants                        all of them; 1 if one survives
    python -m tests.mutants exp-log-var -j 2       one of them, or two at a time

Each is applied to a copy of the tree in a temporary directory, where the fast tests of the rooms that it touches are
run until one fails. The museum's own tests are not among them: they would kill everything.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from minivae.museum.exhibits import bugs, find
from minivae.museum.patched import changed

ROOT = Path(__file__).parents[1]
TREE = ("minivae", "derivations", "tests", "setup.cfg", "README.md")
TESTS = {                                                   # of a module, the quickest to notice first
    "checks": ("core/test_input", "core/test_likelihood"),
    "divergences": ("core/test_gaussian", "core/test_gradients"),
    "ops": ("core/test_ops", "evidence/test_quadrature", "core/test_gradients", "core/test_vae"),
    "gaussian": ("core/test_gaussian", "core/test_gradients", "core/test_vae"),
    "likelihood": ("core/test_likelihood", "core/test_input", "core/test_gradients", "core/test_vae"),
    "objective": ("core/test_vae", "core/test_iwae", "core/test_gradients", "evidence/test_quadrature"),
    "vae": ("core/test_vae", "core/test_iwae", "core/test_gradients", "evidence/test_quadrature", "core/test_input"),
    "adam": ("core/test_adam", "core/test_train"),
    "train": ("core/test_train", "core/test_adam", "runs/test_resume"),
    "data.dataset": ("data/test_data",),
    "evidence.bounds": ("evidence/test_bounds", "evidence/test_quadrature"),
    "evidence.quadrature": ("evidence/test_quadrature",),
}


class Fate(NamedTuple):
    """What became of a mutant: the test that killed it, "" if it survived; and what pytest said."""

    name: str
    killer: str
    output: str


def fate(bug) -> Fate:
    """Apply a bug to a copy of the tree, and run the tests of what it touches until one fails."""
    with tempfile.TemporaryDirectory() as room:
        there = Path(room)
        plant(bug.changes, there)
        done = run_tests(there, tests_of(bug.changes))
    killer = re.search(r"^(?:FAILED|ERROR) tests/(\S+(?: [^-\n]*)?)", done.stdout, re.MULTILINE)
    if done.returncode not in (0, 1) and not killer:
        raise RuntimeError(done.stdout + done.stderr)
    return Fate(bug.name, killer[1].strip() if killer else "", done.stdout)


def run_tests(room: Path, names: list[str], *chosen: str) -> subprocess.CompletedProcess:
    """Run these tests of a copy of the tree, or those `chosen` as pytest does, until one fails."""
    files = [f"tests/{name}.py" for name in names]
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *files, *chosen]
    own = {"PYTHONPATH": str(room), "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DEBUG_TEMPROOT": str(room)}
    own["HYPOTHESIS_PROFILE"] = "repeatable"                # whoever asks
    return subprocess.run(command, cwd=room, env=os.environ | own, capture_output=True, text=True, timeout=600)


def plant(changes, there: Path) -> None:
    """A copy of the tree with these changes."""
    for name in TREE:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, there / name)
    for change in changes:
        path = there / change.file
        path.write_text(changed(path.read_text(encoding="utf-8"), [change]), encoding="utf-8")


def tests_of(changes) -> list[str]:
    """The tests of the modules that are changed, each once."""
    return list(dict.fromkeys(name for change in changes for name in TESTS[change.module]))


def main() -> int:
    """Print the fate of every mutant."""
    parser = argparse.ArgumentParser("python -m tests.mutants", description="Which test kills which bug of the museum?")
    parser.add_argument("names", nargs="*", metavar="NAME", help="of exhibits (default: all)")
    parser.add_argument("-j", type=int, default=1, metavar="N", help="how many at a time (default: 1)")
    options = parser.parse_args()
    chosen, survived = [find(name) for name in options.names] or bugs(), 0
    with ThreadPoolExecutor(options.j) as pool:
        for name, killer, _ in pool.map(fate, chosen):
            survived += not killer
            print(f"{name:34} {killer or 'SURVIVED'}", flush=True)
    print(f"{len(chosen) - survived} of {len(chosen)} killed")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
