"""Untouched exercises never pass, the package's own source passes, and a hostile submission does no harm."""

import ast
import json
import linecache
import re

import pytest

from derivations.study import code_map
from minivae.app import cli
from minivae.exercises import cut, judge, notebook
from minivae.exercises.bonus import find
from minivae.exercises.catalogue import exercises
from minivae.exercises.report import every
from tests.helpers.readme import PAGES

OWN = "from minivae.{} import *\n"
HEAD = "import math\nimport numpy as np\nfrom minivae.exercises.given import *\nfrom minivae.adam import BLOCK, RESET\n"


def own_source(exercise):
    """Return a submission whose functions are copied from minivae."""
    functions = [ast.unparse(cut.tree_of(piece)) if piece.lines else cut.source_of(piece) for piece in exercise.pieces()]
    return HEAD + "".join(OWN.format(piece.module) for piece in exercise.pieces()) + "\n\n".join(functions)


def statuses(folder, code, capsys):
    """Check all exercises. Return a pair for each of the first fourteen exercises: its status, and True if it has a flag.

    `code` is the expected exit code.
    """
    assert cli.main(["exercises", "check", "--out", str(folder), "--json", "--timeout", "60"]) == code
    return [(each["status"], bool(each["flags"])) for each in json.loads(capsys.readouterr().out)["exercises"][:14]]


@pytest.mark.slow
def test_untouched_exercises_count_as_not_started_and_the_package_source_passes(tmp_path, capsys):
    for exercise in every():
        (tmp_path / f"{exercise.stem}.py").write_text(exercise.file())
    assert statuses(tmp_path, 1, capsys) == 14 * [("not started", False)]
    for exercise in exercises():
        (tmp_path / f"{exercise.stem}.py").write_text(own_source(exercise))
    assert statuses(tmp_path, 0, capsys) == 14 * [("passed", True)]


WRONG = {
    "while True: pass": ("error", "no result after"),
    "import os; os._exit(0)": ("error", "ended with exit code"),
    "print('PASS')\nimport numpy\nnumpy.allclose = numpy.array_equal = lambda *a, **k: True\n"
    "def tanh_backward(d, h): return d":
        ("wrong", ""),
    "import numpy\nnumpy.ones(1250000000)": ("error", "MemoryError"),
}


@pytest.mark.slow
@pytest.mark.parametrize("source", WRONG)
def test_hostile_submission_fails_without_harm(source, tmp_path):
    file = tmp_path / "02_tanh_backward.py"
    file.write_text(source)
    verdict = judge.check(find("2"), file, timeout=1.5 if "while" in source else 60)      # 60 s: Python may start slowly
    status, words = WRONG[source]
    assert verdict.status == status
    assert any(words in said for finding in verdict.findings for said in finding.words)


def test_learners_folder_contains_no_line_of_a_solution():
    files = "\n".join(exercise.file() for exercise in exercises())
    for exercise in exercises():
        for piece in exercise.pieces():
            for node in cut.tree_of(piece).body:
                line = ast.unparse(node)
                names_only = isinstance(node, ast.Return) and "(" not in line and not any(sign in line for sign in "+-*/")
                if cut.target(node) not in piece.shown and not names_only:
                    assert line not in files, line


def test_ledger_entries_in_the_readme_table_are_tied_to_their_exercise():
    page = PAGES["minivae/exercises/README.md"]
    rows = re.findall(r"^\| (\d+) `(\w+)` \|.*\| (.*) \|$", page, re.MULTILINE)
    assert [(int(number), name) for number, name, _ in rows] == [(each.number, each.name) for each in every()]
    for exercise, (*_, cell) in zip(every(), rows):
        named = re.findall(r"\w+\.t?\d+", cell)
        tied = {id for piece in exercise.pieces() for id in code_map.ties().get(f"minivae.{piece.module}.{piece.name}", ())}
        assert set(named) <= tied if named else "test" in cell or "museum" in cell, (exercise.name, tied)


# Notebooks


def printed_by(document, code, capsys):
    """Execute the code cells of a notebook and return the printed text.

    If `code` is not empty, it replaces the second code cell, in which the learner writes.
    """
    names, cells = {}, [cell for cell in document["cells"] if cell["cell_type"] == "code"]
    sources = ["".join(cell["source"]) for cell in cells]
    for source in [sources[0], code or sources[1], *sources[2:]]:
        exec(source, names)
    return capsys.readouterr().out


@pytest.mark.parametrize("exercise", every(), ids=lambda exercise: exercise.stem)
def test_notebook_of_an_exercise_judges_its_cells(exercise, capsys):
    document = notebook.of_exercise(exercise)
    text = "\n".join("".join(cell["source"]) for cell in document["cells"])
    assert exercise.prompt in text and all(hint in text for hint in exercise.hints)
    assert printed_by(document, "", capsys) == f"{exercise.stem}: not started\n"
    if exercise.pieces():
        printed = printed_by(document, own_source(exercise), capsys)
        assert printed.startswith(f"{exercise.stem}: passed") and cut.solution(exercise.pieces()[-1]) in printed


def test_notebook_prints_the_cause_of_wrong_numbers_and_of_exceptions(capsys):
    document = notebook.of_exercise(find("2"))
    printed = printed_by(document, "def tanh_backward(d_h, h): return 2 * d_h * (1 - h * h)", capsys)
    assert "wrong" in printed and "2 x the right array" in printed
    assert "ZeroDivisionError" in printed_by(document, "def tanh_backward(d_h, h): return 1 / 0", capsys)
    assert "there is no function tanh_backward" in printed_by(document, "pass", capsys)
    source = find("1").file().replace("d_x = ...", "d_x = d_y @ weight").replace("d_weight = ...", "d_weight = x.T @ d_y")
    linecache.cache["<cell>"] = (len(source), None, source.splitlines(keepends=True), "<cell>")      # IPython does this, too
    printed = printed_by(notebook.of_exercise(find("1")), compile(source, "<cell>", "exec"), capsys)
    assert "In `d_x = d_y @ weight`, d_y is (5, 3)" in printed and "+ affine_backward, d_weight" in printed
    assert "Next: correct your cell" in printed
    printed = printed_by(notebook.of_exercise(find("15")), "def check(gaussian): return False", capsys)
    assert "reports a bug in 3 of 3 calls" in printed
